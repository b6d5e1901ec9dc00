//! The test programs, side by side: as many at a time as there are processors, each printed when it has ended.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Outcome;
use super::side_by_side::{processors, side_by_side};
use crate::workspace::{Stream, Workspace, list, run_and_read, text};

/// The crates and features whose tests cargo builds.
const ALL: [&str; 2] = ["--workspace", "--all-features"];

/// Packages whose tests mostly wait for processes, links and deadlines: more of them run at a time.
const WAITING: [&str; 3] = ["mpc-cli", "mpc-service", "mpc-transport"];
/// Tests of such a program at a time, for each processor.
const WAITING_TESTS: usize = 3;

/// A program of tests.
struct Program {
    /// Its package and its name.
    name: String,
    /// Where it runs: its package's folder, as under cargo.
    folder: PathBuf,
    executable: PathBuf,
}

/// The counts and failures of some tests.
#[derive(Default)]
struct Tally {
    passed: usize,
    ignored: usize,
    failures: Vec<String>,
}

/// Unit, integration, property and documentation tests.
pub(super) fn run(workspace: &Workspace) -> Outcome {
    let start = Instant::now();
    let programs = match build(workspace) {
        Ok(programs) => programs,
        Err(error) => return Outcome::Failed(vec![error]),
    };
    println!("{} test programs, built in {}", programs.len(), seconds(start.elapsed()));
    let mut tally = run_all(programs);
    tally.add(documentation(workspace));
    if tally.failures.is_empty() && tally.passed == 0 {
        tally.failures.push("no test ran".into());
    }
    Outcome::of(tally.failures, format!("{} tests, {} ignored", tally.passed, tally.ignored))
}

/// Builds the test programs and all that they start, and lists them, the largest first: it takes longest, as a rule.
fn build(workspace: &Workspace) -> Result<Vec<Program>, String> {
    let mut command = workspace.cargo(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    command.args(ALL).stdin(Stdio::null()).stderr(Stdio::inherit());
    println!("$ cargo test --no-run {}", ALL.join(" "));
    let output = command.output().map_err(|error| format!("cargo test did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("the tests do not compile: {}", output.status));
    }
    let lines = output.stdout.split(|&byte| byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut programs: Vec<_> = messages.filter_map(|message| Program::from_message(&message)).collect();
    let size = |program: &Program| program.executable.metadata().map_or(0, |metadata| metadata.len());
    programs.sort_by_key(|program| std::cmp::Reverse(size(program)));
    Ok(programs)
}

impl Program {
    /// The program that a message of cargo is about, if it is one of tests.
    fn from_message(message: &Value) -> Option<Self> {
        let executable = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        let package = folder.file_name()?.to_string_lossy();
        let kind = list(&message["target"]["kind"]).first().map(text).unwrap_or_default();
        let name = format!("{package}: {kind} {}", text(&message["target"]["name"]));
        Some(Self { name, folder: folder.to_owned(), executable: executable.into() })
    }

    fn run(&self) -> (Tally, String) {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder).stdin(Stdio::null());
        if WAITING.iter().any(|package| self.folder.ends_with(package)) {
            command.env("RUST_TEST_THREADS", (WAITING_TESTS * processors()).to_string());
        }
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => return (Tally::failed(format!("{} did not start: {error}", self.name)), String::new()),
        };
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut tally = Tally::default();
        printed.lines().for_each(|line| tally.read(&self.name, line));
        if !output.status.success() && tally.failures.is_empty() {
            tally.failures.push(format!("{}: {}", self.name, output.status));
        }
        (tally, printed)
    }
}

fn run_all(programs: Vec<Program>) -> Tally {
    let tallies = side_by_side(programs, |program| {
        let start = Instant::now();
        let (tally, printed) = program.run();
        let lines = format!("\n--- {}, {}\n{}", program.name, seconds(start.elapsed()), brief(&printed));
        (tally, lines)
    });
    tallies.into_iter().fold(Tally::default(), |mut total, tally| {
        total.add(tally);
        total
    })
}

/// The text that a program printed, without a line for each test that passed.
fn brief(printed: &str) -> String {
    let is_noise = |line: &str| line.is_empty() || (line.starts_with("test ") && line.ends_with(" ... ok"));
    printed.lines().filter(|line| !is_noise(line)).flat_map(|line| [line, "\n"]).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The documentation tests, which cargo alone can build.
fn documentation(workspace: &Workspace) -> Tally {
    let mut tally = Tally::default();
    let mut command = workspace.cargo(["test", "--doc", "--no-fail-fast", "--quiet"]);
    match run_and_read(command.args(ALL), Stream::Output, |line| tally.read("documentation", line)) {
        Ok(false) if tally.failures.is_empty() => tally.failures.push("a documentation test failed".into()),
        Ok(_) => {}
        Err(error) => tally.failures.push(error),
    }
    tally
}

impl Tally {
    fn failed(failure: String) -> Self {
        Self { failures: vec![failure], ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.ignored += other.ignored;
        self.failures.extend(other.failures);
    }

    /// Takes a line that a program of tests prints.
    fn read(&mut self, program: &str, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.ignored += count(counts, "ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(format!("{program}: {name}"));
        }
    }
}

/// The number before a word in `ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<_> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_and_failures_named() {
        let mut tally = Tally::default();
        let lines = [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured",
        ];
        lines.iter().for_each(|line| tally.read("c: test all", line));
        assert_eq!((tally.passed, tally.ignored, tally.failures), (1, 2, vec!["c: test all: a::c".to_owned()]));
    }
}
