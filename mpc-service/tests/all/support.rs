//! Organisations on loopback, each service on a thread of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mpc_nn::{Graph, GraphBuilder, GraphLimits, Network, Weights, evaluate};
use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::at_rest::private_file::DiskError;
use mpc_service::{
    Client, Contacts, Dealer, Depositor, Endpoint, FolderStore, Holdings, Limits, ModelShares, Peer, PrivateModel,
    Recipient, Server, SessionId, Stores, Terms, listen,
};
use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity, SecureLink};
use ndarray::ArrayD;
use smol::channel::{Sender, bounded};
use tempfile::TempDir;

use crate::reserved::Reserved;

/// How long services wait for one another in tests.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// An organisation.
#[derive(Clone)]
pub struct Organisation {
    pub identity: Arc<Identity>,
    /// How long its endpoint waits.
    pub deadline: Duration,
}

impl Organisation {
    pub fn new(name: &str) -> Self {
        Self { identity: Arc::new(Identity::generate(name, 10).unwrap()), deadline: DEADLINE }
    }

    pub fn certificate(&self) -> Certificate {
        self.identity.certificate().clone()
    }

    pub fn endpoint(&self) -> Endpoint {
        let settings = TcpSettings { deadline: self.deadline, connect_deadline: DEADLINE, ..TcpSettings::default() };
        Endpoint { identity: Arc::clone(&self.identity), settings }
    }

    pub fn peer(&self, address: SocketAddr) -> Peer {
        Peer { addresses: address.into(), certificate: self.certificate() }
    }
}

/// A service that stops when it is dropped.
pub struct Running {
    pub address: SocketAddr,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn start<F, W>(address: SocketAddr, run: F) -> Running
where
    F: FnOnce(std::net::TcpListener, smol::channel::Receiver<()>) -> W + Send + 'static,
    W: Future<Output = Result<(), mpc_service::ServiceError>>,
{
    let listener = listen(address).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = bounded(1);
    let thread = thread::spawn(move || smol::block_on(run(listener, stopped)).unwrap());
    Running { address, stop, thread: Some(thread) }
}

async fn stopped(stop: smol::channel::Receiver<()>) {
    let _ = stop.recv().await;
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub fn start_dealer(organisation: &Organisation, allowed: Vec<Certificate>, limits: Limits) -> Running {
    run_dealer(Dealer::new(organisation.endpoint(), allowed, limits).unwrap())
}

pub fn run_dealer(dealer: Dealer) -> Running {
    // Nobody else listens there when it has stopped.
    start(free(1)[0], move |listener, stop| async move { dealer.run(listener, stopped(stop)).await })
}

pub fn start_server(server: Server, address: SocketAddr) -> Running {
    start(address, move |listener, stop| async move { server.run(listener, stopped(stop)).await })
}

/// Answers an operator who asks for a service's state.
#[cfg(feature = "admin")]
pub fn start_admin(status: mpc_service::admin::Status, needed: mpc_service::admin::Readiness) -> Running {
    let run = move |listener, stop| mpc_service::admin::serve_admin(status, needed, listener, stopped(stop));
    start(loopback(), run)
}

/// A small network: 6 inputs, 5 hidden units, 3 outputs.
pub fn network() -> Network {
    network_from(0.0)
}

/// The same with weights that begin elsewhere.
pub fn network_from(start: f32) -> Network {
    let graph = graph();
    let mut value = start;
    let mut next = || {
        value = (value + 0.37f32) % 1.0;
        value - 0.5
    };
    let tensors: BTreeMap<_, _> = graph
        .parameters()
        .into_iter()
        .map(|tensor| (tensor.name, ArrayD::from_shape_simple_fn(tensor.shape, &mut next)))
        .collect();
    let weights = Weights::for_graph(&graph, tensors).unwrap();
    let mut network = Network::new(graph, weights);
    network.outputs[0].name = "y".into();
    network
}

fn graph() -> Graph {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, 6]).unwrap();
    let hidden = builder.linear("hidden", x, 5, true).unwrap();
    let relu = builder.relu("relu", hidden).unwrap();
    let y = builder.linear("y", relu, 3, true).unwrap();
    builder.finish(&[y]).unwrap()
}

/// An input, and the network's output on it in the clear.
pub fn sample(seed: usize) -> (ArrayD<f32>, Vec<f32>) {
    sample_on(0.0, seed)
}

/// An input, and the output of [`network_from`] on it.
pub fn sample_on(start: f32, seed: usize) -> (ArrayD<f32>, Vec<f32>) {
    let x = ArrayD::from_shape_fn(vec![1, 6], |index| ((index[1] * 7 + seed * 3) % 11) as f32 / 5.0 - 1.0);
    let network = network_from(start);
    let y = evaluate(&network.graph, &network.weights, std::slice::from_ref(&x)).unwrap().remove(0);
    (x, y.into_iter().collect())
}

pub fn assert_close(private: &ArrayD<f64>, plain: &[f32]) {
    assert_eq!(private.len(), plain.len());
    for (private, plain) in private.iter().zip(plain) {
        assert!((private - f64::from(*plain)).abs() < 0.001, "{private} and {plain}");
    }
}

/// Everybody whom a model needs.
pub struct Site {
    pub model: PrivateModel,
    pub servers: Vec<Organisation>,
    pub owner: Organisation,
    /// Another one that may leave models.
    pub other_owner: Organisation,
    pub client: Organisation,
    pub dealer: Organisation,
    pub folder: TempDir,
    /// Where servers keep prepared inferences, if it is not that folder.
    pub stores: Option<Stores>,
    /// Where the weights of the model owner's server begin.
    pub start: f32,
    /// The results that the model owner was told, of each inference.
    pub told: Arc<Mutex<Vec<Vec<ArrayD<f64>>>>>,
}

/// A model owner that keeps what it is told.
#[derive(Debug)]
struct Told(Arc<Mutex<Vec<Vec<ArrayD<f64>>>>>);

impl Recipient for Told {
    fn take(&self, _: SessionId, inference: u32, outputs: &[ArrayD<f64>]) -> Result<(), DiskError> {
        let mut told = self.0.lock().unwrap();
        assert_eq!(told.len(), inference as usize);
        told.push(outputs.to_vec());
        Ok(())
    }
}

/// Addresses on which services can listen, once and again: the system gives them to nobody else until the tests end.
pub fn free(count: usize) -> Vec<SocketAddr> {
    let reserve = || {
        let reserved = Reserved::new().unwrap();
        let address = reserved.address();
        std::mem::forget(reserved);
        address
    };
    std::iter::repeat_with(reserve).take(count).collect()
}

impl Site {
    pub fn new(terms: Terms) -> Self {
        Self {
            model: PrivateModel::new(network(), terms).unwrap(),
            servers: (0..terms.servers()).map(|party| Organisation::new(&format!("server{party}"))).collect(),
            owner: Organisation::new("owner"),
            other_owner: Organisation::new("other-owner"),
            client: Organisation::new("clinic"),
            dealer: Organisation::new("dealer"),
            folder: tempfile::tempdir().unwrap(),
            stores: None,
            start: 0.0,
            told: Arc::default(),
        }
    }

    pub fn start_dealer(&self) -> Running {
        let allowed = self.servers.iter().chain([&self.client]).map(Organisation::certificate).collect();
        start_dealer(&self.dealer, allowed, Limits::default())
    }

    pub fn start_servers(&self, dealer: Option<&Running>, limits: Limits) -> Vec<Running> {
        let addresses = free(self.servers.len());
        let peers: Vec<_> = self.servers.iter().zip(&addresses).map(|(server, &at)| server.peer(at)).collect();
        (0..self.servers.len()).map(|party| self.start_server(party, &peers, dealer, limits)).collect()
    }

    pub fn start_server(&self, party: usize, peers: &[Peer], dealer: Option<&Running>, limits: Limits) -> Running {
        let contacts = Contacts {
            servers: peers.to_vec(),
            data_owners: vec![self.client.certificate()],
            model_owners: vec![self.owner.certificate(), self.other_owner.certificate()],
            dealer: dealer.map(|running| self.dealer.peer(running.address)),
        };
        start_server(self.server(party, contacts, limits), peers[party].addresses.to_string().parse().unwrap())
    }

    /// The server of a party.
    pub fn server(&self, party: usize, contacts: Contacts, limits: Limits) -> Server {
        let organisation = &self.servers[party];
        let copy = || PrivateModel::new(network_from(self.start), self.model.public.terms).unwrap();
        let holdings = match (self.model.public.terms.setting, party) {
            (mpc_service::Topology::Outsourced, _) => {
                let key = FileKey::new(organisation.identity.derive_key("model shares"));
                let folder = self.folder.path().join(format!("shares{party}"));
                Holdings::Shares(ModelShares::open(folder, key, GraphLimits::default()).unwrap())
            }
            (mpc_service::Topology::Direct, 0) => Holdings::Own(Box::new(copy())),
            (mpc_service::Topology::Direct, _) => Holdings::Public(Box::new(self.model.public.clone())),
        };
        let folder = || Stores::Folder(self.folder.path().join(format!("stores{party}")));
        let stores = self.stores.clone().unwrap_or_else(folder);
        let server = Server::new(organisation.endpoint(), party, holdings, contacts, Some(stores), limits).unwrap();
        server.with_recipient(Box::new(Told(Arc::clone(&self.told))))
    }

    /// Everybody.
    pub fn organisations_mut(&mut self) -> impl Iterator<Item = &mut Organisation> {
        let Self { servers, owner, other_owner, client, dealer, .. } = self;
        servers.iter_mut().chain([owner, other_owner, client, dealer])
    }

    pub fn client(&self, servers: &[Running], dealer: Option<&Running>) -> Client {
        self.client_of(&self.client, servers, dealer)
    }

    pub fn client_of(&self, organisation: &Organisation, servers: &[Running], dealer: Option<&Running>) -> Client {
        Client {
            endpoint: organisation.endpoint(),
            servers: self.servers.iter().zip(servers).map(|(server, running)| server.peer(running.address)).collect(),
            dealer: dealer.map(|running| self.dealer.peer(running.address)),
            reveal_to: self.model.public.terms.reveal_to,
            model_owner: None,
        }
    }

    pub fn depositor(&self, servers: &[Running]) -> Depositor {
        self.depositor_of(&self.owner, servers)
    }

    pub fn depositor_of(&self, owner: &Organisation, servers: &[Running]) -> Depositor {
        let Client { endpoint, servers, .. } = self.client_of(owner, servers, None);
        Depositor { endpoint, servers }
    }

    /// A connection to a service that is authenticated, and has said nothing.
    pub fn call(&self, caller: &Organisation, peer: &Peer) -> SecureLink {
        let settings = TcpSettings { deadline: Duration::from_secs(60), ..TcpSettings::default() };
        smol::block_on(SecureLink::connect(&peer.addresses.to_string(), &caller.identity, &peer.certificate, &settings))
            .unwrap()
    }

    pub fn store(&self) -> FolderStore {
        let key = FileKey::new(self.client.identity.derive_key("store"));
        FolderStore::open(self.folder.path().join("client"), key).unwrap()
    }
}
