//! Whether a release leaves seeds in memory: it looks for them in its own.

use super::Outcome;
use crate::checks::Checks;
use crate::workspace::{Workspace, run};

/// Runs the control, a seed that must be found, and then sessions of which none may be.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    if !cfg!(target_os = "linux") {
        return Outcome::Skipped("only on Linux".into());
    }
    let checks = match Checks::build(workspace) {
        Ok(checks) => checks,
        Err(error) => return Outcome::Failed(vec![error]),
    };
    let runs = [&["seeds", "control"][..], &["seeds"]];
    let failures = runs.into_iter().filter_map(|words| run(&mut checks.command(words.iter().copied())).err());
    Outcome::of(failures.collect(), "the control is found, as it must")
}
