//! Prepared inferences are used at most once, whoever is killed whenever.

use std::thread;
use std::time::Duration;

use crate::support::claims::{Claims, Random};
use crate::support::{Process, Query, Site};

const PREPARED: usize = 120;

#[test]
fn killing_at_random_never_has_a_prepared_inference_used_twice() {
    let site = Site::new();
    let mut random = Random(7);
    let dealer = site.start_dealer(None);
    let mut server = site.start_server(None, dealer.address);
    let query = Query { is_prepared: true, ..Query::new(&site, server.address, dealer.address) };
    let (code, log) = query.prepare(PREPARED).end();
    assert_eq!(code, Some(0), "{log}");
    let (mut of_client, mut of_server) = (Claims::default(), Claims::default());
    let (mut succeeded, mut killed) = (0, 0);
    for round in 0..24 {
        let count = 1 + random.below(6) as usize;
        let mut asking = Query { count, first: round, ..query.clone() }.start();
        thread::sleep(Duration::from_millis(random.below(150)));
        match random.below(3) {
            0 => asking.process.kill(),
            1 => {
                server.process.kill();
                let (_, log) = server.process.end();
                of_server.add(&log);
                server = site.start_server(Some(server.address), dealer.address);
            }
            _ => {}
        }
        let (code, log) = asking.end();
        of_client.add(&log);
        match code {
            Some(0) => succeeded += 1,
            // It was killed, or its server was.
            None | Some(4 | 5) => killed += 1,
            // All are used, or passed over.
            Some(2) => break,
            code => panic!("{code:?}\n{log}"),
        }
    }
    assert!(succeeded > 0 && killed > 0, "{succeeded} succeeded, {killed} were killed");
    server.process.terminate();
    of_server.add(&server.process.end().1);
    of_client.check("the client");
    of_server.check("the server");
    // What is ready is not used: whoever used a place has it no more.
    assert!(site.ready("clinic.store") + of_client.len() <= PREPARED);
    assert!(site.ready("acme.store") + of_server.len() <= PREPARED);
}

#[test]
fn an_audit_leaves_what_was_not_drawn() {
    let site = Site::new();
    let dealer = site.start_dealer(None);
    let server = site.start_server(None, dealer.address);
    let query = Query { is_prepared: true, ..Query::new(&site, server.address, dealer.address) };
    let audit = |count: usize, audited: &str| {
        let mut command = query.prepare_command(count);
        command.args(["--audit", audited]);
        Process::start("clinic", command).end()
    };
    let (code, log) = audit(9, "5");
    assert_eq!((code, site.ready("clinic.store"), site.ready("acme.store")), (Some(0), 4, 4), "{log}");
    (0..4).for_each(|_| query.succeeds());
    // An audit that leaves nothing is asked for by mistake.
    let (code, log) = audit(3, "3");
    assert_eq!((code, site.ready("clinic.store")), (Some(2), 0), "{log}");
    assert!(log.contains("3 of 3 are to be audited"), "{log}");
}

#[test]
fn two_clients_at_once_never_use_the_same_place() {
    let site = Site::new();
    let dealer = site.start_dealer(None);
    let mut server = site.start_server(None, dealer.address);
    let query = Query { is_prepared: true, ..Query::new(&site, server.address, dealer.address) };
    let (code, log) = query.prepare(40).end();
    assert_eq!(code, Some(0), "{log}");
    let mut of_client = Claims::default();
    for round in 0..5 {
        let asking = [0, 1, 2].map(|one| Query { count: 2, first: round + one, ..query.clone() }.start());
        for asking in asking {
            let (code, log) = asking.end();
            assert_eq!(code, Some(0), "{log}");
            of_client.add(&log);
        }
    }
    server.process.terminate();
    let mut of_server = Claims::default();
    of_server.add(&server.process.end().1);
    of_client.check("the clients");
    of_server.check("the server");
    assert!(of_client.len() >= 30 && of_client.len() == of_server.len());
}
