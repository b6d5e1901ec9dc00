//! A run over TCP or TLS: a process for each party and the dealer, all of which end with this one.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use mpc_nn::Owner;

use super::clock;
use super::collect::{RunRecord, collect};
use super::error::{NodeFailure, RunError};
use super::event::{Event, Listening, Node};
use super::job::Job;
use super::orders::{Certificates, Orders};
use super::samples::{SampleSource, WeightSource};
use super::watch::Watch;
use crate::process::{End, Process};

/// The hidden command of a party's process.
pub const PARTY_COMMAND: &str = "run-party";
/// The hidden command of the dealer's process.
pub const DEALER_COMMAND: &str = "run-dealer";

/// Runs a job in processes. Party 0's reads the weights, those of owners of inputs read these.
pub fn run(
    job: &Job,
    secure: bool,
    input_owners: &[Owner],
    weights: &WeightSource,
    inputs: &SampleSource,
    watch: &mut dyn Watch,
) -> Result<RunRecord, RunError> {
    let started = clock::now();
    let (sender, events) = channel();
    let mut processes = Vec::new();
    for node in (0..job.parties).map(Node::Party).chain(job.has_dealer().then_some(Node::Dealer)) {
        processes.push(Participant::start(node, &sender)?);
    }
    drop(sender);
    let Introductions { listening, certificates } = introductions(&events, job)?;
    let parties: Vec<_> = listening.iter().map(|listening| listening.parties).collect();
    let dealer_links: Vec<_> = listening.iter().map(|listening| listening.dealer).collect();
    let certificates = secure.then_some(certificates);
    for process in &mut processes {
        let party = if let Node::Party(party) = process.node { Some(party) } else { None };
        let weights = (party == Some(0)).then(|| weights.clone());
        let inputs = party.filter(|party| input_owners.contains(&Owner::Party(*party))).map(|_| inputs.clone());
        process.order(&Orders {
            job: job.clone(),
            party: party.unwrap_or_default(),
            parties: parties.clone(),
            dealer_links: dealer_links.clone(),
            certificates: certificates.clone(),
            weights,
            inputs,
        });
    }
    collect(&events, job, started, watch)
}

/// The processes' messages about themselves.
struct Introductions {
    listening: Vec<Listening>,
    certificates: Certificates,
}

/// Waits until every process is ready.
fn introductions(events: &Receiver<(Node, Event)>, job: &Job) -> Result<Introductions, RunError> {
    let mut parties = vec![None; job.parties];
    let mut dealer = None;
    let end = Instant::now() + job.deadline;
    loop {
        let missing = match parties.iter().position(Option::is_none) {
            Some(party) => Node::Party(party),
            None if job.has_dealer() && dealer.is_none() => Node::Dealer,
            None => {
                let (listening, certificates) = parties.into_iter().flatten().unzip();
                let certificates = Certificates { parties: certificates, dealer };
                return Ok(Introductions { listening, certificates });
            }
        };
        let (node, reason) = match events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((Node::Party(party), Event::Ready { listening: Some(listening), certificate })) => {
                parties[party] = Some((listening, certificate));
                continue;
            }
            Ok((Node::Dealer, Event::Ready { certificate, .. })) => {
                dealer = Some(certificate);
                continue;
            }
            Ok((node, Event::Failed { reason })) => (node, reason),
            Ok((node, event)) => (node, format!("said {event:?} before it was ready")),
            Err(_) => (missing, format!("was not ready within {:?}", job.deadline)),
        };
        return Err(RunError::Nodes { failures: vec![NodeFailure { node, reason }] });
    }
}

/// A participant's process.
struct Participant {
    node: Node,
    process: Process,
}

impl Participant {
    fn start(node: Node, sender: &Sender<(Node, Event)>) -> Result<Self, RunError> {
        let failed = |error: std::io::Error| RunError::Start { node, reason: error.to_string() };
        let command = if node == Node::Dealer { DEALER_COMMAND } else { PARTY_COMMAND };
        let (process, stdout) = Process::start([command]).map_err(failed)?;
        let (end, sender) = (process.end(), sender.clone());
        thread::spawn(move || forward(node, stdout, &end, &sender));
        Ok(Self { node, process })
    }

    fn order(&mut self, orders: &Orders) {
        let mut line = serde_json::to_vec(orders).expect("orders have no maps, so they always encode");
        line.push(b'\n');
        self.process.send(&line);
    }
}

/// Passes on what a process reports; of one that ends without a last word, says how it ended.
fn forward(node: Node, stdout: ChildStdout, end: &End, sender: &Sender<(Node, Event)>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let event = serde_json::from_str(&line)
            .unwrap_or_else(|error| Event::Failed { reason: format!("its report cannot be read: {error}") });
        let is_last = matches!(event, Event::Finished { .. } | Event::Failed { .. });
        // Nobody listens any more once the run is given up.
        if sender.send((node, event)).is_err() || is_last {
            return;
        }
    }
    let reason = match end.wait() {
        Some(status) => format!("its process ended before it was done ({status})"),
        None => "its process closed its output before it was done".to_owned(),
    };
    let _ = sender.send((node, Event::Failed { reason }));
}
