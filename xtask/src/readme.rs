//! Compiles and runs the code of the workspace's README.
#![forbid(unsafe_code)]

/// Exists while documentation tests are collected.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
