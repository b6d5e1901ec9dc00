//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod base;
mod common;
mod comparison;
mod examples;
mod ferret;
mod pair;
mod products;
mod softspoken;
