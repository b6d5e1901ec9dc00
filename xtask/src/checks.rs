//! The program `checks`: a release build of the protocols, and what can be checked only in one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Workspace, run};

/// Its manifest. It is a workspace of its own, so that no other build compiles it.
pub const MANIFEST: &str = "xtask/checks/Cargo.toml";

/// The built program.
#[derive(Debug)]
pub struct Checks {
    program: PathBuf,
}

impl Checks {
    /// Builds it, with dependencies as its lock file has them.
    pub fn build(workspace: &Workspace) -> Result<Self, String> {
        let folder = workspace.target.join("checks");
        let mut command = workspace.cargo(["build", "--release", "--locked", "--manifest-path", MANIFEST]);
        run(command.arg("--target-dir").arg(&folder))?;
        Ok(Self { program: folder.join("release").join("checks").with_extension(std::env::consts::EXE_EXTENSION) })
    }

    /// The file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command that runs it.
    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words);
        command
    }
}
