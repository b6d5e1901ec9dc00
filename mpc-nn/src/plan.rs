//! The plan of an inference: steps, correlations, bytes and rounds, from public facts alone.
//!
//! The graph is walked once, here. Every value has a *format*: the fractional bits of its fixed point, f after a
//! truncation and more after a product, and a public divisor that a mean has left pending, which the next linear layer
//! takes into its weights. The walk inserts a truncation only where a layer needs one: a ReLU truncates by itself, a
//! residual sum is formed before the truncation, and of a result that has more than f fractional bits each party reveals its
//! share without those beyond. A value has a *width*, too: the low bits of it that later steps read. Nothing is dealt or
//! opened wider.

mod compared;
mod estimate;
pub(crate) mod format;
mod functions;
mod makers;
mod memory;
mod own;
mod reduce;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod step;
pub(crate) mod walk;
mod widths;

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;

use mpc_protocols::own::{OwnPlan, recorded_bytes as own_recorded_bytes};
use mpc_protocols::{Place, Request, correlation, fixed_weights, sharing};
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{Agreement, Traffic};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::encoding::{Header, hex};
use crate::graph::{Graph, NodeId};
use crate::ops;

pub use estimate::{Estimate, Variants};
pub use format::{Format, Index, Number};
pub use makers::{Comparisons, Correlations, Transfers};
pub use settings::{
    MAX_COMPARISON_BITS, MAX_INPUT_OWNERS, Owner, PlanError, Preprocessing, Recipients, Roles, Settings,
    WeightKnowledge,
};
pub use step::{Action, Lifting, MaskedWeight, SharedConstant, Step};

use compared::Argument;
use settings::check_settings;
use walk::Walk;

/// Everything that an inference will do, send and consume, known before it runs.
///
/// ```
/// use mpc_nn::{GraphBuilder, Plan, Settings};
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 4])?;
/// let hidden = builder.linear("hidden", x, 8, true)?;
/// let relu = builder.relu("relu", hidden)?;
/// let y = builder.linear("out", relu, 2, true)?;
/// let graph = builder.finish(&[y])?;
/// let plan = Plan::<u64>::new(&graph, Settings::new(2))?;
/// // Opening 4 elements of 54 bits, which is what a ReLU reads of their products with weights of 22 fractional bits, and 8 of
/// // 8 bytes for a result that is revealed; 8 ReLUs of 5.5 bytes, and a 32-byte seed from the data owner.
/// assert_eq!(plan.online(1).payload_sent, 32 + 4 * 54 / 8 + 8 * 8 + 44);
/// assert_eq!(plan.online(0).rounds, 1 + 1 + 3 + 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan<R: Ring> {
    graph: Graph,
    settings: Settings,
    weights: Vec<MaskedWeight>,
    constants: Vec<SharedConstant>,
    steps: Vec<Step>,
    /// How two parties make the correlations, where there is no dealer.
    own: Option<Arc<OwnPlan>>,
    layout: [u8; 32],
    bounds: Vec<f64>,
    arguments: Vec<Option<Argument>>,
    digest: [u8; 32],
    ring: PhantomData<R>,
}

impl<R: Ring> Plan<R> {
    /// Plans a graph.
    ///
    /// # Errors
    /// [`PlanError`], before anything is dealt or sent.
    pub fn new(graph: &Graph, settings: Settings) -> Result<Self, PlanError> {
        let parameters = check_settings::<R>(&settings)?;
        let mut walk = Walk::<R>::new(graph, settings, parameters);
        for (id, node) in graph.iter() {
            let (action, format) = ops::plan(&mut walk, node)?;
            walk.add(id, action, format);
        }
        for (output, &id) in graph.outputs().iter().enumerate() {
            walk.reveal(output, id);
        }
        walk.merge_branches();
        let Walk { mut weights, constants, mut steps, bounds, .. } = walk;
        reduce::choose::<R>(graph, &mut steps, &mut weights, &settings);
        let mut steps = schedule::order(graph, steps, &settings);
        let own = own::plan::<R>(&mut steps, &settings)?;
        let arguments = compared::arguments(graph, &steps);
        let (graph, ring, layout, digest) = (graph.clone(), PhantomData, [0; 32], [0; 32]);
        let mut plan =
            Self { graph, settings, weights, constants, steps, bounds, arguments, own, layout, digest, ring };
        plan.layout = correlation::layout_digest::<R>(&[plan.setup_requests(), plan.requests()].concat());
        plan.digest = plan.make_digest();
        Ok(plan)
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The magnitude that the value of a node must stay below for results to mean anything.
    #[must_use]
    pub fn bound(&self, node: NodeId) -> f64 {
        self.bounds[node.index()]
    }

    /// The weight tensors that are opened under masks when the model is loaded, in the order of the masks.
    #[must_use]
    pub fn weights(&self) -> &[MaskedWeight] {
        &self.weights
    }

    /// The parameters that stay shared, in the order in which they are shared, behind the weights.
    #[must_use]
    pub fn constants(&self) -> &[SharedConstant] {
        &self.constants
    }

    /// The number of elements of all weights and constants.
    pub(crate) fn parameters_len(&self) -> usize {
        self.weights_len() + self.constants.iter().map(|constant| constant.len).sum::<usize>()
    }

    /// The number of elements of a party's loaded model.
    pub(crate) fn model_elements(&self) -> usize {
        // Of each weight, where a dealer masks it, what was opened.
        self.parameters_len() + if self.own.is_some() { 0 } else { self.weights_len() }
    }

    fn weights_len(&self) -> usize {
        self.weights.iter().map(|weight| weight.len).sum()
    }

    /// The number of elements of all inputs that come from outside.
    pub(crate) fn outside_inputs_len(&self) -> usize {
        let inputs = self.graph.inputs().iter().zip(self.input_owners());
        inputs.filter(|(_, owner)| *owner == Owner::Outside).map(|(&id, _)| self.graph.node(id).len()).sum()
    }

    /// The number of elements of all outputs.
    pub(crate) fn outputs_len(&self) -> usize {
        self.graph.outputs().iter().map(|&id| self.graph.node(id).len()).sum()
    }

    /// The steps that reveal the outputs.
    pub(crate) fn revealed(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.action, Action::Reveal { .. }))
    }

    /// ℓ: the bits of an element of the ring.
    #[must_use]
    pub fn ring_bits(&self) -> u32 {
        R::BITS
    }

    /// The steps in the order in which they run; those that wait for nothing of each other do so in the same rounds.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The correlations that loading the model consumes: a mask for the weights of each layer, where there is a dealer.
    #[must_use]
    pub fn setup_requests(&self) -> Vec<Request> {
        self.masked().map(MaskedWeight::request::<R>).collect()
    }

    /// The correlations that one inference consumes.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.steps.iter().flat_map(|step| step.requests.iter().cloned()).collect()
    }

    /// The traffic of party `party` while the model is loaded, apart from handshakes and its seed.
    #[must_use]
    pub fn setup(&self, party: usize) -> Traffic {
        let Settings { parties, roles, .. } = self.settings;
        let shares = match (roles.model_owner, self.settings.clear_owner()) {
            (Owner::Party(owner), None) => sharing::traffic(party, owner, parties),
            _ => Traffic::default(),
        };
        // Where nothing is masked, nothing is opened.
        let masks = self.masked().map(MaskedWeight::mask);
        let opened = if self.own.is_some() { Traffic::default() } else { fixed_weights::load_traffic(masks, parties) };
        shares + opened
    }

    /// The weights that a dealer's masks hide.
    fn masked(&self) -> impl Iterator<Item = &MaskedWeight> {
        self.weights.iter().filter(|_| self.own.is_none())
    }

    /// The traffic of party `party` for the correlations of one inference: from the dealer, or with the other party of two for the
    /// first inference of a session ([`preprocessing_next`](Self::preprocessing_next)).
    #[must_use]
    pub fn preprocessing(&self, party: usize) -> Traffic {
        match self.schedule() {
            Some(mut schedule) => self.preprocessing_next(party, &mut schedule),
            None => correlation::traffic::<R>(&self.requests(), self.place(party)),
        }
    }

    /// The traffic of party `party` in one inference.
    #[must_use]
    pub fn online(&self, party: usize) -> Traffic {
        self.steps.iter().filter_map(|step| step.online.get(party).copied()).sum()
    }

    /// The bytes of a party's [`ModelShare`](crate::delegation::ModelShare).
    #[must_use]
    pub fn model_share_bytes(&self, party: usize) -> usize {
        self.share_bytes(party, self.parameters_len())
    }

    /// The bytes of a party's [`InputShare`](crate::delegation::InputShare).
    #[must_use]
    pub fn input_share_bytes(&self, party: usize) -> usize {
        self.share_bytes(party, self.outside_inputs_len())
    }

    /// The bytes of every party's [`OutputShare`](crate::delegation::OutputShare).
    #[must_use]
    pub fn output_share_bytes(&self) -> usize {
        Header::BYTES + self.outputs_len() * R::BYTES
    }

    /// The bytes of a [`Model`](crate::Model).
    #[must_use]
    pub fn model_bytes(&self) -> usize {
        Header::BYTES + self.model_elements() * R::BYTES
    }

    /// The bytes of a party's [recording](crate::recording) of one inference.
    #[must_use]
    pub fn recording_bytes(&self, party: usize) -> u64 {
        let kept = match self.own {
            // Both parties keep all.
            Some(_) => own_recorded_bytes::<R>(&self.requests()),
            None => correlation::traffic::<R>(&self.requests(), self.place(party)).payload_received,
        };
        Header::BYTES as u64 + kept
    }

    fn share_bytes(&self, party: usize, len: usize) -> usize {
        Header::BYTES + if self.place(party).is_last() { len * R::BYTES } else { Seed::BYTES }
    }

    /// The place of a party among those of this plan.
    pub(crate) fn place(&self, party: usize) -> Place {
        Place { party, parties: self.settings.parties }
    }

    /// The owner of each input, in the order of the graph's inputs.
    #[must_use]
    pub fn input_owners(&self) -> Vec<Owner> {
        (0..self.graph.inputs().len()).map(|input| self.settings.roles.input_owner(input)).collect()
    }

    /// SHA-256 of the graph: two parties with one digest have one architecture.
    #[must_use]
    pub fn model_digest(&self) -> [u8; 32] {
        digest(&self.graph)
    }

    /// SHA-256 of everything that must agree: graph, ring, settings, every step, its correlations and their layout.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn make_digest(&self) -> [u8; 32] {
        let Self { graph, settings, weights, constants, steps, layout, .. } = self;
        digest(&(graph, R::BITS, settings, weights, constants, steps, layout))
    }

    /// The fields that the handshake of a session compares, one by one.
    #[must_use]
    pub fn agreement(&self, session: [u8; 16]) -> Agreement {
        let settings = &self.settings;
        let owners: Vec<_> = self.input_owners().iter().take(MAX_INPUT_OWNERS).map(Owner::to_string).collect();
        Agreement::new(session)
            .with("model", hex(&self.model_digest()))
            .with("ring", format!("Z_2^{}", R::BITS))
            .with("fractional bits", settings.fractional_bits)
            .with("comparison bits", settings.comparison_bits)
            .with("parties", settings.parties)
            .with("correlations", settings.correlations)
            .with("comparisons", settings.comparisons)
            .with("weights known to", if settings.weights == WeightKnowledge::Owner { "model owner" } else { "nobody" })
            .with("model owner", settings.roles.model_owner)
            .with("data owner", settings.roles.data_owner)
            .with("owners of inputs", owners.join(", "))
            .with("outputs revealed to", settings.roles.recipients())
            .with(correlation::LAYOUT, hex(&self.layout))
            .with("plan", hex(&self.digest()))
    }
}

/// Adds the correlations and traffic of each step, which follow from its action. A branch is done, and paid for, by the
/// first step of its input.
fn add_costs<R: Ring>(steps: &mut [Step], settings: &Settings) {
    for index in 0..steps.len() {
        let requests = steps[index].needs(steps).requests::<R>(steps[index].correlation_width());
        let step = &mut steps[index];
        let online = |party| match step.is_branch {
            true => Traffic::default(),
            false => step.traffic::<R>(settings, party),
        };
        step.online = (0..settings.parties).map(online).collect();
        step.preprocessing = requests.iter().map(Request::traffic::<R>).sum();
        step.requests = requests;
    }
}

impl Header {
    pub(crate) fn new<R: Ring>(plan: &Plan<R>, party: usize) -> Self {
        Self { plan: plan.digest(), party }
    }
}

fn digest(value: &impl Serialize) -> [u8; 32] {
    let bytes = postcard::to_allocvec(value).expect("plans always encode");
    Sha256::digest(&bytes).into()
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use mpc_transport::{TransportError, memory_link, memory_network};

    use super::*;
    use crate::error::InferenceError;
    use crate::graph::GraphBuilder;
    use crate::session::{DealerSession, PartySession, SessionOptions};

    /// A dealer of another version, whose graph, settings and requests are the same.
    #[test]
    fn a_dealer_with_another_layout_is_named_by_all() {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 4]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let plan = Plan::<u64>::new(&builder.finish(&[y]).unwrap(), Settings::new(2)).unwrap();
        let mut other = plan.clone();
        other.layout[31] ^= 1;
        other.digest = other.make_digest();
        assert_ne!(other.digest(), plan.digest());
        let options = || SessionOptions::new([3; 16], Seed::from_bytes([7; 32]));
        let wait = Duration::from_secs(20);
        let (links, party_links): (Vec<_>, Vec<_>) = (0..2).map(|_| memory_link(wait)).unzip();
        let (plan, other) = (&plan, &other);
        let errors: Vec<InferenceError> = thread::scope(|scope| {
            let ends = memory_network(2, wait).into_iter().zip(party_links);
            let open = |(end, link)| {
                let session = PartySession::open(end, link, plan, None, options());
                scope.spawn(move || smol::block_on(session).map(|_| ()).unwrap_err())
            };
            let parties: Vec<_> = ends.map(open).collect();
            let dealer = smol::block_on(DealerSession::open(links, other, options())).map(|_| ()).unwrap_err();
            parties.into_iter().map(|party| party.join().unwrap()).chain([dealer]).collect()
        });
        for error in errors {
            let InferenceError::Link { source, .. } = error else { panic!("{error}") };
            let is_layout =
                matches!(&*source, TransportError::HandshakeMismatch { field, .. } if field == correlation::LAYOUT);
            assert!(is_layout, "{source}");
        }
    }
}
