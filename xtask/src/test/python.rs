//! The package for Python: checked, built, installed and tested in an environment of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::Outcome;
use crate::workspace::{Mpc, Profile, Workspace, run, run_quietly, works};

/// The package's folder.
const FOLDER: &str = "mpc-python";
/// The packages that it is built and tested with; of those whose rules change, one version. PyTorch is large: its tests
/// run where it is there already.
const PACKAGES: [&str; 11] = [
    "ipykernel",
    "maturin",
    "mypy==2.4.1",
    "nbclient",
    "nbformat",
    "numpy",
    "onnx",
    "pytest",
    "ruff==0.17.6",
    "scikit-learn",
    "skl2onnx",
];
/// Has tqdm, too, whose bars are tested.
const OPTIONAL: [&str; 1] = ["tqdm"];
/// Succeeds in a Python that the package is for and that makes environments.
const PROBE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))";

/// Only one installs packages at a time.
static INSTALLS: Mutex<()> = Mutex::new(());

/// Installs the packages beside other steps: most of it is waiting. The step itself tells of what fails.
pub(super) fn prepare(workspace: &Workspace) {
    if let Some(python) = find() {
        let _ = Environment::make(workspace, python);
    }
}

fn find() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|name| works(Command::new(name).args(["-c", PROBE])))
}

/// Checks style and types, builds the wheel with what the tests of Rust were built with, and runs its tests.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    let Some(python) = find() else {
        return Outcome::Skipped("no Python from 3.9 on with venv and ensurepip".into());
    };
    let environment = match Environment::make(workspace, python) {
        Ok(environment) => environment,
        Err(error) => return Outcome::Skipped(format!("its packages cannot be installed: {error}")),
    };
    let mut failures = Vec::new();
    for words in [&["ruff", "check", "."][..], &["ruff", "format", "--check", "."], &["mypy"]] {
        failures.extend(run(&mut environment.module(workspace, words)).err());
    }
    failures.extend(environment.install_and_test(workspace).err());
    Outcome::of(failures, "style, types, wheel, tests, notebooks")
}

/// A virtual environment, kept under the target folder.
struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment of an earlier run with the same packages, or a new one.
    fn make(workspace: &Workspace, python: &str) -> Result<Self, String> {
        let _alone = INSTALLS.lock();
        let folder = workspace.target.join("python/environment");
        let environment = Self { folder };
        let version = Command::new(python).arg("--version").output().map_err(|error| error.to_string())?;
        let made_of =
            format!("{}{}", String::from_utf8_lossy(&version.stdout), [&PACKAGES[..], &OPTIONAL].concat().join("\n"));
        let note = environment.folder.join("made-of");
        let is_same = fs::read_to_string(&note).is_ok_and(|text| text == made_of);
        if is_same && works(Command::new(environment.python()).args(["-c", PROBE])) {
            return Ok(environment);
        }
        let quietly = |command: &mut Command| {
            let (result, printed) = run_quietly(command);
            result.map_err(|error| format!("{error}\n{printed}"))
        };
        quietly(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment.folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        quietly(Command::new(environment.python()).args(pip).args(PACKAGES).args(OPTIONAL))?;
        fs::write(&note, made_of).map_err(|error| format!("{}: {error}", note.display()))?;
        Ok(environment)
    }

    fn programs(&self) -> PathBuf {
        self.folder.join(if cfg!(windows) { "Scripts" } else { "bin" })
    }

    fn python(&self) -> PathBuf {
        self.programs().join("python").with_extension(env::consts::EXE_EXTENSION)
    }

    /// A module of the environment as a command in the package's folder.
    fn module(&self, workspace: &Workspace, words: &[&str]) -> Command {
        let mut command = Command::new(self.python());
        command.current_dir(workspace.root.join(FOLDER)).arg("-m").args(words);
        // Nothing that tools remember belongs beside the sources.
        let remembered = workspace.target.join("python");
        command.env("RUFF_CACHE_DIR", remembered.join("ruff")).env("MYPY_CACHE_DIR", remembered.join("mypy"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn install_and_test(&self, workspace: &Workspace) -> Result<(), String> {
        let program = Mpc::build(workspace, Profile::Test)?;
        let wheels = workspace.target.join("python/wheels");
        let _ = fs::remove_dir_all(&wheels);
        let mut build = self.module(workspace, &["maturin", "build", "--profile", "dev", "--locked", "--out"]);
        run(build.arg(&wheels).env("CARGO_TARGET_DIR", &workspace.target))?;
        let wheel = only_file(&wheels)?;
        let pip = ["pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps"];
        run(self.module(workspace, &pip).arg(wheel))?;
        let mut tests = self.module(workspace, &["pytest", "-p", "no:cacheprovider", "--durations", "5"]);
        run(tests.env("MPC_PROGRAM", program.path()))
    }
}

fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let files = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = files.flatten().map(|entry| entry.path());
    files.next().ok_or_else(|| format!("maturin left no wheel in {}", folder.display()))
}
