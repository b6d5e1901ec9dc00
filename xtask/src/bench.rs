//! `cargo xtask bench`.

use std::process::ExitCode;

/// Measures speed.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {}

/// Runs the command.
pub fn run(_arguments: &BenchArguments) -> ExitCode {
    ExitCode::FAILURE
}
