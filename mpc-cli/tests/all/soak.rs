//! Many queries by several clients at once while clients and services are killed: nothing is lost, wrong or used twice but
//! what the killed ones took part in, and that is reported.
//!
//! `MPC_SOAK=1000 cargo test -p mpc-cli --test all soak -- --nocapture` runs so many queries; without it there are few.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
    /// Of the server, of the dealer.
    service_kills: [usize; 2],
    /// Failures for which nobody was killed.
    unexplained: Vec<String>,
}

/// A time in which a service did not run.
struct Outage {
    ended: Option<Instant>,
}

struct Soak {
    site: Site,
    services: Mutex<[Service; 2]>,
    outages: Mutex<Vec<Outage>>,
    tally: Mutex<Tally>,
    claims: Mutex<[Claims; 2]>,
    /// One batch is prepared at a time.
    preparing: Mutex<()>,
    next: AtomicUsize,
    queries: usize,
}

impl Soak {
    fn new(queries: usize) -> Self {
        let site = Site::new();
        let dealer = site.start_dealer(None);
        let server = site.start_server(None, dealer.address);
        Self {
            site,
            services: Mutex::new([server, dealer]),
            outages: Mutex::default(),
            tally: Mutex::default(),
            claims: Mutex::default(),
            preparing: Mutex::default(),
            next: AtomicUsize::new(0),
            queries,
        }
    }

    fn query(&self) -> Query<'_> {
        let services = self.services.lock().unwrap();
        Query::new(&self.site, services[0].address, services[1].address)
    }

    /// Whether a service was down at some time between then and now.
    fn was_out(&self, began: Instant) -> bool {
        let outages = self.outages.lock().unwrap();
        outages.iter().any(|outage| outage.ended.is_none_or(|ended| ended >= began))
    }

    /// Kills a service, and starts it again at once.
    fn kill(&self, index: usize) {
        let mut services = self.services.lock().unwrap();
        let [server, dealer] = services.each_ref().map(|service| service.address);
        self.outages.lock().unwrap().push(Outage { ended: None });
        services[index].process.kill();
        let (_, log) = services[index].process.end();
        self.claims.lock().unwrap()[1].add(&log);
        services[index] = match index {
            0 => self.site.start_server(Some(server), dealer),
            _ => self.site.start_dealer(Some(dealer)),
        };
        let mut outages = self.outages.lock().unwrap();
        outages.last_mut().unwrap().ended = Some(Instant::now());
        self.tally.lock().unwrap().service_kills[index] += 1;
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
            self.kill(random.below(2) as usize);
        }
    }
}

#[test]
fn of_many_queries_only_those_of_killed_participants_fail() {
    let queries = std::env::var("MPC_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(QUERIES);
    let soak = Soak::new(queries);
    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| soak.run_killer(&is_over));
        let client = |client: usize| {
            let soak = &soak;
            scope.spawn(move || soak.run_client(client % 2 == 1, &mut Random(client as u64)))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let ended: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    for service in soak.services.lock().unwrap().iter_mut() {
        service.process.terminate();
        let (code, log) = service.process.end();
        assert_eq!(code, Some(0), "{log}");
        soak.claims.lock().unwrap()[1].add(&log);
    }
    let tally = soak.tally.lock().unwrap();
    println!("{queries} queries of {CLIENTS} clients in {:.0} s: {tally:#?}", began.elapsed().as_secs_f64());
    let claims = soak.claims.lock().unwrap();
    claims[0].check("the clients");
    claims[1].check("the server");
    assert!(tally.unexplained.is_empty(), "{:#?}", tally.unexplained);
    let counted = tally.succeeded + tally.client_killed + tally.service_killed.iter().sum::<usize>();
    assert_eq!(counted, queries);
    assert!(tally.succeeded > queries / 3, "{tally:?}");
}
