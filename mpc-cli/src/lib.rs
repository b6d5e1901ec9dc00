#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod cost;
pub mod estimate;
pub mod files;
pub mod format;
pub mod inspect;
pub mod program;
pub mod reserved;
pub mod run;
pub mod table;
pub mod widths;

mod admin;
mod arguments;
mod commands;
mod configuration;
mod failure;
mod fixed_point;
mod keys;
mod link;
mod logging;
mod outcome;
mod output;
mod over_link;
mod page;
mod parts;
mod precision;
mod process;
mod progress;
mod session_progress;
mod stop;
mod store_argument;

pub use arguments::{
    ComparisonKind, ConnectArguments, RevealArgument, RevealToArgument, TermsArguments, is_onnx, network,
};
pub use commands::check::{Checked, Report as CheckReport, calibrate, check};
pub use commands::plan::cost_json;
pub use failure::Failure;
pub use keys::KeyArguments;
pub use link::LinkArgument;
pub use outcome::Outcome;
pub use store_argument::StoreArgument;

/// The code of the workspace's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
