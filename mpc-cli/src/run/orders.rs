//! The orders of the starting process to the process of a party or the dealer, as a line of JSON on its stdin.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::samples::{SampleSource, WeightSource};

/// A process's role in a job, and where the others are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// The job.
    pub job: Job,
    /// The party's index; 0 for the dealer.
    pub party: usize,
    /// Where each party listens for the other parties.
    pub parties: Vec<SocketAddr>,
    /// Where each party listens for the dealer, or without one the other party for correlations.
    pub dealer_links: Vec<SocketAddr>,
    /// Whom to trust: links are encrypted then.
    pub certificates: Option<Certificates>,
    /// Where the weights are, for the model owner.
    pub weights: Option<WeightSource>,
    /// Where the inputs are, for an owner of some.
    pub inputs: Option<SampleSource>,
}

/// The certificates of all processes, as PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificates {
    /// Each party's.
    pub parties: Vec<String>,
    /// The dealer's, if there is one.
    pub dealer: Option<String>,
}
