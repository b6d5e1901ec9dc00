//! A run in one process: a thread for each party and the dealer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use mpc_nn::{Owner, Weights};
use mpc_transport::{Link, memory_link, memory_network};
use ndarray::ArrayD;

use super::collect::{RunRecord, collect};
use super::error::{NodeError, RunError};
use super::event::{Event, Node};
use super::job::Job;
use super::roles::{Maker, Secrets, emulated, emulated_link, run_dealer, run_party};
use super::watch::Watch;
use super::{clock, memory_use};

/// Runs a job in memory. Party 0 gets the weights, the owners of inputs those of all inferences.
pub fn run(
    job: &Job,
    input_owners: &[Owner],
    weights: Arc<impl AsRef<Weights> + Send + Sync + 'static>,
    inputs: Arc<Vec<Vec<Option<ArrayD<f32>>>>>,
    watch: &mut dyn Watch,
) -> Result<RunRecord, RunError> {
    memory_use::reset_peak();
    let started = clock::now();
    let (sender, events) = channel();
    let (makers, dealer_links) = makers(job, &sender);
    for (party, (transport, maker)) in memory_network(job.parties, job.deadline).into_iter().zip(makers).enumerate() {
        let job = job.clone();
        let weights = (party == 0).then(|| Arc::clone(&weights));
        let inputs = input_owners.contains(&Owner::Party(party)).then(|| Arc::clone(&inputs));
        start(Node::Party(party), &sender, move |report| {
            let inputs = inputs.as_deref().map(Vec::as_slice).unwrap_or_default();
            let secrets = Secrets { weights: weights.as_deref().map(AsRef::as_ref), inputs };
            smol::block_on(run_party(emulated(transport, &job), maker, &job, secrets, report))
        })?;
    }
    if job.has_dealer() {
        let dealer_job = job.clone();
        start(Node::Dealer, &sender, move |_| smol::block_on(run_dealer(dealer_links, &dealer_job)))?;
    }
    drop(sender);
    let mut record = collect(&events, job, started, watch)?;
    // All share one process, so one of the equal figures is kept.
    record.peak_memory.truncate(1);
    Ok(record)
}

/// Where each party's correlations come from, and the dealer's ends of links.
fn makers(job: &Job, sender: &Sender<(Node, Event)>) -> (Vec<Maker>, Vec<Link>) {
    if !job.has_dealer() {
        let network = memory_network(job.parties, job.deadline).into_iter().enumerate();
        let makers = network.map(|(party, transport)| {
            let sender = sender.clone();
            // That nobody listens any more, the party finds out by itself.
            let hear = move || drop(sender.send((Node::Party(party), Event::Heard)));
            Maker::parties(emulated(transport, job), hear)
        });
        return (makers.collect(), Vec::new());
    }
    let links = (0..job.parties).map(|_| memory_link(job.deadline));
    links.map(|(party, dealer)| (Maker::Dealer(emulated_link(party, job)), emulated_link(dealer, job))).unzip()
}

/// Ends the work of a participant that nobody listens to.
struct GivenUp;

/// Starts a participant's thread, which reports how it ended whatever happens.
fn start(
    node: Node,
    sender: &Sender<(Node, Event)>,
    role: impl FnOnce(&mut (dyn FnMut(Event) + Send)) -> Result<(), NodeError> + Send + 'static,
) -> Result<(), RunError> {
    let sender = sender.clone();
    let run = move || {
        // Nobody listens any more once the run is given up: then this participant ends, too, and its links with it.
        let mut report = |event| sender.send((node, event)).unwrap_or_else(|_| resume_unwind(Box::new(GivenUp)));
        let panicked = |_| Event::Failed { reason: "panicked; please report this bug".to_owned() };
        let outcome = catch_unwind(AssertUnwindSafe(|| role(&mut report)));
        drop(sender.send((node, outcome.map_or_else(panicked, ending))));
    };
    let started = thread::Builder::new().name(node.to_string()).spawn(run);
    started.map(drop).map_err(|error| RunError::Start { node, reason: error.to_string() })
}

/// The last event of a participant.
pub fn ending(outcome: Result<(), NodeError>) -> Event {
    match outcome {
        Ok(()) => Event::Finished { peak_memory: memory_use::peak() },
        Err(error) => Event::Failed { reason: error.to_string() },
    }
}
