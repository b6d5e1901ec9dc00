//! A service that an operator looks at.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{HANGS, Process};
use crate::page::requests::{Response, send};

/// A dealer or a server with `--admin`.
pub struct Watched {
    pub process: Process,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Watched {
    pub fn start(name: &str, mut command: Command) -> Self {
        command.args(["--admin", "127.0.0.1:0"]);
        let (process, lines) = Process::with_lines(name, command, 2);
        let after = |line: usize, begin: &str| -> SocketAddr {
            lines[line].strip_prefix(begin).and_then(|address| address.parse().ok()).expect(begin)
        };
        Self { process, address: after(0, "listening on "), admin: after(1, "admin on ") }
    }

    pub fn get(&self, path: &str) -> Response {
        send(&self.admin.into(), &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin), &[])
    }

    /// Waits until `/readyz` has that status; what it says then.
    pub fn await_readiness(&self, status: u16) -> String {
        let began = Instant::now();
        loop {
            let found = self.get("/readyz");
            let text = String::from_utf8(found.body).unwrap();
            if found.status == status {
                return text;
            }
            assert!(began.elapsed() < HANGS, "never {status}: {text}\n{}", self.process.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `/metrics` has a line.
    pub fn await_figure(&self, line: &str) {
        let began = Instant::now();
        let figures = || String::from_utf8(self.get("/metrics").body).unwrap();
        while !figures().lines().any(|found| found == line) {
            assert!(began.elapsed() < HANGS, "never `{line}`:\n{}", figures());
            thread::sleep(Duration::from_millis(20));
        }
    }
}
