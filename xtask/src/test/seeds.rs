//! Whether a release leaves seeds in memory: it looks for them in its own.

use super::side_by_side::side_by_side;
use super::{Outcome, with_release};
use crate::workspace::{Workspace, run_quietly};

/// Runs the control, a seed that must be found, and then sessions of which none may be.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    if !cfg!(target_os = "linux") {
        return Outcome::Skipped("only on Linux".into());
    }
    with_release(workspace, |checks| {
        let runs = vec![&["seeds"][..], &["seeds", "control"]];
        let results = side_by_side(runs, |words| run_quietly(&mut checks.command(words.iter().copied())));
        Outcome::of(results.into_iter().filter_map(Result::err).collect(), "the control is found, as it must")
    })
}
