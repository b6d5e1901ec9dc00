//! Weights for networks that come without trained ones: for measurements, and to try a network's private run.

use alloc::collections::{BTreeMap, BTreeSet};

use mpc_nn::{Graph, NodeId, Op, Parameter, ParameterKind, Weights, WeightsError};
use ndarray::{ArrayD, IxDyn};
use num_traits::Float;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// The seed of the weights that a network of the registry has when no trained ones come with it.
pub const SEED: u64 = 0;

/// Arbitrary weights of a graph, the same for the same graph and seed on every machine. They classify nothing.
///
/// Uniform between −b and b with the variance 2/n of He et al. (2015) for n inputs of an output, b = √(6/n), so that
/// activations keep their magnitude from layer to layer. Two adjustments keep it where residual sums would let it grow:
/// of two convolutions that are added, each has half that variance; one that is added to something else has it divided
/// by the number of sums in the graph. Biases and channelwise factors are uniform between −1/√n and 1/√n with the n of
/// their own layer (channelwise ones, and tensors of their own: 1 ± 0.1). The numbers come from ChaCha20.
///
/// ```
/// use mpc_models::{lenet, random_weights};
/// let graph = lenet(1, 10)?;
/// let (weights, others) = (random_weights(&graph, 1)?, random_weights(&graph, 2)?);
/// assert_eq!(weights.get("fc3.bias"), random_weights(&graph, 1)?.get("fc3.bias"));
/// assert_ne!(weights.get("fc3.bias"), others.get("fc3.bias"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A graph that no weights fit, which a [`GraphBuilder`](mpc_nn::GraphBuilder) does not make.
pub fn random_weights(graph: &Graph, seed: u64) -> Result<Weights, WeightsError> {
    let mut generator = ChaCha20Rng::seed_from_u64(seed);
    let residual = Residual::of(graph);
    let mut tensors = BTreeMap::new();
    for parameter in graph.parameters() {
        let (centre, bound) = distribution(graph, &parameter, &residual);
        let mut draw = || centre + bound * uniform(&mut generator);
        let tensor = ArrayD::from_shape_simple_fn(IxDyn(&parameter.shape), &mut draw);
        tensors.insert(parameter.name, tensor);
    }
    Weights::for_graph(graph, tensors)
}

/// Between −1 and 1, a multiple of 2^−23.
fn uniform(generator: &mut impl Rng) -> f32 {
    (generator.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
}

/// The middle of a parameter's values, and how far they are from it at most.
fn distribution(graph: &Graph, parameter: &Parameter, residual: &Residual) -> (f32, f32) {
    let node = graph.node(parameter.node);
    let inputs = match node.op() {
        Op::Convolution { shape, .. } => shape.input_channels / shape.groups * shape.kernel[0] * shape.kernel[1],
        Op::Linear { input_features, .. } => *input_features,
        _ => return (1.0, 0.1),
    };
    match parameter.kind {
        ParameterKind::Weight => (0.0, Float::sqrt(6.0 / inputs as f32 / residual.divisor(parameter.node))),
        _ => (0.0, 1.0 / Float::sqrt(inputs as f32)),
    }
}

/// Which convolutions feed a sum.
struct Residual {
    sums: usize,
    /// Those added to another convolution.
    beside_convolution: BTreeSet<NodeId>,
    /// Those added to something else.
    beside_shortcut: BTreeSet<NodeId>,
}

impl Residual {
    fn of(graph: &Graph) -> Self {
        let sums = graph.nodes().iter().filter(|node| *node.op() == Op::Add);
        let is_convolution = |id: &NodeId| matches!(graph.node(*id).op(), Op::Convolution { .. });
        let mut found = Self { sums: 0, beside_convolution: BTreeSet::new(), beside_shortcut: BTreeSet::new() };
        for sum in sums {
            found.sums += 1;
            let convolutions = sum.inputs().iter().copied().filter(is_convolution);
            if sum.inputs().iter().all(is_convolution) {
                found.beside_convolution.extend(convolutions);
            } else {
                found.beside_shortcut.extend(convolutions);
            }
        }
        found
    }

    /// The number that divides the variance of a node's weights.
    fn divisor(&self, node: NodeId) -> f32 {
        if self.beside_shortcut.contains(&node) {
            self.sums as f32
        } else if self.beside_convolution.contains(&node) {
            2.0
        } else {
            1.0
        }
    }
}
