//! `cargo xtask soak`.

use std::process::ExitCode;

use crate::checks::Checks;
use crate::workspace::{Workspace, run as run_command};

/// Computes ReLUs and truncations of values over the whole range, and fails at the first whose error is beyond the bound.
///
/// With k = 32 and f = 16 in Z_2^64; of eight values four are uniform, one of any size, and three close to an end of the
/// range or to 0. All processors work. The figures of long runs are in BENCHMARKS.md; `cargo xtask test --only range` is
/// the short form.
#[derive(Debug, clap::Args)]
pub struct SoakArguments {
    /// ReLUs, and as many truncations, with each number of parties.
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    relu: u64,
    /// Numbers of parties.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [2, 3, 4], value_parser = clap::value_parser!(u8).range(2..=8))]
    parties: Vec<u8>,
}

/// Runs the command.
pub fn run(arguments: &SoakArguments) -> ExitCode {
    let done = Workspace::find().and_then(|workspace| {
        let checks = Checks::build(&workspace)?;
        arguments.parties.iter().try_for_each(|&parties| range(&checks, arguments.relu, parties))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// ReLUs and truncations with some parties.
pub fn range(checks: &Checks, count: u64, parties: u8) -> Result<(), String> {
    run_command(&mut checks.command(["range", &count.to_string(), &parties.to_string()]))
}
