//! Steps: what is done to a node's value, what it consumes and what it costs.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mpc_protocols::sign::{self, SignParameters, SignShape};
use mpc_protocols::truncation::{self, LiftShape};
use mpc_protocols::{Bilinear, Request, fixed_weights, maximum, sharing};
use mpc_ring::Ring;
use mpc_transport::Traffic;
use serde::Serialize;

use super::settings::{Settings, WeightKnowledge};
use crate::graph::{NodeId, Pool};

/// A layer's parameters, in the order in which the weights are shared and their masks set up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerParameters {
    /// The weight tensor's name.
    pub weight: String,
    /// Its number of elements.
    pub weight_len: usize,
    /// The bias tensor's name.
    pub bias: Option<String>,
    /// Its number of elements, or 0.
    pub bias_len: usize,
    /// What the weights are divided by before they are encoded: the pending divisor of the layer's input.
    pub divisor: usize,
}

/// What a step does to the value of its node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Action {
    /// The data owner shares an input.
    Share {
        /// The place among the graph's inputs.
        input: usize,
    },
    /// A convolution or linear layer, with the parameters of that index.
    Linear {
        /// The index of the layer's parameters and of its weight mask.
        layer: usize,
        /// The shapes.
        map: Bilinear,
    },
    /// The node's value from scale 2^{2f} to 2^f, in place.
    Truncate(LiftShape),
    /// ReLU, truncating by `shift` bits.
    Relu {
        /// f, or 0 for a value at scale 2^f.
        shift: u32,
        /// The comparison.
        shape: SignShape,
    },
    /// Maximum over windows.
    MaxPool {
        /// The windows.
        pool: Pool,
        /// The bits of the comparisons.
        parameters: SignParameters,
    },
    /// Sums over windows; the divisor stays pending.
    SumPool(Pool),
    /// Means over windows that do not all have the same number of elements: scale 2^f to 2^{2f}.
    MeanPool(Pool),
    /// The pending divisor applied to the node's value, in place: scale 2^f to 2^{2f}.
    Divide {
        /// The divisor.
        divisor: usize,
    },
    /// The sum of two values, each shifted left first.
    Add {
        /// The shifts in bits.
        shifts: [u32; 2],
    },
    /// Values one after the other along an axis, each shifted left first.
    Concat {
        /// The axis.
        axis: usize,
        /// The shifts in bits.
        shifts: Vec<u32>,
    },
    /// The same elements in another shape.
    Reshape,
    /// Zeros around a tensor.
    Pad {
        /// Zeros in front of each axis.
        before: Vec<usize>,
    },
    /// Every `step`-th position from `start` to `stop` of each axis.
    Slice {
        /// First positions.
        start: Vec<usize>,
        /// Ends.
        stop: Vec<usize>,
        /// Distances.
        step: Vec<usize>,
    },
    /// The data owner learns the node's value.
    Reveal {
        /// The place among the graph's outputs.
        output: usize,
        /// The fractional bits of the value.
        fractional_bits: u32,
        /// What is left to divide by.
        divisor: usize,
    },
}

impl Action {
    /// The kind of layer, for tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Share { .. } => "input",
            Self::Linear { .. } => "linear",
            Self::Truncate(_) => "truncation",
            Self::Relu { .. } => "relu",
            Self::MaxPool { .. } => "max pool",
            Self::SumPool(_) | Self::MeanPool(_) => "average pool",
            Self::Divide { .. } => "divide",
            Self::Add { .. } => "add",
            Self::Concat { .. } => "concat",
            Self::Reshape => "reshape",
            Self::Pad { .. } => "pad",
            Self::Slice { .. } => "slice",
            Self::Reveal { .. } => "output",
        }
    }

    /// The correlations that the action consumes, in order.
    pub(super) fn requests(&self, elements: usize) -> Vec<Request> {
        match self {
            Self::Linear { layer, map } => vec![Request::FixedWeights { mask: *layer, map: *map }],
            Self::Truncate(shape) => vec![Request::Lift { len: shape.len, bits: shape.bits }],
            Self::Relu { shape, .. } => vec![relu_request(*shape)],
            Self::MaxPool { pool, parameters } => {
                let candidates = pool.kernel[0] * pool.kernel[1];
                maximum::tournament(candidates, elements, *parameters).into_iter().map(relu_request).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What party `party` sends and receives.
    pub(super) fn online<R: Ring>(&self, elements: usize, settings: &Settings, party: usize) -> Traffic {
        let parties = settings.parties;
        match self {
            Self::Share { .. } => sharing::traffic(party, settings.roles.data_owner, parties),
            Self::Linear { map, .. } => match settings.weights {
                WeightKnowledge::Shared => fixed_weights::traffic::<R>(map, parties),
                WeightKnowledge::Owner => {
                    fixed_weights::traffic_at_owner::<R>(map, party, settings.roles.model_owner, parties)
                }
            },
            Self::Truncate(shape) => truncation::traffic(*shape, parties),
            Self::Relu { shape, .. } => sign::traffic(*shape, parties),
            Self::MaxPool { pool, parameters } => {
                maximum::traffic(pool.kernel[0] * pool.kernel[1], elements, *parameters, parties)
            }
            Self::Reveal { .. } => sharing::reveal_traffic::<R>(elements, party, settings.roles.data_owner, parties),
            _ => Traffic::default(),
        }
    }
}

fn relu_request(shape: SignShape) -> Request {
    Request::Relu { len: shape.len, parameters: shape.parameters }
}

/// One step of a plan: what is done, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// A name that no other step has: the node's, with what was inserted behind it.
    pub name: String,
    /// The node whose value the step makes or changes.
    pub node: NodeId,
    /// What is done.
    pub action: Action,
    /// The correlations that it consumes, in order.
    pub requests: Vec<Request>,
    /// The shape of the result, the batch first.
    pub shape: Vec<usize>,
    /// What each party sends and receives online.
    #[serde(skip)]
    pub online: Vec<Traffic>,
    /// What the last party receives from the dealer.
    #[serde(skip)]
    pub preprocessing: Traffic,
}
