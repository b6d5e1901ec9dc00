//! `cargo xtask fuzz`.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::ValueEnum;
use comfy_table::CellAlignment;
use serde_json::Value;

use crate::table::table;
use crate::workspace::{self, Stream, Workspace, list, run_and_read, text, works};

/// The version that is installed if there is none.
const CARGO_FUZZ: &str = "0.13.2";
/// The longest input that is tried, in bytes.
const MAX_INPUT: usize = 4096;
/// One input may take this long, in seconds.
const TIMEOUT: u32 = 20;

/// Runs the fuzz targets, each for some seconds or some inputs.
///
/// Installs cargo-fuzz into the target folder if it is not there, and needs a C++ compiler for libFuzzer. New inputs are
/// collected in target/fuzz/corpus, so later runs go on where earlier ones ended. The exit status is 1 if an input was
/// found that breaks an invariant; its path and a command that reproduces it are printed.
#[derive(Debug, clap::Args)]
pub struct FuzzArguments {
    /// Seconds for each target.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Inputs for each target instead, however long they take.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// Runs only this target; may be given several times.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Runs a target on this one input instead, to see again what was found.
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["seconds", "runs"])]
    input: Option<PathBuf>,
    /// Lists the targets.
    #[arg(long)]
    list: bool,
    /// Memory checks while fuzzing; `address` needs a nightly toolchain.
    #[arg(long, value_enum, default_value_t = Sanitizer::None)]
    sanitizer: Sanitizer,
}

/// The end of a target's run.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Seconds(u32),
    Runs(u64),
}

impl Limit {
    /// The argument of libFuzzer.
    fn argument(self) -> String {
        match self {
            Self::Seconds(seconds) => format!("-max_total_time={seconds}"),
            Self::Runs(runs) => format!("-runs={runs}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Runs(runs) => write!(f, "{runs} inputs"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    None,
    Address,
}

/// Runs the targets; says whether all is well.
fn run_targets(arguments: &FuzzArguments) -> Result<bool, String> {
    let workspace = Workspace::find()?;
    let all = targets(&workspace)?;
    if arguments.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(true);
    }
    if let Some(unknown) = arguments.target.iter().find(|name| !all.contains(name)) {
        return Err(format!("there is no fuzz target `{unknown}`; there are {}", all.join(", ")));
    }
    let fuzzer = Fuzzer::new(workspace, arguments.sanitizer)?;
    if let (Some(input), [target, ..]) = (&arguments.input, &arguments.target[..]) {
        return fuzzer.run_input(target, input);
    }
    let wanted = all.iter().filter(|target| arguments.target.is_empty() || arguments.target.contains(target));
    let limit = arguments.runs.map_or(Limit::Seconds(arguments.seconds), Limit::Runs);
    let results = wanted.map(|target| fuzzer.fuzz(target, limit)).collect::<Result<Vec<_>, _>>()?;
    Ok(sum_up(&results))
}

/// Runs the command.
pub fn run(arguments: &FuzzArguments) -> ExitCode {
    match run_targets(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The binaries of the fuzz package.
fn targets(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut command = workspace.cargo(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]);
    let output = command.arg("fuzz/Cargo.toml").stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo metadata did not start: {error}"))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata of fuzz: {error}"))?;
    let targets = list(&metadata["packages"]).iter().flat_map(|package| list(&package["targets"]));
    let mut names: Vec<_> = targets
        .filter(|target| list(&target["kind"]).iter().any(|kind| kind == "bin"))
        .map(|t| text(&t["name"]))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// cargo-fuzz, installed.
struct Fuzzer {
    workspace: Workspace,
    path: OsString,
    sanitizer: Sanitizer,
}

/// The result of fuzzing a target.
struct Finding {
    target: String,
    executions: Option<u64>,
    per_second: Option<u64>,
    passed: bool,
    /// The input that breaks an invariant.
    input: Option<PathBuf>,
}

impl Fuzzer {
    fn new(workspace: Workspace, sanitizer: Sanitizer) -> Result<Self, String> {
        let tools = workspace.target.join("tools");
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(tools.join("bin")).chain(env::split_paths(&path));
        let path = env::join_paths(folders).map_err(|error| format!("PATH: {error}"))?;
        let fuzzer = Self { workspace, path, sanitizer };
        if !works(fuzzer.cargo().args(["fuzz", "--version"])) {
            println!("cargo-fuzz is not installed: installing it into {}", tools.display());
            let mut install = fuzzer.workspace.cargo(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]);
            workspace::run(install.arg("--root").arg(&tools))?;
        }
        Ok(fuzzer)
    }

    /// The toolchain that runs this program, or nightly where a sanitizer needs it.
    fn cargo(&self) -> Command {
        let mut command = match self.sanitizer {
            Sanitizer::None => self.workspace.cargo([] as [&str; 0]),
            Sanitizer::Address => {
                let mut command = Command::new("cargo");
                command
                    .current_dir(&self.workspace.root)
                    .arg("+nightly")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("CARGO");
                command
            }
        };
        command.env("PATH", &self.path);
        command
    }

    fn fuzz(&self, target: &str, limit: Limit) -> Result<Finding, String> {
        println!("\n=== {target}: {limit}");
        let corpus = self.folder().join("corpus").join(target);
        fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
        let mut command = self.run_target(target);
        command.arg(&corpus).args(self.seeds(target));
        command.arg("--").args([
            limit.argument(),
            format!("-max_len={MAX_INPUT}"),
            format!("-timeout={TIMEOUT}"),
            "-print_final_stats=1".to_owned(),
        ]);
        let mut finding =
            Finding { target: target.to_owned(), executions: None, per_second: None, passed: false, input: None };
        finding.passed = run_and_read(&mut command, Stream::Error, |line| finding.read(line))?;
        Ok(finding)
    }

    /// Runs one input; says whether all is well.
    fn run_input(&self, target: &str, input: &Path) -> Result<bool, String> {
        let input = fs::canonicalize(input).map_err(|error| format!("{}: {error}", input.display()))?;
        run_and_read(self.run_target(target).arg(input), Stream::Error, |_| ())
    }

    /// `cargo fuzz run` of a target.
    fn run_target(&self, target: &str) -> Command {
        let mut command = self.cargo();
        command.args(["fuzz", "run", "--sanitizer", self.sanitizer.name(), "--target-dir"]);
        command.arg(self.folder()).arg(target);
        command
    }

    fn folder(&self) -> PathBuf {
        self.workspace.target.join("fuzz")
    }

    /// The inputs that belong to the project.
    fn seeds(&self, target: &str) -> Option<PathBuf> {
        let folders = ["corpus", "seeds"].map(|name| self.workspace.root.join("fuzz").join(name).join(target));
        folders.into_iter().find(|folder| folder.is_dir())
    }
}

impl Finding {
    /// Reads a line of libFuzzer.
    fn read(&mut self, line: &str) {
        let number = |rest: &str| rest.trim().parse().ok();
        if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = number(rest);
        } else if let Some(rest) = line.strip_prefix("stat::average_exec_per_sec:") {
            self.per_second = number(rest);
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.input = Some(Path::new(path.trim()).to_owned());
        }
    }

    fn result(&self) -> &'static str {
        match (self.passed, &self.input) {
            (true, _) => "passed",
            (false, Some(_)) => "FOUND an input",
            (false, None) => "FAILED to build or to run",
        }
    }
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Address => "address",
        }
    }
}

/// Prints a table and what was found; says whether all is well.
fn sum_up(findings: &[Finding]) -> bool {
    let mut table = table(&["target", "executions", "executions/s", "result"], 1);
    table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Left));
    let shown = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    for finding in findings {
        let (executions, per_second) = (shown(finding.executions), shown(finding.per_second));
        table.add_row([finding.target.clone(), executions, per_second, finding.result().to_owned()]);
    }
    println!("\n{table}");
    for finding in findings {
        if let Some(input) = &finding.input {
            println!("\n{}: an input breaks its invariant; run it again with", finding.target);
            println!("  cargo xtask fuzz --target {} --input {}", finding.target, input.display());
        }
    }
    let failed = findings.iter().filter(|finding| !finding.passed).count();
    println!("\n{} passed, {failed} failed", findings.len() - failed);
    failed == 0
}
