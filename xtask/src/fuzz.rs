//! `cargo xtask fuzz`.

use std::process::ExitCode;

/// Runs the fuzz targets.
#[derive(Debug, clap::Args)]
pub struct FuzzArguments {}

/// Runs the command.
pub fn run(_arguments: &FuzzArguments) -> ExitCode {
    ExitCode::FAILURE
}
