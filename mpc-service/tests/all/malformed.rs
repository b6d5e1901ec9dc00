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

/// Seconds that participants wait for one another where nothing else is said.
const DEADLINE: usize = 3;
/// Beyond so many deadlines something hangs: some, as one waits for the other, and time for a busy machine.
const HANGS: u32 = 14;
/// One of so many cases is tried where nothing else is said.
const FEW: usize = 397;
/// Sites at a time where nothing else is said: they mostly wait.
const SITES: usize = 4;
/// Memory that a process may take more for each site after all cases: with all sites far less than one announcement.
const GROWTH: u64 = 40 << 20;

/// Panics of this process.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A frame of an honest run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    /// The relay that it passes.
    at: usize,
    place: Place,
    /// Whether it is of the first session, or of the deposit before.
    begins: bool,
}

/// Organisations with a relay before every service.
pub struct Spoilt {
    pub site: Site,
    /// Before each server, and before the dealer.
    pub relays: Vec<Relay>,
    /// Stop when they are dropped.
    _services: Vec<Running>,
    stores: AtomicUsize,
    /// How long participants wait for one another.
    deadline: Duration,
    /// Beyond this something hangs.
    hangs: Duration,
}

impl Spoilt {
    pub fn new(terms: Terms, deadline: Duration) -> Self {
        let mut site = Site::new(terms);
        for organisation in site.organisations_mut() {
            organisation.deadline = deadline;
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
        Self { site, relays, _services: services, stores: AtomicUsize::new(0), deadline, hangs: deadline * HANGS }
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

    /// A deposit where servers hold shares, and a session.
    fn begin(&self) -> Result<ArrayD<f64>, ServiceError> {
        let model = &self.site.model.public;
        if model.terms.setting == Topology::Outsourced {
            let depositor = Depositor { endpoint: self.site.owner.endpoint(), servers: self.peers() };
            block_on(depositor.deposit(&self.site.model))?;
        }
        self.query(Correlations::Live)
    }

    /// The rest of what participants do with each other: a batch, a session of it, and another batch.
    fn go_on(&self) -> Result<ArrayD<f64>, ServiceError> {
        let (client, model, store) = (self.client(), &self.site.model.public, self.store());
        block_on(client.prepare(model, 1, &store, &mut ()))?;
        let result = self.query(Correlations::Store(&store))?;
        // The servers are told that the batch is used up.
        let audited = u32::from(model.terms.has_dealer());
        block_on(client.prepare_audited(model, (2, audited), &store, &mut ()))?;
        Ok(result)
    }

    fn query(&self, correlations: Correlations<'_>) -> Result<ArrayD<f64>, ServiceError> {
        let inputs = [vec![sample(1).0]];
        let mut results = block_on(self.client().query(&self.site.model.public, &inputs, correlations, &mut ()))?;
        Ok(results.outputs.remove(0).unwrap().remove(0))
    }

    /// A store of its own for each run.
    pub fn store(&self) -> FolderStore {
        let folder: PathBuf =
            self.site.folder.path().join(format!("client{}", self.stores.fetch_add(1, Ordering::Relaxed)));
        FolderStore::open(folder, FileKey::new(self.site.client.identity.derive_key("store"))).unwrap()
    }

    /// Spoils one frame, or none, from now on.
    fn set(&self, spoilt: Option<(Frame, Fault)>) {
        for (at, relay) in self.relays.iter().enumerate() {
            relay.spoil(spoilt.filter(|(frame, _)| frame.at == at).map(|(frame, fault)| (frame.place, fault)));
        }
    }

    /// The frames of an honest run; on a machine that is too busy for one, of the next one.
    fn frames(&self) -> Vec<Frame> {
        self.serves(true, "nothing");
        let began = Instant::now();
        let begun = loop {
            self.set(None);
            match self.begun() {
                Ok(begun) => break begun,
                Err(error) => assert!(began.elapsed() < self.hangs, "{error}"),
            }
        };
        let of_relay = |(relay, at): (&Relay, usize)| {
            let begun = begun[at];
            let frame = move |(count, (place, _))| Frame { at, place, begins: count < begun };
            relay.seen().into_iter().enumerate().map(frame).collect::<Vec<_>>()
        };
        let mut frames: Vec<_> = self.relays.iter().zip(0..).flat_map(of_relay).collect();
        frames.sort();
        frames
    }

    /// The number of frames of the first session at each relay, in an honest run of all.
    fn begun(&self) -> Result<Vec<usize>, ServiceError> {
        self.begin()?;
        // What others than the caller have still to say of its session.
        thread::sleep(self.deadline / 4);
        let begun = self.relays.iter().map(|relay| relay.seen().len()).collect();
        self.go_on().map(|_| begun)
    }

    /// Spoils one frame; whether the caller noticed. A share that was changed nobody need notice: it is that of a participant
    /// that departs from the protocol. What comes before the frame is honest, and succeeds.
    fn spoil(&self, frame: Frame, fault: Fault, after: &str) -> bool {
        let began = Instant::now();
        let (spoilt, error) = loop {
            self.set(Some((frame, fault)));
            let tried = Instant::now();
            match self.begin() {
                // The case before may have left a connection that is counted among those of this one.
                Err(error) if !frame.begins => {
                    assert!(began.elapsed() < self.hangs, "after {after}: {error}");
                    self.set(None);
                    self.serves(false, after);
                }
                Err(error) => break (tried, Some(error)),
                Ok(result) => {
                    if !frame.begins {
                        assert_close(&result, &sample(1).1);
                    }
                    break (tried, self.go_on().err());
                }
            }
        };
        assert!(spoilt.elapsed() < self.hangs, "{frame:?} {fault:?}");
        // Named, and with whom.
        assert!(error.as_ref().is_none_or(|error| error.to_string().len() > 10), "{error:?}");
        self.set(None);
        error.is_some()
    }

    /// An honest session succeeds, or all that participants do, once those of before have ended.
    fn serves(&self, all: bool, after: &str) {
        let began = Instant::now();
        // What a case has left may still be under way, a deposit for instance, and the machine be busy.
        let run = || Ok([Some(self.begin()?), all.then(|| self.go_on()).transpose()?]);
        let results: [Option<ArrayD<f64>>; 2] = loop {
            let tried: Result<_, ServiceError> = run();
            match tried {
                Ok(results) => break results,
                Err(error) => assert!(began.elapsed() < self.hangs, "after {after}: {error}"),
            }
        };
        results.iter().flatten().for_each(|result| assert_close(result, &sample(1).1));
    }
}

/// The memory that this process has, or the most that it has had; 0 where the system does not tell.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap_or_default() << 10
}

/// A number that `cargo xtask soak` gives, or the one of the short form.
fn asked(variable: &str, short: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

/// Cases in turn, of which each site takes the next.
fn spoil_all(terms: Terms, [step, sites, deadline]: [usize; 3]) -> [usize; 2] {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let noticed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (next, noticed) = (&next, &noticed);
        let work = || {
            let spoilt = Spoilt::new(terms, Duration::from_secs(deadline as u64));
            let frames = spoilt.frames();
            let directions = [Direction::Forth, Direction::Back];
            assert!(directions.iter().all(|direction| frames.iter().any(|frame| frame.place.direction == *direction)));
            let mut after = "nothing".to_owned();
            for count in 1.. {
                let case = next.fetch_add(step, Ordering::Relaxed);
                let Some(&frame) = frames.get(case / FAULTS.len()) else { return spoilt.serves(true, &after) };
                let fault = FAULTS[case % FAULTS.len()];
                // A case with a later frame begins with an honest session itself.
                let all = count % FAULTS.len() == 0;
                if all || frame.begins {
                    spoilt.serves(all, &after);
                }
                noticed.fetch_add(usize::from(spoilt.spoil(frame, fault, &after)), Ordering::Relaxed);
                after = format!("{frame:?} {fault:?}");
            }
        };
        let working: Vec<_> = (0..sites).map(|_| scope.spawn(work)).collect();
        working.into_iter().for_each(|site| site.join().unwrap());
    });
    let cases = [next.into_inner() / step - sites, noticed.into_inner()];
    println!("{:?}, {}: cases, noticed {cases:?} in {:.0?}", terms.setting, terms.correlations, began.elapsed());
    cases
}

#[test]
fn spoilt_messages_of_every_kind_end_a_session_and_nothing_else() {
    let form = [("", FEW), ("_SITES", SITES), ("_DEADLINE", DEADLINE)];
    let form = form.map(|(name, short)| asked(&format!("MPC_MALFORMED{name}"), short));
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    // Forgets the peak so far, where the system lets it.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, began) = (memory("VmRSS"), Instant::now());
    let direct = spoil_all(Terms { parties: 3, ..Terms::default() }, form);
    let outsourced = spoil_all(Terms { setting: Topology::Outsourced, ..Terms::default() }, form);
    let own_direct = spoil_all(own(Topology::Direct), form);
    let own_outsourced = spoil_all(own(Topology::Outsourced), form);
    let (seconds, grown) = (began.elapsed().as_secs(), memory("VmHWM").saturating_sub(before));
    println!("{seconds} s, {grown} bytes more");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    assert!(grown < GROWTH * form[1] as u64, "{grown} bytes");
    assert!([direct, outsourced, own_direct, own_outsourced].iter().all(|[cases, _]| *cases > 0));
}
