//! Servers of several machines: a page stays with the machine that it began with, and the servers of a session meet. The module
//! of the page runs in node, as it does in browsers, with the description that `mpc page` writes.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ndarray::ArrayD;
use serde_json::{Value, json};

use super::pages::{clear, model};
use super::requests::ORIGIN;
use super::site::{Site, TOKEN};
use super::vectors::is_node;

/// One inference with the module, which asks the first address of each server first. Prints the outputs, or the error, and what
/// was fetched.
const QUERY: &str = r#"
import { readFileSync } from "node:fs";
const { query } = await import(process.argv[1]);
const { model } = JSON.parse(readFileSync(process.argv[2]));
const [token, input] = [process.argv[3], JSON.parse(process.argv[4])];
const [fetched, given, random] = [[], globalThis.fetch, crypto.getRandomValues.bind(crypto)];
globalThis.fetch = (url, init) => (fetched.push(`${init.method ?? "GET"} ${url}`), given(url, init));
crypto.getRandomValues = (array) => (array instanceof Uint32Array ? array.fill(0) : random(array));
const answer = await query(model, [input], { token }).then(
  ({ outputs }) => ({ output: [...outputs[0]] }),
  ({ code, message }) => ({ code, message }),
);
console.log(JSON.stringify({ ...answer, fetched }));
"#;

/// Spreads connections over machines in turn, as balancers do.
fn balancer(targets: [SocketAddr; 2]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let next = AtomicUsize::new(0);
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(targets[next.fetch_add(1, Ordering::Relaxed) % 2]) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    format!("http://{address}")
}

/// Two machines of each server, and where each serves pages.
struct Machines {
    site: Site,
    pages: [[SocketAddr; 2]; 2],
}

impl Machines {
    fn start(changed: impl Fn(&mut Command, SocketAddr, SocketAddr)) -> Self {
        let (site, pages) = Site::start_machines(&model(), ORIGIN, changed);
        Self { site, pages }
    }

    /// As [`start`](Self::start), where each says to other servers where it is.
    fn advertised(changed: impl Fn(&mut Command, SocketAddr)) -> Self {
        Self::start(|command, at, pages| {
            command.args(["--advertise", &at.to_string()]);
            changed(command, pages);
        })
    }

    fn url(&self, party: usize, machine: usize) -> String {
        format!("http://{}", self.pages[party][machine])
    }

    /// One inference of a page that has these addresses of each server.
    fn query(&self, urls: [&str; 2]) -> Value {
        let folder = self.site.path("page");
        let mut page = Command::new(env!("CARGO_BIN_EXE_mpc"));
        page.arg("page")
            .arg(self.site.path("net.public"))
            .args(["--drawn", "--dealer"])
            .arg(self.site.path("dealer.crt"));
        for (party, urls) in urls.iter().enumerate() {
            page.args(["--server", &format!("{urls}={}", self.site.servers[2 * party].key)]);
        }
        page.arg("--output").arg(&folder).stdout(Stdio::null());
        assert!(page.status().unwrap().success());
        let input = ArrayD::from_shape_fn(vec![1, 1, 32, 32], |at| ((at[2] * 7 + at[3] * 3) % 17) as f64 / 8.0 - 1.0);
        let mut node = Command::new("node");
        node.args(["--input-type=module", "--eval", QUERY, concat!(env!("CARGO_MANIFEST_DIR"), "/web/mpc.js")]);
        node.arg(folder.join("page.json")).arg(TOKEN).arg(json!(input.iter().collect::<Vec<_>>()).to_string());
        let ran = node.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
        if let Some(output) = answer["output"].as_array() {
            for (private, plain) in output.iter().zip(clear(&input)) {
                assert!((private.as_f64().unwrap() - plain).abs() < 0.01, "{private} instead of {plain}");
            }
        }
        answer
    }

    fn succeeds(&self, urls: [&str; 2]) -> Vec<String> {
        let answer = self.query(urls);
        assert!(answer["output"].is_array(), "{answer}\n{}", self.logs());
        answer["fetched"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    fn fails(&self, urls: [&str; 2], code: &str, words: &str) {
        let answer = self.query(urls);
        assert!(answer["code"] == code && answer["message"].as_str().unwrap().contains(words), "{answer}");
    }

    fn logs(&self) -> String {
        self.site.servers.iter().map(|server| server.process.log()).collect()
    }

    /// Waits until the machines of a server have taken part in so many inferences, which are all that succeeded.
    fn await_served(&self, party: usize, counts: [usize; 2]) {
        for (server, count) in self.site.servers[2 * party..].iter().zip(counts) {
            server.process.await_log("an inference for a page ended", count);
        }
    }
}

#[test]
fn a_page_that_knows_the_machines_takes_another_one_where_one_is_gone_or_stops() {
    if !is_node() {
        return;
    }
    let mut machines = Machines::advertised(|_, _| ());
    let url = |party: usize, machine: usize| machines.url(party, machine);
    let [north, south] = [0, 1].map(|party| [url(party, 0), url(party, 1)]);
    let first = [north.join(","), south.join(",")];
    // The second of the one meets the first of the other: each is told where the other is.
    let crossed = [format!("{},{}", north[1], north[0]), south.join(",")];
    let other = [north.join(","), format!("{},{}", south[1], south[0])];
    let all = [&first, &crossed, &other].map(|urls| [&*urls[0], &*urls[1]]);
    for urls in all {
        let fetched = machines.succeeds(urls);
        for (party, urls) in urls.iter().enumerate() {
            let begin = urls.split(',').next().unwrap();
            let of_party = |line: &&String| machines.pages[party].iter().any(|at| line.contains(&at.to_string()));
            assert!(fetched.iter().filter(of_party).all(|line| line.contains(begin)), "{fetched:?}");
        }
    }
    (0..2).for_each(|party| machines.await_served(party, [2, 1]));
    // One that is gone, at either server, and then one that was told to stop and has ended.
    machines.site.servers[0].process.kill();
    machines.succeeds(all[0]);
    machines.site.servers[3].process.terminate();
    machines.site.servers[3].process.end();
    machines.succeeds(all[2]);
    machines.await_served(0, [2, 3]);
    machines.await_served(1, [4, 1]);
}

#[test]
fn behind_balancers_a_page_stays_with_the_machine_that_answers() {
    if !is_node() {
        return;
    }
    let machines = Machines::advertised(|command, pages| {
        command.args(["--web-advertise", &format!("http://{pages}")]);
    });
    let balanced = machines.pages.map(balancer);
    let listed = |party: usize| format!("{},{},{}", balanced[party], machines.url(party, 0), machines.url(party, 1));
    let urls = [listed(0), listed(1)];
    for _ in 0..4 {
        let fetched = machines.succeeds([&urls[0], &urls[1]]);
        let at_balancers = fetched.iter().filter(|line| balanced.iter().any(|balancer| line.contains(&**balancer)));
        assert_eq!(at_balancers.count(), 2, "{fetched:?}");
    }
    (0..2).for_each(|party| machines.await_served(party, [2, 2]));
    // A page that does not know the machines does not follow them.
    machines.fails([&balanced[0], &urls[1]], "elsewhere", "says that its machine is at");
}

#[test]
fn machines_that_do_not_say_where_they_are_are_named() {
    if !is_node() {
        return;
    }
    // A ticket is known to the machine that gave it alone, and a balancer takes the page to another one.
    let machines = Machines::advertised(|_, _| ());
    let balanced = machines.pages.map(balancer);
    machines.fails([&balanced[0], &balanced[1]], "ticket", "none of this server's");
    drop(machines);
    // Nobody has said where the other server's machine is.
    let machines = Machines::start(|_, _, _| ());
    machines.fails([&machines.url(0, 0), &machines.url(1, 0)], "differs", "did not say which of its machines this is");
}
