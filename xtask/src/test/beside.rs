//! Steps that share no build with the others: a process of their own does them beside, and is heard at the end.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Done, Outcome};
use crate::workspace::Workspace;

/// The process, and the files that it writes.
pub(super) struct Beside {
    process: Child,
    printed: PathBuf,
    results: PathBuf,
}

impl Beside {
    /// Starts it.
    pub(super) fn start(workspace: &Workspace, steps: &[&str]) -> Result<Self, String> {
        let [printed, results] = ["beside.log", "beside.json"].map(|name| workspace.target.join(name));
        let start = || -> io::Result<Child> {
            let _ = fs::remove_file(&results);
            let output = File::create(&printed)?;
            let mut command = Command::new(env::current_exe()?);
            command.args(["test", "--only", &steps.join(","), "--json"]).arg(&results).stdin(Stdio::null());
            command.stdout(output.try_clone()?).stderr(output).spawn()
        };
        let process = start().map_err(|error| format!("steps beside the others did not start: {error}"))?;
        Ok(Self { process, printed, results })
    }

    /// Waits for its end, prints what it printed, and gives its results.
    pub(super) fn finish(mut self) -> Vec<Done> {
        let status = self.process.wait();
        println!("\n=== beside the steps above");
        print!("{}", fs::read_to_string(&self.printed).unwrap_or_default());
        let failed = |reason: String| Outcome::Failed(vec![format!("no results ({status:?}): {reason}")]);
        let text = fs::read_to_string(&self.results).map_err(|error| failed(error.to_string()));
        let read = |text: String| serde_json::from_str(&text).map_err(|error| failed(error.to_string()));
        let none = |outcome| vec![Done { name: "beside".into(), outcome, time: Duration::ZERO, work: Duration::ZERO }];
        text.and_then(read).unwrap_or_else(none)
    }
}
