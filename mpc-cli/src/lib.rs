#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod cost;
pub mod estimate;
pub mod files;
pub mod format;
pub mod inspect;
pub mod table;
