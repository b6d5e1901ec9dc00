//! Small file systems for the tests of full disks, which mount them in user namespaces and skip what cannot be.

use std::process::Command;

use super::Outcome;
use crate::workspace::{Workspace, works};

/// Whether one can be mounted, by the script that the tests use.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    let mut command = Command::new("sh");
    command.arg(workspace.root.join("mpc-service/src/at_rest/small_disk.sh")).args(["64", "/tmp", "true"]);
    if works(&mut command) {
        return Outcome::Passed("a tmpfs in a user namespace".into());
    }
    let how = "`unshare` of util-linux is needed, and the right to make user namespaces (Linux)";
    Outcome::Skipped(format!("none can be mounted, and the tests of full disks are skipped: {how}"))
}
