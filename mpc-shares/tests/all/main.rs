//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod arithmetic;
mod binary;
mod common;
#[cfg(feature = "os-random")]
mod examples;
mod secret;
#[cfg(feature = "serde")]
mod wire;
mod zero;
