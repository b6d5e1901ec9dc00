//! How much memory a plan takes, from its sizes: for those who limit it.

use alloc::collections::BTreeMap;

use mpc_protocols::fixed_weights::load_messages;
use mpc_protocols::{Bilinear, Request};
use mpc_ring::{Ring, packing};

use super::schedule::groups_of;
use super::{Action, MaskedWeight, Plan, Preprocessing, Step};
use crate::graph::NodeId;

/// The most that a party's thread keeps of buffers that it has used, to use them again: elements and bytes.
const RETIRED_BYTES: u64 = 128 << 20;

impl<R: Ring> Plan<R> {
    /// About the most bytes that a party holds at once in a session, from loading the model to the last output: no less than
    /// it does, and a few times as much for a small plan. To record correlations takes no more.
    #[must_use]
    pub fn memory_bytes(&self, party: usize, preprocessing: Preprocessing) -> u64 {
        let inputs = self.graph.inputs().iter().map(|&id| self.graph.node(id).len()).sum::<usize>();
        // Of the outputs the shares, those that go outside, and the numbers.
        let outputs = self.outputs_len();
        let own = self.own().map_or(0, |own| own.memory(self.place(party)));
        // Of the weights its share and Δ.
        let kept = self.model_elements() + 2 * self.packed_elements() + inputs + 2 * outputs;
        let run = self.run_memory(party, preprocessing);
        let fixed = own + bytes::<R>(kept) + 8 * outputs as u64 + run.min(RETIRED_BYTES);
        let load = self.load_memory();
        (load + load.min(RETIRED_BYTES)).max(fixed.saturating_add(run))
    }

    /// The bytes in which a party holds the correlations of one inference that are drawn ahead of it, apart from some words for
    /// each of them: at the last party the dealer's corrections, at the others what is added to the products of layers. Where two
    /// parties make them, no less than they hold.
    #[must_use]
    pub fn correlation_bytes(&self, party: usize) -> u64 {
        self.steps.iter().map(|step| self.at_rest(step, party)).fold(0, u64::saturating_add)
    }

    /// About the most bytes that the dealer holds at once in a session: no less than it does.
    #[must_use]
    pub fn dealer_memory_bytes(&self) -> u64 {
        // Each mask as it is, and as the kernels read it.
        let masks = bytes::<R>(self.weights.iter().map(|weight| weight.len).sum::<usize>() + self.packed_elements());
        let requests = self.steps.iter().flat_map(|step| &step.requests).map(Request::dealer_memory::<R>);
        let setup = self.weights.iter().map(|weight| weight.request::<R>().dealer_memory::<R>());
        masks.saturating_add(requests.chain(setup).max().unwrap_or_default())
    }

    /// Elements of the weights as the kernels of this machine read them.
    fn packed_elements(&self) -> usize {
        let packed = |step: &Step| match &step.action {
            Action::Linear { map: Bilinear::Convolution(shape), .. } => shape.packed_len::<R>(),
            _ => 0,
        };
        self.steps.iter().map(packed).sum()
    }

    /// While the model is loaded: the owner's weights, its share, what is opened of it, and the largest messages.
    fn load_memory(&self) -> u64 {
        let weights = self.weights.iter().map(|weight| weight.len).sum::<usize>();
        let message = load_messages(self.masked().map(MaskedWeight::mask)).into_iter().max().unwrap_or_default();
        bytes::<R>(3 * self.parameters_len() + 2 * weights) + self.settings.parties as u64 * message
    }

    /// From the first correlation to the last output: correlations, values that are still read, and what a step works with.
    fn run_memory(&self, party: usize, preprocessing: Preprocessing) -> u64 {
        let ahead: u64 = match preprocessing {
            Preprocessing::Ahead => self.correlation_bytes(party),
            Preprocessing::Streamed => 0,
        };
        let mut values = BTreeMap::new();
        let (mut most, mut longest_messages) = (0, 0);
        for group in groups_of(&self.steps) {
            let branches = group.iter().flat_map(|step| &step.branches).map(|&branch| &self.steps[branch]);
            let made: BTreeMap<NodeId, u64> =
                group.iter().chain(branches).map(|step| (step.node, bytes::<R>(step.shape.iter().product()))).collect();
            let live = values.values().chain(made.values()).sum::<u64>();
            let drawn = |step: &Step| if ahead == 0 { self.at_rest(step, party) } else { 0 };
            let expanded = |step: &Step| step.requests.iter().map(Request::expanded_memory::<R>).sum::<u64>();
            let working = |step: &Step| drawn(step) + expanded(step) + self.workspace(step);
            most = most.max(live.saturating_add(group.iter().map(working).sum()));
            longest_messages = longest_messages.max(group.iter().map(|step| self.messages(step, party)).sum());
            values.extend(made);
            group.iter().flat_map(|step| &step.last_reads).for_each(|node| _ = values.remove(node));
        }
        most.saturating_add(longest_messages).saturating_add(ahead)
    }

    /// The memory of a step's correlations from drawing them to their use.
    fn at_rest(&self, step: &Step, party: usize) -> u64 {
        let (place, width) = (self.place(party), step.correlation_width());
        if self.own().is_some() {
            return step.requests.iter().map(Request::expanded_memory::<R>).sum();
        }
        // Where they are no corrections, products wait with what is added to them before the step.
        let products = step.requests.iter().filter(|_| !place.is_last()).map(|request| match request {
            Request::Modulo { of, .. } => prepared(of),
            request => prepared(request),
        });
        let products: usize = products.map(|elements| packing::packed_len(elements, width)).sum();
        products as u64 + step.requests.iter().map(|request| request.memory::<R>(place)).sum::<u64>()
    }

    /// The memory of a step besides its operands, its result and its correlations.
    fn workspace(&self, step: &Step) -> u64 {
        let node = self.graph.node(step.node);
        let operands = node.inputs().iter().map(|&input| self.graph.node(input).len()).sum::<usize>();
        let elements = step.shape.iter().product::<usize>();
        bytes::<R>(step.action.workspace(operands, elements))
    }

    /// The messages of a step, all rounds together, and those of the other parties.
    fn messages(&self, step: &Step, party: usize) -> u64 {
        let sent = step.online.get(party).map_or(0, |traffic| traffic.payload_sent.max(traffic.payload_received));
        2 * sent
    }
}

/// The elements of a layer's result that are made ready before its input is there.
fn prepared(request: &Request) -> usize {
    match request {
        Request::FixedWeights { map, .. } | Request::FixedWeightsSharedInput { map, .. } => map.output_len(),
        _ => 0,
    }
}

fn bytes<R: Ring>(elements: usize) -> u64 {
    (elements as u64).saturating_mul(R::BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConvolutionOptions, GraphBuilder, Settings};

    #[test]
    fn the_dealer_keeps_masks_as_they_are_and_packed() {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 16, 4, 4]).unwrap();
        let options = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(64, [3, 3]) };
        let y = builder.convolution("y", x, options).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
        let convolution = |step: &Step| match step.action {
            Action::Linear { map: Bilinear::Convolution(shape), .. } => Some(shape),
            _ => None,
        };
        let shape = plan.steps().iter().find_map(convolution).unwrap();
        let (weights, requests) = (64 * 16 * 9, plan.steps().iter().flat_map(|step| &step.requests));
        let dealing = requests.map(Request::dealer_memory::<u64>).max().unwrap();
        let kept = bytes::<u64>(weights + shape.packed_len::<u64>());
        assert!(plan.dealer_memory_bytes() >= kept + dealing);
    }
}
