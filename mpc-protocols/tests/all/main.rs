//! All integration tests in one program, so that the protocols are compiled once for all of them.
#![allow(missing_docs)]
#![cfg(feature = "std")]

mod audit;
mod carried;
mod common;
mod conversion;
mod costs;
mod examples;
mod exponentials;
mod failures;
mod function;
#[cfg(debug_assertions)]
mod instances;
mod joint;
mod maximum;
mod multiplication;
mod open;
mod own;
mod piecewise;
mod quotient;
mod relations;
mod security;
mod session;
mod sign;
mod stairs;
mod traffic;
mod truncation;
mod widths;
