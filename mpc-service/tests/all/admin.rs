//! A running service tells operators its figures and whether it is ready, over a real socket.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use mpc_service::admin::{Readiness, Status};
use mpc_service::{Contacts, Correlations, Dealer, Limits, Owner, ServiceError, Terms};
use smol::block_on;

use crate::support::{Organisation, Running, Site, free, run_dealer, sample, start_admin, start_server};

/// The longest time until something becomes true.
const HANGS: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const NEEDED: Readiness = Readiness { prepared: 0, valid_for: DAY };

/// An answer: its status and its text.
fn ask(at: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn get(at: SocketAddr, path: &str) -> (u16, String) {
    ask(at, "GET", path)
}

/// A figure with its labels, if it is there.
fn figure(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The figures, once one of them has a value: what a peer is told comes before it is counted.
fn figures_when(at: SocketAddr, name: &str, value: f64) -> String {
    let began = Instant::now();
    loop {
        let (status, text) = get(at, "/metrics");
        assert_eq!(status, 200, "{text}");
        if figure(&text, name) == Some(value) {
            return text;
        }
        assert!(began.elapsed() < HANGS, "{name} is never {value}:\n{text}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn ready_when(at: SocketAddr, status: u16) -> String {
    let began = Instant::now();
    loop {
        let (found, text) = get(at, "/readyz");
        if found == status {
            return text;
        }
        assert!(began.elapsed() < HANGS, "never {status}: {text}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A model owner's server and a dealer, and what both tell operators.
struct Watched {
    site: Site,
    dealer: Running,
    dealer_admin: Running,
    servers: Vec<Running>,
    server: Status,
    admin: Running,
}

impl Watched {
    fn start() -> Self {
        let site = Site::new(Terms::default());
        let allowed = vec![site.servers[0].certificate(), site.client.certificate()];
        let dealer = Dealer::new(site.dealer.endpoint(), allowed, Limits::default()).unwrap();
        let dealer_admin = start_admin(dealer.status().clone(), NEEDED);
        let dealer = run_dealer(dealer);
        let contacts = Contacts {
            data_owners: vec![site.client.certificate()],
            dealer: Some(site.dealer.peer(dealer.address)),
            ..Contacts::default()
        };
        let server = site.server(0, contacts, Limits { inferences: 4, ..Limits::default() });
        let status = server.status().clone();
        let admin = start_admin(status.clone(), NEEDED);
        assert_eq!(get(admin.address, "/readyz"), (503, "it does not listen yet\n".to_owned()));
        let servers = vec![start_server(server, free(1)[0])];
        Self { site, dealer, dealer_admin, servers, server: status, admin }
    }

    fn query(&self, count: usize, correlations: Correlations<'_>) -> Result<(), ServiceError> {
        let client = self.site.client(&self.servers, Some(&self.dealer));
        let inputs = vec![vec![sample(1).0]; count];
        block_on(client.query(&self.site.model.public, &inputs, correlations, &mut ())).map(drop)
    }
}

#[test]
fn figures_are_those_of_the_plan() {
    let watched = Watched::start();
    let (site, at) = (&watched.site, watched.admin.address);
    watched.query(2, Correlations::Live).unwrap();
    let store = site.store();
    let client = site.client(&watched.servers, Some(&watched.dealer));
    block_on(client.prepare(&site.model.public, 3, &store, &mut ())).unwrap();
    watched.query(2, Correlations::Store(&store)).unwrap();
    // More than are granted, and somebody who is unknown.
    assert!(watched.query(5, Correlations::Live).is_err());
    let stranger = site.client_of(&Organisation::new("stranger"), &watched.servers, Some(&watched.dealer));
    let inputs = [vec![sample(1).0]];
    assert!(block_on(stranger.query(&site.model.public, &inputs, Correlations::Live, &mut ())).is_err());

    figures_when(at, "mpc_strangers_total", 1.0);
    let text = figures_when(at, r#"mpc_sessions_total{work="prepared",outcome="done"}"#, 1.0);
    let plan = site.model.public.plan::<u64>().unwrap();
    let (online, dealt) = (plan.online(0), plan.preprocessing(0));
    let owner = Owner::from(&site.client.certificate());
    let expected = [
        (r#"mpc_sessions_total{work="live",outcome="done"}"#.to_owned(), 1),
        (r#"mpc_sessions_total{work="prepare",outcome="done"}"#.to_owned(), 1),
        (r#"mpc_refusals_total{reason="limit"}"#.to_owned(), 1),
        ("mpc_sessions_running".to_owned(), 0),
        ("mpc_inferences_total".to_owned(), 4),
        ("mpc_online_seconds_count".to_owned(), 4),
        ("mpc_correlation_wait_seconds_count".to_owned(), 4),
        ("mpc_claim_seconds_count".to_owned(), 2),
        (r#"mpc_traffic_bytes_total{phase="online",direction="sent"}"#.to_owned(), 4 * online.bytes_sent()),
        (r#"mpc_traffic_bytes_total{phase="online",direction="received"}"#.to_owned(), 4 * online.bytes_received()),
        (
            r#"mpc_traffic_bytes_total{phase="preprocessing",direction="received"}"#.to_owned(),
            2 * dealt.bytes_received(),
        ),
        (r#"mpc_rounds_total{phase="online"}"#.to_owned(), 4 * online.rounds),
        (format!(r#"mpc_prepared_ready{{data_owner="{owner}"}}"#), 1),
        (format!(r#"mpc_prepared_used{{data_owner="{owner}"}}"#), 2),
        ("mpc_store_up".to_owned(), 1),
    ];
    for (name, value) in &expected {
        assert_eq!(figure(&text, name), Some(*value as f64), "{name}:\n{text}");
    }
    let days = figure(&text, "mpc_certificate_days").unwrap();
    assert!(days > 9.0 && days <= 10.0, "{days}");
    assert!(text.ends_with("# EOF\n"));
    named_in_files(&text);

    // Two inferences were dealt for use, and three to be stored, to each of two parties.
    let at = watched.dealer_admin.address;
    let text = figures_when(at, r#"mpc_sessions_total{work="prepare",outcome="done"}"#, 1.0);
    let sent = [0, 1].map(|party| plan.preprocessing(party).bytes_received()).iter().sum::<u64>();
    assert_eq!(figure(&text, "mpc_inferences_total"), Some(5.0), "{text}");
    let name = r#"mpc_traffic_bytes_total{phase="preprocessing",direction="sent"}"#;
    assert_eq!(figure(&text, name), Some(5.0 * sent as f64), "{text}");
    assert_eq!(figure(&text, "mpc_store_up"), None, "a dealer has no store");
    assert_eq!(get(at, "/readyz"), (200, "it is ready\n".to_owned()));
}

/// The dashboard and the alerts name figures that there are.
fn named_in_files(text: &str) {
    let figures: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for file in ["grafana.json", "alerts.yml"] {
        let path = format!("{}/../docs/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
        let content = fs::read_to_string(path).unwrap();
        let words = content.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<_> = words.filter(|word| word.starts_with("mpc_")).collect();
        assert!(named.len() > 3, "{file} names no figures");
        for name in named {
            let plain = ["_total", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(figures.contains(plain), "{file}: there is no figure {name}");
        }
    }
}

#[test]
fn a_service_is_ready_while_it_has_what_it_needs() {
    let watched = Watched::start();
    let at = watched.admin.address;
    assert_eq!(ready_when(at, 200), "it is ready\n");
    assert_eq!(get(at, "/healthz"), (200, "it lives\n".to_owned()));
    assert_eq!(get(at, "/").0, 404);
    assert_eq!(ask(at, "POST", "/metrics").0, 405);
    assert_eq!(ask(at, "HEAD", "/readyz"), (200, String::new()));

    let more = start_admin(watched.server.clone(), Readiness { prepared: 3, valid_for: 20 * DAY });
    let owner = Owner::from(&watched.site.client.certificate());
    let faults = ready_when(more.address, 503);
    assert!(faults.contains("its certificate is valid for 9 days only\n"), "{faults}");
    assert!(faults.contains(&format!("0 prepared inferences of {owner} are fewer than 3\n")), "{faults}");
    let client = watched.site.client(&watched.servers, Some(&watched.dealer));
    block_on(client.prepare(&watched.site.model.public, 3, &watched.site.store(), &mut ())).unwrap();
    let faults = ready_when(more.address, 503);
    assert_eq!(faults, "its certificate is valid for 9 days only\n");

    // The dealer goes, and then the store is no folder any more.
    let Watched { site, dealer, servers, .. } = watched;
    let address = dealer.address;
    drop(dealer);
    assert_eq!(ready_when(at, 503), format!("the dealer cannot be reached at {address}\n"));
    let stores = site.folder.path().join("stores0");
    fs::remove_dir_all(&stores).unwrap();
    fs::write(&stores, "").unwrap();
    let faults = ready_when(at, 503);
    assert!(faults.contains("the store of prepared inferences cannot be used; the log says why\n"), "{faults}");
    let text = figures_when(at, "mpc_store_up", 0.0);
    assert!(!text.contains("mpc_prepared_ready{"), "{text}");

    drop(servers);
    let faults = ready_when(at, 503);
    assert!(faults.starts_with("it stops\n"), "{faults}");
}
