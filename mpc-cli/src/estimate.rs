//! How long an inference would take over a given link: an estimate, from its bytes and rounds, which are exact.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use mpc_nn::plan::Action;
use mpc_nn::{Plan, Step};
use mpc_ring::Ring;
use mpc_transport::LinkSettings;
use serde::Serialize;

/// Multiplications of a convolution or a matrix product in a second, on one core.
const MULTIPLICATIONS: f64 = 5e9;
/// Bytes in a second that a party can prepare, send and take in, on one core.
const BYTES: f64 = 1e9;
/// The time of a round on loopback, in seconds.
const ROUND: f64 = 2e-5;

/// A kind of link between the parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    /// One machine.
    Loopback,
    /// 1 Gb/s and 0.5 ms one way.
    Lan,
    /// 100 Mb/s and 40 ms one way.
    Wan,
}

impl FromStr for Net {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "loopback" => Ok(Self::Loopback),
            "lan" => Ok(Self::Lan),
            "wan" => Ok(Self::Wan),
            _ => Err("a link is loopback, lan or wan"),
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Loopback => "loopback",
            Self::Lan => "lan",
            Self::Wan => "wan",
        })
    }
}

/// Estimated times of one inference.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// The link.
    pub net: Net,
    /// Seconds of the online phase.
    pub seconds: f64,
    /// Each step of the plan.
    pub steps: Vec<StepEstimate>,
}

/// The estimated time of one step.
#[derive(Clone, Debug, Serialize)]
pub struct StepEstimate {
    /// Its name in the plan.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

impl Estimate {
    /// Of an inference over links of a kind.
    #[must_use]
    pub fn new<R: Ring>(net: Net, plan: &Plan<R>) -> Self {
        let step = |step: &Step| StepEstimate { name: step.name.clone(), seconds: net.step(plan, step).as_secs_f64() };
        let steps: Vec<_> = plan.steps().iter().map(step).collect();
        Self { net, seconds: steps.iter().map(|step| step.seconds).sum(), steps }
    }
}

impl Net {
    fn settings(self) -> LinkSettings {
        match self {
            Self::Loopback => LinkSettings::default(),
            Self::Lan => LinkSettings::LAN,
            Self::Wan => LinkSettings::WAN,
        }
    }

    /// How long one step takes, computing and sending one after the other.
    fn step<R: Ring>(self, plan: &Plan<R>, step: &Step) -> Duration {
        let LinkSettings { latency, bits_per_second } = self.settings();
        let traffic = step.online.iter().copied().max_by_key(|traffic| traffic.bytes_sent()).unwrap_or_default();
        let rounds = step.online.iter().map(|traffic| traffic.rounds).max().unwrap_or_default() as f64;
        let bytes = traffic.bytes_sent() as f64;
        let wire = bits_per_second.map_or(0.0, |rate| bytes * 8.0 / rate as f64);
        let node = plan.graph().node(step.node);
        let multiplications = if matches!(step.action, Action::Linear { .. }) { node.multiplications() } else { 0 };
        let computing = multiplications as f64 / MULTIPLICATIONS + 2.0 * bytes / BYTES;
        Duration::from_secs_f64(rounds * (latency.as_secs_f64() + ROUND) + wire + computing)
    }
}
