//! The gate: a program without std that uses every crate.

use super::Outcome;
use super::cargo::stale_lock;
use crate::workspace::{Stream, Workspace, run_and_read};

const MANIFEST: &str = "xtask/no-std/Cargo.toml";

/// Checks the program, and that the check fails where std is linked.
pub(super) fn run(workspace: &Workspace) -> Outcome {
    let mut failures = Vec::new();
    match check(workspace, &[]) {
        Ok(Gate::Open) => {}
        Ok(Gate::Std(cause)) => failures.push(format!("std is linked: {cause}")),
        Ok(Gate::Other) => failures.push(format!("the program does not compile{}", stale_lock(workspace, MANIFEST))),
        Err(error) => failures.push(error),
    }
    println!("and once more with std, which must fail:");
    match check(workspace, &["--features", "prove-failure"]) {
        Ok(Gate::Std(_)) => {}
        Ok(Gate::Open) => failures.push("the gate does not notice that std is linked".into()),
        Ok(Gate::Other) => failures.push("with std, the program fails for another reason than std".into()),
        Err(error) => failures.push(error),
    }
    Outcome::of(failures, "fails with std, as it must")
}

enum Gate {
    Open,
    /// std is there; what the compiler says about it.
    Std(String),
    Other,
}

fn check(workspace: &Workspace, features: &[&str]) -> Result<Gate, String> {
    let mut command = workspace.cargo_outside("check", MANIFEST)?;
    command.args(["--locked", "--quiet"]).args(features);
    let (mut duplicate, mut cause) = (false, String::new());
    let checked = run_and_read(&mut command, Stream::Error, |line| {
        duplicate |= line.contains("found duplicate lang item `panic_impl`");
        if line.contains("the lang item is first defined in crate") {
            cause = line.trim_start_matches([' ', '=']).to_owned();
        }
    })?;
    Ok(match (checked, duplicate) {
        (true, _) => Gate::Open,
        (false, true) => Gate::Std(cause),
        (false, false) => Gate::Other,
    })
}
