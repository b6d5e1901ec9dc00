//! Sessions between services over TLS: results, stored correlations, and what is refused.

use mpc_nn::{Comparisons, GraphBuilder, GraphLimits, Network, Preprocessing, Weights};
use mpc_ring::RingBits;
use mpc_service::names::Refusal;
use mpc_service::{
    Correlations, Kind, Limits, PreparedStore, PublicModel, Reveal, RevealTo, ServiceError, Terms, Topology,
};
use ndarray::ArrayD;
use smol::block_on;

use crate::support::{DEADLINE, Organisation, Site, assert_close, sample};

fn direct(parties: u8) -> Terms {
    Terms { parties, ..Terms::default() }
}

fn outsourced(parties: u8) -> Terms {
    Terms { setting: Topology::Outsourced, ..direct(parties) }
}

/// Two inferences in one session with a dealer, and their results.
fn query_live(terms: Terms) {
    let site = Site::new(terms);
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    if terms.setting == Topology::Outsourced {
        block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
    }
    let client = site.client(&servers, Some(&dealer));
    let samples = [sample(1), sample(2)];
    let inputs: Vec<_> = samples.iter().map(|(x, _)| vec![x.clone()]).collect();
    for _ in 0..2 {
        let results = block_on(client.query(&site.model.public, &inputs, Correlations::Live, &mut ())).unwrap();
        for (outputs, (_, plain)) in results.outputs.iter().zip(&samples) {
            assert_close(&outputs.as_ref().unwrap()[0], plain);
        }
        assert_eq!(results.reports.len(), 2);
        check_reports(&site.model.public, &results.reports);
    }
}

/// Checks that the measured traffic is the planned one, step by step.
pub fn check_reports(model: &PublicModel, reports: &[mpc_service::InferenceReport]) {
    if model.terms.setting == Topology::Outsourced {
        return;
    }
    let plan = model.plan::<u64>().unwrap();
    for report in reports {
        assert_eq!(report.online, plan.online(model.terms.parties() - 1));
        report.steps.iter().for_each(|step| assert_eq!(step.planned, step.measured, "{}", step.name));
    }
}

#[test]
fn a_model_owner_and_a_data_owner() {
    query_live(direct(2));
}

#[test]
fn a_class_is_that_of_the_first_of_several_outputs() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, 4]).unwrap();
    let (scores, others) = (builder.relu("scores", x).unwrap(), builder.scale("others", x, 2.0).unwrap());
    let graph = builder.finish(&[scores, others]).unwrap();
    let weights = Weights::for_graph(&graph, std::collections::BTreeMap::new()).unwrap();
    let terms = Terms { reveal: Reveal::Class, ..direct(2) };
    let model = PublicModel::new(&Network::new(graph, weights), terms).unwrap();
    let read = PublicModel::from_bytes(&model.to_bytes(), "net", &GraphLimits::NONE).unwrap();
    assert_eq!(read.output_names(), ["scores"]);
}

#[test]
fn with_servers_that_help() {
    query_live(direct(4));
}

#[test]
fn outsourced_to_two_and_to_three_servers() {
    query_live(outsourced(2));
    query_live(outsourced(3));
}

#[test]
fn the_model_owner_computes_with_its_weights() {
    query_live(Terms { owner_computes: true, ..direct(2) });
}

#[test]
fn only_the_class_and_only_to_the_one_named() {
    let class = |y: &[f32]| (0..y.len()).max_by(|&i, &j| y[i].total_cmp(&y[j])).unwrap() as f64;
    for (reveal_to, is_revealed, is_told) in
        [(RevealTo::DataOwner, true, false), (RevealTo::ModelOwner, false, true), (RevealTo::Both, true, true)]
    {
        let site = Site::new(Terms { reveal: Reveal::Class, reveal_to, ..direct(2) });
        let dealer = site.start_dealer();
        let servers = site.start_servers(Some(&dealer), Limits::default());
        let client = site.client(&servers, Some(&dealer));
        let (x, y) = sample(3);
        let results = block_on(client.query(&site.model.public, &[vec![x]], Correlations::Live, &mut ())).unwrap();
        let revealed = results.outputs[0].as_ref().map(|outputs| outputs[0].iter().copied().collect::<Vec<_>>());
        assert_eq!(revealed, is_revealed.then(|| vec![class(&y)]));
        drop(servers);
        let told: Vec<f64> = site.told.lock().unwrap().iter().flatten().flatten().copied().collect();
        assert_eq!(told, if is_told { vec![class(&y)] } else { Vec::new() });
    }
}

/// Prepared with a dealer, used without one, each once.
fn query_prepared(terms: Terms) {
    let site = Site::new(terms);
    let store = site.store();
    let batch = {
        let dealer = site.start_dealer();
        let servers = site.start_servers(Some(&dealer), Limits::default());
        if terms.setting == Topology::Outsourced {
            block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
        }
        let client = site.client(&servers, Some(&dealer));
        block_on(client.prepare(&site.model.public, 4, &store, &mut ())).unwrap()
    };
    // Everything has been restarted, and nobody deals.
    let servers = site.start_servers(None, Limits::default());
    let client = site.client(&servers, None);
    let correlations = Correlations::Store(&store);
    let (x, y) = sample(4);
    let mut used = Vec::new();
    for count in [1, 2, 1] {
        let inputs = vec![vec![x.clone()]; count];
        let results = block_on(client.query(&site.model.public, &inputs, correlations, &mut ())).unwrap();
        results.outputs.iter().for_each(|outputs| assert_close(&outputs.as_ref().unwrap()[0], &y));
        check_reports(&site.model.public, &results.reports);
        let (from, places) = results.used.unwrap();
        assert_eq!(from, batch);
        used.extend(places);
    }
    assert_eq!(used, [0, 1, 2, 3]);
    let error = block_on(client.query(&site.model.public, &[vec![x]], correlations, &mut ())).unwrap_err();
    assert!(matches!(error, ServiceError::NothingPrepared { .. }), "{error}");
    assert_eq!(store.batches().unwrap(), []);
}

#[test]
fn prepared_inferences_need_no_dealer_and_are_used_once() {
    query_prepared(direct(2));
    query_prepared(direct(3));
    query_prepared(outsourced(2));
}

#[test]
fn what_a_data_owner_has_discarded_counts_no_more_at_the_servers() {
    for terms in [direct(3), outsourced(2)] {
        let site = Site::new(terms);
        let store = site.store();
        let dealer = site.start_dealer();
        let servers = site.start_servers(Some(&dealer), Limits { stored: 3, ..Limits::default() });
        if terms.setting == Topology::Outsourced {
            block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
        }
        let client = site.client(&servers, Some(&dealer));
        let prepare = || block_on(client.prepare(&site.model.public, 2, &store, &mut ()));
        let first = prepare().unwrap();
        let error = prepare().unwrap_err();
        assert!(matches!(error, ServiceError::Refused { refusal: Refusal::Limit, .. }), "{error}");
        store.discard(first).unwrap();
        let second = prepare().unwrap();
        assert_eq!(store.batches().unwrap(), [second]);
        let (x, y) = sample(6);
        let results = block_on(client.query(&site.model.public, &[vec![x]], Correlations::Store(&store), &mut ()));
        assert_close(&results.unwrap().outputs[0].as_ref().unwrap()[0], &y);
    }
}

#[test]
fn what_a_server_has_lost_is_passed_over() {
    let site = Site::new(direct(2));
    let store = site.store();
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let client = site.client(&servers, Some(&dealer));
    block_on(client.prepare(&site.model.public, 3, &store, &mut ())).unwrap();
    // The server's first one is gone, as after a crash.
    let stores = site.folder.path().join("stores0");
    let folder_in = |folder: &std::path::Path| {
        let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.find(|path| path.is_dir()).unwrap()
    };
    std::fs::remove_file(folder_in(&folder_in(&stores)).join("000000.ready")).unwrap();
    let (x, y) = sample(5);
    let correlations = Correlations::Store(&store);
    let results = block_on(client.query(&site.model.public, &[vec![x]], correlations, &mut ())).unwrap();
    assert_eq!(results.used.unwrap().1, [1]);
    assert_close(&results.outputs[0].as_ref().unwrap()[0], &y);
}

#[test]
fn clients_at_once_get_their_own_results() {
    let site = Site::new(direct(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let client = site.client(&servers, Some(&dealer));
            let model = &site.model.public;
            scope.spawn(move || {
                let (x, y) = sample(seed);
                let results = block_on(client.query(model, &[vec![x]], Correlations::Live, &mut ())).unwrap();
                assert_close(&results.outputs[0].as_ref().unwrap()[0], &y);
            });
        }
    });
}

/// The error of a query with the public part of a model, where the server has another one.
fn query_other(site: &Site, terms: Terms) -> ServiceError {
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let mut client = site.client(&servers, Some(&dealer));
    client.reveal_to = terms.reveal_to;
    let other = mpc_service::PrivateModel::new(crate::support::network(), terms).unwrap().public;
    block_on(client.query(&other, &[vec![sample(0).0]], Correlations::Live, &mut ())).unwrap_err()
}

#[test]
fn a_difference_is_named_with_both_values() {
    let site = Site::new(direct(2));
    let cases = [
        (
            Terms { fractional_bits: 15, comparison_bits: 31, ..direct(2) },
            "\"fractional bits\": here it is \"15\", there \"16\"",
        ),
        (Terms { comparison_bits: 31, ..direct(2) }, "\"comparison bits\": here it is \"31\", there \"32\""),
        (
            Terms { comparisons: Comparisons::FewBytes, ..direct(2) },
            "\"comparisons\": here it is \"few bytes\", there \"few rounds\"",
        ),
        (Terms { ring: RingBits::Bits128, ..direct(2) }, "\"ring\": here it is \"Z_2^128\", there \"Z_2^64\""),
        (Terms { owner_computes: true, ..direct(2) }, "\"weights known to\""),
        (Terms { reveal_to: RevealTo::Both, ..direct(2) }, "\"outputs revealed to\""),
        (Terms { reveal: Reveal::Class, ..direct(2) }, "\"model\""),
    ];
    for (terms, expected) in cases {
        let error = query_other(&site, terms);
        assert_eq!(error.kind(), Kind::Differs, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().starts_with("server0 ("), "{error}");
    }
}

#[test]
fn strangers_and_those_of_another_role_are_refused() {
    let site = Site::new(direct(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let inputs = [vec![sample(0).0]];
    let query = |client: &mpc_service::Client| {
        block_on(client.query(&site.model.public, &inputs, Correlations::Live, &mut ())).unwrap_err()
    };
    // Somebody whom nobody knows.
    let error = query(&site.client_of(&Organisation::new("stranger"), &servers, Some(&dealer)));
    assert_eq!(error.kind(), Kind::Differs, "{error}");
    assert!(error.to_string().contains("refused this side's certificate"), "{error}");
    // Somebody who may leave shares, but not ask.
    let error = query(&site.client_of(&site.owner, &servers, Some(&dealer)));
    assert!(matches!(error, ServiceError::Refused { refusal: Refusal::Forbidden, .. }), "{error}");
    // A server that is somebody else.
    let mut client = site.client(&servers, Some(&dealer));
    client.servers[0].certificate = Organisation::new("server0").certificate();
    let error = query(&client);
    assert_eq!(error.kind(), Kind::Differs, "{error}");
    // A dealer in place of a server.
    let mut client = site.client(&servers, Some(&dealer));
    client.servers[0] = site.dealer.peer(dealer.address);
    client.dealer = Some(Organisation::new("other-dealer").peer(dealer.address));
    let error = query(&client);
    assert!(matches!(error, ServiceError::Refused { refusal: Refusal::Forbidden, .. }), "{error}");
    // All is well for the others.
    let client = site.client(&servers, Some(&dealer));
    block_on(client.query(&site.model.public, &inputs, Correlations::Live, &mut ())).unwrap();
}

#[test]
fn limits_are_kept_and_named() {
    let site = Site::new(direct(2));
    let dealer = site.start_dealer();
    let memory = site.model.public.plan::<u64>().unwrap().memory_bytes(0, Preprocessing::Ahead);
    let query = |limits: Limits, count: usize| {
        let servers = site.start_servers(Some(&dealer), limits);
        let client = site.client(&servers, Some(&dealer));
        let inputs = vec![vec![sample(0).0]; count];
        block_on(client.query(&site.model.public, &inputs, Correlations::Live, &mut ())).map(|_| ())
    };
    let limits = Limits { inferences: 2, memory, ..Limits::default() };
    query(limits, 2).unwrap();
    for (limits, count, refusal) in [
        (limits, 3, Refusal::Limit),
        (Limits { memory: memory - 1, ..limits }, 1, Refusal::Limit),
        (Limits { sessions: 0, ..limits }, 1, Refusal::Busy),
        (Limits { sessions_per_peer: 0, ..limits }, 1, Refusal::Busy),
    ] {
        let error = query(limits, count).unwrap_err();
        assert!(matches!(error, ServiceError::Refused { refusal: found, .. } if found == refusal), "{error}");
    }
}

#[test]
fn inputs_are_checked_before_anything_is_sent() {
    let site = Site::new(direct(2));
    // Nobody is there.
    let client = site.client(&[], None);
    let mut client = client;
    client.servers = vec![site.servers[0].peer("127.0.0.1:1".parse().unwrap())];
    let wrong =
        [ArrayD::zeros(vec![1, 5]), ArrayD::from_elem(vec![1, 6], 1e9), ArrayD::from_elem(vec![1, 6], f32::NAN)];
    for input in wrong {
        let query = block_on(client.query(&site.model.public, &[vec![input]], Correlations::Live, &mut ()));
        assert!(matches!(query, Err(ServiceError::Input(_))), "{query:?}");
    }
    let beyond = ArrayD::from_elem(vec![1, 6], 20_000.0);
    let query = block_on(client.query(&site.model.public, &[vec![beyond]], Correlations::Live, &mut ()));
    assert!(matches!(query, Err(ServiceError::Unfit(_))), "{query:?}");
}

#[test]
fn a_dealer_that_is_not_there_is_named() {
    let site = Site::new(direct(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let client = site.client(&servers, Some(&dealer));
    drop(dealer);
    let began = std::time::Instant::now();
    let query = block_on(client.query(&site.model.public, &[vec![sample(0).0]], Correlations::Live, &mut ()));
    let error = query.unwrap_err();
    assert_eq!(error.kind(), Kind::PeerLost, "{error}");
    assert!(error.to_string().starts_with("dealer ("), "{error}");
    assert!(began.elapsed() < DEADLINE * 3);
}
