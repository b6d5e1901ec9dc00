//! The program: its commands, and what they have in common.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    check, dealer, demo, deposit, generate, inspect, keygen, pack, page, plan, prepare, query, run, serve, store,
};
use crate::configuration;
use crate::failure::Failure;
use crate::logging::{self, LogArguments};
use crate::output::shown;
use crate::run::child;

/// Private neural-network inference between organisations.
///
/// One organisation holds a model, another one the data. They compute the network together on secret shares, and nobody
/// learns anything but the result, which goes to the data owner alone unless the model's terms say otherwise. A dealer, a
/// third party that works together with neither, hands out random numbers. All connections are TLS 1.3 between programs that
/// know each other's certificates.
#[derive(Debug, Parser)]
#[command(name = "mpc", version, propagate_version = true, max_term_width = 120, after_long_help = AFTER_HELP)]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// The flags that every command takes.
#[derive(Debug, Args)]
struct Common {
    /// A TOML file with the command's flags by their long names, and positional arguments by the names in its usage, in
    /// lower case. What is given here as well is taken from here. An unknown key is an error.
    #[arg(long, global = true, value_name = "FILE.toml", help_heading = "Common options")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Arguments>),
    Check(check::CheckArguments),
    Inspect(inspect::InspectArguments),
    Plan(Box<plan::PlanArguments>),
    Keygen(keygen::KeygenArguments),
    Fingerprint(keygen::FingerprintArguments),
    Pack(pack::PackArguments),
    Dealer(dealer::DealerArguments),
    Serve(Box<serve::ServeArguments>),
    Deposit(deposit::DepositArguments),
    Prepare(prepare::PrepareArguments),
    Query(query::QueryArguments),
    Store(store::StoreArguments),
    Page(page::PageArguments),
    Demo(demo::DemoArguments),
    Generate(generate::GenerateArguments),
    /// The process of one party of a run.
    #[command(hide = true)]
    RunParty,
    /// The process of the dealer of a run.
    #[command(hide = true)]
    RunDealer,
}

const AFTER_HELP: &str = "\
The journey of two organisations and a dealer:
  acme$    mpc keygen --name acme                        # and so each of the three; exchange the .crt files
  acme$    mpc pack net.onnx -o net.public net.private   # net.public is for the data owner
  dealer$  mpc dealer --listen 0.0.0.0:7800 --key dealer.key --allow acme.crt,clinic.crt
  acme$    mpc serve net.private --listen 0.0.0.0:7700 --key acme.key --allow clinic.crt --dealer host:7800=dealer.crt
  clinic$  mpc query net.public x.npy --key clinic.key --connect host:7700=acme.crt --dealer host:7800=dealer.crt -o y.npy
On one machine, to try it:
           mpc run                                          # a bundled network on a bundled digit
           mpc run net.onnx --input x.npy --transport services

Exit codes:
  0  done
  1  a fault of this side: its files, its disk, a result that cannot be written; of run and check also a result that is
     not that of the network in the clear
  2  wrong arguments, or a model or input that cannot be used; nothing was sent
  3  the other side is set up differently, or is not who it should be; no share was sent
  4  another participant went away
  5  another participant did not answer in time
  6  another participant does not grant what was asked";

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments_with_configuration(arguments) {
        Ok(Program { command: Command::RunParty, .. }) => child::run_party_process(),
        Ok(Program { command: Command::RunDealer, .. }) => child::run_dealer_process(),
        Ok(program) => finish(execute(program)),
        Err(failure) => finish(Err(failure)),
    }
}

fn arguments_with_configuration(arguments: Vec<OsString>) -> Result<Program, Failure> {
    let arguments = configuration::merge(&Program::command(), arguments)?;
    let matches = Program::command().try_get_matches_from(arguments).unwrap_or_else(|error| error.exit());
    Ok(Program::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

fn execute(program: Program) -> Result<(), Failure> {
    let is_service = matches!(program.command, Command::Dealer(_) | Command::Serve(_) | Command::Page(_));
    logging::start(&program.common.log, is_service);
    match program.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Keygen(arguments) => keygen::generate(&arguments),
        Command::Fingerprint(arguments) => keygen::fingerprint(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Dealer(arguments) => dealer::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Deposit(arguments) => deposit::run(&arguments),
        Command::Prepare(arguments) => prepare::run(&arguments),
        Command::Query(arguments) => query::run(&arguments),
        Command::Store(arguments) => store::run(&arguments),
        Command::Page(arguments) => page::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments, Program::command()),
        // They have been run already.
        Command::RunParty | Command::RunDealer => Ok(()),
    }
}

fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", shown(&failure.to_string()));
            failure.code().into()
        }
    }
}
