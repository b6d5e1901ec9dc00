//! A PostgreSQL server for the tests of stores in databases, which start one of their own from its programs.

use std::env;
use std::fs;
use std::path::PathBuf;

use super::Outcome;
use super::debian::install;
use crate::workspace::Workspace;

const HOW: &str = "apt-get install postgresql";

/// Whether the server's programs are there; on Debian root has them installed.
pub(super) fn run_step(_: &Workspace) -> Outcome {
    if let Some(folder) = programs() {
        return Outcome::Passed(folder.display().to_string());
    }
    install(&["postgresql"]);
    match programs() {
        Some(folder) => Outcome::Passed(format!("installed in {}", folder.display())),
        None => Outcome::Skipped(format!("not installed, and its tests are skipped: `{HOW}`")),
    }
}

/// The folder of the server's programs, where Debian puts them or on the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|entry| entry.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = folders.chain(env::split_paths(&path));
    folders.find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}
