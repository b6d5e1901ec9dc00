//! Roles that exclude each other, and peers that take more than their part: each is refused by name.

use std::time::{Duration, Instant};

use mpc_service::wire::message::{self, Opening, Preparation, SessionRequest, Work};
use mpc_service::{
    BatchId, Client, Contacts, Correlations, Dealer, Depositor, Holdings, Limits, PrivateModel, PublicModel, RevealTo,
    Server,
};
use mpc_service::{ServiceError, Terms, TermsError, Topology, listen};
use mpc_transport::tls::SecureLink;
use mpc_transport::{Connection, TransportError};
use smol::block_on;

use crate::support::{Organisation, Site, loopback, network, sample, start_dealer};

#[test]
fn a_dealer_that_takes_part_is_refused_by_everybody() {
    let takes_part = |error: ServiceError| assert!(matches!(error, ServiceError::DealerTakesPart { .. }), "{error}");
    let site = Site::new(Terms::default());
    let address = "127.0.0.1:1".parse().unwrap();
    // By the dealer itself.
    let allowed = vec![site.servers[0].certificate(), site.dealer.certificate()];
    takes_part(Dealer::new(site.dealer.endpoint(), allowed, Limits::default()).unwrap_err());
    // By a server whose dealer is itself, its data owner, or one who leaves models.
    let [server, client, owner] = [&site.servers[0], &site.client, &site.owner];
    for dealer in [server, client, owner] {
        let contacts = Contacts {
            data_owners: vec![client.certificate()],
            model_owners: vec![owner.certificate()],
            dealer: Some(dealer.peer(address)),
            ..Contacts::default()
        };
        let holdings = Holdings::Own(Box::new(PrivateModel::new(network(), Terms::default()).unwrap()));
        takes_part(Server::new(server.endpoint(), 0, holdings, contacts, None, Limits::default()).unwrap_err());
    }
    // By a data owner whose dealer is itself or the server; nobody need be there.
    for dealer in [server, client] {
        let mut asking = site.client(&[], None);
        asking.servers = vec![server.peer(address)];
        asking.dealer = Some(dealer.peer(address));
        let inputs = [vec![sample(0).0]];
        let model = &site.model.public;
        takes_part(block_on(asking.query(model, &inputs, Correlations::Live, &mut ())).unwrap_err());
        takes_part(block_on(asking.prepare(model, 1, &site.store(), &mut ())).unwrap_err());
    }
}

/// It would be sent all shares of a model, or of an input, before a dealer could refuse it.
#[test]
fn one_certificate_for_two_parties_is_refused_by_everybody() {
    let twice = |error: ServiceError| assert!(matches!(error, ServiceError::PartyTwice { .. }), "{error}");
    let site = Site::new(Terms { setting: Topology::Outsourced, ..Terms::default() });
    let address = "127.0.0.1:1".parse().unwrap();
    let (server, model) = (&site.servers[0], &site.model);
    let servers = vec![server.peer(address), server.peer(address)];
    // By a model owner that leaves shares, and by a data owner; nobody need be there.
    let depositor = Depositor { servers: servers.clone(), ..site.depositor(&[]) };
    twice(block_on(depositor.deposit(model)).unwrap_err());
    let asking = Client { servers: servers.clone(), dealer: Some(site.dealer.peer(address)), ..site.client(&[], None) };
    let inputs = [vec![sample(0).0]];
    twice(block_on(asking.query(&model.public, &inputs, Correlations::Live, &mut ())).unwrap_err());
    twice(block_on(asking.query(&model.public, &inputs, Correlations::Store(&site.store()), &mut ())).unwrap_err());
    twice(block_on(asking.prepare(&model.public, 1, &site.store(), &mut ())).unwrap_err());
    // By a server.
    let contacts = Contacts { servers, ..Contacts::default() };
    let direct = PrivateModel::new(network(), Terms { parties: 3, ..Terms::default() }).unwrap();
    let holdings = Holdings::Own(Box::new(direct));
    twice(Server::new(server.endpoint(), 0, holdings, contacts, None, Limits::default()).unwrap_err());
    // By a data owner that computes, of itself.
    let site = Site::new(Terms::default());
    let asking = Client { servers: vec![site.client.peer(address)], ..site.client(&[], None) };
    twice(block_on(asking.query(&site.model.public, &inputs, Correlations::Live, &mut ())).unwrap_err());
}

/// The answer of a service to one that has said nothing.
fn answer(link: &mut SecureLink) -> String {
    String::from_utf8_lossy(&block_on(link.receive_bounded(4096)).unwrap()).into_owned()
}

#[test]
fn who_says_nothing_is_sent_away_after_ten_seconds() {
    let site = Site::new(Terms::default());
    let patient = Organisation { deadline: Duration::from_secs(60), ..site.dealer.clone() };
    let dealer = start_dealer(&patient, vec![site.client.certificate()], Limits::default());
    let began = Instant::now();
    let mut silent = site.call(&site.client, &patient.peer(dealer.address));
    let closed = block_on(silent.receive_bounded(4096));
    assert!(matches!(closed, Err(TransportError::Closed { .. })), "{closed:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn one_peer_may_not_take_all_connections() {
    let site = Site::new(Terms::default());
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let server = site.servers[0].peer(servers[0].address);
    let mut greedy: Vec<_> = (0..33).map(|_| site.call(&site.owner, &server)).collect();
    // It is the last one, but where another one was counted after it.
    assert!(greedy.iter_mut().rev().any(|link| answer(link).contains("32 connections of yours")));
    let (client, inputs) = (site.client(&servers, Some(&dealer)), [vec![sample(0).0]]);
    block_on(client.query(&site.model.public, &inputs, Correlations::Live, &mut ())).unwrap();
}

/// Each of them is within the limit, and a batch is in the store only at its end.
#[test]
fn sessions_that_prepare_at_a_time_do_not_pass_the_limit_of_what_is_stored() {
    let site = Site::new(Terms::default());
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits { stored: 4, ..Limits::default() });
    let server = site.servers[0].peer(servers[0].address);
    let plan = site.model.public.digest().unwrap();
    let prepare = |batch: u8, inferences: u32| {
        let batch = Preparation { batch: BatchId([batch; 16]), audited: 0 };
        let request = SessionRequest { session: [batch.batch.0[0]; 16], plan, work: Work::Prepare(batch), inferences };
        let mut link = site.call(&site.client, &server);
        block_on(message::open(&mut link, &Opening::Session(request), "server")).map(|()| link)
    };
    let first = prepare(1, 3).unwrap();
    let refused = prepare(2, 2).unwrap_err().to_string();
    assert!(refused.contains("0 prepared inferences of yours are here, 3 are being prepared, and 4"), "{refused}");
    let second = prepare(3, 1).unwrap();
    drop((first, second));
    let (client, store) = (site.client(&servers, Some(&dealer)), site.store());
    let ended = || block_on(client.prepare(&site.model.public, 4, &store, &mut ())).is_ok();
    let waited = Instant::now();
    while !ended() {
        assert!(waited.elapsed() < Duration::from_secs(60), "what has failed is still counted");
    }
}

#[test]
fn an_outsourced_model_reveals_nothing_to_its_owner_and_says_why() {
    for reveal_to in [RevealTo::ModelOwner, RevealTo::Both] {
        let terms = Terms { setting: Topology::Outsourced, reveal_to, ..Terms::default() };
        assert!(matches!(terms.settings(), Err(TermsError::OwnerOutside)));
        let error = PublicModel::new(&network(), terms).unwrap_err().to_string();
        assert!(error.contains("reveals its result to the data owner alone"), "{error}");
    }
}

#[test]
fn nothing_is_sent_where_the_result_goes_to_somebody_that_the_data_owner_has_not_named() {
    let all = [RevealTo::DataOwner, RevealTo::ModelOwner, RevealTo::Both];
    for (terms, agreed) in all.into_iter().flat_map(|terms| all.map(|agreed| (terms, agreed))) {
        let site = Site::new(Terms { reveal_to: terms, ..Terms::default() });
        // Nobody is there: an attempt to reach the server would be another error.
        let mut client = site.client(&[], None);
        client.servers = vec![site.servers[0].peer("127.0.0.1:1".parse().unwrap())];
        client.dealer = Some(site.dealer.peer("127.0.0.1:1".parse().unwrap()));
        client.endpoint.settings.connect_deadline = Duration::from_millis(100);
        client.reveal_to = agreed;
        let (model, inputs, store) = (&site.model.public, [vec![sample(0).0]], site.store());
        let errors = [
            block_on(client.query(model, &inputs, Correlations::Live, &mut ())).unwrap_err(),
            block_on(client.prepare(model, 1, &store, &mut ())).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(matches!(error, ServiceError::Recipients { .. }), terms != agreed, "{terms}, {agreed}: {error}");
        }
    }
}

#[test]
fn a_model_owner_that_is_told_results_says_where_they_go() {
    let site = Site::new(Terms { reveal_to: RevealTo::Both, ..Terms::default() });
    let holdings = Holdings::Own(Box::new(PrivateModel::new(network(), site.model.public.terms).unwrap()));
    let (endpoint, contacts) = (site.servers[0].endpoint(), Contacts::default());
    let server = Server::new(endpoint, 0, holdings, contacts, None, Limits::default()).unwrap();
    let listener = listen(loopback()).unwrap();
    let run = block_on(server.run(listener, std::future::ready(())));
    assert!(matches!(run, Err(ServiceError::NoRecipient)), "{run:?}");
}
