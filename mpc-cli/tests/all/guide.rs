//! Organisations that use the program `mpc`, each in a folder of its own, all on loopback.
//!
//! Commands are written as a person types them on several machines, `acme$ mpc …`. The machine of acme is `acme.example`,
//! and its folders `/etc/mpc` and `/var/lib/mpc` are folders of its own here; each port of each machine is a free one of
//! loopback. `scp` copies between the folders. Services run in the background until they are stopped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mpc_cli::reserved::Reserved;
use mpc_models::arrays::{read_npy, write_npy};
use ndarray::ArrayD;
use tempfile::TempDir;

/// The folder of keys and models on every machine, in which commands are typed.
const CONFIGURATION: &str = "/etc/mpc";
/// The folder of what a service keeps.
const STATE: &str = "/var/lib/mpc";
/// Behind the names of machines.
const DOMAIN: &str = ".example";

/// A command as it is typed.
#[derive(Clone, Debug)]
pub struct Line {
    /// The organisation at whose prompt it stands.
    pub organisation: String,
    /// Its words.
    pub words: Vec<String>,
}

impl Line {
    /// The commands of a script; a line that ends in a backslash goes on in the next one.
    pub fn all(script: &str) -> Vec<Self> {
        let joined = script.replace("\\\n", " ");
        joined.lines().filter(|line| !line.trim().is_empty()).map(Self::parse).collect()
    }

    fn parse(line: &str) -> Self {
        let (organisation, command) = line.split_once("$ ").unwrap_or_else(|| panic!("no prompt: {line}"));
        let command = command.split(" #").next().unwrap_or(command);
        assert!(!command.contains(['"', '\'', '|', '&', ';', '`', '>']), "more than words: {line}");
        let words = command.split_whitespace().map(str::to_owned).collect();
        Self { organisation: organisation.trim().to_owned(), words }
    }

    /// The word that follows one of these flags.
    pub fn value(&self, flags: &[&str]) -> Option<&str> {
        let place = self.words.iter().position(|word| flags.contains(&word.as_str()))?;
        self.words.get(place + 1).map(String::as_str)
    }

    /// Whether it is a command of `mpc` of that name.
    pub fn is(&self, name: &str) -> bool {
        matches!(&self.words[..], [program, command, ..] if program == "mpc" && command == name)
    }
}

/// The machines.
pub struct Site {
    folder: TempDir,
    ports: BTreeMap<(String, u16), Reserved>,
    /// Other words of the guide, and those of this test in their place.
    pub places: Vec<(&'static str, String)>,
    /// By organisation and command.
    services: BTreeMap<(String, String), Child>,
}

impl Site {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ports: BTreeMap::new(),
            places: Vec::new(),
            services: BTreeMap::new(),
        }
    }

    /// The folder in which an organisation types its commands.
    pub fn folder(&self, organisation: &str) -> PathBuf {
        let folder = self.folder.path().join(organisation).join("etc");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Runs a command, which must succeed; what it printed. A service goes on in the background.
    pub fn run(&mut self, line: &Line) -> String {
        let Line { organisation, words } = line;
        let folder = self.folder(organisation);
        match words[0].as_str() {
            "scp" => self.copy(&folder, &words[1..]),
            "mpc" if line.is("serve") || line.is("dealer") => self.start(line, &folder),
            "mpc" => {
                let words: Vec<_> = words[1..].iter().map(|word| self.here(organisation, word)).collect();
                let output = mpc(&folder).args(&words).stdin(Stdio::null()).output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{line:?}: {}: {errors}", output.status);
                return String::from_utf8(output.stdout).unwrap();
            }
            other => panic!("this test does not know {other}"),
        }
        String::new()
    }

    /// Runs all commands of a script.
    pub fn run_all(&mut self, script: &str) {
        for line in Line::all(script) {
            self.run(&line);
        }
    }

    /// Copies a file of the guide to an organisation, its addresses and folders being those of this test.
    pub fn install(&mut self, organisation: &str, name: &str, text: &str) {
        let text = self.here(organisation, text);
        fs::write(self.folder(organisation).join(name), text).unwrap();
    }

    /// Stops an organisation's services, which must end well.
    pub fn stop(&mut self, organisation: &str) {
        let of = |services: &BTreeMap<(String, String), Child>| {
            services.keys().find(|(name, _)| name == organisation).cloned()
        };
        while let Some(key) = of(&self.services) {
            self.stop_one(&key);
        }
    }

    /// Stops all services, which must end well.
    pub fn stop_all(&mut self) {
        while let Some(key) = self.services.keys().next().cloned() {
            self.stop_one(&key);
        }
    }

    fn stop_one(&mut self, key: &(String, String)) {
        if let Some(mut child) = self.services.remove(key) {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success(), "the service {key:?}");
        }
    }

    fn start(&mut self, line: &Line, folder: &Path) {
        let organisation = &line.organisation;
        let key = (organisation.clone(), line.words[1].clone());
        self.stop_one(&key);
        let words: Vec<_> = line.words[1..].iter().map(|word| self.here(organisation, word)).collect();
        let mut command = mpc(folder);
        command.args(&words).arg("--stop-with-input").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut printed = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut printed).unwrap();
        self.services.insert(key, child);
        assert!(printed.starts_with("listening on "), "{line:?} does not listen: {printed}");
    }

    /// `scp FILE… HOST:[PATH]`.
    fn copy(&mut self, folder: &Path, words: &[String]) {
        let (to, files) = words.split_last().unwrap();
        let (host, path) = to.split_once(':').unwrap_or_else(|| panic!("no host in {to}"));
        let organisation = host.strip_suffix(DOMAIN).unwrap_or_else(|| panic!("{host} is no machine of this test"));
        let path = self.here(organisation, path);
        let target = self.folder(organisation).join(path);
        for file in files {
            let source = folder.join(file);
            let is_folder = target.is_dir();
            let target = if is_folder { target.join(source.file_name().unwrap()) } else { target.clone() };
            fs::copy(&source, &target).unwrap_or_else(|error| panic!("{source:?} to {target:?}: {error}"));
        }
    }

    /// A text of an organisation, with this test's folders and ports in place of those of its machine.
    fn here(&mut self, organisation: &str, text: &str) -> String {
        let configuration = self.folder(organisation);
        let state = configuration.with_file_name("state");
        let text = self.places.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let text = text.replace(CONFIGURATION, &configuration.display().to_string());
        let text = text.replace(STATE, &state.display().to_string());
        self.with_ports(organisation, &text)
    }

    fn with_ports(&mut self, organisation: &str, text: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some(colon) = rest.find(':') {
            let (before, after) = (&rest[..colon], &rest[colon + 1..]);
            let start =
                before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).map_or(0, |at| at + 1);
            let host = &before[start..];
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let machine = if host == "0.0.0.0" { Some(organisation) } else { host.strip_suffix(DOMAIN) };
            match (machine, after[..digits].parse()) {
                (Some(machine), Ok(port)) => {
                    result += &format!("{}127.0.0.1:{}", &before[..start], self.port(machine, port));
                    rest = &after[digits..];
                }
                _ => {
                    result += &rest[..=colon];
                    rest = after;
                }
            }
        }
        result + rest
    }

    /// The port of this machine that stands for one of another machine.
    fn port(&mut self, machine: &str, port: u16) -> u16 {
        self.ports.entry((machine.to_owned(), port)).or_insert_with(|| Reserved::new().unwrap()).address().port()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in self.services.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program, in a folder.
pub fn mpc(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpc"));
    command.current_dir(folder);
    command
}

pub fn read_tensor(path: &Path) -> ArrayD<f32> {
    read_npy(&fs::read(path).unwrap()).unwrap()
}

pub fn write_tensor(path: &Path, tensor: &ArrayD<f32>) {
    fs::write(path, write_npy(tensor)).unwrap();
}

pub fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The largest difference of two tensors of one shape.
pub fn difference(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
