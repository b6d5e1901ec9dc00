//! `cargo xtask infer`.

use std::process::ExitCode;

/// Classifies images privately.
#[derive(Debug, clap::Args)]
pub struct InferArguments {}

/// Runs the command.
pub fn run(_arguments: &InferArguments) -> ExitCode {
    ExitCode::FAILURE
}
