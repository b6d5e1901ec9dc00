//! The faults between organisations: killed programs, broken connections, wrong certificates, full disks. Whoever is
//! left ends that session with an error, and serves the next one.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mpc_service::at_rest::private_file::write_private;
use mpc_service::wire::message::SERVICE_VERSION;
use mpc_transport::tls::{Certificate, Identity, SecureLink};
use mpc_transport::{Connection, TcpSettings};
use pkcs8::{Document, LineEnding};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use smol::block_on;

use crate::support::proxy::{Direction, Fault, Plan, Proxy};
use crate::support::{HANGS, Process, Query, Service, Site, limited};

/// More inferences than are done, and than the dealer deals ahead, before somebody is killed.
const LONG: usize = 3000;
/// Each is written to disk, so that these take seconds, too.
const PREPARED: usize = 200;

/// The services of a site.
pub(crate) struct Running {
    pub(crate) dealer: Service,
    pub(crate) server: Service,
}

impl Running {
    pub(crate) fn new(site: &Site) -> Self {
        let dealer = site.start_dealer(None);
        let server = site.start_server(None, dealer.address);
        Self { dealer, server }
    }

    pub(crate) fn query<'a>(&self, site: &'a Site) -> Query<'a> {
        Query::new(site, self.server.address, self.dealer.address)
    }

    /// Starts whoever was killed again where it was.
    fn restart(&mut self, site: &Site) {
        if !self.dealer.process.is_running() {
            self.dealer = site.start_dealer(Some(self.dealer.address));
        }
        if !self.server.process.is_running() {
            self.server = site.start_server(Some(self.server.address), self.dealer.address);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
    Dealer,
}

const VICTIMS: [Victim; 3] = [Victim::Client, Victim::Server, Victim::Dealer];

/// Kills somebody; what the services have reported as failed before.
fn kill(victim: Victim, running: &mut Running, client: &mut Process) -> [usize; 2] {
    let failures = [&running.server, &running.dealer].map(|service| failures(&service.process));
    match victim {
        Victim::Client => client.kill(),
        Victim::Server => running.server.process.kill(),
        Victim::Dealer => running.dealer.process.kill(),
    }
    failures
}

fn failures(process: &Process) -> usize {
    process.log().matches(FAILED).count()
}

const FAILED: &str = "ended without success";

/// Every service that was not killed reports the failure.
fn services_report(victim: Victim, running: &Running, [server, dealer]: [usize; 2]) {
    if victim != Victim::Server {
        running.server.process.await_log(FAILED, server + 1);
    }
    if victim != Victim::Dealer {
        running.dealer.process.await_log(FAILED, dealer + 1);
    }
}

/// As [`services_report`], where the dealer may have been done already.
fn server_reports(victim: Victim, running: &Running, failures: usize) {
    if victim != Victim::Server {
        running.server.process.await_log(FAILED, failures + 1);
    }
}

/// A client that has lost somebody says so, and whom.
fn client_reports(victim: Victim, code: Option<i32>, log: &str) {
    match victim {
        Victim::Client => assert_eq!(code, None, "{log}"),
        Victim::Server | Victim::Dealer => {
            assert!(matches!(code, Some(4 | 5)), "{victim:?} was killed: {code:?}\n{log}");
            let name = if victim == Victim::Server { "acme" } else { "dealer" };
            let error = log.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            assert!(error.contains(name) || error.contains("dealer"), "{victim:?} was killed: {error}");
        }
    }
}

#[test]
fn a_service_that_does_not_run_is_named() {
    let site = Site::new();
    let mut running = Running::new(&site);
    for victim in [Victim::Server, Victim::Dealer] {
        let query = running.query(&site);
        let service = if victim == Victim::Server { &mut running.server } else { &mut running.dealer };
        service.process.kill();
        let (code, log) = query.start().end();
        client_reports(victim, code, &log);
        running.restart(&site);
        running.query(&site).succeeds();
    }
}

#[test]
fn whoever_is_killed_while_it_connects_or_loads_the_others_go_on() {
    let site = Site::new();
    let mut running = Running::new(&site);
    for victim in VICTIMS {
        // It reads its inputs first: some of these are before it connects, some meanwhile, some in the first inferences.
        for milliseconds in [0, 300, 600, 1200] {
            let mut asking = Query { count: LONG, ..running.query(&site) }.start();
            thread::sleep(Duration::from_millis(milliseconds));
            kill(victim, &mut running, &mut asking.process);
            let (code, log) = asking.end();
            client_reports(victim, code, &log);
            running.restart(&site);
            running.query(&site).succeeds();
        }
    }
}

#[test]
fn whoever_is_killed_between_inferences_the_others_go_on() {
    let site = Site::new();
    let mut running = Running::new(&site);
    for victim in VICTIMS {
        for inferences in [1, 20] {
            let before = running.server.process.log().matches(" inference ").count();
            let mut asking = Query { count: LONG, ..running.query(&site) }.start();
            running.server.process.await_log(" inference ", before + inferences);
            let failures = kill(victim, &mut running, &mut asking.process);
            let (code, log) = asking.end();
            client_reports(victim, code, &log);
            services_report(victim, &running, failures);
            running.restart(&site);
            running.query(&site).succeeds();
        }
    }
}

#[test]
fn whoever_is_killed_while_inferences_are_prepared_no_batch_is_left() {
    for victim in VICTIMS {
        for stored in [0, 5] {
            let site = Site::new();
            let mut running = Running::new(&site);
            let mut client = running.query(&site).prepare(PREPARED);
            await_stored(&site, stored);
            let failures = kill(victim, &mut running, &mut client);
            let (code, log) = client.end();
            if victim == Victim::Dealer && code == Some(0) {
                // It had dealt everything before: the batch is complete.
                continue;
            }
            client_reports(victim, code, &log);
            server_reports(victim, &running, failures[0]);
            running.restart(&site);
            // Whoever was killed removes what it left when it opens its store next, for the data owner who asks.
            let query = Query { is_prepared: true, ..running.query(&site) };
            let (code, log) = query.prepare(1).end();
            assert_eq!(code, Some(0), "{log}");
            query.succeeds();
            await_no_batches(&site);
        }
    }
}

/// Waits until nothing is left of any batch: a server removes its own after the client is done.
fn await_no_batches(site: &Site) {
    let began = Instant::now();
    while ["acme.store", "clinic.store"].iter().any(|store| site.batches(store) > 0) {
        assert!(began.elapsed() < HANGS, "a batch is left");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a batch is begun at both sides and so many inferences of it are stored.
fn await_stored(site: &Site, count: usize) {
    let began = Instant::now();
    let stores = ["acme.store", "clinic.store"];
    while stores.iter().any(|store| site.batches(store) == 0 || site.ready(store) < count) {
        assert!(began.elapsed() < HANGS, "nothing is prepared");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Spoils one link after the other, at places from the first byte to the last, and checks how it ends.
fn spoil(running: &Running, site: &Site, proxies: [&Proxy; 2], spoilt: usize) {
    let [server, dealer] = proxies;
    let query = Query { count: 3, server: server.address, dealer: dealer.address, ..running.query(site) };
    query.succeeds();
    let proxy = proxies[spoilt];
    let whole = [Direction::Forth, Direction::Back].map(|direction| proxy.passed(direction));
    for direction in [Direction::Forth, Direction::Back] {
        let bytes = whole[direction as usize];
        for (fault, percents) in [
            (Fault::Drop, &[0, 10, 40, 90][..]),
            (Fault::Truncate, &[10, 40, 90]),
            (Fault::Flip, &[0, 3, 10, 25, 40, 70, 90]),
            (Fault::Stall, &[0, 50]),
            (Fault::Delay, &[0]),
        ] {
            for percent in percents {
                let plan = Plan { fault, direction, after: bytes * percent / 100 };
                proxy.spoil(Some(plan));
                let began = Instant::now();
                let (code, log) = query.start().end();
                // Of a change or a cut after the last message that matters nobody need notice; the result was compared.
                let may_succeed = fault == Fault::Delay || *percent >= 90;
                let is_documented = matches!(code, Some(3..=5)) || may_succeed && code == Some(0);
                assert!(is_documented, "{plan:?}: {code:?}\n{log}");
                assert!(fault != Fault::Delay || code == Some(0), "{plan:?}: {code:?}\n{log}");
                assert!(fault != Fault::Stall || code == Some(5) || code == Some(4), "{plan:?}: {code:?}\n{log}");
                assert!(began.elapsed() < HANGS, "{plan:?}");
                proxy.spoil(None);
                query.succeeds();
            }
        }
    }
}

#[test]
fn a_broken_link_between_client_and_server_is_an_error_and_never_a_wrong_result() {
    let site = Site::new();
    let running = Running::new(&site);
    let proxies = [running.server.address, running.dealer.address].map(Proxy::new);
    spoil(&running, &site, [&proxies[0], &proxies[1]], 0);
}

#[test]
fn a_broken_link_between_client_and_dealer_is_an_error_and_never_a_wrong_result() {
    let site = Site::new();
    let running = Running::new(&site);
    let proxies = [running.server.address, running.dealer.address].map(Proxy::new);
    spoil(&running, &site, [&proxies[0], &proxies[1]], 1);
}

#[test]
fn certificates_that_are_wrong_or_expired() {
    let site = Site::new();
    let running = Running::new(&site);
    let refused = |query: &Query<'_>, reason: &str| {
        let (code, log) = query.start().end();
        assert_eq!(code, Some(3), "{log}");
        assert!(log.contains(reason), "{log}");
        running.query(&site).succeeds();
    };
    // Somebody whom nobody allowed.
    refused(&Query { key: "stranger", ..running.query(&site) }, "none of those allowed");
    // Somebody else at the server's address.
    refused(&Query { server: running.dealer.address, ..running.query(&site) }, "which is not");
    // The client's own certificate has expired.
    write_expired(&site, "late");
    refused(&Query { key: "late", ..running.query(&site) }, "expired");
    // That of the server has, and the client says so.
    write_expired(&site, "acme");
    refused_by_dates(&site, &running);
}

/// A query of a server whose certificate has expired.
fn refused_by_dates(site: &Site, running: &Running) {
    let (code, log) = running.query(site).start().end();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("acme") && log.contains("expired"), "{log}");
}

/// Writes a key and a certificate that was valid until yesterday.
fn write_expired(site: &Site, name: &str) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, name);
    let day = Duration::from_secs(24 * 3600);
    parameters.not_before = (SystemTime::now() - 10 * day).into();
    parameters.not_after = (SystemTime::now() - day).into();
    let certificate = parameters.self_signed(&key).unwrap();
    let [key_file, certificate_file] = ["key", "crt"].map(|end| site.path(&format!("{name}.{end}")));
    let _ = fs::remove_file(&key_file);
    let pem = |label, der: &[u8]| Document::try_from(der).unwrap().to_pem(label, LineEnding::LF).unwrap();
    write_private(&key_file, pem("PRIVATE KEY", &key.serialize_der()).as_bytes()).unwrap();
    fs::write(certificate_file, pem("CERTIFICATE", certificate.der())).unwrap();
}

/// A connection of the clinic that is authenticated, and has said nothing.
fn connect_as_clinic(site: &Site, address: SocketAddr, peer: &str) -> SecureLink {
    let read = |name: &str| fs::read_to_string(site.path(name)).unwrap();
    let identity = Identity::from_pem(&read("clinic.crt"), &read("clinic.key")).unwrap();
    let certificate = Certificate::from_pem(&read(&format!("{peer}.crt"))).unwrap();
    block_on(SecureLink::connect(&address.to_string(), &identity, &certificate, &TcpSettings::default())).unwrap()
}

#[test]
fn another_version_is_named_by_the_services() {
    let site = Site::new();
    let running = Running::new(&site);
    for (service, name) in [(&running.server, "acme"), (&running.dealer, "dealer")] {
        let mut link = connect_as_clinic(&site, service.address, name);
        // The version comes first, in one byte.
        block_on(link.send(&[SERVICE_VERSION as u8 + 1, 7, 7, 7])).unwrap();
        let answer = block_on(link.receive_bounded(4096)).unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.contains("service version"), "{text}");
        service.process.await_log("clinic", 1);
        assert!(service.process.log().contains("disagrees on \"service version\""), "{}", service.process.log());
    }
    running.query(&site).succeeds();
    // It is refused, and that is all that is said of it.
    for service in [&running.server, &running.dealer] {
        let log = service.process.log();
        assert_eq!(log.matches("disagrees on \"service version\"").count(), 1, "{log}");
        assert!(!log.contains(FAILED), "{log}");
    }
}

#[test]
fn strangers_without_tls_and_those_who_say_nothing_hold_up_nobody() {
    let site = Site::new();
    let running = Running::new(&site);
    let mut silent = Vec::new();
    for service in [&running.server, &running.dealer] {
        // A browser, noise, and a cut handshake.
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 300], &[0x16, 3, 1, 2, 0, 1]] {
            let mut stream = TcpStream::connect(service.address).unwrap();
            stream.write_all(bytes).unwrap();
            stream.set_read_timeout(Some(HANGS)).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // It is closed; what comes before is no concern of anybody's.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        silent.extend((0..100).map(|_| TcpStream::connect(service.address).unwrap()));
        // Two that are authenticated say nothing, either.
        let name = if service.address == running.server.address { "acme" } else { "dealer" };
        let links = [0; 2].map(|_| connect_as_clinic(&site, service.address, name));
        running.query(&site).succeeds();
        drop(links);
    }
    running.server.process.await_log("does not speak TLS", 1);
    running.query(&site).succeeds();
}

/// A limit of file sizes, in blocks of 512 bytes, as a full disk: without the signal that would end the process.
const SMALL_FILES: &str = "trap '' XFSZ; ulimit -f 4";

#[test]
fn a_full_disk_is_named_and_nothing_is_left() {
    let site = Site::new();
    let running = Running::new(&site);
    let query = running.query(&site);
    // At the client.
    let mut client = Process::start("clinic", limited(SMALL_FILES, &query.prepare_command(3)));
    let (code, log) = client.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("clinic.store"), "{log}");
    running.server.process.await_log(FAILED, 1);
    await_no_batches(&site);
    query.succeeds();
    // At the server.
    let server = site.start_limited_server(SMALL_FILES, running.dealer.address);
    let query = Query { server: server.address, ..query };
    let (code, log) = query.prepare(3).end();
    assert!(matches!(code, Some(4 | 5)), "{code:?}\n{log}");
    server.process.await_log(FAILED, 1);
    assert!(server.process.log().contains("acme.store"), "{}", server.process.log());
    await_no_batches(&site);
    query.succeeds();
    // The result itself cannot be written.
    let (output, report) = (site.path("y.npy"), site.path("r.json"));
    let command = Query { count: 100, ..query }.command(&output, &report);
    let (code, log) = Process::start("clinic", limited("trap '' XFSZ; ulimit -f 1", &command)).end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("y.npy"), "{log}");
    assert!(!output.exists() && !report.exists());
}

#[test]
fn a_service_that_is_asked_to_stop_finishes_what_runs() {
    let site = Site::new();
    let mut running = Running::new(&site);
    let asking = Query { count: 300, ..running.query(&site) }.start();
    running.server.process.await_log(" inference ", 1);
    running.server.process.terminate();
    running.dealer.process.terminate();
    running.server.process.await_log("stops", 1);
    running.dealer.process.await_log("stops", 1);
    for service in [&running.server, &running.dealer] {
        assert!(TcpStream::connect(service.address).is_err(), "a service that stops takes new connections");
    }
    let (code, log) = asking.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(running.server.process.end().0, Some(0));
    assert_eq!(running.dealer.process.end().0, Some(0));
}
