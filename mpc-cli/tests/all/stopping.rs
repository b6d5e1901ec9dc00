//! A machine that is told to stop, of two that a server has: it is not ready any more, finishes what runs, begins nothing,
//! and whoever asks goes to the other one.

use std::process::{Command, Stdio};

use crate::support::watched::Watched;
use crate::support::{DEADLINE, Query, Service, Site};

/// The same command with a longer deadline, as a participant is halted meanwhile.
fn patient(command: &Command) -> Command {
    let mut patient = Command::new(command.get_program());
    let deadline = DEADLINE.to_string();
    patient.args(command.get_args().map(|argument| if *argument == *deadline { "60".as_ref() } else { argument }));
    patient.stdin(Stdio::null()).stdout(Stdio::null());
    patient
}

/// A machine of the server, with a dealer of its own.
fn machine(site: &Site) -> (Watched, Service) {
    let dealer = Service::start("dealer", patient(&site.dealer_command(None)));
    (Watched::start("acme", patient(&site.server_command(None, dealer.address))), dealer)
}

fn query<'a>(site: &'a Site, server: &Watched, dealer: &Service) -> Query<'a> {
    Query::new(site, server.address, dealer.address)
}

#[test]
fn a_machine_that_stops_is_not_ready_finishes_what_runs_and_refuses_the_rest_by_name() {
    let mut site = Site::new();
    let [(mut first, dealer), (mut second, others)] = [(); 2].map(|()| machine(&site));
    let (first_at, second_at) = (first.address, second.address);
    first.await_readiness(200);
    // One session runs there, and one has begun and waits for a dealer that does not answer.
    let running = Query { count: 400, ..query(&site, &first, &dealer) }.start_as(|command| patient(&command));
    first.process.await_log(" inference ", 1);
    dealer.process.signal("STOP");
    let begun = query(&site, &first, &dealer).start_as(|command| patient(&command));
    first.await_figure("mpc_sessions_running 2");
    first.process.signal("TERM");
    let faults = first.await_readiness(503);
    assert_eq!(faults.lines().next(), Some("it stops"), "{faults}");
    assert_eq!(first.get("/healthz").status, 200);
    let (code, log) = query(&site, &first, &others).start().end();
    assert_eq!(code, Some(6), "{log}");
    assert!(log.contains("acme") && log.contains("this service stops, and begins no session"), "{log}");
    // Whoever has both addresses is served, whichever comes first.
    site.twins = [(first_at, second_at)].into();
    (0..4).for_each(|_| query(&site, &first, &others).succeeds());
    second.await_readiness(200);
    dealer.process.signal("CONT");
    for asking in [running, begun] {
        let (code, log) = asking.end();
        assert_eq!(code, Some(0), "{log}");
    }
    let (code, log) = first.process.end();
    assert_eq!(code, Some(0), "{log}");
    query(&site, &first, &others).succeeds();
    second.process.signal("TERM");
    assert_eq!(second.process.end().0, Some(0));
}
