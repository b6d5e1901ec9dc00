//! Models that are left with servers: of several owners, replaced, and replaced in part; and what was prepared with them.

use std::sync::atomic::{AtomicBool, Ordering};

use mpc_nn::delegation::split_model;
use mpc_service::names::Refusal;
use mpc_service::wire::message::{
    self, Answer, Choice, MAX_OFFER_BYTES, MAX_SHORT_BYTES, Offer, Opening, Preparation, SessionRequest, Work,
};
use mpc_service::{
    BatchId, Client, Correlations, DepositId, FolderStore, Limits, Owner, Peer, PlanDigest, PreparedStore,
    PrivateModel, ServiceError, Terms, Topology,
};
use mpc_shares::{Prg, Seed};
use mpc_transport::{Connection, End, handshake_link};
use ndarray::ArrayD;
use smol::block_on;

use crate::support::{Organisation, Running, Site, assert_close, network_from, sample_on};

/// Where the weights of two versions begin.
const VERSIONS: [f32; 2] = [0.0, 0.5];

fn outsourced(parties: u8) -> Terms {
    Terms { setting: Topology::Outsourced, parties, ..Terms::default() }
}

fn model(start: f32, terms: Terms) -> PrivateModel {
    PrivateModel::new(network_from(start), terms).unwrap()
}

/// The result of one inference.
fn ask(site: &Site, client: &Client, correlations: Correlations<'_>) -> Result<ArrayD<f64>, ServiceError> {
    let inputs = [vec![sample_on(0.0, 1).0]];
    let mut results = block_on(client.query(&site.model.public, &inputs, correlations, &mut ()))?;
    Ok(results.outputs.remove(0).unwrap().remove(0))
}

/// A result is that of weights which begin there.
fn is_of(result: &ArrayD<f64>, start: f32) {
    assert_close(result, &sample_on(start, 1).1);
}

#[test]
fn models_of_two_owners_with_one_architecture_are_there_side_by_side() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let owners = [&site.owner, &site.other_owner];
    for (owner, start) in owners.iter().zip(VERSIONS) {
        let deposited = block_on(site.depositor_of(owner, &servers).deposit(&model(start, outsourced(2)))).unwrap();
        assert_eq!(deposited.deposit.owner, Owner::from(&owner.certificate()));
    }
    let mut client = site.client(&servers, Some(&dealer));
    let store = site.store();
    let several = |error: ServiceError| assert!(matches!(error, ServiceError::SeveralOwners { .. }), "{error}");
    several(ask(&site, &client, Correlations::Live).unwrap_err());
    for (owner, start) in owners.iter().zip(VERSIONS) {
        client.model_owner = Some(Owner::from(&owner.certificate()));
        is_of(&ask(&site, &client, Correlations::Live).unwrap(), start);
        block_on(client.prepare(&site.model.public, 1, &store, &mut ())).unwrap();
    }
    client.model_owner = None;
    several(ask(&site, &client, Correlations::Store(&store)).unwrap_err());
    for (owner, start) in owners.iter().zip(VERSIONS) {
        client.model_owner = Some(Owner::from(&owner.certificate()));
        is_of(&ask(&site, &client, Correlations::Store(&store)).unwrap(), start);
    }
    client.model_owner = Some(Owner::from(&site.client.certificate()));
    let error = ask(&site, &client, Correlations::Live).unwrap_err();
    assert!(matches!(error, ServiceError::NotDeposited { wanted: Some(_) }), "{error}");
}

/// A deposit that ends after so many of its steps: a share for each server, and the switch of each.
fn deposit_in_part(site: &Site, servers: &[Running], start: f32, steps: usize) {
    let model = model(start, site.model.public.terms);
    let plan = model.public.plan::<u64>().unwrap();
    let mut generator = Prg::new(Seed::from_system().unwrap());
    let shares = split_model(&plan, &model.weights, &mut generator).unwrap();
    let public = model.public.to_bytes();
    let version = [steps as u8; 16];
    let peers: Vec<_> = site.servers.iter().zip(servers).map(|(server, at)| server.peer(at.address)).collect();
    for (peer, share) in peers.iter().zip(&shares).take(steps) {
        let share = share.to_bytes();
        let mut link = site.call(&site.owner, peer);
        let opening = Opening::Deposit { version, public: public.len() as u64, share: share.len() as u64 };
        block_on(async {
            message::open(&mut link, &opening, "server").await.unwrap();
            link.send(&public).await.unwrap();
            message::await_grant(&mut link, "server").await.unwrap();
            link.send(&share).await.unwrap();
            message::await_grant(&mut link, "server").await.unwrap();
        });
    }
    for peer in peers.iter().take(steps.saturating_sub(peers.len())) {
        let opening = Opening::Switch { plan: PlanDigest(plan.digest()), version };
        block_on(message::open(&mut site.call(&site.owner, peer), &opening, "server")).unwrap();
    }
}

#[test]
fn a_deposit_that_fails_leaves_the_model_before_alive_everywhere() {
    for steps in 0..=4 {
        let site = Site::new(outsourced(2));
        let dealer = site.start_dealer();
        let servers = site.start_servers(Some(&dealer), Limits::default());
        block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
        deposit_in_part(&site, &servers, VERSIONS[1], steps);
        // Servers that have been restarted know the same.
        drop(servers);
        let servers = site.start_servers(Some(&dealer), Limits::default());
        let client = site.client(&servers, Some(&dealer));
        is_of(&ask(&site, &client, Correlations::Live).unwrap(), VERSIONS[usize::from(steps > 2)]);
        deposit_after(&site, &servers, steps);
        is_of(&ask(&site, &client, Correlations::Live).unwrap(), 0.25);
    }
}

/// The next deposit is in force, whatever the one before has left.
fn deposit_after(site: &Site, servers: &[Running], steps: usize) {
    let deposited = block_on(site.depositor(servers).deposit(&model(0.25, site.model.public.terms)));
    assert!(deposited.is_ok(), "after {steps} steps: {deposited:?}");
}

#[test]
fn a_server_that_is_not_there_keeps_the_others_from_a_deposit() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let mut servers = site.start_servers(Some(&dealer), Limits::default());
    block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
    let mut depositor = site.depositor(&servers);
    depositor.endpoint.settings.connect_deadline = std::time::Duration::from_millis(200);
    let peers = depositor.servers.clone();
    drop(servers.pop());
    block_on(depositor.deposit(&model(VERSIONS[1], outsourced(2)))).unwrap_err();
    servers.push(site.start_server(1, &peers, Some(&dealer), Limits::default()));
    is_of(&ask(&site, &site.client(&servers, Some(&dealer)), Correlations::Live).unwrap(), VERSIONS[0]);
}

#[test]
fn sessions_during_deposits_use_one_version_at_all_servers_or_fail_by_name() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let models = VERSIONS.map(|start| model(start, outsourced(2)));
    block_on(site.depositor(&servers).deposit(&models[0])).unwrap();
    let is_over = AtomicBool::new(false);
    let expected = VERSIONS.map(|start| sample_on(start, 1).1);
    std::thread::scope(|scope| {
        let (site, servers, dealer, is_over, expected) = (&site, &servers, &dealer, &is_over, &expected);
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let client = site.client(servers, Some(dealer));
                    let mut seen = [0; 3];
                    while !is_over.load(Ordering::Relaxed) {
                        match ask(site, &client, Correlations::Live) {
                            Ok(result) => {
                                let is =
                                    |y: &Vec<f32>| result.iter().zip(y).all(|(a, b)| (a - f64::from(*b)).abs() < 0.001);
                                seen[expected.iter().position(is).expect("one of the two")] += 1;
                            }
                            Err(error) => {
                                let is_named = matches!(
                                    error,
                                    ServiceError::NotDeposited { .. }
                                        | ServiceError::Refused { refusal: Refusal::Replaced, .. }
                                );
                                assert!(is_named, "{error}");
                                seen[2] += 1;
                            }
                        }
                    }
                    seen
                })
            })
            .collect();
        let depositor = site.depositor(servers);
        let deposited: Vec<_> = (0..12).map(|version| block_on(depositor.deposit(&models[version % 2]))).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(deposited.iter().all(Result::is_ok), "{deposited:?}");
        for client in clients {
            let [first, second, _] = client.join().unwrap();
            assert!(first + second > 0);
        }
    });
}

/// Whether an error says that a batch was prepared with a model that was replaced.
fn says_replaced(error: &ServiceError, batch: BatchId) {
    let is = matches!(error, ServiceError::Replaced { .. } | ServiceError::Refused { refusal: Refusal::Replaced, .. });
    assert!(is && error.to_string().contains(&batch.to_string()), "{error}");
}

#[test]
fn what_was_prepared_with_a_replaced_deposit_is_refused_by_name_and_what_is_newer_is_used() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let (client, store) = (site.client(&servers, Some(&dealer)), site.store());
    block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
    let batch = block_on(client.prepare(&site.model.public, 2, &store, &mut ())).unwrap();
    is_of(&ask(&site, &client, Correlations::Store(&store)).unwrap(), VERSIONS[0]);
    block_on(site.depositor(&servers).deposit(&model(VERSIONS[1], outsourced(2)))).unwrap();
    says_replaced(&ask(&site, &client, Correlations::Store(&store)).unwrap_err(), batch);
    assert_eq!(store.ready(batch).unwrap(), [1], "it is not spent");
    block_on(client.prepare(&site.model.public, 1, &store, &mut ())).unwrap();
    is_of(&ask(&site, &client, Correlations::Store(&store)).unwrap(), VERSIONS[1]);
}

#[test]
fn what_was_prepared_with_a_model_that_its_owner_has_replaced_is_refused_by_name() {
    let mut site = Site::new(Terms::default());
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let store = site.store();
    let prepare = |site: &Site, servers: &[Running]| {
        block_on(site.client(servers, Some(&dealer)).prepare(&site.model.public, 2, &store, &mut ())).unwrap()
    };
    let batch = prepare(&site, &servers);
    drop(servers);
    site.start = VERSIONS[1];
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let client = site.client(&servers, Some(&dealer));
    says_replaced(&ask(&site, &client, Correlations::Store(&store)).unwrap_err(), batch);
    prepare(&site, &servers);
    is_of(&ask(&site, &client, Correlations::Store(&store)).unwrap(), VERSIONS[1]);
    drop(servers);
    // The same model once more: what was prepared with it is good.
    site.start = VERSIONS[0];
    let servers = site.start_servers(Some(&dealer), Limits::default());
    is_of(&ask(&site, &site.client(&servers, Some(&dealer)), Correlations::Store(&store)).unwrap(), VERSIONS[0]);
}

/// The prepared inferences that a server has for the data owner.
fn ready(site: &Site, party: usize) -> usize {
    let fingerprint = site.client.certificate().fingerprint().to_string().replace(':', "");
    let folder = site.folder.path().join(format!("stores{party}")).join(fingerprint);
    let ends_so = |path: &std::path::Path| path.extension().is_some_and(|end| end == "ready");
    let batches = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = batches.filter(|path| path.join("batch").is_file()).flat_map(|batch| std::fs::read_dir(batch).unwrap());
    files.filter(|entry| ends_so(&entry.as_ref().unwrap().path())).count()
}

/// A data owner that has inferences prepared with a model of its choice at each server, and is gone when it should say that it
/// has its list; whether each server has prepared them.
fn prepare_without_a_last_word(site: &Site, peers: &[Peer], deposits: [DepositId; 2]) -> Vec<bool> {
    let plan = site.model.public.plan::<u64>().unwrap();
    let batch = BatchId([9; 16]);
    let request = SessionRequest {
        session: [3; 16],
        plan: PlanDigest(plan.digest()),
        work: Work::Prepare(Preparation { batch, audited: 0 }),
        inferences: 3,
    };
    let certificate = |organisation: &Organisation| organisation.certificate().fingerprint().to_string();
    let mut agreement = plan.agreement(request.session);
    agreement = agreement.with("work", format!("prepare batch {batch}")).with("inferences", "3");
    agreement = agreement.with("dealer", certificate(&site.dealer));
    for (party, server) in site.servers.iter().enumerate() {
        agreement = agreement.with(format!("certificate of party {party}"), certificate(server));
    }
    agreement = agreement.with("certificate of the data owner", certificate(&site.client));
    let mut links: Vec<_> = peers.iter().map(|peer| site.call(&site.client, peer)).collect();
    block_on(async {
        for (link, deposit) in links.iter_mut().zip(deposits) {
            message::open(link, &Opening::Session(request), "server").await.unwrap();
            message::receive::<_, Offer>(link, MAX_OFFER_BYTES, "server").await.unwrap();
            message::send(link, &Choice { deposit: Some(deposit), ..Choice::default() }, "server").await.unwrap();
            message::await_grant(link, "server").await.unwrap();
            let agreement = agreement.clone().with("deposit", deposit.to_string());
            handshake_link(link, End::First, &agreement).await.unwrap();
        }
        let mut prepared = Vec::new();
        for link in &mut links {
            let answer: Result<Answer, _> = message::receive(link, MAX_SHORT_BYTES, "server").await;
            prepared.push(matches!(answer, Ok(Answer::Accepted)));
        }
        prepared
    })
}

#[test]
fn servers_that_are_told_of_different_models_have_no_session() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let owners = [&site.owner, &site.other_owner];
    let deposits =
        owners.map(|owner| block_on(site.depositor_of(owner, &servers).deposit(&site.model)).unwrap().deposit);
    let client = site.client(&servers, Some(&dealer));
    assert_eq!(prepare_without_a_last_word(&site, &client.servers, deposits), [false, false]);
}

#[test]
fn servers_keep_nothing_of_a_batch_whose_data_owner_is_gone_before_it_has_its_list() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let deposit = block_on(site.depositor(&servers).deposit(&site.model)).unwrap().deposit;
    let client = site.client(&servers, Some(&dealer));
    assert_eq!(prepare_without_a_last_word(&site, &client.servers, [deposit; 2]), [true, true]);
    // What runs is finished first.
    drop(servers);
    assert_eq!([0, 1].map(|party| ready(&site, party)), [0, 0]);
}

#[test]
fn a_batch_that_a_server_has_not_confirmed_is_dropped_by_all() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
    let (client, store) = (site.client(&servers, Some(&dealer)), site.store());
    let batch = block_on(client.prepare(&site.model.public, 2, &store, &mut ())).unwrap();
    // As a process leaves it that is killed before the last confirmation.
    let servers_known: Vec<u8> =
        site.servers.iter().flat_map(|server| *server.certificate().fingerprint().as_bytes()).collect();
    std::fs::write(site.folder.path().join("client").join(format!("{batch}.dropped")), servers_known).unwrap();
    let store: FolderStore = site.store();
    assert_eq!(store.batches().unwrap(), []);
    block_on(client.prepare(&site.model.public, 1, &store, &mut ())).unwrap();
    drop(servers);
    assert_eq!([0, 1].map(|party| ready(&site, party)), [1, 1]);
}

#[test]
fn what_one_server_has_lost_the_others_are_told_to_remove() {
    let site = Site::new(outsourced(2));
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
    let (client, store) = (site.client(&servers, Some(&dealer)), site.store());
    let batch = block_on(client.prepare(&site.model.public, 2, &store, &mut ())).unwrap();
    let fingerprint = site.client.certificate().fingerprint().to_string().replace(':', "");
    let lost = site.folder.path().join("stores1").join(fingerprint).join(batch.to_string());
    std::fs::remove_dir_all(lost).unwrap();
    let error = ask(&site, &client, Correlations::Store(&store)).unwrap_err();
    assert!(matches!(error, ServiceError::NothingPrepared { .. }), "{error}");
    block_on(client.prepare(&site.model.public, 1, &store, &mut ())).unwrap();
    drop(servers);
    assert_eq!([0, 1].map(|party| ready(&site, party)), [1, 1]);
}
