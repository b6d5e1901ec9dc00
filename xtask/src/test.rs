//! `cargo xtask test`: everything that must hold, in one command.

mod accuracy;
mod beside;
mod browser;
mod cargo;
mod constant_time;
mod debian;
mod end_to_end;
mod no_std;
mod package;
mod page;
mod postgres;
mod programs;
mod python;
mod range;
mod seeds;
mod side_by_side;
mod small_disk;
mod tidy;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use beside::Beside;
use clap::builder::PossibleValuesParser;
use serde::{Deserialize, Serialize};

use crate::checks::{Checks, MANIFEST};
use crate::workspace::Workspace;

/// Checks and tests everything, with a stable Rust toolchain and nothing else.
///
/// Runs one step after another, and beside them those that check a release; a step that fails does not stop the others. At
/// the end come a table, the failures once more, and a line `N passed, M failed`. The exit status is 1 if any step failed,
/// or if all took more than 3,600 s. From an empty target folder two processors took 1,000 to 2,000 s; 600 s are the aim.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Runs only these steps (see --list).
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = PossibleValuesParser::new(STEPS.map(|step| step.name)))]
    only: Vec<String>,
    /// Lists the steps.
    #[arg(long)]
    list: bool,
    /// Writes the results of the steps to a file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The time that all steps shall take on two idle processors, from an empty target folder.
const AIM: Duration = Duration::from_secs(600);
/// The time that they may take on a slow machine. Beyond it, the command fails.
const BUDGET: Duration = Duration::from_secs(3600);

/// The result of a step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// The step whose packages are installed beside the others.
const PYTHON: &str = "python";
/// The steps that use the release of `xtask/checks` and nothing else: they run beside the others.
const BESIDE: [&str; 4] = ["accuracy", "constant-time", "seeds", "range"];

const STEPS: [Step; 19] = [
    Step { name: "tidy", about: "files, licences, unsafe code, leftovers", run: tidy::run },
    Step { name: "format", about: "cargo fmt --check", run: cargo::format },
    Step { name: "clippy", about: "cargo clippy, warnings are errors", run: cargo::clippy },
    Step { name: "no-std", about: "the crates without their `std` feature need no std", run: no_std::run },
    Step {
        name: "features",
        about: "each crate that has features, without them and with each one alone",
        run: cargo::features,
    },
    Step {
        name: "postgres",
        about: "a server for the tests of stores in databases is installed",
        run: postgres::run_step,
    },
    Step {
        name: "small-disk",
        about: "file systems for the tests of full disks can be mounted",
        run: small_disk::run_step,
    },
    Step { name: "browser", about: "a browser for the tests of the page is installed", run: browser::run_step },
    Step { name: "tests", about: "unit, integration, property and doc tests", run: programs::run },
    Step { name: "docs", about: "cargo doc, warnings are errors", run: cargo::docs },
    Step { name: "fuzz", about: "the fuzz targets compile", run: cargo::fuzz },
    Step { name: "package", about: "cargo package, and the packages compile", run: package::run_step },
    Step { name: "page", about: "the page's scripts are what its TypeScript says", run: page::run_step },
    Step {
        name: "end-to-end",
        about: "private inferences, in memory, over TCP and TLS: result, bytes, rounds",
        run: end_to_end::run,
    },
    Step {
        name: "accuracy",
        about: "450 of 450 private labels of a release agree, for 2, 3 and 4 parties",
        run: accuracy::run_step,
    },
    Step {
        name: PYTHON,
        about: "the package for Python: style, types, wheel, tests, notebooks",
        run: python::run_step,
    },
    Step {
        name: "constant-time",
        about: "a release under Valgrind: no branch and no address depends on a secret",
        run: constant_time::run_step,
    },
    Step { name: "seeds", about: "a release looks through its memory for seeds after use", run: seeds::run_step },
    Step { name: "range", about: "a release's ReLUs and truncations over the whole range", run: range::run_step },
];

/// Runs the command.
pub fn run(arguments: &TestArguments) -> ExitCode {
    if arguments.list {
        STEPS.iter().for_each(|step| println!("{:<14}{}", step.name, step.about));
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let results = Workspace::find().and_then(|workspace| run_steps(&workspace, &arguments.only));
    match results.and_then(|results| write(&results, arguments.json.as_deref()).map(|()| results)) {
        Ok(results) => sum_up(&results, start.elapsed()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the results to a file, if one is named.
fn write(results: &[Done], file: Option<&Path>) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    let text = serde_json::to_string_pretty(results).map_err(|error| error.to_string())?;
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Runs the steps of these names, or all.
fn run_steps(workspace: &Workspace, only: &[String]) -> Result<Vec<Done>, String> {
    let is_all = only.is_empty();
    let beside = if is_all { Some(Beside::start(workspace, &BESIDE)?) } else { None };
    let wanted = |step: &&Step| match is_all {
        true => !BESIDE.contains(&step.name),
        false => only.iter().any(|name| name == step.name),
    };
    let wanted: Vec<_> = STEPS.iter().filter(wanted).collect();
    let mut results: Vec<_> = thread::scope(|scope| {
        if wanted.iter().any(|step| step.name == PYTHON) {
            scope.spawn(|| python::prepare(workspace));
        }
        wanted.iter().map(|step| run_step(step, workspace)).collect()
    });
    if let Some(beside) = beside {
        results.extend(beside.finish());
    }
    Ok(results)
}

#[derive(Serialize, Deserialize)]
struct Done {
    name: String,
    outcome: Outcome,
    time: Duration,
    /// The time of processors, where the system tells.
    work: Duration,
}

fn run_step(step: &Step, workspace: &Workspace) -> Done {
    println!("\n=== {}: {}", step.name, step.about);
    let (start, work) = (Instant::now(), work());
    let outcome = (step.run)(workspace);
    let (time, work) = (start.elapsed(), self::work().saturating_sub(work));
    println!("=== {}: {} in {:.1} s", step.name, outcome.word(), time.as_secs_f64());
    Done { name: step.name.to_owned(), outcome, time, work }
}

/// The processors' time of all programs that this one has run.
fn work() -> Duration {
    /// Linux counts in hundredths of a second here, whatever its clock does.
    const TICK: Duration = Duration::from_millis(10);
    let state = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may have spaces. Behind it, the 14th and 15th words count the children.
    let (_, words) = state.rsplit_once(')').unwrap_or_default();
    let ticks = words.split_whitespace().skip(13).take(2).filter_map(|word| word.parse::<u32>().ok());
    TICK * ticks.sum::<u32>()
}

fn sum_up(results: &[Done], time: Duration) -> ExitCode {
    print_table(results, time);
    for Done { name, outcome, .. } in results {
        if let Outcome::Failed(failures) = outcome {
            println!("\n{name} failed:");
            failures.iter().for_each(|failure| println!("  {}", failure.replace('\n', "\n    ")));
        }
    }
    let failed = results.iter().filter(|done| matches!(done.outcome, Outcome::Failed(_))).count();
    let passed = results.iter().filter(|done| matches!(done.outcome, Outcome::Passed(_))).count();
    println!("\n{passed} passed, {failed} failed");
    if time > BUDGET {
        println!("error: {:.0} s are more than the budget of {} s", time.as_secs_f64(), BUDGET.as_secs());
    }
    if failed == 0 && time <= BUDGET { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_table(results: &[Done], time: Duration) {
    println!("\n{:<14}{:<9}{:>8}{:>10}  remarks", "step", "result", "seconds", "of work");
    let row = |name: &str, word: &str, time: Duration, work: Duration, remarks: &str| {
        let row = format!("{name:<14}{word:<9}{:>8.1}{:>10.1}  {remarks}", time.as_secs_f64(), work.as_secs_f64());
        println!("{}", row.trim_end());
    };
    for Done { name, outcome, time, work } in results {
        let remarks = match outcome {
            Outcome::Passed(remark) | Outcome::Skipped(remark) => remark.clone(),
            Outcome::Failed(failures) => format!("{} below", failures.len()),
        };
        row(name, outcome.word(), *time, *work, &remarks);
    }
    let [aim, budget] = [AIM, BUDGET].map(|time| time.as_secs());
    let remarks = format!("aim {aim} on two idle processors, budget {budget}");
    row("all", "", time, results.iter().map(|done| done.work).sum(), &remarks);
}

/// Runs a step with the release of `xtask/checks`.
fn with_release(workspace: &Workspace, step: impl FnOnce(&Checks) -> Outcome) -> Outcome {
    match Checks::build(workspace) {
        Ok(checks) => step(&checks),
        Err(error) => Outcome::Failed(vec![format!("{error}{}", cargo::stale_lock(workspace, MANIFEST))]),
    }
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
