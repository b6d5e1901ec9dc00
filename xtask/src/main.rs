//! The project's commands.
#![forbid(unsafe_code)]

mod bench;
mod fuzz;
mod infer;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Private neural-network inference: run it, test it, measure it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Infer(infer::InferArguments),
    Inspect(infer::inspect::InspectArguments),
    Check(infer::check::CheckArguments),
    Test(test::TestArguments),
    Bench(bench::BenchArguments),
    Fuzz(fuzz::FuzzArguments),
    /// The process of one party, started by `infer --transport tcp`.
    #[command(hide = true)]
    InferParty,
    /// The process of the dealer, started by `infer --transport tcp`.
    #[command(hide = true)]
    InferDealer,
}

fn main() -> ExitCode {
    match &Arguments::parse().command {
        Command::Infer(arguments) => infer::run(arguments),
        Command::Inspect(arguments) => infer::inspect::run(arguments),
        Command::Check(arguments) => infer::check::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Fuzz(arguments) => fuzz::run(arguments),
        Command::InferParty => infer::child::run_party_process(),
        Command::InferDealer => infer::child::run_dealer_process(),
    }
}
