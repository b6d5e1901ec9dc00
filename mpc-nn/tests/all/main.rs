//! All integration tests in one program, so that the protocols are compiled once for all of them.
#![allow(missing_docs)]

mod common;
mod graph;
mod hostile;
mod outside;
mod plain;
mod private;
mod recorded;
