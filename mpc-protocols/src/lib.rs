#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod audit;
pub mod beaver;
pub mod bilinear;
pub mod binary;
pub mod comparison;
pub mod conversion;
pub mod correlation;
mod error;
pub mod fixed_weights;
pub mod fourier;
pub mod function;
#[cfg(feature = "std")]
pub mod in_process;
#[cfg(all(debug_assertions, feature = "std", not(test)))]
#[doc(hidden)]
pub mod instances;
pub mod joint;
pub mod lookup;
pub mod maximum;
pub mod open;
pub mod own;
mod party;
pub mod piecewise;
mod place;
pub mod relu;
pub mod session;
pub mod sharing;
pub mod sign;
pub mod sort;
pub mod truncation;

pub use bilinear::Bilinear;
pub use correlation::{Correlation, CorrelationSource, Dealer, Provider, Request};
pub use error::ProtocolError;
pub use party::Party;
pub use place::Place;
pub use session::{DealerSession, Session};
