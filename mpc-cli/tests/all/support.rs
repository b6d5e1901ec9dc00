//! Organisations on loopback, each the real program in a process of its own.

pub mod claims;
pub mod network;
pub mod proxy;
mod shares;
pub mod watched;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mpc_cli::reserved::Reserved;
use mpc_models::tensors::{Pixels, read_tensor, write_tensor};
use mpc_nn::{Network, evaluate};
use mpc_service::{PrivateModel, Terms, Topology};
use tempfile::TempDir;

pub use self::network::network;
use self::network::{INPUTS, sample};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mpc");

/// How long the programs wait for one another, in seconds.
pub const DEADLINE: u64 = 5;
/// Beyond this something hangs: some deadlines, as one waits for the other, and time for a busy machine.
pub const HANGS: Duration = Duration::from_secs(60);

/// Different inputs that there are files of.
pub const SAMPLES: usize = 4;

/// The text that a process writes to stderr.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grew: Condvar,
}

/// A program that runs, and is killed if it is dropped.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    pub fn start(name: &str, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (writer, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *writer.text.lock().unwrap() += &(line + "\n");
                writer.grew.notify_all();
            }
        });
        Self { name: name.to_owned(), child, log, reader: Some(reader) }
    }

    /// Starts it, and reads the first lines that it prints; of one that ends before, the lines are empty.
    pub fn with_lines(name: &str, mut command: Command, count: usize) -> (Self, Vec<String>) {
        command.stdout(Stdio::piped());
        let mut process = Self::start(name, command);
        let mut output = BufReader::new(process.child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line.trim().to_owned()
        };
        let lines = (0..count).map(|_| line()).collect();
        (process, lines)
    }

    /// The text that it has logged so far.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits until it has logged `text` so many times.
    pub fn await_log(&self, text: &str, times: usize) {
        let mut log = self.log.text.lock().unwrap();
        let began = Instant::now();
        while log.matches(text).count() < times {
            assert!(began.elapsed() < HANGS, "{} does not log `{text}` {times} times:\n{log}", self.name);
            log = self.log.grew.wait_timeout(log, Duration::from_millis(50)).unwrap().0;
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, as an operator does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Its exit code and what it logged, once it has ended; it must not hang.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < HANGS, "{} hangs:\n{}", self.name, self.log());
            thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status.code(), self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A dealer or a server.
pub struct Service {
    pub process: Process,
    pub address: SocketAddr,
}

impl Service {
    pub fn start(name: &str, command: Command) -> Self {
        let (process, lines) = Process::with_lines(name, command, 1);
        let address = lines[0].strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{name} does not listen:\n{}", process.log()));
        Self { process, address }
    }
}

/// Servers that hold shares.
const SHARE_SERVERS: [&str; 2] = ["north", "south"];

/// A model owner (acme), a data owner (clinic), a dealer, and somebody else, with their files in one folder; where the model
/// is outsourced, two servers, too.
pub struct Site {
    folder: TempDir,
    expected: Vec<Vec<f32>>,
    is_outsourced: bool,
    has_dealer: bool,
    /// The second machine of a participant, by the first, and the ports that all have for themselves.
    pub twins: BTreeMap<SocketAddr, SocketAddr>,
    pub ports: Vec<Reserved>,
    /// The stores that are databases, by the names of their folders.
    pub databases: BTreeMap<&'static str, String>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    pub fn new() -> Self {
        Self::on_terms(Terms::default())
    }

    pub fn on_terms(terms: Terms) -> Self {
        Self::with_network(network(), terms)
    }

    /// With a network that takes the inputs of the small one.
    pub fn with_network(network: Network, terms: Terms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plain = |seed| evaluate(&network.graph, &network.weights, &[sample(seed)]).unwrap().remove(0);
        let expected = (0..SAMPLES).map(|seed| plain(seed).into_iter().collect()).collect();
        let model = PrivateModel::new(network, terms).unwrap();
        model.write(&folder.path().join("net.private")).unwrap();
        fs::write(folder.path().join("net.public"), model.public.to_bytes()).unwrap();
        let is_outsourced = terms.setting == Topology::Outsourced;
        let has_dealer = terms.has_dealer();
        let (twins, ports, databases) = Default::default();
        let site = Self { folder, expected, is_outsourced, has_dealer, twins, ports, databases };
        for seed in 0..SAMPLES {
            write_tensor(&site.path(&format!("x{seed}.npy")), &sample(seed).mapv(f64::from), &[1, INPUTS]).unwrap();
        }
        let servers = if is_outsourced { &SHARE_SERVERS[..] } else { &[] };
        for name in ["acme", "clinic", "dealer", "stranger"].iter().chain(servers) {
            let mut keygen = Command::new(PROGRAM);
            keygen.args(["keygen", "--name", name, "--out"]).arg(site.folder.path()).stdout(Stdio::null());
            assert!(keygen.status().unwrap().success());
        }
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder of prepared inferences, or the database that is in its place.
    pub fn store(&self, name: &str) -> OsString {
        self.databases.get(name).map_or_else(|| self.path(name).into(), OsString::from)
    }

    /// The values of an input as they could be printed.
    pub fn sample(&self, seed: usize) -> Vec<f32> {
        sample(seed).into_iter().collect()
    }

    /// The program as one organisation runs it.
    pub fn command(&self, name: &str, subcommand: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(subcommand).arg("--key").arg(self.path(&format!("{name}.key")));
        command.args(["--deadline", &DEADLINE.to_string(), "--log", "debug"]).stdin(Stdio::null());
        command
    }

    fn allow(&self, names: &[&str]) -> String {
        let paths: Vec<_> = names.iter().map(|name| self.path(&format!("{name}.crt")).display().to_string()).collect();
        paths.join(",")
    }

    /// `address=certificate`, as flags take it.
    pub fn peer(&self, name: &str, address: SocketAddr) -> String {
        let twin = self.twins.get(&address).map(|twin| format!(",{twin}")).unwrap_or_default();
        format!("{address}{twin}={}", self.path(&format!("{name}.crt")).display())
    }

    pub fn start_dealer(&self, at: Option<SocketAddr>) -> Service {
        Service::start("dealer", self.dealer_command(at))
    }

    pub fn dealer_command(&self, at: Option<SocketAddr>) -> Command {
        let mut command = self.command("dealer", "dealer");
        let parties = if self.is_outsourced { SHARE_SERVERS } else { ["acme", "clinic"] };
        command.args(["--allow", &self.allow(&parties)]).args(MANY).args(["--listen", &listen(at)]);
        command
    }

    pub fn server_command(&self, at: Option<SocketAddr>, dealer: SocketAddr) -> Command {
        let mut command = self.command("acme", "serve");
        command.arg(self.path("net.private")).args(["--allow", &self.allow(&["clinic"])]).args(MANY);
        self.name_dealer(&mut command, dealer);
        command.arg("--store").arg(self.store("acme.store")).args(["--listen", &listen(at)]);
        command
    }

    /// Names the dealer, if there is one; else its address is of no matter.
    fn name_dealer(&self, command: &mut Command, dealer: SocketAddr) {
        if self.has_dealer {
            command.args(["--dealer", &self.peer("dealer", dealer)]);
        }
    }

    pub fn start_server(&self, at: Option<SocketAddr>, dealer: SocketAddr) -> Service {
        Service::start("acme", self.server_command(at, dealer))
    }

    /// As [`start_server`](Self::start_server), through a shell that limits it in some way.
    pub fn start_limited_server(&self, limit: &str, dealer: SocketAddr) -> Service {
        Service::start("acme", limited(limit, &self.server_command(None, dealer)))
    }

    /// Batches in a store, complete or not.
    pub fn batches(&self, store: &str) -> usize {
        let is_batch = |path: &PathBuf| path.is_dir() && path.file_name().is_some_and(|name| name.len() == 32);
        self.paths(store).iter().filter(|path| is_batch(path)).count()
    }

    /// Prepared inferences in a store, of all batches.
    pub fn ready(&self, store: &str) -> usize {
        self.paths(store).iter().filter(|path| path.extension().is_some_and(|end| end == "ready")).count()
    }

    /// All folders and files under a folder, as far as they stay there.
    fn paths(&self, folder: &str) -> Vec<PathBuf> {
        let (mut pending, mut paths) = (vec![self.path(folder)], Vec::new());
        while let Some(folder) = pending.pop() {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let entries: Vec<_> = entries.map(|entry| entry.path()).collect();
            pending.extend(entries.iter().filter(|path| path.is_dir()).cloned());
            paths.extend(entries);
        }
        paths
    }
}

/// Sessions at a time that the tests need.
const MANY: [&str; 4] = ["--max-sessions", "64", "--max-sessions-per-peer", "64"];

/// An address of its own for each service where every loopback address is this machine's, as on Linux: nobody else comes to listen
/// where one was killed.
fn listen(at: Option<SocketAddr>) -> String {
    static LAST: AtomicU16 = AtomicU16::new(0);
    match at {
        Some(at) => at.to_string(),
        None if cfg!(target_os = "linux") => {
            let [upper, lower] = (LAST.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
            format!("127.1.{upper}.{lower}:0")
        }
        None => "127.0.0.1:0".to_owned(),
    }
}

/// A command through a shell that does something before.
pub fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limit}; exec \"$@\""), "sh"]).arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null());
    shell
}

/// The query that a client asks for.
#[derive(Clone)]
pub struct Query<'a> {
    pub site: &'a Site,
    pub key: &'a str,
    pub server: SocketAddr,
    /// The second one, where both hold shares.
    pub second: Option<SocketAddr>,
    pub dealer: SocketAddr,
    /// Inferences in one session, of one sample after the other from this one on.
    pub count: usize,
    pub first: usize,
    pub is_prepared: bool,
}

/// A client that runs, and where its result goes.
pub struct Asking {
    pub process: Process,
    output: PathBuf,
    report: PathBuf,
    expected: Vec<f32>,
}

impl<'a> Query<'a> {
    pub fn new(site: &'a Site, server: SocketAddr, dealer: SocketAddr) -> Self {
        Self { site, key: "clinic", server, second: None, dealer, count: 1, first: 0, is_prepared: false }
    }

    pub fn connect(&self, command: &mut Command) {
        let names = if self.second.is_some() { SHARE_SERVERS } else { ["acme", ""] };
        for (name, at) in names.iter().zip([Some(self.server), self.second].into_iter().flatten()) {
            command.args(["--connect", &self.site.peer(name, at)]);
        }
        self.site.name_dealer(command, self.dealer);
    }

    pub fn command(&self, output: &Path, report: &Path) -> Command {
        let mut command = self.site.command(self.key, "query");
        self.connect(&mut command);
        command.arg("--quiet").arg("--output").arg(output).arg("--report").arg(report);
        if self.is_prepared {
            command.arg("--store").arg(self.site.store("clinic.store"));
        }
        command.arg(self.site.path("net.public"));
        command.args(self.samples().map(|seed| self.site.path(&format!("x{seed}.npy"))));
        command.stdout(Stdio::null());
        command
    }

    fn samples(&self) -> impl Iterator<Item = usize> {
        (self.first..self.first + self.count).map(|inference| inference % SAMPLES)
    }

    pub fn start(&self) -> Asking {
        self.start_as(|command| command)
    }

    /// As [`start`](Self::start), with a command that is changed in some way.
    pub fn start_as(&self, changed: impl FnOnce(Command) -> Command) -> Asking {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (output, report) = (self.site.path(&format!("y{number}.npy")), self.site.path(&format!("r{number}.json")));
        let process = Process::start("clinic", changed(self.command(&output, &report)));
        let expected = self.samples().flat_map(|seed| self.site.expected[seed].clone()).collect();
        Asking { process, output, report, expected }
    }

    pub fn prepare_command(&self, count: usize) -> Command {
        let mut command = self.site.command(self.key, "prepare");
        self.connect(&mut command);
        command.args(["--count", &count.to_string()]).arg(self.site.path("net.public"));
        command.arg("--store").arg(self.site.store("clinic.store")).stdout(Stdio::null());
        command
    }

    pub fn prepare(&self, count: usize) -> Process {
        Process::start("clinic", self.prepare_command(count))
    }

    /// A query of which nothing is expected but that it succeeds.
    pub fn succeeds(&self) {
        let (code, log) = self.start().end();
        assert_eq!(code, Some(0), "{log}");
    }
}

impl Asking {
    /// Its exit code and what it logged. A result is whole and right. Without success there is none, unless the program was
    /// killed, which it may be when it has written it.
    pub fn end(mut self) -> (Option<i32>, String) {
        let (code, log) = self.process.end();
        let files = [&self.output, &self.report];
        if code.is_some_and(|code| code != 0) {
            files.iter().for_each(|path| assert!(!path.exists(), "{} is there:\n{log}", path.display()));
            return (code, log);
        }
        files.iter().for_each(|path| assert!(code.is_none() || path.exists(), "{} is missing:\n{log}", path.display()));
        if self.output.exists() {
            self.check_result(&log);
        }
        if self.report.exists() {
            let report = fs::read_to_string(&self.report).unwrap();
            serde_json::from_str::<serde_json::Value>(&report).unwrap();
        }
        files.iter().for_each(|path| drop(fs::remove_file(path)));
        (code, log)
    }

    fn check_result(&self, log: &str) {
        let result = read_tensor(&self.output, "y", &[], &Pixels::default()).unwrap();
        assert_eq!(result.len(), self.expected.len());
        for (private, plain) in result.iter().zip(&self.expected) {
            assert!((private - plain).abs() < 0.001, "a wrong result: {private} instead of {plain}\n{log}");
        }
    }
}
