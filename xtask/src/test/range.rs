//! ReLUs and truncations over the whole range: the short form of `cargo xtask soak`.

use super::{Outcome, with_release};
use crate::soak;
use crate::workspace::Workspace;

/// ReLUs, and as many truncations, with each number of parties.
const COUNT: u64 = 1 << 21;

/// Runs them with 2, 3 and 4 parties.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    with_release(workspace, |checks| {
        let failures = [2, 3, 4].into_iter().filter_map(|parties| soak::range(checks, COUNT, parties).err());
        Outcome::of(failures.collect(), format!("{COUNT} of each with 2, 3 and 4 parties"))
    })
}
