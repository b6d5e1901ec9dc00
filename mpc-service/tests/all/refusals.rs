//! Roles that exclude each other, and peers that take more than their part: each is refused by name.

use std::time::{Duration, Instant};

use mpc_service::{Contacts, Correlations, Dealer, Holdings, Limits, PrivateModel, PublicModel, RevealTo, Server};
use mpc_service::{ServiceError, Terms, TermsError, Topology};
use mpc_transport::tls::{Certificate, SecureLink};
use mpc_transport::{Connection, TcpSettings, TransportError};
use smol::block_on;

use crate::support::{Organisation, Running, Site, network, sample, start_dealer};

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
        takes_part(block_on(asking.query(model, &inputs, Correlations::Dealer, &mut ())).unwrap_err());
        takes_part(block_on(asking.prepare(model, 1, &site.store(), &mut ())).unwrap_err());
    }
}

/// A connection to a service that is authenticated, and has said nothing.
fn connect(caller: &Organisation, service: &Running, certificate: &Certificate) -> SecureLink {
    let settings = TcpSettings { deadline: Duration::from_secs(60), ..TcpSettings::default() };
    let address = service.address.to_string();
    block_on(SecureLink::connect(&address, &caller.identity, certificate, &settings)).unwrap()
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
    let mut silent = connect(&site.client, &dealer, &patient.certificate());
    let closed = block_on(silent.receive_bounded(4096));
    assert!(matches!(closed, Err(TransportError::Closed { .. })), "{closed:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn one_peer_may_not_take_all_connections() {
    let site = Site::new(Terms::default());
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let certificate = site.servers[0].certificate();
    let mut greedy: Vec<_> = (0..33).map(|_| connect(&site.owner, &servers[0], &certificate)).collect();
    // It is the last one, but where another one was counted after it.
    assert!(greedy.iter_mut().rev().any(|link| answer(link).contains("32 connections of yours")));
    let (client, inputs) = (site.client(&servers, Some(&dealer)), [vec![sample(0).0]]);
    block_on(client.query(&site.model.public, &inputs, Correlations::Dealer, &mut ())).unwrap();
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
