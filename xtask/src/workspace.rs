//! Where things are, and how to start other programs.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The workspace that this program was built from.
#[derive(Debug)]
pub struct Workspace {
    /// The top-level folder.
    pub root: PathBuf,
    /// The folder of build outputs.
    pub target: PathBuf,
    /// The members, in the order of the manifest.
    pub members: Vec<Member>,
}

/// A package of the workspace.
#[derive(Debug)]
pub struct Member {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its features, `default` among them if it has one, and what each one turns on.
    pub features: BTreeMap<String, Vec<String>>,
    /// Its benchmarks.
    pub benches: Vec<String>,
    /// The roots of libraries and programs that the manifest says to have no tests of their own.
    pub untested: Vec<PathBuf>,
    /// Whether it is for a registry.
    pub published: bool,
    /// Fields of the manifest that a published package should have, and this one has not.
    pub missing: Vec<&'static str>,
}

/// Fields that a published package should have.
const FIELDS: [&str; 5] = ["description", "license", "readme", "keywords", "categories"];

impl Workspace {
    /// Asks cargo about the workspace.
    pub fn find() -> Result<Self, String> {
        let own = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = own.parent().ok_or("this package is not inside a workspace")?.to_owned();
        let mut command = cargo_command(&root);
        command.args(["metadata", "--format-version", "1", "--no-deps"]).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| format!("cargo metadata did not start: {error}"))?;
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo metadata ({}): {error}", output.status))?;
        let target = PathBuf::from(text(&metadata["target_directory"]));
        // In the order of the manifest, then those that are not built by default.
        let default = list(&metadata["workspace_default_members"]);
        let others = list(&metadata["workspace_members"]).iter().filter(|id| !default.contains(id));
        let member = |id: &Value| list(&metadata["packages"]).iter().find(|package| package["id"] == *id);
        let members = default.iter().chain(others).filter_map(member).map(Member::from_metadata).collect();
        Ok(Self { root, target, members })
    }

    /// A command that runs cargo at the root.
    pub fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = cargo_command(&self.root);
        command.args(arguments);
        command
    }

    /// A command that runs cargo on a package outside the workspace, with the workspace's profiles and in its target folder: so what was
    /// checked for the workspace serves it.
    pub fn cargo_outside(&self, verb: &str, manifest: impl AsRef<OsStr>) -> Result<Command, String> {
        let mut command = self.cargo([verb, "--manifest-path"]);
        command.arg(manifest).arg("--target-dir").arg(&self.target).arg("--config").arg(self.profiles()?);
        Ok(command)
    }

    /// The workspace's profiles in a file for `cargo --config`.
    fn profiles(&self) -> Result<PathBuf, String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        let (manifest, file) = (self.root.join("Cargo.toml"), self.target.join("profiles.toml"));
        let text = fs::read_to_string(&manifest).map_err(|error| failed(&manifest, error))?;
        // They end the manifest.
        let profiles = text.find("\n[profile.").map_or("", |at| &text[at..]);
        fs::write(&file, profiles).map_err(|error| failed(&file, error))?;
        Ok(file)
    }

    /// The members that are published: all but the commands.
    pub fn published(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.published)
    }
}

impl Member {
    fn from_metadata(package: &Value) -> Self {
        let targets = || list(&package["targets"]).iter();
        let is =
            |target: &Value, kinds: &[&str]| list(&target["kind"]).iter().any(|kind| kinds.iter().any(|k| kind == k));
        let benches = targets().filter(|target| is(target, &["bench"]));
        let untested = targets().filter(|target| is(target, &["lib", "bin"]) && target["test"] == false);
        let features = package["features"].as_object().into_iter().flatten();
        Self {
            name: text(&package["name"]),
            version: text(&package["version"]),
            folder: Path::new(&text(&package["manifest_path"])).parent().map(Path::to_owned).unwrap_or_default(),
            features: features.map(|(name, on)| (name.clone(), list(on).iter().map(text).collect())).collect(),
            benches: benches.map(|target| text(&target["name"])).collect(),
            untested: untested.map(|target| text(&target["src_path"]).into()).collect(),
            published: package["publish"].is_null(),
            missing: FIELDS.into_iter().filter(|field| is_absent(&package[field])).collect(),
        }
    }

    /// These features and all that they turn on.
    pub fn with_implied(&self, features: &[String]) -> BTreeSet<String> {
        let (mut found, mut open) = (BTreeSet::new(), features.to_vec());
        while let Some(name) = open.pop() {
            open.extend(self.features.get(&name).cloned().unwrap_or_default());
            found.insert(name);
        }
        found.remove("default");
        found
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty)
}

/// The built program `mpc`.
#[derive(Debug)]
pub struct Mpc {
    program: PathBuf,
}

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As tests are, so that nothing is compiled twice.
    Test,
    /// As users run it.
    Release,
}

impl Mpc {
    /// Builds the program.
    pub fn build(workspace: &Workspace, profile: Profile) -> Result<Self, String> {
        let (build, folder): (&[&str], _) = match profile {
            // With the tests that start it: the same features, so the same artefacts.
            Profile::Test => (&["test", "--no-run", "--workspace", "--all-features", "--test", "all"], "debug"),
            Profile::Release => (&["build", "--release", "--package", "mpc-cli"], "release"),
        };
        run(&mut workspace.cargo(build))?;
        let program = workspace.target.join(folder).join("mpc").with_extension(env::consts::EXE_EXTENSION);
        Ok(Self { program })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// Runs it without a terminal.
    pub fn output(&self, arguments: &[&str]) -> Result<Output, String> {
        let output = Command::new(&self.program).args(arguments).stdin(Stdio::null()).output();
        output.map_err(|error| format!("`mpc {}` did not start: {error}", arguments.join(" ")))
    }

    /// Runs it, and reads the one JSON object that it prints.
    pub fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        let line = arguments.join(" ");
        let output = self.output(arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            let last = last[last.len().saturating_sub(10)..].join("\n");
            return Err(format!("`mpc {line}`: {}\n{last}", output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("`mpc {line}` printed no JSON object: {error}"))
    }
}

/// Runs a command to its end, with its output on the terminal.
pub fn run(command: &mut Command) -> Result<(), String> {
    let line = shown(command);
    println!("$ {line}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("`{line}` did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}`: {status}")) }
}

/// Runs a command to its end, and gives its line and output to be printed, too.
pub fn run_quietly(command: &mut Command) -> (Result<(), String>, String) {
    let line = shown(command);
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            let streams = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let result = if output.status.success() { Ok(()) } else { Err(format!("`{line}`: {}", output.status)) };
            (result, format!("$ {line}\n{}", streams.concat()))
        }
        Err(error) => (Err(format!("`{line}` did not start: {error}")), format!("$ {line}\n")),
    }
}

/// The stream of a command that [`run_and_read`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Runs a command to its end, with its output on the terminal, and gives each line of one stream to `read`. Says whether
/// it succeeded.
pub fn run_and_read(command: &mut Command, stream: Stream, mut read: impl FnMut(&str)) -> Result<bool, String> {
    let line = shown(command);
    println!("$ {line}");
    let failed = |error: io::Error| format!("`{line}`: {error}");
    command.stdin(Stdio::null());
    match stream {
        Stream::Output => command.stdout(Stdio::piped()),
        Stream::Error => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().map_err(failed)?;
    let source: Box<dyn io::Read> = match (child.stdout.take(), child.stderr.take()) {
        (Some(output), _) => Box::new(output),
        (_, Some(error)) => Box::new(error),
        _ => Box::new(io::empty()),
    };
    let mut source = BufReader::new(source);
    let mut bytes = Vec::new();
    while source.read_until(b'\n', &mut bytes).map_err(failed)? != 0 {
        let text = String::from_utf8_lossy(&bytes);
        print!("{text}");
        let _ = io::stdout().flush();
        read(text.trim_end());
        bytes.clear();
    }
    child.wait().map(|status| status.success()).map_err(failed)
}

/// Whether a command starts and succeeds, quietly.
pub fn works(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A JSON text, or nothing.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A JSON array, or an empty one.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn cargo_command(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    // What `cargo run` says of this program: some build scripts run again, and all above them, where that differs from the last build.
    let is_own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| is_own(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// A command line as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let settings = command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
    let settings = settings.filter(|(name, _)| *name != "PATH").map(|(name, value)| format!("{name}='{value}' "));
    settings.chain([words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_of_this_package() {
        let command = cargo_command(Path::new("."));
        assert!(command.get_envs().any(|setting| setting == (OsStr::new("CARGO_PKG_NAME"), None)));
        assert!(command.get_envs().all(|(name, _)| name != "CARGO_HOME"));
    }
}
