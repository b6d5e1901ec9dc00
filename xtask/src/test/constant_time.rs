//! Whether a release build branches on secrets or reads where they say: memcheck knows, where secrets count as undefined.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::side_by_side::side_by_side;
use super::{Outcome, with_release};
use crate::checks::Checks;
use crate::workspace::{Workspace, run_quietly, works};

/// The reports that are no faults, and why.
const KNOWN: &str = "xtask/checks/valgrind.supp";
/// Lines of a report that are shown.
const SHOWN: usize = 60;

/// Runs the control, which must be reported, and every protocol on each backend whose vectors Valgrind knows.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Outcome::Skipped("only on Linux on x86-64".into());
    }
    if !works(Command::new("valgrind").arg("--version")) {
        return Outcome::Skipped("valgrind is not installed: `apt-get install valgrind`".into());
    }
    with_release(workspace, |checks| {
        let runs = side_by_side(vec!["portable", "avx2", "control"], |what| under_valgrind(workspace, checks, what));
        let failures = runs.into_iter().filter_map(Result::err).collect();
        Outcome::of(failures, "portable and AVX2; the control is reported, as it must")
    })
}

/// Runs one of the checks; gives what it printed, too.
fn under_valgrind(workspace: &Workspace, checks: &Checks, what: &str) -> (Result<(), String>, String) {
    let log = workspace.target.join("checks").join(format!("constant-time-{what}.log"));
    let mut command = Command::new("valgrind");
    command.current_dir(&workspace.root).args(["--tool=memcheck", "--error-limit=no", "--leak-check=no"]);
    command.arg(format!("--suppressions={KNOWN}")).arg(format!("--log-file={}", log.display()));
    command.arg(checks.program()).args(["constant-time", what]);
    let (result, printed) = run_quietly(&mut command);
    (result.map_err(|error| format!("{error}\n{}", reports(&log))), printed)
}

/// The first of Valgrind's reports.
fn reports(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().take(SHOWN).collect();
    format!("{}\n… in {}", lines.join("\n"), log.display())
}
