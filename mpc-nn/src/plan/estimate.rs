//! How long an inference takes over a link, and which variant of comparisons is faster over it.

use core::time::Duration;

use mpc_ring::Ring;
use mpc_transport::{LinkSettings, Traffic};

use super::Plan;
use super::makers::{Comparisons, Correlations};
use super::settings::{PlanError, Preprocessing, Settings};
use crate::graph::Graph;

/// How long the first inference of a session takes over links of one kind, if computing takes no time.
///
/// All of it follows from what the plan counts. A wait takes the latency, and bytes their time at the link's rate, at the
/// party where this takes longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The correlations by themselves.
    pub preparing: Duration,
    /// The online phase by itself.
    pub online: Duration,
    /// Both: what a dealer deals layer by layer fills the waits online; all other correlations are there before.
    pub total: Duration,
    /// The bytes that all send in both, a dealer included.
    pub bytes: u64,
}

/// Both variants of comparisons of one inference, planned, and what they take over a link.
///
/// ```
/// use mpc_nn::plan::{Comparisons, Variants};
/// use mpc_nn::{GraphBuilder, Preprocessing, Settings};
/// use mpc_transport::LinkSettings;
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 4000])?;
/// let y = builder.relu("y", x)?;
/// let graph = builder.finish(&[y])?;
/// let faster = |link: &str| {
///     let link: LinkSettings = link.parse()?;
///     let variants = Variants::<u64>::new(&graph, Settings::without_dealer(), link, Preprocessing::Ahead)?;
///     Ok::<_, Box<dyn std::error::Error>>(variants.into_faster().settings().comparisons)
/// };
/// assert_eq!(faster("200ms,1Gbit")?, Comparisons::FewRounds);
/// assert_eq!(faster("1ms,10Mbit")?, Comparisons::FewBytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Variants<R: Ring> {
    few_rounds: (Plan<R>, Estimate),
    few_bytes: (Plan<R>, Estimate),
}

impl<R: Ring> Plan<R> {
    /// The times of its first inference over links of one kind, with correlations drawn in that way.
    #[must_use]
    pub fn estimate(&self, link: LinkSettings, preprocessing: Preprocessing) -> Estimate {
        let parties = 0..self.settings.parties;
        let slowest = |traffic: fn(&Self, usize) -> Traffic| {
            let times = parties.clone().map(|party| time(link, traffic(self, party)));
            times.max().unwrap_or_default()
        };
        let (preparing, online) = (slowest(Self::preprocessing), slowest(Self::online));
        let is_beside = self.settings.correlations == Correlations::Dealt && preprocessing == Preprocessing::Streamed;
        // The link carries everything, whatever waits for what.
        let carried = parties.clone().map(|party| busy(link, self.preprocessing(party) + self.online(party)));
        let total = if is_beside {
            online.max(link.latency.saturating_add(carried.max().unwrap_or_default()))
        } else {
            preparing.saturating_add(online)
        };
        // Whatever is sent is received by somebody.
        let bytes = parties.map(|party| (self.preprocessing(party) + self.online(party)).bytes_received()).sum();
        Estimate { preparing, online, total, bytes }
    }
}

/// How long a party is busy with traffic of which it waits for each round.
fn time(link: LinkSettings, traffic: Traffic) -> Duration {
    let rounds = u32::try_from(traffic.rounds).unwrap_or(u32::MAX);
    link.latency.saturating_mul(rounds).saturating_add(busy(link, traffic))
}

/// How long a party's link is: it sends and receives at the same time.
fn busy(link: LinkSettings, traffic: Traffic) -> Duration {
    link.transfer_time(traffic.bytes_sent().max(traffic.bytes_received()))
}

impl<R: Ring> Variants<R> {
    /// Plans a graph in both variants, whichever the settings have.
    ///
    /// # Errors
    /// [`PlanError`], as of [`Plan::new`].
    pub fn new(
        graph: &Graph,
        settings: Settings,
        link: LinkSettings,
        preprocessing: Preprocessing,
    ) -> Result<Self, PlanError> {
        let planned = |comparisons| -> Result<_, PlanError> {
            let plan = Plan::new(graph, Settings { comparisons, ..settings })?;
            let estimate = plan.estimate(link, preprocessing);
            Ok((plan, estimate))
        };
        Ok(Self { few_rounds: planned(Comparisons::FewRounds)?, few_bytes: planned(Comparisons::FewBytes)? })
    }

    /// The plans and what they take, few rounds first.
    #[must_use]
    pub fn each(&self) -> [(&Plan<R>, Estimate); 2] {
        [&self.few_rounds, &self.few_bytes].map(|(plan, estimate)| (plan, *estimate))
    }

    /// The variant that takes less time; of two that take the same, that of fewer bytes, and else few rounds.
    #[must_use]
    pub fn faster(&self) -> Comparisons {
        let [rounds, bytes] = [&self.few_rounds, &self.few_bytes].map(|(_, estimate)| (estimate.total, estimate.bytes));
        if bytes < rounds { Comparisons::FewBytes } else { Comparisons::FewRounds }
    }

    /// The plan of the faster one.
    #[must_use]
    pub fn into_faster(self) -> Plan<R> {
        match self.faster() {
            Comparisons::FewRounds => self.few_rounds.0,
            Comparisons::FewBytes => self.few_bytes.0,
        }
    }
}
