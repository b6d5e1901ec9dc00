//! Gathers what all participants report, and waits for none of them for ever.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::error::{NodeFailure, RunError};
use super::event::{Event, Inferred, Loaded, Node};
use super::job::Job;
use super::watch::Watch;

/// The time that a participant has beyond its deadline to say why it stops.
const GRACE: Duration = Duration::from_secs(3);

/// A party's reports.
#[derive(Clone, Debug)]
pub struct PartyRecord {
    /// Its setup.
    pub loaded: Loaded,
    /// Its inferences in order.
    pub inferences: Vec<Inferred>,
}

/// A run that every participant finished.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// When it started.
    pub started: u64,
    /// By party.
    pub parties: Vec<PartyRecord>,
    /// The peak memory of each participant, as far as known.
    pub peak_memory: Vec<(Node, u64)>,
}

/// Receives events until all participants have finished or failed, those left have had their time, or `watch` stops it.
pub fn collect(
    events: &Receiver<(Node, Event)>,
    job: &Job,
    started: u64,
    watch: &mut dyn Watch,
) -> Result<RunRecord, RunError> {
    let mut collector = Collector::new(job, started);
    while !collector.is_done() {
        match events.recv_timeout(collector.patience()) {
            Ok((node, event)) => {
                if collector.add(node, event, watch).is_break() {
                    return Err(RunError::Stopped);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => collector.give_up(),
        }
    }
    collector.finish()
}

struct Collector {
    started: u64,
    deadline: Duration,
    inferences: usize,
    waiting: Vec<Node>,
    loaded: Vec<Option<Loaded>>,
    inferred: Vec<Vec<Inferred>>,
    peak_memory: Vec<(Node, u64)>,
    failures: Vec<NodeFailure>,
    /// When the others must be done too, once one has failed.
    end: Option<Instant>,
}

impl Collector {
    fn new(job: &Job, started: u64) -> Self {
        Self {
            started,
            deadline: job.deadline,
            inferences: job.inferences,
            waiting: (0..job.parties).map(Node::Party).chain(job.has_dealer().then_some(Node::Dealer)).collect(),
            loaded: vec![None; job.parties],
            inferred: vec![Vec::new(); job.parties],
            peak_memory: Vec::new(),
            failures: Vec::new(),
            end: None,
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How long the next event may take. While all runs well, a step can wait for a few others in turn.
    fn patience(&self) -> Duration {
        match self.end {
            Some(end) => end.saturating_duration_since(Instant::now()),
            None => self.deadline * 4 + GRACE,
        }
    }

    fn add(&mut self, node: Node, event: Event, watch: &mut dyn Watch) -> ControlFlow<()> {
        let flow = watch.event(node, &event, self.is_last(node, &event));
        match (node, event) {
            (Node::Party(party), Event::Loaded(loaded)) => self.loaded[party] = Some(loaded),
            (Node::Party(party), Event::Inferred(inferred)) => self.inferred[party].push(*inferred),
            (_, Event::Finished { peak_memory }) => {
                self.waiting.retain(|&waiting| waiting != node);
                self.peak_memory.extend(peak_memory.map(|bytes| (node, bytes)));
            }
            (_, Event::Failed { reason }) => self.fail(node, reason),
            _ => {}
        }
        flow
    }

    /// Whether with this event all parties have loaded the model, or are done with an inference.
    fn is_last(&self, node: Node, event: &Event) -> bool {
        let mut others = (0..self.loaded.len()).filter(|&party| node != Node::Party(party));
        match event {
            Event::Loaded(_) => others.all(|party| self.loaded[party].is_some()),
            Event::Inferred(inferred) => others.all(|party| self.inferred[party].len() > inferred.inference),
            _ => false,
        }
    }

    fn fail(&mut self, node: Node, reason: String) {
        if self.waiting.contains(&node) {
            self.waiting.retain(|&waiting| waiting != node);
            self.failures.push(NodeFailure { node, reason });
            self.end.get_or_insert_with(|| Instant::now() + self.deadline + GRACE);
        }
    }

    fn give_up(&mut self) {
        for node in std::mem::take(&mut self.waiting) {
            let reason = format!("has not reported within its deadline of {:?}, and is not waited for", self.deadline);
            self.failures.push(NodeFailure { node, reason });
        }
    }

    fn finish(self) -> Result<RunRecord, RunError> {
        if !self.failures.is_empty() {
            return Err(RunError::Nodes { failures: self.failures });
        }
        let parties = self.loaded.into_iter().zip(self.inferred).enumerate();
        let parties = parties.map(|(party, (loaded, inferences))| {
            let incomplete = |what: String| RunError::Report { node: Node::Party(party), what };
            let loaded = loaded.ok_or_else(|| incomplete("no setup".to_owned()))?;
            if inferences.len() != self.inferences {
                return Err(incomplete(format!("{} of {} inferences", inferences.len(), self.inferences)));
            }
            Ok(PartyRecord { loaded, inferences })
        });
        Ok(RunRecord {
            started: self.started,
            parties: parties.collect::<Result<_, _>>()?,
            peak_memory: self.peak_memory,
        })
    }
}
