//! Organisations with several machines, each under one certificate: those of a session meet at the right ones.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mpc_service::names::Refusal;
use mpc_service::wire::message::{self, MAX_OFFER_BYTES, Offer, Opening, SessionRequest, Work};
use mpc_service::{
    Client, Contacts, Correlations, Depositor, Kind, Limits, Peer, PlanDigest, ServiceError, Terms, Topology,
};
use smol::block_on;

use crate::own::own;
use crate::support::{Organisation, Running, Site, assert_close, free, loopback, sample, start_dealer, start_server};

/// Spreads connections over machines in turn, as balancers do.
fn balancer(targets: Vec<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let next = AtomicUsize::new(0);
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let target = targets[next.fetch_add(1, Ordering::Relaxed) % targets.len()];
            let Ok(far) = TcpStream::connect(target) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
}

/// Several addresses of an organisation.
fn named(organisation: &Organisation, addresses: &str) -> Peer {
    Peer { addresses: addresses.parse().unwrap(), certificate: organisation.certificate() }
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// Two machines of each server and of the dealer.
struct Replicas {
    site: Site,
    servers: Vec<Vec<Running>>,
    dealers: Vec<Running>,
    /// How others name each server.
    peers: Vec<Peer>,
}

impl Replicas {
    /// Others name server `party` by `name` of the addresses of its machines, which say where they are if `says`.
    fn new(terms: Terms, says: bool, name: impl Fn(usize, &[SocketAddr]) -> String) -> Self {
        let site = Site::new(terms);
        let addresses: Vec<_> = site.servers.iter().map(|_| free(2)).collect();
        let peers: Vec<_> =
            (0..).zip(&site.servers).map(|(at, server)| named(server, &name(at, &addresses[at]))).collect();
        let allowed: Vec<_> = site.servers.iter().chain([&site.client]).map(Organisation::certificate).collect();
        let dealer = || start_dealer(&site.dealer, allowed.clone(), Limits::default());
        let dealers = if terms.has_dealer() { vec![dealer(), dealer()] } else { Vec::new() };
        let mut replicas = Self { site, servers: Vec::new(), dealers, peers };
        let start = |party: usize, at: SocketAddr| {
            let server = replicas.site.server(party, replicas.contacts(), Limits::default());
            let server = if says { server.with_address(&at.to_string()).unwrap() } else { server };
            start_server(server, at)
        };
        let started = addresses.iter().enumerate().map(|(party, at)| at.iter().map(|&at| start(party, at)).collect());
        replicas.servers = started.collect();
        if terms.setting == Topology::Outsourced {
            let depositor = Depositor { endpoint: replicas.site.owner.endpoint(), servers: replicas.peers.clone() };
            block_on(depositor.deposit(&replicas.site.model)).unwrap();
        }
        replicas
    }

    fn dealer(&self) -> Option<Peer> {
        let addresses: Vec<_> = self.dealers.iter().map(|dealer| dealer.address).collect();
        (!addresses.is_empty()).then(|| named(&self.site.dealer, &listed(&addresses)))
    }

    fn contacts(&self) -> Contacts {
        Contacts {
            servers: self.peers.clone(),
            data_owners: vec![self.site.client.certificate()],
            model_owners: vec![self.site.owner.certificate()],
            dealer: self.dealer(),
        }
    }

    fn client(&self) -> Client {
        let servers = self.peers.clone();
        Client { servers, dealer: self.dealer(), ..self.site.client(&[], None) }
    }

    fn query(&self, correlations: Correlations<'_>, seed: usize) -> Result<(), ServiceError> {
        let (x, y) = sample(seed);
        let results = block_on(self.client().query(&self.site.model.public, &[vec![x]], correlations, &mut ()))?;
        assert_close(&results.outputs[0].as_ref().unwrap()[0], &y);
        Ok(())
    }

    /// Sessions of all kinds, so many of each that not all meet at the first machines by chance.
    fn check(&self) {
        (0..4).for_each(|seed| self.query(Correlations::Live, seed).unwrap());
        let store = self.site.store();
        for seed in 0..2 {
            block_on(self.client().prepare(&self.site.model.public, 2, &store, &mut ())).unwrap();
            (0..2).for_each(|next| self.query(Correlations::Store(&store), seed + next).unwrap());
        }
    }
}

fn outsourced() -> Terms {
    Terms { setting: Topology::Outsourced, ..Terms::default() }
}

/// By a balancer alone, where every port of this machine may be one of the server's.
fn balanced(at: &[SocketAddr]) -> String {
    format!("{},127.0.0.1:1-65535", balancer(at.to_vec()))
}

#[test]
fn machines_meet_where_the_data_owner_has_called() {
    let mut replicas = Replicas::new(outsourced(), false, |_, at| listed(at));
    replicas.check();
    // One machine of each is gone: the others serve.
    replicas.servers.iter_mut().for_each(|servers| drop(servers.remove(0)));
    drop(replicas.dealers.remove(1));
    (0..4).for_each(|seed| replicas.query(Correlations::Live, seed).unwrap());
}

#[test]
fn machines_behind_balancers_meet_where_they_say_that_they_are() {
    Replicas::new(outsourced(), true, |_, at| balanced(at)).check();
}

#[test]
fn two_parties_without_a_dealer_meet_at_one_machine() {
    Replicas::new(own(Topology::Direct), true, |_, at| balanced(at)).check();
    Replicas::new(own(Topology::Direct), false, |_, at| listed(at)).check();
}

#[test]
fn a_machine_that_is_said_to_be_elsewhere_is_not_called() {
    // The data owner of two parties calls its machine itself.
    let pair = Replicas::new(own(Topology::Direct), true, |_, at| balancer(at.to_vec()).to_string());
    let error = pair.query(Correlations::Live, 0).unwrap_err();
    assert!(matches!(&error, ServiceError::Elsewhere { address, .. } if address.starts_with("127.0.0.1:")), "{error}");
    assert_eq!(error.kind(), Kind::Differs);
    // Of servers the second calls the first, and says why it does not.
    let two = Replicas::new(outsourced(), true, |_, at| balancer(at.to_vec()).to_string());
    let error = two.query(Correlations::Live, 0).unwrap_err();
    let ServiceError::Refused { peer, refusal: Refusal::Differs, reason } = &error else { panic!("{error}") };
    assert!(peer.starts_with("server1 ") && reason.contains("none of the addresses"), "{error}");
}

/// A session that a data owner has asked for by hand.
fn ask(replicas: &Replicas, server: SocketAddr) -> Result<mpc_transport::tls::SecureLink, ServiceError> {
    let site = &replicas.site;
    let plan = PlanDigest(site.model.public.plan::<u64>().unwrap().digest());
    let request = SessionRequest { session: [5; 16], plan, work: Work::Live, inferences: 1 };
    let mut link = site.call(&site.client, &site.servers[0].peer(server));
    block_on(message::open(&mut link, &Opening::Session(request), "server"))?;
    block_on(message::receive::<_, Offer>(&mut link, MAX_OFFER_BYTES, "server"))?;
    Ok(link)
}

#[test]
fn a_server_that_stops_lets_those_in_whom_it_waits_for_and_nobody_else() {
    let mut replicas = Replicas::new(outsourced(), false, |_, at| listed(at));
    let server = replicas.servers[0].remove(0);
    let address = server.address;
    let begun = ask(&replicas, address).unwrap();
    let stopping = thread::spawn(move || drop(server));
    let refused = loop {
        match ask(&replicas, address) {
            Ok(link) => drop(link),
            Err(error) => break error,
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(
        matches!(&refused, ServiceError::Refused { refusal: Refusal::Busy, reason, .. } if reason.contains("stops")),
        "{refused}"
    );
    // A data owner that knows several goes to another one.
    replicas.query(Correlations::Live, 1).unwrap();
    assert!(!stopping.is_finished());
    drop(begun);
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

/// Two machines have twice as many sessions at a time as one: whoever finds one full asks the other.
#[test]
fn two_machines_grant_twice_as_many_sessions_as_one() {
    let replicas = Replicas::new(Terms::default(), false, |_, at| listed(at));
    let most = Limits::default().sessions_per_peer;
    let is_busy = |error: &ServiceError| matches!(error, ServiceError::Refused { refusal: Refusal::Busy, .. });
    let mut held = Vec::new();
    for server in &replicas.servers[0] {
        (0..4).for_each(|seed| replicas.query(Correlations::Live, seed).unwrap());
        held.extend((0..most).map(|_| ask(&replicas, server.address).unwrap()));
        assert!(is_busy(&ask(&replicas, server.address).err().unwrap()));
    }
    assert_eq!(held.len(), 2 * most);
    assert!(is_busy(&replicas.query(Correlations::Live, 1).unwrap_err()));
    // A session of either ends, and there is room.
    held.pop();
    while let Err(error) = replicas.query(Correlations::Live, 1) {
        assert!(is_busy(&error), "{error}");
    }
}
