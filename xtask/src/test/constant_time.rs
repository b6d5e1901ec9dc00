//! Whether a release build branches on secrets or reads where they say: memcheck knows, where secrets count as undefined.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Outcome;
use super::cargo::stale_lock;
use crate::checks::{Checks, MANIFEST};
use crate::workspace::{Workspace, run, works};

/// The reports that are no faults, and why.
const KNOWN: &str = "xtask/checks/valgrind.supp";
/// Lines of a report that are shown.
const SHOWN: usize = 60;

/// Runs the control, which must be reported, and then every protocol.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Outcome::Skipped("only on Linux on x86-64".into());
    }
    if !works(Command::new("valgrind").arg("--version")) {
        return Outcome::Skipped("valgrind is not installed: `apt-get install valgrind`".into());
    }
    let checks = match Checks::build(workspace) {
        Ok(checks) => checks,
        Err(error) => return Outcome::Failed(vec![format!("{error}{}", stale_lock(workspace, MANIFEST))]),
    };
    let failures = [&["constant-time", "control"][..], &["constant-time"]];
    let failures = failures.into_iter().filter_map(|words| under_valgrind(workspace, &checks, words).err()).collect();
    Outcome::of(failures, "portable and AVX2; the control is reported, as it must")
}

fn under_valgrind(workspace: &Workspace, checks: &Checks, words: &[&str]) -> Result<(), String> {
    let log = workspace.target.join("checks").join(format!("{}.log", words.join("-")));
    let mut command = Command::new("valgrind");
    command.current_dir(&workspace.root).args(["--tool=memcheck", "--error-limit=no", "--leak-check=no"]);
    command.arg(format!("--suppressions={KNOWN}")).arg(format!("--log-file={}", log.display()));
    command.arg(checks.program()).args(words);
    run(&mut command).map_err(|error| format!("{error}\n{}", reports(&log)))
}

/// The first of Valgrind's reports.
fn reports(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().take(SHOWN).collect();
    format!("{}\n… in {}", lines.join("\n"), log.display())
}
