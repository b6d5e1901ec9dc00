//! Whether the scripts of the page are what its TypeScript says.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Outcome;
use crate::workspace::{Workspace, run, works};

/// The page's sources, and the scripts that were made of them and that the program holds.
const FOLDER: &str = "mpc-cli/web";
const SCRIPTS: [&str; 2] = ["mpc.js", "page.js"];
/// The files that say which compiler it is.
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Checks the types and compares the scripts, where the compiler can be had.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    if !works(Command::new("npm").arg("--version")) {
        return Outcome::Skipped("npm is not installed: `apt-get install nodejs npm`".into());
    }
    let (sources, tools) = (workspace.root.join(FOLDER), workspace.target.join("page"));
    if let Err(reason) = install(&sources, &tools) {
        return Outcome::Skipped(format!("the TypeScript compiler cannot be installed: {reason}"));
    }
    match compile(&sources, &tools) {
        Ok(failures) => Outcome::of(failures, format!("{} scripts as their sources say", SCRIPTS.len())),
        Err(error) => Outcome::Failed(vec![error]),
    }
}

/// Installs the compiler in the version that the lock file has, with the hash that it has there.
fn install(sources: &Path, tools: &Path) -> Result<(), String> {
    fs::create_dir_all(tools).map_err(|error| error.to_string())?;
    let is_same = |name: &&str| fs::read(sources.join(name)).ok() == fs::read(tools.join(name)).ok();
    if MANIFESTS.iter().all(is_same) && tools.join("node_modules/typescript/bin/tsc").is_file() {
        return Ok(());
    }
    for name in MANIFESTS {
        fs::copy(sources.join(name), tools.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    let mut command = Command::new("npm");
    run(command.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(tools))
}

fn compile(sources: &Path, tools: &Path) -> Result<Vec<String>, String> {
    let made = tools.join("made");
    let mut command = Command::new("node");
    command.arg(tools.join("node_modules/typescript/bin/tsc")).arg("--project").arg(sources);
    run(command.arg("--outDir").arg(&made))?;
    let differs = |name: &&str| fs::read(made.join(name)).ok() != fs::read(sources.join(name)).ok();
    let stale = |name| format!("{FOLDER}/{name} is not what its source says: copy it from {}", made.display());
    Ok(SCRIPTS.into_iter().filter(differs).map(stale).collect())
}
