//! Servers that hold shares of a model and serve pages, each the real program, as `docs/web.md` starts them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mpc_cli::reserved::Reserved;
use mpc_service::at_rest::private_file::write_private;
use mpc_service::{PrivateModel, PublicModel};
use mpc_transport::tls::Certificate;
use tempfile::TempDir;

use super::requests::At;
use crate::support::{DEADLINE, Process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mpc");
const SERVERS: [&str; 2] = ["north", "south"];
/// The token of the tests, and one that is good for two inferences in a minute.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const SLOW_TOKEN: &str = "fedcba9876543210fedcba9876543210";

/// A free port.
pub const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server, and where it serves pages.
pub struct Server {
    pub process: Process,
    pub pages: At,
    pub key: String,
}

impl Server {
    fn start(name: &str, command: Command) -> Self {
        let (process, lines) = Process::with_lines(name, command, 3);
        assert!(lines[0].starts_with("listening on "), "{lines:?}");
        let pages = after(&lines[1], "pages at ");
        let address = pages.trim_start_matches("https://").parse::<SocketAddr>().unwrap();
        Self { process, pages: address.into(), key: after(&lines[2], "pages seal to ").to_owned() }
    }
}

pub struct Site {
    folder: TempDir,
    dealer: Option<(Process, String)>,
    origin: String,
    /// Each server as others name it.
    peers: Vec<String>,
    /// The machines of the first server, then those of the second.
    pub servers: Vec<Server>,
    pub model: PublicModel,
}

impl Site {
    /// Two servers with shares of a model, for pages of one origin, and the dealer that it has by its terms.
    pub fn start(model: &PrivateModel, origin: &str) -> Self {
        Self::start_with(model, origin, |_| ())
    }

    /// As [`start`](Self::start), with commands that are changed in some way.
    pub fn start_with(model: &PrivateModel, origin: &str, changed: impl Fn(&mut Command)) -> Self {
        let mut site = Self::new(model, origin);
        let reserved = SERVERS.map(|_| Reserved::new().unwrap());
        site.peers = (0..).zip(&reserved).map(|(party, at)| site.peer(party, &at.address().to_string())).collect();
        for (party, at) in reserved.iter().enumerate() {
            let mut serving = site.serve_command(party, at.address(), ANYWHERE);
            changed(&mut serving);
            site.servers.push(Server::start(SERVERS[party], serving));
        }
        site.deposit();
        site
    }

    /// The files of all, and the dealer; no server yet.
    pub fn new(model: &PrivateModel, origin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut site = Self {
            folder,
            dealer: None,
            origin: origin.to_owned(),
            peers: Vec::new(),
            servers: Vec::new(),
            model: model.public.clone(),
        };
        model.write(&site.path("net.private")).unwrap();
        fs::write(site.path("net.public"), model.public.to_bytes()).unwrap();
        // As many as a large organisation has.
        let others: String = (0..4_000).map(|holder| format!("holder-{holder} {TOKEN}-{holder}\n")).collect();
        let tokens = format!("tests {TOKEN} 6000\nslow {SLOW_TOKEN} 2\n{others}");
        write_private(&site.path("tokens"), tokens.as_bytes()).unwrap();
        for name in ["acme", "dealer"].iter().chain(&SERVERS) {
            let mut keygen = Command::new(PROGRAM);
            keygen.args(["keygen", "--name", name, "--out"]).arg(site.folder.path()).stdout(Stdio::null());
            assert!(keygen.status().unwrap().success());
        }
        if model.public.terms.has_dealer() {
            let mut dealing = site.command("dealer", "dealer");
            let allowed = SERVERS.map(|name| site.certificate(name)).join(",");
            dealing.args(["--listen", "127.0.0.1:0", "--allow", &allowed]);
            let (dealer, lines) = Process::with_lines("dealer", dealing, 1);
            let named = format!("{}={}", after(&lines[0], "listening on "), site.certificate("dealer"));
            site.dealer = Some((dealer, named));
        }
        site
    }

    fn certificate(&self, name: &str) -> String {
        self.path(&format!("{name}.crt")).display().to_string()
    }

    /// A server as others name it.
    fn peer(&self, party: usize, addresses: &str) -> String {
        format!("{addresses}={}", self.certificate(SERVERS[party]))
    }

    fn command(&self, name: &str, subcommand: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(subcommand).arg("--key").arg(self.path(&format!("{name}.key")));
        command.args(["--deadline", &DEADLINE.to_string(), "--log", "info"]).stdin(Stdio::null());
        command
    }

    /// As [`start`](Self::start), with two machines of each server, which others name by both addresses; with commands that are
    /// changed in some way, by the addresses of each machine for servers and for pages. Gives those for pages, too.
    pub fn start_machines(
        model: &PrivateModel,
        origin: &str,
        changed: impl Fn(&mut Command, SocketAddr, SocketAddr),
    ) -> (Self, [[SocketAddr; 2]; 2]) {
        let mut site = Self::new(model, origin);
        let ports: Vec<_> = (0..8).map(|_| Reserved::new().unwrap()).collect();
        let pair = |at: usize| [ports[at].address(), ports[at + 1].address()];
        let (servers, pages) = ([pair(0), pair(2)], [pair(4), pair(6)]);
        let named = |(party, [one, two]): (usize, &[SocketAddr; 2])| site.peer(party, &format!("{one},{two}"));
        site.peers = servers.iter().enumerate().map(named).collect();
        for (party, (servers, pages)) in servers.iter().zip(&pages).enumerate() {
            for (&at, &pages) in servers.iter().zip(pages) {
                let mut serving = site.serve_command(party, at, pages);
                changed(&mut serving, at, pages);
                site.servers.push(Server::start(SERVERS[party], serving));
            }
        }
        site.deposit();
        (site, pages)
    }

    /// A machine of a server, with its addresses for servers and for pages.
    pub fn serve_command(&self, party: usize, at: SocketAddr, pages: SocketAddr) -> Command {
        let name = SERVERS[party];
        let mut serving = self.command(name, "serve");
        serving.args(["--shares", &self.path(&format!("{name}.shares")).display().to_string()]);
        serving.args(["--allow", &self.certificate("acme"), "--model-owner", &self.certificate("acme")]);
        serving.args(self.dealer.iter().flat_map(|(_, at)| ["--dealer", at]));
        serving.args(["--party", &party.to_string(), "--listen", &at.to_string()]);
        serving.args(self.peers.iter().flat_map(|peer| ["--server", peer]));
        serving.args(["--web", &pages.to_string(), "--origin", &self.origin]).arg("--tokens").arg(self.path("tokens"));
        serving
    }

    /// Leaves shares of the model with the servers.
    fn deposit(&self) {
        let mut deposit = self.command("acme", "deposit");
        deposit.arg(self.path("net.private")).stdout(Stdio::null());
        deposit.args(self.peers.iter().flat_map(|peer| ["--connect", peer]));
        assert!(deposit.status().unwrap().success());
    }

    /// The digest of the plan, as addresses name it.
    pub fn plan(&self) -> String {
        self.model.digest().unwrap().to_string()
    }

    /// The fingerprint of the dealer, if there is one.
    pub fn dealer(&self) -> Option<[u8; 32]> {
        self.model.terms.has_dealer().then(|| {
            let certificate = fs::read_to_string(self.path("dealer.crt")).unwrap();
            *Certificate::from_pem(&certificate).unwrap().fingerprint().as_bytes()
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn keys(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.key.clone()).collect()
    }

    /// A page for these servers, with those keys; gives where it is served.
    pub fn page(&self, keys: &[String], at: SocketAddr) -> (Process, String) {
        self.page_with(keys, at, |_| ())
    }

    /// As [`page`](Self::page), with a command that is changed in some way.
    pub fn page_with(&self, keys: &[String], at: SocketAddr, changed: impl Fn(&mut Command)) -> (Process, String) {
        let mut page = Command::new(PROGRAM);
        page.arg("page").arg(self.path("net.public")).arg("--drawn");
        if self.model.terms.has_dealer() {
            page.arg("--dealer").arg(self.path("dealer.crt"));
        }
        for (server, key) in self.servers.iter().zip(keys) {
            page.args(["--server", &format!("{}={key}", server.pages.url())]);
        }
        page.args(["--listen", &at.to_string()]).stdin(Stdio::null());
        changed(&mut page);
        let (process, lines) = Process::with_lines("page", page, 2);
        assert!(lines[1].starts_with("sha384-"), "{lines:?}");
        let link = after(&lines[0], "the page is at ").to_owned();
        (process, link)
    }
}

fn after<'t>(line: &'t str, begin: &str) -> &'t str {
    line.strip_prefix(begin).unwrap_or_else(|| panic!("{begin}… is missing, here is {line:?}"))
}
