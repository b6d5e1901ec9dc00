//! `cargo xtask soak`.

use std::process::ExitCode;

use crate::checks::Checks;
use crate::workspace::{Workspace, run as run_command};

/// Long runs: ReLUs and truncations over the whole range, queries while participants are killed, messages that are spoilt.
///
/// Each option asks for one of them, in the order of the options; without any, ReLUs are run. The figures of long runs are
/// in BENCHMARKS.md, and their short forms are part of `cargo xtask test`: the step `range` and tests of `mpc-cli` and
/// `mpc-service`. They fail at the first fault.
#[derive(Debug, clap::Args)]
pub struct SoakArguments {
    /// ReLUs, and as many truncations, with each number of parties; 10,000,000 where nothing else is asked for.
    ///
    /// With k = 32 and f = 16 in Z_2^64; of eight values four are uniform, one of any size, and three close to an end of
    /// the range or to 0. All processors work. It fails at an error beyond the bound.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    relu: Option<u64>,
    /// Numbers of parties of the ReLUs.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [2, 3, 4], value_parser = clap::value_parser!(u8).range(2..=8))]
    parties: Vec<u8>,
    /// Queries of four clients to a model owner's server, and as many to two servers that hold shares, while clients,
    /// servers and the dealer are killed.
    ///
    /// It fails if a query ends otherwise than by a result, or by an error that a kill explains, if a prepared inference is used
    /// twice, or if one participant keeps what another has lost.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    queries: Option<u64>,
    /// The queries go to two machines of each of two servers and of the dealer instead, with a database of each party, and
    /// the database server is stopped now and then, too; of up to nine inferences each.
    ///
    /// It also fails if databases disagree on what was used.
    #[arg(long, value_name = "STORE", requires = "queries")]
    store: Option<SoakStore>,
    /// Spoils one of so many cases: every frame between participants, in both directions, in each of eleven ways; 1 spoils
    /// all of them.
    ///
    /// A relay that has all keys flips, replaces, cuts, repeats, reorders, leaves out and enlarges. It fails at a panic, at a
    /// wait beyond all deadlines, where memory grows by what is announced, or where the next honest session has no result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    malformed: Option<u64>,
    /// Sites that spoil cases at a time: most of a case is waiting for a deadline.
    #[arg(long, value_name = "N", requires = "malformed", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=20))]
    sites: u64,
    /// Seconds for which participants wait for one another there: more of them on a machine that others keep busy.
    #[arg(long, value_name = "SECONDS", requires = "malformed", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    deadline: u64,
}

/// The stores of prepared inferences, if they are no folders.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SoakStore {
    /// PostgreSQL, which must be installed.
    Postgres,
}

/// ReLUs where nothing is asked for.
const RELUS: u64 = 10_000_000;

/// Runs the command.
pub fn run(arguments: &SoakArguments) -> ExitCode {
    match Workspace::find().and_then(|workspace| run_asked(&workspace, arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_asked(workspace: &Workspace, arguments: &SoakArguments) -> Result<(), String> {
    let SoakArguments { relu, parties, queries, store, malformed, sites, deadline } = arguments;
    let is_other = queries.is_some() || malformed.is_some();
    if let Some(count) = relu.or((!is_other).then_some(RELUS)) {
        let checks = Checks::build(workspace)?;
        parties.iter().try_for_each(|&parties| range(&checks, count, parties))?;
    }
    if let Some(queries) = queries {
        let module = match store {
            Some(SoakStore::Postgres) => "soak::replicas::machines_that_are_killed",
            None => "soak::of_many_queries",
        };
        test(workspace, "mpc-cli", module, &[("MPC_SOAK", *queries)])?;
    }
    match malformed {
        Some(step) => {
            let variables =
                [("MPC_MALFORMED", *step), ("MPC_MALFORMED_SITES", *sites), ("MPC_MALFORMED_DEADLINE", *deadline)];
            test(workspace, "mpc-service", "malformed::", &variables)
        }
        None => Ok(()),
    }
}

/// ReLUs and truncations with some parties.
pub fn range(checks: &Checks, count: u64, parties: u8) -> Result<(), String> {
    run_command(&mut checks.command(["range", &count.to_string(), &parties.to_string()]))
}

/// The long form of the tests of a module, one after the other, with what they print.
fn test(workspace: &Workspace, package: &str, module: &str, variables: &[(&str, u64)]) -> Result<(), String> {
    let mut command = workspace.cargo(["test", "--package", package, "--test", "all", module]);
    let variables = variables.iter().map(|(name, value)| (name, value.to_string()));
    run_command(command.args(["--", "--nocapture", "--test-threads=1"]).envs(variables))
}
