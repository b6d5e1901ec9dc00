//! Many queries by several clients at once while clients and services are killed: nothing is lost, wrong or used twice but
//! what the killed ones took part in, and that is reported. At the end nobody keeps what others have lost.
//!
//! `cargo xtask soak --queries 1000` runs so many queries; here there are few.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mpc_service::{Terms, Topology};

use crate::support::claims::{Claims, Random};
use crate::support::{Query, Service, Site};

const CLIENTS: usize = 4;
const QUERIES: usize = 40;
/// Prepared at a time.
const BATCH: usize = 25;
/// One of so many queries has its client killed.
const CLIENT_KILLS: u64 = 12;

/// The fates of the queries.
#[derive(Debug, Default)]
struct Tally {
    succeeded: usize,
    prepared: usize,
    client_killed: usize,
    /// By exit code: 4, 5.
    service_killed: [usize; 2],
    /// Of each server, and of the dealer.
    service_kills: Vec<usize>,
    /// Failures for which nobody was killed.
    unexplained: Vec<String>,
}

/// A time in which a service did not run.
struct Outage {
    ended: Option<Instant>,
}

struct Soak {
    site: Site,
    /// The servers, then the dealer.
    services: Mutex<Vec<Service>>,
    outages: Mutex<Vec<Outage>>,
    tally: Mutex<Tally>,
    /// Of the clients, then of each server.
    claims: Mutex<Vec<Claims>>,
    /// One batch is prepared at a time.
    preparing: Mutex<()>,
    next: AtomicUsize,
    queries: usize,
}

impl Soak {
    fn new(site: Site, services: Vec<Service>, queries: usize) -> Self {
        let tally = Tally { service_kills: vec![0; services.len()], ..Tally::default() };
        Self {
            site,
            claims: Mutex::new(services.iter().map(|_| Claims::default()).collect()),
            services: Mutex::new(services),
            outages: Mutex::default(),
            tally: Mutex::new(tally),
            preparing: Mutex::default(),
            next: AtomicUsize::new(0),
            queries,
        }
    }

    /// A model owner's server, and a dealer.
    fn direct(queries: usize) -> Self {
        let site = Site::new();
        let dealer = site.start_dealer(None);
        let server = site.start_server(None, dealer.address);
        Self::new(site, vec![server, dealer], queries)
    }

    /// Two servers that hold shares, and a dealer.
    fn outsourced(queries: usize) -> Self {
        let site = Site::on_terms(Terms { setting: Topology::Outsourced, ..Terms::default() });
        let dealer = site.start_dealer(None);
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let servers = listeners.map(|listener| listener.local_addr().unwrap());
        let [north, south] = [0, 1].map(|party| site.start_share_server(party, servers, dealer.address));
        site.deposit(servers);
        Self::new(site, vec![north, south, dealer], queries)
    }

    fn query(&self) -> Query<'_> {
        let addresses: Vec<_> = self.services.lock().unwrap().iter().map(|service| service.address).collect();
        match addresses[..] {
            [server, dealer] => Query::new(&self.site, server, dealer),
            [north, south, dealer] => Query { second: Some(south), ..Query::new(&self.site, north, dealer) },
            _ => unreachable!("one server or two"),
        }
    }

    /// Whether a service was down at some time between then and now.
    fn was_out(&self, began: Instant) -> bool {
        let outages = self.outages.lock().unwrap();
        outages.iter().any(|outage| outage.ended.is_none_or(|ended| ended >= began))
    }

    /// Kills a service, and starts it again at once.
    fn kill(&self, index: usize) {
        let mut services = self.services.lock().unwrap();
        let addresses: Vec<_> = services.iter().map(|service| service.address).collect();
        self.outages.lock().unwrap().push(Outage { ended: None });
        services[index].process.kill();
        let (_, log) = services[index].process.end();
        self.add_claims(index, &log);
        services[index] = match (index, &addresses[..]) {
            (0, &[server, dealer]) => self.site.start_server(Some(server), dealer),
            (0 | 1, &[north, south, dealer]) => self.site.start_share_server(index, [north, south], dealer),
            _ => self.site.start_dealer(Some(addresses[index])),
        };
        let mut outages = self.outages.lock().unwrap();
        outages.last_mut().unwrap().ended = Some(Instant::now());
        self.tally.lock().unwrap().service_kills[index] += 1;
    }

    /// Adds what a service has claimed; a dealer claims nothing.
    fn add_claims(&self, service: usize, log: &str) {
        if let Some(claims) = self.claims.lock().unwrap().get_mut(1 + service) {
            claims.add(log);
        }
    }

    /// Queries until there are enough, with prepared inferences or without.
    fn run_client(&self, is_prepared: bool, random: &mut Random) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.queries {
                return;
            }
            self.ask(&Query { first: number, count: 1 + number % 3, is_prepared, ..self.query() }, random);
        }
    }

    /// One query, again until it is done, lost or killed.
    fn ask(&self, query: &Query<'_>, random: &mut Random) {
        let is_killed = random.below(CLIENT_KILLS) == 0;
        loop {
            let began = Instant::now();
            let mut asking = query.start();
            if is_killed {
                thread::sleep(Duration::from_millis(random.below(100)));
                asking.process.kill();
            }
            let (code, log) = asking.end();
            self.claims.lock().unwrap()[0].add(&log);
            match code {
                // Nothing prepared is left.
                Some(2) if query.is_prepared && log.contains("no prepared inference is left") => self.prepare(query),
                code => return self.count(query, code, &log, began, is_killed),
            }
        }
    }

    fn prepare(&self, query: &Query<'_>) {
        let _alone = self.preparing.lock().unwrap();
        loop {
            let began = Instant::now();
            let (code, log) = query.prepare(BATCH).end();
            match code {
                Some(0) => return,
                Some(4 | 5) if self.was_out(began) => {}
                code => return self.tally.lock().unwrap().unexplained.push(format!("prepare: {code:?}\n{log}")),
            }
        }
    }

    fn count(&self, query: &Query<'_>, code: Option<i32>, log: &str, began: Instant, is_killed: bool) {
        let was_out = self.was_out(began);
        let mut tally = self.tally.lock().unwrap();
        match code {
            Some(0) => {
                tally.succeeded += 1;
                tally.prepared += usize::from(query.is_prepared);
            }
            None if is_killed => tally.client_killed += 1,
            Some(code @ (4 | 5)) if was_out => tally.service_killed[code as usize - 4] += 1,
            code => tally.unexplained.push(format!("{code:?}\n{log}")),
        }
    }

    /// Kills services until the clients are done.
    fn run_killer(&self, is_over: &AtomicBool) {
        let mut random = Random(3);
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(400 + random.below(1200)));
            let services = self.tally.lock().unwrap().service_kills.len();
            self.kill(random.below(services as u64) as usize);
        }
    }

    /// Runs the clients while services are killed.
    fn run(&self) {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.run_killer(&is_over));
            let client =
                |client: usize| scope.spawn(move || self.run_client(client % 2 == 1, &mut Random(client as u64)));
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            let ended: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
            is_over.store(true, Ordering::Relaxed);
            ended.into_iter().for_each(|ended| ended.unwrap());
        });
    }

    /// Uses up what is prepared and prepares one inference: what is left at each side then.
    fn ready_at_the_end(&self) -> Vec<usize> {
        let query = Query { is_prepared: true, ..self.query() };
        loop {
            let (code, log) = query.start().end();
            self.claims.lock().unwrap()[0].add(&log);
            match code {
                Some(0) => {}
                Some(2) if log.contains("no prepared inference is left") => break,
                code => panic!("{code:?}\n{log}"),
            }
        }
        let (code, log) = query.prepare(1).end();
        assert_eq!(code, Some(0), "{log}");
        for (index, service) in self.services.lock().unwrap().iter_mut().enumerate() {
            service.process.terminate();
            let (code, log) = service.process.end();
            assert_eq!(code, Some(0), "{log}");
            self.add_claims(index, &log);
        }
        let servers = if query.second.is_some() { &["north.store", "south.store"][..] } else { &["acme.store"] };
        servers.iter().chain(&["clinic.store"]).map(|store| self.site.ready(store)).collect()
    }

    fn check(&self, what: &str) {
        let began = Instant::now();
        self.run();
        let ready = self.ready_at_the_end();
        assert!(ready.iter().all(|ready| *ready == 1), "left at the servers and the client: {ready:?}");
        let (queries, tally) = (self.queries, self.tally.lock().unwrap());
        println!(
            "{what}: {queries} queries of {CLIENTS} clients in {:.0} s: {tally:#?}",
            began.elapsed().as_secs_f64()
        );
        for (side, claims) in self.claims.lock().unwrap().iter().enumerate() {
            claims.check(&if side == 0 { "the clients".to_owned() } else { format!("server {}", side - 1) });
        }
        assert!(tally.unexplained.is_empty(), "{:#?}", tally.unexplained);
        let counted = tally.succeeded + tally.client_killed + tally.service_killed.iter().sum::<usize>();
        assert_eq!(counted, queries);
        assert!(tally.succeeded > queries / 3, "{tally:?}");
    }
}

/// How many queries are asked for.
fn queries() -> usize {
    std::env::var("MPC_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(QUERIES)
}

#[test]
fn of_many_queries_only_those_of_killed_participants_fail() {
    Soak::direct(queries()).check("direct");
}

#[test]
fn of_many_queries_to_servers_that_hold_shares_only_those_of_killed_participants_fail() {
    Soak::outsourced(queries()).check("outsourced");
}
