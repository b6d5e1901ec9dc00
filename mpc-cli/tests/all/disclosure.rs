//! The recipients of a result: they are named before anything is sent, nobody learns what the data owner did not agree to,
//! and results lie where they were to go, for the eyes of their owner alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use mpc_models::tensors::{Pixels, read_tensor};
use mpc_service::{RevealTo, Terms};

use crate::support::{Process, Query, Service, Site};

/// The exit code of a query or preparation, and what it says, where the data owner agrees to `reveal_to`.
fn ask(query: &Query<'_>, command: &str, reveal_to: &str) -> (Option<i32>, String) {
    let site = query.site;
    let mut asking = site.command("clinic", command);
    query.connect(&mut asking);
    asking.arg(site.path("net.public")).args(["--reveal-to", reveal_to]);
    match command {
        "query" => asking.arg(site.path("x0.npy")).arg("--output").arg(site.path("y.npy")),
        _ => asking.args(["--count", "1", "--store"]).arg(site.path("clinic.store")),
    };
    Process::start("clinic", asking).end()
}

/// A server of a model that reveals its results to its owner, too.
fn start_server(site: &Site, dealer: &Service) -> Service {
    let mut command = site.server_command(None, dealer.address);
    command.arg("--results").arg(site.path("results"));
    Service::start("acme", command)
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_learns_a_result_that_the_data_owner_did_not_agree_to() {
    let site = Site::on_terms(Terms { reveal_to: RevealTo::Both, ..Terms::default() });
    let plan = Command::new(env!("CARGO_BIN_EXE_mpc")).arg("plan").arg(site.path("net.public")).output().unwrap();
    let disclosure = "by the model's terms the data owner and the model owner learn every number of the result";
    assert!(String::from_utf8(plan.stdout).unwrap().contains(disclosure));
    let dealer = site.start_dealer(None);
    let server = start_server(&site, &dealer);
    let query = Query::new(&site, server.address, dealer.address);
    for command in ["query", "prepare"] {
        for wrong in ["data-owner", "model-owner"] {
            let (code, log) = ask(&query, command, wrong);
            assert_eq!(code, Some(2), "{log}");
            assert!(log.contains(disclosure) && log.contains("nothing was sent"), "{log}");
            assert!(!log.contains("connected"), "{log}");
        }
    }
    assert!(!site.path("y.npy").exists());
    for command in ["prepare", "query"] {
        let (code, log) = ask(&query, command, "both");
        assert_eq!(code, Some(0), "{log}");
        let [said, connected] = [disclosure, "connected"].map(|text| log.find(text).unwrap());
        assert!(said < connected, "{log}");
    }
    server.process.await_log("has a result", 1);
    let told: Vec<_> = fs::read_dir(site.path("results")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [told] = &told[..] else { panic!("{told:?}") };
    let read = |path: &Path| read_tensor(path, "y", &[], &Pixels::default()).unwrap();
    assert_eq!(read(told), read(&site.path("y.npy")));
    #[cfg(unix)]
    assert_eq!([told, &site.path("y.npy")].map(|path| mode(path)), [0o600; 2]);
}

#[test]
fn a_model_owner_says_where_its_results_go() {
    let site = Site::on_terms(Terms { reveal_to: RevealTo::ModelOwner, ..Terms::default() });
    let dealer = site.start_dealer(None);
    let (code, log) = Process::start("acme", site.server_command(None, dealer.address)).end();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("--results FOLDER"), "{log}");
    let plain = Site::new();
    let mut command = plain.server_command(None, dealer.address);
    command.arg("--results").arg(plain.path("results"));
    let (code, log) = Process::start("acme", command).end();
    assert_eq!(code, Some(2), "{log}");
}

#[test]
fn a_prepared_inference_is_not_spent_on_a_result_that_has_no_place() {
    let site = Site::new();
    let dealer = site.start_dealer(None);
    let server = site.start_server(None, dealer.address);
    let query = Query { is_prepared: true, ..Query::new(&site, server.address, dealer.address) };
    let (code, log) = query.prepare(1).end();
    assert_eq!(code, Some(0), "{log}");
    // A name that is longer than names may be: nobody can write that, whoever it is.
    let place = site.path(&format!("{}.npy", "y".repeat(300)));
    let (code, log) = Process::start("clinic", query.command(&place, &site.path("r.json"))).end();
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(site.ready("clinic.store"), 1);
    query.succeeds();
}
