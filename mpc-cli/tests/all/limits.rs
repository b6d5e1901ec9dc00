//! Networks of others beyond the limits are refused by everybody whom they reach, until it is told to take larger ones.

use std::fs;
use std::process::{Command, Stdio};

use mpc_cli::reserved::Reserved;
use mpc_nn::{GraphBuilder, GraphLimits, Network, Weights};
use mpc_service::{Terms, Topology};

use crate::support::network::{INPUTS, network};
use crate::support::{Process, Query, Service, Site};

/// One element more than a tensor of others may have.
const WIDE: usize = (1 << 24) + 1;

/// A network with a tensor of so many elements, of which it takes as many as it has inputs.
fn wide() -> Network {
    assert_eq!(GraphLimits::default().tensor_elements + 1, WIDE as u64);
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, INPUTS]).unwrap();
    let relu = builder.relu("relu", x).unwrap();
    let padded = builder.pad("padded", relu, &[0, 0], &[0, WIDE - INPUTS]).unwrap();
    let kept = builder.slice("kept", padded, &[0, 0], &[1, INPUTS], &[1, 1]).unwrap();
    let graph = builder.finish(&[kept]).unwrap();
    let weights = Weights::for_graph(&graph, Default::default()).unwrap();
    let mut network = Network::new(graph, weights);
    network.outputs[0].name.clone_from(&self::network().outputs[0].name);
    network
}

fn larger(mut command: Command) -> Command {
    command.args(["--max-network", "2"]);
    command
}

#[test]
fn a_data_owner_and_the_dealer_take_a_larger_network_when_they_are_told() {
    let site = Site::with_network(wide(), Terms::default());
    // Without the private part beside it, it is somebody else's.
    fs::rename(site.path("net.private"), site.path("own.private")).unwrap();
    let server = |dealer: &Service| {
        let mut command = site.command("acme", "serve");
        command.arg(site.path("own.private")).arg("--allow").arg(site.path("clinic.crt"));
        command.args(["--listen", "127.0.0.1:0", "--dealer", &site.peer("dealer", dealer.address)]);
        Service::start("acme", command)
    };
    let strict = site.start_dealer(None);
    let acme = server(&strict);
    let query = Query::new(&site, acme.address, strict.address);
    let said = "16777217 elements in one tensor, and at most 16777216 are taken";
    for command in [query.command(&site.path("y.npy"), &site.path("r.json")), query.prepare_command(1)] {
        let (code, log) = Process::start("clinic", command).end();
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(said) && log.contains("--max-network"), "{log}");
        assert!(!log.contains("connected"), "{log}");
    }
    let (code, log) = query.start_as(larger).end();
    assert_eq!(code, Some(6), "{log}");
    assert!(log.contains(said), "{log}");
    let dealer = Service::start("dealer", larger(site.dealer_command(None)));
    let acme = server(&dealer);
    let (code, log) = Query::new(&site, acme.address, dealer.address).start_as(larger).end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn servers_take_the_shares_of_a_larger_network_when_they_are_told() {
    let site = Site::with_network(wide(), Terms { setting: Topology::Outsourced, ..Terms::default() });
    let dealer = Service::start("dealer", larger(site.dealer_command(None)));
    let start = |change: fn(Command) -> Command| {
        let ports = [(); 2].map(|()| Reserved::new().unwrap());
        let servers = ports.each_ref().map(Reserved::address);
        let running = [0, 1].map(|party| {
            let command = site.share_server_command(party, servers[party], servers, dealer.address);
            Service::start("server", change(command))
        });
        (ports, servers, running)
    };
    let (_ports, servers, _running) = start(|command| command);
    let (code, log) = site.start_deposit(servers).end();
    assert_eq!(code, Some(6), "{log}");
    assert!(log.contains("at most 16777216 are taken"), "{log}");
    let (_ports, servers, _running) = start(larger);
    site.deposit(servers);
    let query = Query { second: Some(servers[1]), ..Query::new(&site, servers[0], dealer.address) };
    query.succeeds();
}

#[test]
fn the_cost_of_a_larger_network_of_others_is_planned_when_it_is_wanted() {
    let site = Site::with_network(wide(), Terms::default());
    fs::copy(site.path("net.public"), site.path("theirs.public")).unwrap();
    let plan = |path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpc"));
        command.arg("plan").arg(site.path(path)).stdout(Stdio::null());
        command
    };
    for (command, expected) in [(plan("net.public"), 0), (plan("theirs.public"), 2), (larger(plan("theirs.public")), 0)]
    {
        let (code, log) = Process::start("clinic", command).end();
        assert_eq!(code, Some(expected), "{log}");
    }
}
