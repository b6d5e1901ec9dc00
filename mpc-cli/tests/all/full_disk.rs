//! Disks that are full, as file systems of their own: programs name them, use nothing half made, and go on when there is room.

use std::fs;
use std::os::unix::fs::symlink;

use mpc_service::{Terms, Topology};

use crate::faults::Running;
use crate::small_disk::SmallDisk;
use crate::support::watched::Watched;
use crate::support::{Process, Query, Site};

const KIB: usize = 4096;
/// The words of the operating system.
const NO_SPACE: &str = "No space left on device";

/// A site, and a small disk under one of its folders.
fn site_on_disk(terms: Terms, folder: &str) -> Option<(Site, SmallDisk)> {
    let disk = SmallDisk::mount(KIB)?;
    let site = Site::on_terms(terms);
    symlink(disk.path(), site.path(folder)).unwrap();
    Some((site, disk))
}

#[test]
fn a_server_whose_store_is_full_says_so_and_serves_what_needs_no_room() {
    let Some((site, disk)) = site_on_disk(Terms::default(), "acme.store") else { return };
    let dealer = site.start_dealer(None);
    let server = Watched::start("acme", site.server_command(None, dealer.address));
    let live = Query::new(&site, server.address, dealer.address);
    let prepared = Query { is_prepared: true, ..live.clone() };
    assert_eq!(prepared.prepare(3).end().0, Some(0));
    server.await_readiness(200);
    disk.fill();
    let faults = server.await_readiness(503);
    assert!(faults.contains("the store of prepared inferences cannot be used"), "{faults}");
    let (code, log) = prepared.prepare(3).end();
    assert!(matches!(code, Some(4..=6)), "{code:?}\n{log}");
    server.process.await_log("ended without success", 1);
    let log = server.process.log();
    assert!(log.contains("acme.store") && log.contains(NO_SPACE), "{log}");
    assert_eq!(site.batches("acme.store"), 1);
    live.succeeds();
    // What is there already needs no room, either.
    prepared.succeeds();
    disk.free();
    server.await_readiness(200);
    prepared.succeeds();
    assert_eq!(prepared.prepare(1).end().0, Some(0));
    (0..2).for_each(|_| prepared.succeeds());
}

#[test]
fn a_data_owner_whose_disk_is_full_spends_nothing() {
    let Some((site, disk)) = site_on_disk(Terms::default(), "clinic.store") else { return };
    let running = Running::new(&site);
    let query = Query { is_prepared: true, ..running.query(&site) };
    assert_eq!(query.prepare(2).end().0, Some(0));
    disk.fill();
    let (code, log) = query.prepare(3).end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("clinic.store") && log.contains(NO_SPACE), "{log}");
    let (output, report) = (disk.path().join("y.npy"), site.path("r.json"));
    let (code, log) = Process::start("clinic", query.command(&output, &report)).end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("y.npy") && log.contains(NO_SPACE), "{log}");
    assert_eq!((site.batches("clinic.store"), site.ready("clinic.store")), (1, 2));
    assert!(!output.exists() && !report.exists());
    disk.free();
    (0..2).for_each(|_| query.succeeds());
}

#[test]
fn a_deposit_on_a_full_disk_is_refused_and_leaves_nothing() {
    let outsourced = Terms { setting: Topology::Outsourced, ..Terms::default() };
    let Some((site, disk)) = site_on_disk(outsourced, "north.shares") else { return };
    let ports = [(); 2].map(|()| mpc_cli::reserved::Reserved::new().unwrap());
    let servers = ports.each_ref().map(mpc_cli::reserved::Reserved::address);
    let dealer = site.start_dealer(None);
    let running = [0, 1].map(|party| site.start_share_server(party, servers, dealer.address));
    disk.fill();
    let (code, log) = site.start_deposit(servers).end();
    assert_eq!(code, Some(6), "{log}");
    running[0].process.await_log(NO_SPACE, 1);
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["filler"]);
    disk.free();
    site.deposit(servers);
    Query { second: Some(servers[1]), ..Query::new(&site, servers[0], dealer.address) }.succeeds();
}
