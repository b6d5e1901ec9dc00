//! Servers that hold shares of a model and serve pages, each the real program, as `docs/web.md` starts them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mpc_cli::reserved::Reserved;
use mpc_service::PrivateModel;
use tempfile::TempDir;

use crate::support::{DEADLINE, Process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mpc");
const SERVERS: [&str; 2] = ["north", "south"];
/// The token of the tests, and one that is good for two inferences in a minute.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const SLOW_TOKEN: &str = "fedcba9876543210fedcba9876543210";

/// A server, and where it serves pages.
pub struct Server {
    pub process: Process,
    pub pages: SocketAddr,
    pub key: String,
}

pub struct Site {
    folder: TempDir,
    _dealer: Process,
    pub servers: Vec<Server>,
    pub plan: String,
}

impl Site {
    /// Two servers with shares of a model, for pages of one origin.
    pub fn start(model: &PrivateModel, origin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        model.write(&path("net.private")).unwrap();
        fs::write(path("net.public"), model.public.to_bytes()).unwrap();
        fs::write(path("tokens"), format!("tests {TOKEN} 6000\nslow {SLOW_TOKEN} 2\n")).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path("tokens"), fs::Permissions::from_mode(0o600)).unwrap();
        }
        for name in ["acme", "dealer"].iter().chain(&SERVERS) {
            let mut keygen = Command::new(PROGRAM);
            keygen.args(["keygen", "--name", name, "--out"]).arg(folder.path()).stdout(Stdio::null());
            assert!(keygen.status().unwrap().success());
        }
        let certificate = |name: &str| path(&format!("{name}.crt")).display().to_string();
        let command = |name: &str, subcommand: &str| {
            let mut command = Command::new(PROGRAM);
            command.arg(subcommand).arg("--key").arg(path(&format!("{name}.key")));
            command.args(["--deadline", &DEADLINE.to_string(), "--log", "info"]).stdin(Stdio::null());
            command
        };
        let mut dealing = command("dealer", "dealer");
        dealing.args(["--listen", "127.0.0.1:0", "--allow", &SERVERS.map(certificate).join(",")]);
        let (dealer, lines) = Process::with_lines("dealer", dealing, 1);
        let dealer_at = format!("{}={}", after(&lines[0], "listening on "), certificate("dealer"));
        let reserved = SERVERS.map(|_| Reserved::new().unwrap());
        let peers: Vec<_> =
            SERVERS.iter().zip(&reserved).map(|(name, at)| format!("{}={}", at.address(), certificate(name))).collect();
        let mut servers = Vec::new();
        for (party, name) in SERVERS.iter().enumerate() {
            let mut serving = command(name, "serve");
            serving.args(["--shares", &path(&format!("{name}.shares")).display().to_string()]);
            serving.args(["--allow", &certificate("acme"), "--model-owner", &certificate("acme")]);
            serving.args(["--dealer", &dealer_at, "--party", &party.to_string()]);
            serving.args(["--listen", &reserved[party].address().to_string()]);
            serving.args(peers.iter().flat_map(|peer| ["--server", peer]));
            serving.args(["--web", "127.0.0.1:0", "--origin", origin]).arg("--tokens").arg(path("tokens"));
            let (process, lines) = Process::with_lines(name, serving, 3);
            assert!(lines[0].starts_with("listening on "), "{lines:?}");
            let pages = after(&lines[1], "pages at ").parse().unwrap();
            servers.push(Server { process, pages, key: after(&lines[2], "pages seal to ").to_owned() });
        }
        let mut deposit = command("acme", "deposit");
        deposit.arg(path("net.private")).stdout(Stdio::null());
        deposit.args(peers.iter().flat_map(|peer| ["--connect", peer]));
        assert!(deposit.status().unwrap().success());
        Self { folder, _dealer: dealer, servers, plan: model.public.digest().unwrap().to_string() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn keys(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.key.clone()).collect()
    }

    /// A page for these servers, with those keys; gives where it is served.
    pub fn page(&self, keys: &[String], at: SocketAddr) -> (Process, String) {
        let mut page = Command::new(PROGRAM);
        page.arg("page").arg(self.path("net.public")).arg("--drawn").arg("--dealer").arg(self.path("dealer.crt"));
        for (server, key) in self.servers.iter().zip(keys) {
            page.args(["--server", &format!("http://{}={key}", server.pages)]);
        }
        page.args(["--listen", &at.to_string()]).stdin(Stdio::null());
        let (process, lines) = Process::with_lines("page", page, 2);
        assert!(lines[1].starts_with("sha384-"), "{lines:?}");
        let link = after(&lines[0], "the page is at ").to_owned();
        (process, link)
    }
}

fn after<'t>(line: &'t str, begin: &str) -> &'t str {
    line.strip_prefix(begin).unwrap_or_else(|| panic!("{begin}… is missing, here is {line:?}"))
}
