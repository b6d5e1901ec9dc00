//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod common;
mod examples;
mod layers;
mod messages;
mod plans;
