//! The work and the cost of an inference, beside its plan.

use std::time::{Duration, Instant};

use mpc_nn::{Observer, Plan};
use mpc_ring::Ring;
use mpc_transport::{Meter, Phase, Traffic};
use ndarray::ArrayD;
use serde::Serialize;

/// Watches a session, for progress.
pub trait Watch: Send {
    /// Something happened.
    fn see(&mut self, event: Event);

    /// Takes the report of an inference of this party that has ended.
    fn report(&mut self, _report: &InferenceReport) {}

    /// Takes the outputs of an inference as soon as it has ended, in the order of the graph's, where they are revealed to this
    /// side: whatever fails later in the session leaves them.
    fn take(&mut self, _inference: u32, _outputs: &[ArrayD<f64>]) {}
}

impl Watch for () {
    fn see(&mut self, _: Event) {}
}

/// The events of a session, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// All participants are connected and agree.
    Connected,
    /// The model is loaded.
    Loaded,
    /// The correlations of an inference are stored.
    Stored {
        /// How many are.
        inferences: u32,
    },
    /// A prepared inference was claimed.
    Claimed {
        /// How long that took.
        time: Duration,
    },
    /// A step of an inference begins.
    Step {
        /// The inference, counted from 0.
        inference: u32,
        /// The part of the inference.
        phase: Phase,
        /// The step of the plan.
        step: usize,
    },
    /// An inference ended.
    Inferred {
        /// The inference, counted from 0.
        inference: u32,
    },
}

/// One inference at one party.
#[derive(Clone, Debug, Serialize)]
pub struct InferenceReport {
    /// Seconds from the first online step to the last.
    pub online_seconds: f64,
    /// Seconds in which this party waited for correlations or made them ready.
    pub preprocessing_seconds: f64,
    /// The online traffic of this party, by its meter.
    pub online: Traffic,
    /// The traffic of this party for correlations, by its meter: from the dealer, or with the other party of two that make them;
    /// nothing if they were stored.
    pub preprocessing: Traffic,
    /// Each step of the plan.
    pub steps: Vec<StepReport>,
}

impl InferenceReport {
    /// Of a data owner that is no party: how long it took, and what it sent and received.
    pub(crate) fn outside(time: Duration, traffic: Traffic) -> Self {
        Self {
            online_seconds: time.as_secs_f64(),
            preprocessing_seconds: 0.0,
            online: traffic,
            preprocessing: Traffic::default(),
            steps: Vec::new(),
        }
    }
}

/// One step at one party.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its name in the plan.
    pub name: String,
    /// Seconds of its online part, in which this party computed or waited.
    pub seconds: f64,
    /// The planned traffic.
    pub planned: Traffic,
    /// The measured traffic.
    pub measured: Traffic,
}

/// Notes when each step begins and ends, and passes it on.
pub(crate) struct Recorder<'a> {
    watch: &'a mut dyn Watch,
    inference: u32,
    began: [Option<Instant>; 2],
    steps: Vec<[Duration; 2]>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(watch: &'a mut dyn Watch, inference: u32, steps: usize) -> Self {
        Self { watch, inference, began: [None; 2], steps: vec![[Duration::ZERO; 2]; steps] }
    }

    /// The report of party `party`, by its meters.
    pub(crate) fn finish<R: Ring>(
        self,
        plan: &Plan<R>,
        party: usize,
        meter: &Meter,
        preprocessing: Traffic,
    ) -> InferenceReport {
        let sum = |part: usize| self.steps.iter().map(|times| times[part]).sum::<Duration>().as_secs_f64();
        let steps = plan.steps().iter().zip(&self.steps).map(|(step, times)| StepReport {
            name: step.name.clone(),
            seconds: times[1].as_secs_f64(),
            planned: step.online.get(party).copied().unwrap_or_default(),
            measured: meter.traffic(Phase::Online, &step.name),
        });
        let report = InferenceReport {
            online_seconds: sum(1),
            preprocessing_seconds: sum(0),
            online: meter.total(Phase::Online),
            preprocessing,
            steps: steps.collect(),
        };
        self.watch.report(&report);
        self.watch.see(Event::Inferred { inference: self.inference });
        report
    }
}

/// The place of a phase in a recorder; none for one that has no steps.
fn place(phase: Phase) -> Option<usize> {
    match phase {
        Phase::Preprocessing => Some(0),
        Phase::Online => Some(1),
        Phase::Setup => None,
    }
}

impl Observer for Recorder<'_> {
    fn begin(&mut self, phase: Phase, step: usize) {
        self.watch.see(Event::Step { inference: self.inference, phase, step });
        if let Some(place) = place(phase) {
            self.began[place] = Some(Instant::now());
        }
    }

    fn end(&mut self, phase: Phase, step: usize) {
        if let Some(place) = place(phase)
            && let (Some(began), Some(times)) = (self.began[place].take(), self.steps.get_mut(step))
        {
            times[place] += began.elapsed();
        }
    }
}
