//! `mpc`: private neural-network inference between organisations.
#![forbid(unsafe_code)]

mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run()
}
