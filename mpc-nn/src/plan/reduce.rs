//! Truncations that every party does alone.
//!
//! A truncated value that is read modulo 2^w only is right there without a message, if what is truncated by s bits is right
//! modulo 2^{w+s} ([`reduce`](mpc_protocols::truncation::reduce)). That makes the operands of a product in front of it wider, which
//! costs less than lifting its results where it has more of them. A layer with fixed weights stays as it is: its masks are opened
//! for the life of a model.

use alloc::vec::Vec;

use mpc_ring::Ring;

use super::makers::Correlations;
use super::settings::Settings;
use super::step::{Action, Lifting, MaskedWeight, Step};
use super::{add_costs, widths};
use crate::graph::Graph;

/// The steps and correlations that are planned again at most while truncations are tried: a file may have tens of thousands of
/// steps and truncations, and a sorting network has hundreds of correlations.
const MOST_PLANNED_AGAIN: usize = 1 << 21;

/// Sets widths and costs, with each truncation done by every party alone where no more is sent and dealt for it.
pub(super) fn choose<R: Ring>(graph: &Graph, steps: &mut [Step], weights: &mut [MaskedWeight], settings: &Settings) {
    let mut plan = |steps: &mut [Step]| {
        weights.iter_mut().for_each(|weight| weight.width = 0);
        widths::assign::<R>(graph, steps, weights);
        add_costs::<R>(steps, settings);
        Cost::of(steps, weights)
    };
    let mut least = plan(steps);
    if settings.correlations != Correlations::Dealt {
        return;
    }
    let size = steps.len() + steps.iter().map(|step| step.requests.len()).sum::<usize>();
    let mut planned = 0;
    for index in (0..steps.len()).rev() {
        let Action::Truncate { shift, bits, lifting } = steps[index].action else { continue };
        if steps[index].width + shift > R::BITS {
            continue;
        }
        planned += size;
        if planned > MOST_PLANNED_AGAIN {
            return;
        }
        steps[index].action = Action::Truncate { shift, bits, lifting: Lifting::Nothing };
        let cost = plan(steps);
        if cost.is_within(&least) {
            least = cost;
        } else {
            steps[index].action = Action::Truncate { shift, bits, lifting };
            plan(steps);
        }
    }
}

/// The costs that a choice may not make more.
struct Cost {
    sent: u64,
    dealt: u64,
    weights: Vec<u32>,
}

impl Cost {
    fn of(steps: &[Step], weights: &[MaskedWeight]) -> Self {
        Self {
            sent: steps.iter().flat_map(|step| &step.online).map(|traffic| traffic.payload_sent).sum(),
            dealt: steps.iter().map(|step| step.preprocessing.payload_received).sum(),
            weights: weights.iter().map(|weight| weight.width).collect(),
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        self.sent <= other.sent && self.dealt <= other.dealt && self.weights == other.weights
    }
}
