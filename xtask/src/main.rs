//! The project's commands.
#![forbid(unsafe_code)]

mod bench;
mod checks;
mod forward;
mod fuzz;
mod soak;
// The same files, as this program needs no crate of the workspace and they need none either.
#[path = "../../mpc-cli/src/run/page/html.rs"]
mod html;
#[path = "../../mpc-cli/src/table.rs"]
mod table;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of this project's developers: tests, measurements, fuzzing, long runs. The program for its users is `cargo mpc`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Test(test::TestArguments),
    Bench(bench::BenchArguments),
    Fuzz(fuzz::FuzzArguments),
    Soak(soak::SoakArguments),
    /// `mpc run`, and with --plan `mpc plan`.
    Infer(forward::OldArguments),
    /// `mpc inspect`.
    Inspect(forward::OldArguments),
    /// `mpc check`.
    Check(forward::OldArguments),
}

fn main() -> ExitCode {
    match &Arguments::parse().command {
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Fuzz(arguments) => fuzz::run(arguments),
        Command::Soak(arguments) => soak::run(arguments),
        Command::Infer(arguments) => forward::run("infer", arguments),
        Command::Inspect(arguments) => forward::run("inspect", arguments),
        Command::Check(arguments) => forward::run("check", arguments),
    }
}
