//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

#[cfg(feature = "admin")]
mod admin;
mod deposits;
mod examples;
mod malformed;
mod refusals;
mod relay;
mod restored;
mod service;
mod support;
