//! The private labels of all held-out digits, by a release.

use super::side_by_side::side_by_side;
use super::{Outcome, with_release};
use crate::workspace::{Workspace, run_quietly};

/// Networks, numbers of parties, and whose bounds; the longest first, as none keeps two processors busy.
const RUNS: [&[&str]; 5] =
    [&["resnet32", "4"], &["resnet32", "3"], &["resnet32", "2"], &["resnet32", "2", "calibrated"], &["minionn", "2"]];

/// Classifies them: each label must be that in the clear.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    with_release(workspace, |checks| {
        let results = side_by_side(RUNS.to_vec(), |run| {
            run_quietly(&mut checks.command(["accuracy"].into_iter().chain(run.iter().copied())))
        });
        let remark = format!("all 450 digits, {} times", RUNS.len());
        Outcome::of(results.into_iter().filter_map(Result::err).collect(), remark)
    })
}
