//! Servers that hold shares of a model, and their depositor.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::{MANY, Process, SHARE_SERVERS, Service, Site};

impl Site {
    /// A server that holds shares, where all are at these addresses.
    pub fn start_share_server(&self, party: usize, servers: [SocketAddr; 2], dealer: SocketAddr) -> Service {
        self.start_share_machine(party, servers[party], servers, dealer)
    }

    /// One machine of such a server.
    pub fn start_share_machine(
        &self,
        party: usize,
        at: SocketAddr,
        servers: [SocketAddr; 2],
        dealer: SocketAddr,
    ) -> Service {
        Service::start(SHARE_SERVERS[party], self.share_server_command(party, at, servers, dealer))
    }

    /// The command of such a machine.
    pub fn share_server_command(
        &self,
        party: usize,
        at: SocketAddr,
        servers: [SocketAddr; 2],
        dealer: SocketAddr,
    ) -> Command {
        let name = SHARE_SERVERS[party];
        let mut command = self.command(name, "serve");
        command.arg("--shares").arg(self.path(&format!("{name}.shares"))).args(["--party", &party.to_string()]);
        command.args(["--allow", &self.allow(&["clinic"]), "--model-owner", &self.allow(&["acme"])]).args(MANY);
        self.name_dealer(&mut command, dealer);
        command.arg("--store").arg(self.store(&format!("{name}.store"))).args(["--listen", &at.to_string()]);
        for (name, at) in SHARE_SERVERS.iter().zip(servers) {
            command.args(["--server", &self.peer(name, at)]);
        }
        command
    }

    /// Leaves shares of the model with the servers.
    pub fn deposit(&self, servers: [SocketAddr; 2]) {
        let (code, log) = self.start_deposit(servers).end();
        assert_eq!(code, Some(0), "{log}");
    }

    /// The model owner, who is about to leave shares with the servers.
    pub fn start_deposit(&self, servers: [SocketAddr; 2]) -> Process {
        let mut command = self.command("acme", "deposit");
        command.arg(self.path("net.private")).stdout(Stdio::null());
        for (name, at) in SHARE_SERVERS.iter().zip(servers) {
            command.args(["--connect", &self.peer(name, at)]);
        }
        Process::start("acme", command)
    }
}
