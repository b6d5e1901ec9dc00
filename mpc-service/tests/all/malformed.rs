//! Every message between participants, in both directions, spoilt in every way by somebody who has the keys: nobody panics,
//! hangs or takes memory for what is announced, errors are named, and the next honest session succeeds.
//!
//! `cargo xtask soak --malformed 1` spoils every frame in every way, a greater number one of so many; here few are spoilt.

use std::panic;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::{
    Client, Contacts, Correlations, Depositor, FolderStore, Limits, Peer, ServiceError, Terms, Topology,
};
use ndarray::ArrayD;
use smol::block_on;

use crate::own::own;
use crate::relay::{Direction, FAULTS, Fault, Place, Relay};
use crate::support::{Organisation, Running, Site, assert_close, free, sample, start_dealer, start_server};

/// How long participants wait for one another.
const DEADLINE: Duration = Duration::from_secs(3);
/// Beyond this something hangs: some deadlines, as one waits for the other, and time for a busy machine.
const HANGS: Duration = Duration::from_secs(40);
/// One of so many cases is tried where nothing else is said.
const FEW: usize = 397;
/// Sites at a time: they mostly wait.
const SITES: usize = 4;
/// Memory that a process may take more after all cases: far less than one announcement.
const GROWTH: u64 = 256 << 20;

/// Panics of this process.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Organisations with a relay before every service.
pub struct Spoilt {
    pub site: Site,
    /// Before each server, and before the dealer.
    pub relays: Vec<Relay>,
    /// Stop when they are dropped.
    _services: Vec<Running>,
    stores: AtomicUsize,
}

impl Spoilt {
    pub fn new(terms: Terms) -> Self {
        let mut site = Site::new(terms);
        for organisation in site.organisations_mut() {
            organisation.deadline = DEADLINE;
        }
        // Servers, then the dealer, then those who only call.
        let callers = [&site.dealer, &site.client, &site.owner];
        let identities = site.servers.iter().chain(callers).map(|organisation| Arc::clone(&organisation.identity));
        let identities = Arc::new(identities.collect::<Vec<_>>());
        let allowed = site.servers.iter().chain([&site.client]).map(Organisation::certificate).collect();
        let dealer = start_dealer(&site.dealer, allowed, Limits::default());
        let has_dealer = terms.has_dealer();
        let addresses = free(site.servers.len());
        let targets = addresses.iter().copied().chain([dealer.address]);
        let relays: Vec<_> =
            targets.enumerate().map(|(place, at)| Relay::new(at, place, Arc::clone(&identities))).collect();
        let mut services = vec![dealer];
        for (party, &address) in addresses.iter().enumerate() {
            let contacts = Contacts {
                servers: site.servers.iter().zip(&relays).map(|(server, relay)| server.peer(relay.address)).collect(),
                data_owners: vec![site.client.certificate()],
                model_owners: vec![site.owner.certificate()],
                dealer: relays.last().filter(|_| has_dealer).map(|relay| site.dealer.peer(relay.address)),
            };
            services.push(start_server(site.server(party, contacts, Limits::default()), address));
        }
        Self { site, relays, _services: services, stores: AtomicUsize::new(0) }
    }

    pub fn peers(&self) -> Vec<Peer> {
        self.site.servers.iter().zip(&self.relays).map(|(server, relay)| server.peer(relay.address)).collect()
    }

    fn dealer(&self) -> Option<Peer> {
        let has_dealer = self.site.model.public.terms.has_dealer();
        self.relays.last().filter(|_| has_dealer).map(|relay| self.site.dealer.peer(relay.address))
    }

    pub fn client(&self) -> Client {
        Client { dealer: self.dealer(), servers: self.peers(), ..self.site.client_of(&self.site.client, &[], None) }
    }

    /// All that participants do with each other, to its end or to the first error.
    fn run(&self) -> Result<[ArrayD<f64>; 2], ServiceError> {
        let (client, model) = (self.client(), &self.site.model.public);
        if model.terms.setting == Topology::Outsourced {
            let depositor = Depositor { endpoint: self.site.owner.endpoint(), servers: self.peers() };
            block_on(depositor.deposit(&self.site.model))?;
        }
        let inputs = [vec![sample(1).0]];
        let live = block_on(client.query(model, &inputs, Correlations::Live, &mut ()))?;
        let store = self.store();
        block_on(client.prepare(model, 1, &store, &mut ()))?;
        let prepared = block_on(client.query(model, &inputs, Correlations::Store(&store), &mut ()))?;
        // The servers are told that the batch is used up.
        block_on(client.prepare(model, 1, &store, &mut ()))?;
        Ok([live, prepared].map(|mut results| results.outputs.remove(0).unwrap().remove(0)))
    }

    /// A store of its own for each run.
    pub fn store(&self) -> FolderStore {
        let folder: PathBuf =
            self.site.folder.path().join(format!("client{}", self.stores.fetch_add(1, Ordering::Relaxed)));
        FolderStore::open(folder, FileKey::new(self.site.client.identity.derive_key("store"))).unwrap()
    }

    /// The frames of an honest run, by the relay that they pass.
    fn frames(&self) -> Vec<(usize, Place)> {
        self.serves("nothing");
        self.relays.iter().for_each(|relay| relay.spoil(None));
        self.run().unwrap();
        let of_relay = |(at, relay): (usize, &Relay)| relay.seen().into_iter().map(move |(place, _)| (at, place));
        let mut frames: Vec<_> = self.relays.iter().enumerate().flat_map(of_relay).collect();
        frames.sort();
        frames
    }

    /// Spoils one frame; whether the caller noticed. A share that was changed nobody need notice: it is that of a participant
    /// that departs from the protocol.
    fn spoil(&self, at: usize, place: Place, fault: Fault) -> bool {
        self.relays.iter().for_each(|relay| relay.spoil(None));
        self.relays[at].spoil(Some((place, fault)));
        let began = Instant::now();
        let error = self.run().err();
        assert!(began.elapsed() < HANGS, "{at} {place:?} {fault:?}");
        // Named, and with whom.
        assert!(error.as_ref().is_none_or(|error| error.to_string().len() > 10), "{error:?}");
        self.relays.iter().for_each(|relay| relay.spoil(None));
        error.is_some()
    }

    /// An honest run succeeds, once those of before have ended.
    fn serves(&self, after: &str) {
        // What the spoilt run has left may still be under way, a deposit for instance, and the machine be busy.
        let began = Instant::now();
        let results = loop {
            match self.run() {
                Ok(results) => break results,
                Err(error) => assert!(began.elapsed() < HANGS, "after {after}: {error}"),
            }
        };
        results.iter().for_each(|result| assert_close(result, &sample(1).1));
    }
}

/// The memory that this process has, or the most that it has had; 0 where the system does not tell.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap_or_default() << 10
}

/// Cases in turn, of which each site takes the next.
fn spoil_all(terms: Terms, step: usize) -> [usize; 2] {
    let next = AtomicUsize::new(0);
    let noticed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (next, noticed) = (&next, &noticed);
        let work = || {
            let spoilt = Spoilt::new(terms);
            let frames = spoilt.frames();
            let directions = [Direction::Forth, Direction::Back];
            assert!(directions.iter().all(|direction| frames.iter().any(|(_, place)| place.direction == *direction)));
            loop {
                let case = next.fetch_add(step, Ordering::Relaxed);
                let Some(&(at, place)) = frames.get(case / FAULTS.len()) else { return };
                let fault = FAULTS[case % FAULTS.len()];
                noticed.fetch_add(usize::from(spoilt.spoil(at, place, fault)), Ordering::Relaxed);
                spoilt.serves(&format!("{at} {place:?} {fault:?}"));
            }
        };
        let sites: Vec<_> = (0..SITES).map(|_| scope.spawn(work)).collect();
        sites.into_iter().for_each(|site| site.join().unwrap());
    });
    [next.into_inner() / step - SITES, noticed.into_inner()]
}

#[test]
fn spoilt_messages_of_every_kind_end_a_session_and_nothing_else() {
    let step = std::env::var("MPC_MALFORMED").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    // Forgets the peak so far, where the system lets it.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, began) = (memory("VmRSS"), Instant::now());
    let direct = spoil_all(Terms { parties: 3, ..Terms::default() }, step);
    let outsourced = spoil_all(Terms { setting: Topology::Outsourced, ..Terms::default() }, step);
    let own_direct = spoil_all(own(Topology::Direct), step);
    let own_outsourced = spoil_all(own(Topology::Outsourced), step);
    let (seconds, grown) = (began.elapsed().as_secs(), memory("VmHWM").saturating_sub(before));
    println!(
        "cases, noticed: direct {direct:?}, outsourced {outsourced:?}, without a dealer {own_direct:?} and {own_outsourced:?} in \
         {seconds} s, {grown} bytes more"
    );
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    assert!(grown < GROWTH, "{grown} bytes");
    assert!([direct, outsourced, own_direct, own_outsourced].iter().all(|[cases, _]| *cases > 0));
}
