//! All integration tests in one program, so that the protocols are compiled once for all of them.
#![allow(missing_docs)]

mod audit;
mod calibration;
mod clear;
mod common;
mod delegation;
mod examples;
mod graph;
mod harness;
mod hostile;
#[cfg(debug_assertions)]
mod instances;
mod links;
mod operations;
mod outputs;
mod own;
mod private;
mod recorded;
mod rounds;
