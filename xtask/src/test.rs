//! `cargo xtask test`: everything that must hold, in one command.

mod cargo;
mod end_to_end;
mod no_std;
mod package;
mod tidy;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;

use crate::workspace::Workspace;

/// Checks and tests everything, with a stable Rust toolchain and nothing else.
///
/// Runs one step after another; a step that fails does not stop the others. At the end come a table, the failures once
/// more, and a line `N passed, M failed`. The exit status is 1 if any step failed.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Runs only these steps (see --list).
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = PossibleValuesParser::new(STEPS.map(|step| step.name)))]
    only: Vec<String>,
    /// Lists the steps.
    #[arg(long)]
    list: bool,
}

/// What a step came to.
#[derive(Debug)]
enum Outcome {
    Passed(String),
    Skipped(String),
    Failed(Vec<String>),
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Outcome,
}

const STEPS: [Step; 11] = [
    Step { name: "tidy", about: "files, licences, unsafe code, leftovers", run: tidy::run },
    Step { name: "format", about: "cargo fmt --check", run: cargo::format },
    Step { name: "clippy", about: "cargo clippy, warnings are errors", run: cargo::clippy },
    Step { name: "no-std", about: "the crates without their `std` feature need no std", run: no_std::run },
    Step {
        name: "features",
        about: "each crate without features, with each one alone, with all",
        run: cargo::features,
    },
    Step { name: "tests", about: "unit, integration, property and doc tests", run: cargo::tests },
    Step { name: "docs", about: "cargo doc, warnings are errors", run: cargo::docs },
    Step { name: "fuzz", about: "the fuzz targets compile", run: cargo::fuzz },
    Step { name: "package", about: "cargo package, and the packages compile", run: package::run_step },
    Step {
        name: "end-to-end",
        about: "private inferences, in memory, over TCP and TLS: result, bytes, rounds",
        run: end_to_end::run,
    },
    Step {
        name: "accuracy",
        about: "450 of 450 private labels agree, for 2, 3 and 4 parties",
        run: end_to_end::accuracy,
    },
];

/// Runs the command.
pub fn run(arguments: &TestArguments) -> ExitCode {
    if arguments.list {
        STEPS.iter().for_each(|step| println!("{:<12}{}", step.name, step.about));
        return ExitCode::SUCCESS;
    }
    let workspace = match Workspace::find() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let wanted = |step: &&Step| arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name);
    let results: Vec<_> = STEPS.iter().filter(wanted).map(|step| run_step(step, &workspace)).collect();
    sum_up(&results)
}

struct Done {
    name: &'static str,
    outcome: Outcome,
    time: Duration,
}

fn run_step(step: &Step, workspace: &Workspace) -> Done {
    println!("\n=== {}: {}", step.name, step.about);
    let start = Instant::now();
    let outcome = (step.run)(workspace);
    let time = start.elapsed();
    println!("=== {}: {} in {:.1} s", step.name, outcome.word(), time.as_secs_f64());
    Done { name: step.name, outcome, time }
}

fn sum_up(results: &[Done]) -> ExitCode {
    println!("\n{:<12}{:<9}{:>8}  remarks", "step", "result", "seconds");
    for Done { name, outcome, time } in results {
        let remarks = match outcome {
            Outcome::Passed(remark) | Outcome::Skipped(remark) => remark.clone(),
            Outcome::Failed(failures) => format!("{} below", failures.len()),
        };
        let row = format!("{name:<12}{:<9}{:>8.1}  {remarks}", outcome.word(), time.as_secs_f64());
        println!("{}", row.trim_end());
    }
    for Done { name, outcome, .. } in results {
        if let Outcome::Failed(failures) = outcome {
            println!("\n{name} failed:");
            failures.iter().for_each(|failure| println!("  {}", failure.replace('\n', "\n    ")));
        }
    }
    let failed = results.iter().filter(|done| matches!(done.outcome, Outcome::Failed(_))).count();
    let passed = results.iter().filter(|done| matches!(done.outcome, Outcome::Passed(_))).count();
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Outcome {
    /// Skipped for want of a component of the toolchain. In continuous integration it must be there.
    fn not_installed(component: &str) -> Self {
        let reason = format!("not installed: `rustup component add {component}`");
        if env::var("CI").is_ok_and(|value| value == "true") {
            Self::Failed(vec![reason])
        } else {
            Self::Skipped(reason)
        }
    }

    /// Passed unless there are failures.
    fn of(failures: Vec<String>, remark: impl Into<String>) -> Self {
        if failures.is_empty() { Self::Passed(remark.into()) } else { Self::Failed(failures) }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "FAILED",
        }
    }
}
