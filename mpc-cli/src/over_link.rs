//! The times of an inference over a link: of the variant of comparisons that was asked for, or of both where the plan chose.

use mpc_nn::plan::{Estimate, Variants};
use mpc_nn::{Plan, PlanError, Preprocessing};
use mpc_ring::Ring;
use mpc_transport::LinkSettings;
use serde::Serialize;

use crate::format::{bytes, seconds};
use crate::table::table;

/// The times over a link, for a table and as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct OverLink {
    /// The link, as the command line has it.
    link: String,
    round_trip_seconds: f64,
    /// Absent where there is no limit.
    bits_per_second: Option<u64>,
    /// Whether the plan chose between the variants.
    chose: bool,
    variants: Vec<Variant>,
}

#[derive(Clone, Debug, Serialize)]
struct Variant {
    comparisons: String,
    /// Whether the plan has it.
    chosen: bool,
    /// Online.
    rounds: u64,
    /// By the party that sends most online.
    bytes_sent: u64,
    /// Sent by all, online and to prepare, a dealer included.
    bytes: u64,
    preparing_seconds: f64,
    online_seconds: f64,
    seconds: f64,
}

impl OverLink {
    /// Of a plan, and of the variant that it was chosen from if it `chose`.
    ///
    /// # Errors
    /// [`PlanError`], where the other variant has no plan.
    pub fn new<R: Ring>(
        plan: &Plan<R>,
        link: LinkSettings,
        preprocessing: Preprocessing,
        chose: bool,
    ) -> Result<Self, PlanError> {
        let variants = if chose {
            let both = Variants::<R>::new(plan.graph(), *plan.settings(), link, preprocessing)?;
            let chosen = plan.settings().comparisons;
            both.each().map(|(of, estimate)| Variant::new(of, estimate, of.settings().comparisons == chosen)).into()
        } else {
            vec![Variant::new(plan, plan.estimate(link, preprocessing), true)]
        };
        let round_trip_seconds = link.round_trip().as_secs_f64();
        Ok(Self { link: link.to_string(), round_trip_seconds, bits_per_second: link.bits_per_second, chose, variants })
    }

    /// The times for people.
    #[must_use]
    pub fn text(&self) -> String {
        let header = [
            "comparisons",
            "",
            "rounds online",
            "sent online by a party",
            "sent by all",
            "to prepare",
            "online",
            "in all",
        ];
        let mut rows = table(&header, 2);
        for variant in &self.variants {
            let mark = if variant.chosen && self.chose { "chosen" } else { "" };
            let times = [variant.preparing_seconds, variant.online_seconds, variant.seconds].map(seconds);
            let counts = [variant.rounds.to_string(), bytes(variant.bytes_sent), bytes(variant.bytes)];
            rows.add_row([[variant.comparisons.clone(), mark.to_owned()].as_slice(), &counts, &times].concat());
        }
        let explained =
            "What a dealer deals layer by layer arrives while the parties compute; all else is prepared before.";
        format!("Over the link {}, without computing:\n{rows}\n{explained}\n", self.link)
    }
}

impl Variant {
    fn new<R: Ring>(plan: &Plan<R>, estimate: Estimate, chosen: bool) -> Self {
        let online: Vec<_> = (0..plan.settings().parties).map(|party| plan.online(party)).collect();
        let [preparing_seconds, online_seconds, seconds] =
            [estimate.preparing, estimate.online, estimate.total].map(|time| time.as_secs_f64());
        Self {
            comparisons: plan.settings().comparisons.to_string(),
            chosen,
            rounds: online.iter().map(|traffic| traffic.rounds).max().unwrap_or(0),
            bytes_sent: online.iter().map(|traffic| traffic.bytes_sent()).max().unwrap_or(0),
            bytes: estimate.bytes,
            preparing_seconds,
            online_seconds,
            seconds,
        }
    }
}
