//! A browser, `node` and `npm` for the tests of the page, which skip what is not there.

use std::process::Command;

use super::Outcome;
use super::debian::install;
use crate::workspace::{Workspace, works};

/// The programs, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 4] =
    [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("node", "nodejs"), ("npm", "npm")];

/// Whether the programs are there; on Debian root has them installed.
pub(super) fn run_step(_: &Workspace) -> Outcome {
    let packages = missing();
    if packages.is_empty() {
        return Outcome::Passed("chromium, its driver, node and npm".into());
    }
    install(&packages);
    let packages = missing().join(" ");
    match &*packages {
        "" => Outcome::Passed("installed".into()),
        _ => Outcome::Skipped(format!("not installed, and its tests are skipped: `apt-get install {packages}`")),
    }
}

/// The packages of programs that are not there.
fn missing() -> Vec<&'static str> {
    let is_missing = |(program, _): &(&str, &str)| !works(Command::new(program).arg("--version"));
    PROGRAMS.into_iter().filter(is_missing).map(|(_, package)| package).collect()
}
