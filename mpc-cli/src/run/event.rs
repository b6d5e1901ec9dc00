//! The events that a party or the dealer tells the process that started it.

use std::fmt;
use std::net::SocketAddr;

use mpc_transport::{Phase, Traffic};
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

/// A participant of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A party.
    Party(usize),
    /// The dealer.
    Dealer,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(party) => write!(f, "party {party}"),
            Self::Dealer => f.write_str("dealer"),
        }
    }
}

/// Something that a participant reports. As a process it writes each as a line of JSON to its stdout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A process is ready for its orders.
    Ready {
        /// Where it listens, if it is a party's.
        listening: Option<Listening>,
        /// The certificate of its identity, as PEM.
        certificate: String,
    },
    /// A message has come over a party's link for correlations, which two parties make: they work, however long it takes.
    Heard,
    /// A party has its share of the model.
    Loaded(Loaded),
    /// A party begins a step.
    Step {
        /// The inference.
        inference: usize,
        /// Drawing correlations, or online.
        phase: Phase,
        /// The step of the plan.
        step: usize,
    },
    /// A party is done with an inference.
    Inferred(Box<Inferred>),
    /// All is done.
    Finished {
        /// The most memory that the process held, in bytes; none where the system does not say.
        peak_memory: Option<u64>,
    },
    /// The participant has stopped.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Where a party's process listens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Listening {
    /// Where parties connect.
    pub parties: SocketAddr,
    /// Where the dealer connects, or without one the other party for correlations.
    pub dealer: SocketAddr,
}

/// A party's setup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// When it was done.
    pub at: u64,
    /// Loading the model, as planned.
    pub load: Traffic,
    /// The traffic of two parties without a dealer before they make correlations, as planned.
    pub making: Traffic,
    /// All with the other parties, handshakes included.
    pub parties: Traffic,
    /// All over the link for correlations, handshake included.
    pub dealer: Traffic,
}

/// One inference at one party.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inferred {
    /// The inference.
    pub inference: usize,
    /// The traffic from the dealer, or between two parties that make correlations.
    pub preprocessing: Traffic,
    /// All that passed between the parties.
    pub online: Traffic,
    /// Each step's online part.
    pub steps: Vec<StepRecord>,
    /// The outputs, at the data owner.
    pub outputs: Option<Vec<Output>>,
}

/// An output of one inference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Output {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Output {
    /// For a tensor.
    pub fn new(tensor: &ArrayD<f64>) -> Self {
        Self { shape: tensor.shape().to_vec(), values: tensor.iter().copied().collect() }
    }

    /// The tensor; `None` if the shape has another number of elements.
    pub fn tensor(&self) -> Option<ArrayD<f64>> {
        ArrayD::from_shape_vec(self.shape.clone(), self.values.clone()).ok()
    }
}

/// The online part of a step at one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// When it began.
    pub begin: u64,
    /// When it ended.
    pub end: u64,
    /// The traffic that it sent and received.
    pub traffic: Traffic,
}
