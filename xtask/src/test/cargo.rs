//! The steps that cargo does.

use std::process::Command;

use super::Outcome;
use crate::workspace::{Member, Stream, Workspace, run, run_and_read, works};

/// Packages outside the workspace.
const OUTSIDE: [&str; 2] = ["fuzz/Cargo.toml", "xtask/no-std/Cargo.toml"];

/// Formatting.
pub(super) fn format(workspace: &Workspace) -> Outcome {
    if !works(&mut workspace.cargo(["fmt", "--version"])) {
        return Outcome::not_installed("rustfmt");
    }
    let mut failures = Vec::new();
    failures.extend(run(&mut workspace.cargo(["fmt", "--all", "--check"])).err());
    for manifest in OUTSIDE {
        failures.extend(run(&mut workspace.cargo(["fmt", "--manifest-path", manifest, "--check"])).err());
    }
    Outcome::of(failures, "")
}

/// Lints.
pub(super) fn clippy(workspace: &Workspace) -> Outcome {
    if !has_clippy(workspace) {
        return Outcome::not_installed("clippy");
    }
    let lints = ["clippy", "--workspace", "--all-targets", "--all-features", "--keep-going", "--", "-D", "warnings"];
    Outcome::of(run(&mut workspace.cargo(lints)).err().into_iter().collect(), "")
}

fn has_clippy(workspace: &Workspace) -> bool {
    works(&mut workspace.cargo(["clippy", "--version"]))
}

/// Each crate by itself: without features, with each one alone, with the default ones, with all.
pub(super) fn features(workspace: &Workspace) -> Outcome {
    let strict = has_clippy(workspace);
    let mut failures = Vec::new();
    let mut checked = 0;
    for member in workspace.published() {
        for choice in choices(member) {
            let mut command = workspace.cargo([if strict { "clippy" } else { "check" }, "--quiet", "--package"]);
            command.arg(&member.name).args(choice);
            if strict {
                command.args(["--", "-D", "warnings"]);
            }
            failures.extend(run(&mut command).err());
            checked += 1;
        }
    }
    let remark = if strict { "" } else { ", warnings allowed: clippy is not installed" };
    Outcome::of(failures, format!("{checked} sets of features{remark}"))
}

fn choices(member: &Member) -> Vec<Vec<&str>> {
    let mut choices = vec![vec!["--no-default-features"], vec![], vec!["--all-features"]];
    let alone = member.features.iter().filter(|feature| *feature != "default");
    choices.extend(alone.map(|feature| vec!["--no-default-features", "--features", feature]));
    choices
}

/// All tests.
pub(super) fn tests(workspace: &Workspace) -> Outcome {
    let mut command = workspace.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    let (mut passed, mut ignored) = (0, 0);
    let mut failures = Vec::new();
    let read = |line: &str| {
        if let Some(counts) = line.strip_prefix("test result: ") {
            passed += count(counts, "passed");
            ignored += count(counts, "ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            failures.push(format!("test {name}"));
        }
    };
    match run_and_read(&mut command, Stream::Output, read) {
        Ok(true) => {}
        Ok(false) if failures.is_empty() => failures.push("cargo test failed before or outside a test".into()),
        Ok(false) => {}
        Err(error) => failures.push(error),
    }
    if failures.is_empty() && passed == 0 {
        failures.push("no test ran".into());
    }
    Outcome::of(failures, format!("{passed} tests, {ignored} ignored"))
}

/// The number before a word in `ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<_> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// The documentation.
pub(super) fn docs(workspace: &Workspace) -> Outcome {
    let mut command = workspace.cargo(["doc", "--workspace", "--no-deps", "--all-features", "--keep-going"]);
    Outcome::of(run(command.env("RUSTDOCFLAGS", "-D warnings")).err().into_iter().collect(), "")
}

/// The fuzz targets compile. libFuzzer is C++, so this needs a compiler for it.
pub(super) fn fuzz(workspace: &Workspace) -> Outcome {
    if !["c++", "g++", "clang++"].iter().any(|compiler| works(Command::new(compiler).arg("--version"))) {
        return Outcome::Skipped("no C++ compiler, which libFuzzer needs".into());
    }
    let manifest = "fuzz/Cargo.toml";
    let mut command = workspace.cargo(["check", "--locked", "--bins", "--manifest-path", manifest, "--target-dir"]);
    let failures =
        run(command.arg(&workspace.target)).map_err(|error| format!("{error}{}", stale_lock(workspace, manifest)));
    Outcome::of(failures.err().into_iter().collect(), "")
}

/// What to do about a lock file outside the workspace, if it no longer fits the crates.
pub(super) fn stale_lock(workspace: &Workspace, manifest: &str) -> String {
    let metadata = ["metadata", "--locked", "--format-version", "1", "--manifest-path", manifest];
    if works(&mut workspace.cargo(metadata)) {
        return String::new();
    }
    format!("\nits lock file is out of date: `cargo update --workspace --manifest-path {manifest}`")
}
