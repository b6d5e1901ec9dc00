//! Many queries by several clients at once while clients and services are killed: nothing is lost, wrong or used twice but
//! what the killed ones took part in, and that is reported. At the end nobody keeps what others have lost.
//!
//! `cargo xtask soak --queries 1000` runs so many queries; here there are few.

mod replicas;

use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mpc_service::{Terms, Topology};

use self::replicas::Databases;
use crate::support::claims::{Claims, Random, claim_seconds};
use crate::support::{Query, Service, Site};

const CLIENTS: usize = 4;
const QUERIES: usize = 40;
/// Prepared at a time, and the most inferences of a query.
const BATCH: usize = 25;
const MOST: usize = 3;
/// One of so many queries has its client killed.
const CLIENT_KILLS: u64 = 12;

/// The databases are stopped about once in so many kills.
const KILLS_A_STOP: usize = 20;

/// The fates of the queries.
#[derive(Debug, Default)]
struct Tally {
    succeeded: usize,
    prepared: usize,
    /// Inferences that succeeded.
    inferences: usize,
    longest_seconds: f64,
    client_killed: usize,
    /// By exit code: 4, 5.
    service_killed: [usize; 2],
    /// For which a database did not answer.
    database_stopped: usize,
    database_stops: usize,
    /// Of each server, and of the dealer.
    service_kills: Vec<usize>,
    /// Failures for which nobody was killed.
    unexplained: Vec<String>,
}

/// A time in which a service or the databases did not run.
struct Outage {
    ended: Option<Instant>,
    is_of_databases: bool,
}

struct Soak {
    site: Site,
    /// The machines of the servers, then those of the dealer.
    services: Mutex<Vec<Service>>,
    /// So many of each.
    machines: usize,
    databases: Option<Databases>,
    outages: Mutex<Vec<Outage>>,
    tally: Mutex<Tally>,
    /// Of the clients, then of each server.
    claims: Mutex<Vec<Claims>>,
    /// How long claims of servers took, in seconds.
    claim_seconds: Mutex<Vec<f64>>,
    /// Of the clients, in queries that succeeded.
    succeeded: Mutex<Claims>,
    /// One batch is prepared at a time.
    preparing: Mutex<()>,
    next: AtomicUsize,
    queries: usize,
    most: usize,
    batch: usize,
}

impl Soak {
    fn new(site: Site, services: Vec<Service>, queries: usize) -> Self {
        let tally = Tally { service_kills: vec![0; services.len()], ..Tally::default() };
        Self {
            site,
            claims: Mutex::new(services.iter().map(|_| Claims::default()).collect()),
            succeeded: Mutex::default(),
            claim_seconds: Mutex::default(),
            services: Mutex::new(services),
            machines: 1,
            databases: None,
            outages: Mutex::default(),
            tally: Mutex::new(tally),
            preparing: Mutex::default(),
            next: AtomicUsize::new(0),
            queries,
            most: MOST,
            batch: BATCH,
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

    /// The address of the first machine of each participant.
    fn addresses(&self) -> Vec<SocketAddr> {
        self.services.lock().unwrap().iter().step_by(self.machines).map(|service| service.address).collect()
    }

    fn query(&self) -> Query<'_> {
        match self.addresses()[..] {
            [server, dealer] => Query::new(&self.site, server, dealer),
            [north, south, dealer] => Query { second: Some(south), ..Query::new(&self.site, north, dealer) },
            _ => unreachable!("one server or two"),
        }
    }

    /// Whether a service, and whether the databases were down at some time between then and now.
    fn was_out(&self, began: Instant) -> [bool; 2] {
        let outages = self.outages.lock().unwrap();
        let mut since = outages.iter().filter(|outage| outage.ended.is_none_or(|ended| ended >= began));
        let is_of_databases = since.clone().any(|outage| outage.is_of_databases);
        [since.next().is_some(), is_of_databases]
    }

    /// Does something that is the cause of failures while it lasts.
    fn during_outage(&self, is_of_databases: bool, work: impl FnOnce()) {
        self.outages.lock().unwrap().push(Outage { ended: None, is_of_databases });
        work();
        self.outages.lock().unwrap().last_mut().unwrap().ended = Some(Instant::now());
    }

    /// Kills a service, and starts it again at once.
    fn kill(&self, index: usize) {
        self.during_outage(false, || self.replace(index, |service| service.process.kill()));
        self.tally.lock().unwrap().service_kills[index] += 1;
    }

    /// Ends a service in some way, and starts it again.
    fn replace(&self, index: usize, end: impl FnOnce(&mut Service)) {
        let addresses = self.addresses();
        let mut services = self.services.lock().unwrap();
        let service = &mut services[index];
        end(service);
        let (_, log) = service.process.end();
        self.add_claims(index, &log);
        *service = match (index / self.machines, &addresses[..]) {
            (0, &[server, dealer]) => self.site.start_server(Some(server), dealer),
            (party @ (0 | 1), &[north, south, dealer]) => {
                self.site.start_share_machine(party, service.address, [north, south], dealer)
            }
            _ => self.site.start_dealer(Some(service.address)),
        };
    }

    /// Adds what a service has claimed, where it may claim something.
    fn add_claims(&self, service: usize, log: &str) {
        self.claim_seconds.lock().unwrap().extend(claim_seconds(log));
        if let Some(claims) = self.claims.lock().unwrap().get_mut(1 + service / self.machines) {
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
            self.ask(&Query { first: number, count: 1 + number % self.most, is_prepared, ..self.query() }, random);
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
                code => {
                    if code == Some(0) {
                        self.succeeded.lock().unwrap().add(&log);
                    }
                    return self.count(query, code, &log, began, is_killed);
                }
            }
        }
    }

    fn prepare(&self, query: &Query<'_>) {
        let _alone = self.preparing.lock().unwrap();
        loop {
            let began = Instant::now();
            let (code, log) = query.prepare(self.batch).end();
            match code {
                Some(0) => return,
                Some(4 | 5) if self.was_out(began)[0] => {}
                Some(1 | 6) if self.was_out(began)[1] => {}
                code => return self.tally.lock().unwrap().unexplained.push(format!("prepare: {code:?}\n{log}")),
            }
        }
    }

    fn count(&self, query: &Query<'_>, code: Option<i32>, log: &str, began: Instant, is_killed: bool) {
        let [was_out, were_databases_out] = self.was_out(began);
        let mut tally = self.tally.lock().unwrap();
        tally.longest_seconds = tally.longest_seconds.max(began.elapsed().as_secs_f64());
        match code {
            Some(0) => {
                tally.succeeded += 1;
                tally.inferences += query.count;
                tally.prepared += usize::from(query.is_prepared);
            }
            None if is_killed => tally.client_killed += 1,
            Some(code @ (4 | 5)) if was_out => tally.service_killed[code as usize - 4] += 1,
            // Its own store, or a server's.
            Some(1 | 6) if were_databases_out => tally.database_stopped += 1,
            code => tally.unexplained.push(format!("{code:?}\n{log}")),
        }
    }

    /// Kills services until the clients are done.
    fn run_killer(&self, is_over: &AtomicBool) {
        let mut random = Random(3);
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(400 + random.below(1200)));
            let kills = self.tally.lock().unwrap().service_kills.clone();
            match &self.databases {
                Some(databases) if kills.iter().sum::<usize>() % KILLS_A_STOP == 1 && random.below(2) == 0 => {
                    self.during_outage(true, || databases.interrupt());
                    self.tally.lock().unwrap().database_stops += 1;
                }
                _ => self.kill(random.below(kills.len() as u64) as usize),
            }
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
        self.databases.iter().for_each(Databases::end_leases);
        let query = Query { is_prepared: true, ..self.query() };
        loop {
            let (code, log) = query.start().end();
            self.claims.lock().unwrap()[0].add(&log);
            match code {
                Some(0) => {}
                Some(2) if log.contains("no prepared inference is left") => break,
                code => panic!("{code:?}\n{log}\n{}", self.last_words()),
            }
        }
        let (code, log) = query.prepare(1).end();
        assert!(code == Some(0), "{code:?}\n{log}\n{}", self.last_words());
        for (index, service) in self.services.lock().unwrap().iter_mut().enumerate() {
            let log = ends_well(service);
            self.add_claims(index, &log);
        }
        if let Some(databases) = &self.databases {
            return databases.ready();
        }
        let servers = if query.second.is_some() { &["north.store", "south.store"][..] } else { &["acme.store"] };
        servers.iter().chain(&["clinic.store"]).map(|store| self.site.ready(store)).collect()
    }

    /// The ends of the services' logs.
    fn last_words(&self) -> String {
        let mut services = self.services.lock().unwrap();
        let logs = services.iter_mut().enumerate().map(|(index, service)| {
            service.process.kill();
            let (_, log) = service.process.end();
            let lines: Vec<_> = log.lines().collect();
            format!("service {index}:\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"))
        });
        logs.collect()
    }

    fn check(&self, what: &str) {
        let began = Instant::now();
        self.run();
        let ready = self.ready_at_the_end();
        let (queries, tally) = (self.queries, self.tally.lock().unwrap());
        println!(
            "{what}: {queries} queries of {CLIENTS} clients in {:.0} s: {tally:#?}",
            began.elapsed().as_secs_f64()
        );
        assert!(ready.iter().all(|ready| *ready == 1), "left at the servers and the client: {ready:?}");
        let mut seconds = self.claim_seconds.lock().unwrap();
        seconds.sort_unstable_by(f64::total_cmp);
        let [median, last] = [50, 99].map(|part| seconds[(seconds.len() - 1) * part / 100]);
        println!("{} claims of servers took {median} s in the median, {last} s at the 99th percentile", seconds.len());
        for (side, claims) in self.claims.lock().unwrap().iter().enumerate() {
            claims.check(&if side == 0 { "the clients".to_owned() } else { format!("server {}", side - 1) });
        }
        assert!(tally.unexplained.is_empty(), "{:#?}", tally.unexplained);
        if let Some(databases) = &self.databases {
            databases.check_used(&self.succeeded.lock().unwrap(), &self.claims.lock().unwrap());
        }
        let lost = tally.client_killed + tally.service_killed.iter().sum::<usize>() + tally.database_stopped;
        let counted = tally.succeeded + lost;
        assert_eq!(counted, queries);
        assert!(tally.succeeded > queries / 3, "{tally:?}");
    }
}

/// Asks a service to stop, as operators do, and waits until it has; what it logged.
fn ends_well(service: &mut Service) -> String {
    service.process.terminate();
    let (code, log) = service.process.end();
    assert_eq!(code, Some(0), "{log}");
    log
}

/// How many queries are asked for.
fn queries(few: usize) -> usize {
    std::env::var("MPC_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

#[test]
fn of_many_queries_only_those_of_killed_participants_fail() {
    Soak::direct(queries(QUERIES)).check("direct");
}

#[test]
fn of_many_queries_to_servers_that_hold_shares_only_those_of_killed_participants_fail() {
    Soak::outsourced(queries(QUERIES)).check("outsourced");
}
