//! `mpc`: private neural-network inference.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    mpc_cli::program::run()
}
