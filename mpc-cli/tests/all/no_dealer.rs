//! `mpc run --no-dealer` and `mpc plan --no-dealer`.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mpc_nn::{Correlations, Transfers};
use mpc_service::{Terms, Topology};
use serde_json::Value;

use crate::run::{assert_refused, json};
use crate::support::{HANGS, Process, Query, Service, Site};

#[test]
fn two_parties_need_no_dealer() {
    let dealt = ["breast-cancer", "--images", "4", "--batch", "2", "--owner-computes", "--comparisons", "few-bytes"];
    let dealt = json(&dealt);
    let mut costs = Vec::new();
    for more in [&["--transport", "memory"][..], &["--transport", "tcp", "--pipeline"], &["--transport", "tls"]] {
        let own = json(&[&["breast-cancer", "--images", "4", "--batch", "2", "--no-dealer"], more].concat());
        assert_eq!(own["agree"], true);
        assert_eq!(own["no_dealer"], true);
        for what in ["bytes_sent", "bytes_received", "rounds"] {
            assert_eq!(own["phases"]["online"][what], dealt["phases"]["online"][what], "{what}");
        }
        costs.push(["setup", "preprocessing"].map(|phase| own["phases"][phase]["bytes_sent"].clone()));
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[test]
fn a_plan_prices_what_a_run_without_a_dealer_sends() {
    let arguments = ["breast-cancer", "--no-dealer", "--ot", "softspoken"];
    let run = json(&arguments);
    let plan = Command::new(env!("CARGO_BIN_EXE_mpc")).args(["plan", "--json"]).args(arguments).output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    for phase in ["preprocessing", "online"] {
        for what in ["bytes_sent", "bytes_received", "rounds"] {
            assert_eq!(plan["phases"][phase][what], run["phases"][phase][what], "{phase}, {what}");
        }
    }
}

/// Rounds with a dealer and bytes without one, unless it is said.
#[test]
fn comparisons_save_what_is_asked_for() {
    let plan = |more: &[&str]| -> Value {
        let plan =
            Command::new(env!("CARGO_BIN_EXE_mpc")).args(["plan", "breast-cancer", "--json"]).args(more).output();
        serde_json::from_slice(&plan.unwrap().stdout).unwrap()
    };
    for (more, expected) in [
        (&[][..], "few rounds"),
        (&["--no-dealer"], "few bytes"),
        (&["--comparisons", "few-bytes"], "few bytes"),
        (&["--no-dealer", "--comparisons", "few-rounds"], "few rounds"),
    ] {
        assert_eq!(plan(more)["comparisons"], expected, "{more:?}");
    }
    let [rounds, bytes] = [&[][..], &["--comparisons", "few-bytes"]].map(|more| plan(more)["phases"].clone());
    let dealt = |phases: &Value| phases["preprocessing"]["bytes_received"][1].as_u64().unwrap();
    assert!(dealt(&bytes) < dealt(&rounds));
    assert!(bytes["online"]["rounds"].as_u64() > rounds["online"]["rounds"].as_u64());
    let run = json(&["breast-cancer", "--comparisons", "few-bytes"]);
    assert_eq!(run["agree"], true);
    assert_eq!(run["phases"]["online"]["rounds"], bytes["online"]["rounds"]);
}

#[test]
fn what_needs_a_dealer_is_refused() {
    assert_refused(&["--no-dealer", "--parties", "3"], "3 parties cannot make their own correlations");
    assert_refused(&["--no-dealer", "--transport", "services", "--parties", "3"], "3 parties cannot make");
    assert_refused(&["--no-dealer", "--ring", "32"], "needs a dealer");
    assert_refused(&["--ot", "softspoken"], "--no-dealer");
}

/// The services do what the plan says, and online what services with a dealer do.
#[test]
fn services_need_no_dealer() {
    let arguments = ["breast-cancer", "--images", "2", "--no-dealer", "--ot", "softspoken"];
    let own = json(&[&arguments[..], &["--transport", "services"]].concat());
    let dealt = ["breast-cancer", "--images", "2", "--owner-computes", "--comparisons", "few-bytes"];
    let dealt = json(&[&dealt[..], &["--transport", "services"]].concat());
    assert_eq!(own["dealer"], Value::Null);
    assert_eq!(own["planned"]["no_dealer"], true);
    // In memory the data owner is the last party, too.
    let run = json(&arguments);
    for (own, dealt) in own["inferences"].as_array().unwrap().iter().zip(dealt["inferences"].as_array().unwrap()) {
        assert_eq!(own["online"], dealt["online"]);
        for step in own["steps"].as_array().unwrap() {
            assert_eq!(step["planned"], step["measured"], "{}", step["name"]);
        }
    }
    let made = own["inferences"].as_array().unwrap().iter().map(|inference| &inference["preprocessing"]);
    let number = |value: &Value| value.as_u64().unwrap();
    let planned = &own["planned"]["phases"]["preprocessing"];
    for (what, [payload, frames]) in
        [("bytes_sent", ["payload_sent", "frames_sent"]), ("bytes_received", ["payload_received", "frames_received"])]
    {
        let each: Vec<_> = made.clone().map(|made| number(&made[payload]) + 4 * number(&made[frames])).collect();
        assert_eq!(number(&planned[what][1]), each[0], "{what}");
        assert_eq!(number(&run["phases"]["preprocessing"][what][1]), each.iter().sum::<u64>(), "{what}");
    }
}

#[test]
fn a_model_is_packed_for_two_parties_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [public, private] = ["net.public", "net.private"].map(|name| folder.path().join(name));
    let pack = |more: &[&str]| {
        let mut pack = Command::new(env!("CARGO_BIN_EXE_mpc"));
        pack.args(["pack", "breast-cancer", "--no-dealer", "-o"]).args([&public, &private]).args(more).output().unwrap()
    };
    let refused = pack(&["--parties", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("3 parties cannot make their own correlations"), "{text}");
    assert!(pack(&["--session-inferences", "100"]).status.success());
    let plan = Command::new(env!("CARGO_BIN_EXE_mpc")).args(["plan", "--json"]).arg(&public).output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["no_dealer"], true);
}

/// A site whose parties make their own correlations.
fn site() -> Site {
    let correlations = Correlations::Own { transfers: Transfers::SoftSpoken, inferences: 8 };
    Site::on_terms(Terms { setting: Topology::Direct, owner_computes: true, correlations, ..Terms::default() })
}

/// In place of the address of a dealer.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// The stage of preparing at which somebody is killed.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// So many milliseconds after its start: while it connects, makes base transfers, or loads the model.
    After(u64),
    /// When so many inferences are stored at one side at least.
    Stored(usize),
}

impl Stage {
    fn wait(self, site: &Site, client: &mut Process) {
        let count = match self {
            Self::After(milliseconds) => return thread::sleep(Duration::from_millis(milliseconds)),
            Self::Stored(count) => count,
        };
        let began = Instant::now();
        while ["acme.store", "clinic.store"].iter().all(|store| site.ready(store) < count) && client.is_running() {
            assert!(began.elapsed() < HANGS, "nothing is prepared");
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Prepared inferences that a crash has left are complete or none: a query gets a right result, or hears that nothing is there.
#[test]
fn whoever_is_killed_while_two_parties_prepare_nothing_half_made_is_used() {
    let site = site();
    let mut server = site.start_server(None, NOBODY);
    let stages = [0, 10, 30, 70].map(Stage::After).into_iter().chain([1, 2, 4, 5].map(Stage::Stored));
    for (is_server, stage) in stages.flat_map(|stage| [(false, stage), (true, stage)]) {
        let query = Query { is_prepared: true, ..Query::new(&site, server.address, NOBODY) };
        let mut client = query.prepare(5);
        stage.wait(&site, &mut client);
        if is_server {
            server.process.kill();
            server = site.start_server(Some(server.address), NOBODY);
        } else {
            client.kill();
        }
        let (code, log) = client.end();
        let is_expected = if is_server { matches!(code, Some(0 | 4 | 5)) } else { matches!(code, Some(0) | None) };
        assert!(is_expected, "{stage:?}, server {is_server}: {code:?}\n{log}");
        // The result is checked where there is one.
        let used = use_up(&query);
        assert!(used == 0 || used == 5, "{stage:?}: {used} of 5");
        assert!(code != Some(0) || used == 5, "{stage:?}: {used} of 5 of a batch that was reported");
        let (code, log) = query.prepare(1).end();
        assert_eq!(code, Some(0), "{stage:?}: {log}");
        query.succeeds();
    }
    assert_eq!(["acme.store", "clinic.store"].map(|store| site.ready(store)), [0, 0]);
}

/// Queries until nothing prepared is left; how many got their result.
fn use_up(query: &Query<'_>) -> usize {
    for used in 0.. {
        let (code, log) = query.start().end();
        if code != Some(0) {
            assert_eq!(code, Some(2), "{log}");
            assert!(log.contains("no prepared inference is left"), "{log}");
            return used;
        }
    }
    unreachable!("batches are finite")
}

/// A server that is restored from a copy forgets what it has used, and is refused by name.
#[test]
fn a_store_of_own_correlations_that_was_restored_is_noticed() {
    let site = site();
    let server = site.start_server(None, NOBODY);
    let query = Query { is_prepared: true, ..Query::new(&site, server.address, NOBODY) };
    let (code, log) = query.prepare(3).end();
    assert_eq!(code, Some(0), "{log}");
    let [store, copy] = ["clinic.store", "copy"].map(|name| site.path(name));
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copied(&store, &copy);
    query.succeeds();
    std::fs::remove_dir_all(&store).unwrap();
    copied(&copy, &store);
    let (code, log) = query.start().end();
    assert_eq!(code, Some(6), "{log}");
    assert!(log.contains("the store here was restored from a copy"), "{log}");
    drop::<Service>(server);
}
