//! Steps: what is done to a node's value, what it consumes and what it costs.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mpc_protocols::function::FunctionPlan;
use mpc_protocols::sign::{self, SignParameters, SignShape};
use mpc_protocols::truncation::{self, LiftShape};
use mpc_protocols::{Bilinear, Request, beaver, fixed_weights, maximum, open, sharing, sort};
use mpc_ring::Ring;
use mpc_transport::Traffic;
use serde::Serialize;

use super::format::Format;
use super::settings::{Owner, Settings};
use crate::graph::{Channels, NodeId, Pool};

/// A weight tensor that is opened under a mask when the model is loaded, in the order of the masks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskedWeight {
    /// The tensor's name.
    pub name: String,
    /// Its number of elements.
    pub len: usize,
    /// The fractional bits of its fixed point.
    pub fractional_bits: u32,
    /// What the weights are divided by before they are encoded: the pending divisor of the layer's input.
    pub divisor: f64,
}

/// A parameter that stays shared: a bias, or a tensor that enters as a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SharedConstant {
    /// The tensor's name.
    pub name: String,
    /// Its number of elements.
    pub len: usize,
    /// The fractional bits of its fixed point.
    pub fractional_bits: u32,
    /// What it is multiplied by before it is encoded: the pending divisor of the value that it is added to.
    pub factor: f64,
}

/// What a step does to the value of its node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Action {
    /// The owner of an input shares it.
    Share {
        /// The place among the graph's inputs.
        input: usize,
    },
    /// A shared constant becomes a value.
    Constant {
        /// Its index in [`Plan::constants`](super::Plan::constants).
        constant: usize,
    },
    /// A convolution, a linear layer or channelwise factors.
    Linear {
        /// The index of the weights and of their mask in [`Plan::weights`](super::Plan::weights).
        weight: usize,
        /// The index of the bias in [`Plan::constants`](super::Plan::constants), with the place of each entry.
        bias: Option<(usize, Channels)>,
        /// The shapes.
        map: Bilinear,
    },
    /// The sum with a shared constant, entry by channel.
    AddConstant {
        /// Its index in [`Plan::constants`](super::Plan::constants).
        constant: usize,
        /// The place of each entry.
        map: Channels,
    },
    /// The node's value without its lowest `shift` bits, in place.
    Truncate {
        /// The number of bits.
        shift: u32,
        /// The sizes.
        shape: LiftShape,
    },
    /// ReLU, truncating by `shift` bits.
    Relu {
        /// The fractional bits of the value beyond f.
        shift: u32,
        /// The comparison.
        shape: SignShape,
    },
    /// A function of each element, truncating.
    Function(FunctionPlan),
    /// Maximum over windows.
    MaxPool {
        /// The windows.
        pool: Pool,
        /// The bits of the comparisons.
        parameters: SignParameters,
    },
    /// The index of the largest of `count` elements, in the lowest `index_bits` bits: count − 1 − index.
    ArgMax {
        /// The number of elements that are compared.
        count: usize,
        /// ⌈log₂ count⌉.
        index_bits: u32,
        /// The bits of the comparisons.
        parameters: SignParameters,
    },
    /// The largest of `count` elements in falling order, each with its index below it as for a maximum.
    Rank {
        /// The number of elements that are sorted.
        count: usize,
        /// How many times so many are.
        rows: usize,
        /// ⌈log₂ count⌉.
        index_bits: u32,
        /// The bits of the comparisons.
        parameters: SignParameters,
    },
    /// The first input without the index below each value.
    WithoutIndex {
        /// The bits of the index.
        shift: u32,
        /// The sizes.
        shape: LiftShape,
    },
    /// The product of two shared tensors by a Beaver triple.
    Multiply {
        /// The shapes.
        map: Bilinear,
    },
    /// The square of each element.
    Square,
    /// Sums over windows; the divisor stays pending.
    SumPool(Pool),
    /// Means over windows that do not all have the same number of elements.
    MeanPool {
        /// The windows.
        pool: Pool,
        /// The fractional bits of the reciprocals.
        bits: u32,
    },
    /// Sums over axes.
    Sum {
        /// The axes.
        axes: Vec<usize>,
    },
    /// The product with a public integer.
    Scale {
        /// The integer.
        factor: i64,
    },
    /// The product of the node's value with a public integer, in place.
    Rescale {
        /// The integer.
        factor: i64,
    },
    /// The sum with a public integer.
    Offset {
        /// The integer.
        value: i128,
    },
    /// Sums of positions along an axis with public integer coefficients.
    Combine {
        /// The axis.
        axis: usize,
        /// For each position of the result, positions of the input and their coefficients.
        rows: Vec<Vec<(usize, i64)>>,
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
    /// The axes in another order.
    Transpose {
        /// Axis i of the result is axis `permutation[i]` of the input.
        permutation: Vec<usize>,
    },
    /// Positions along an axis.
    Gather {
        /// The axis.
        axis: usize,
        /// The positions.
        indices: Vec<usize>,
    },
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
    /// Those who learn the outputs learn the node's value.
    Reveal {
        /// The place among the graph's outputs.
        output: usize,
    },
}

impl Action {
    /// The kind of layer, for tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Share { .. } => "input",
            Self::Linear { .. } => "linear",
            Self::Truncate { .. } => "truncation",
            Self::Relu { .. } => "relu",
            Self::Function(_) => "function",
            Self::MaxPool { .. } => "max pool",
            Self::ArgMax { .. } => "arg max",
            Self::Rank { .. } | Self::WithoutIndex { .. } => "sort",
            Self::Multiply { .. } | Self::Square => "product",
            Self::SumPool(_) | Self::MeanPool { .. } => "average pool",
            Self::Sum { .. } => "sum",
            Self::Constant { .. } | Self::AddConstant { .. } | Self::Offset { .. } => "constant",
            Self::Scale { .. } | Self::Rescale { .. } | Self::Combine { .. } => "scale",
            Self::Add { .. } => "add",
            Self::Concat { .. } => "concat",
            Self::Reshape | Self::Transpose { .. } | Self::Gather { .. } => "reshape",
            Self::Pad { .. } => "pad",
            Self::Slice { .. } => "slice",
            Self::Reveal { .. } => "output",
        }
    }

    /// The correlations that the action consumes, in order.
    pub(super) fn requests(&self, elements: usize) -> Vec<Request> {
        match self {
            Self::Linear { weight, map, .. } => vec![Request::FixedWeights { mask: *weight, map: *map }],
            Self::Truncate { shape, .. } => vec![Request::Lift { len: shape.len, bits: shape.bits }],
            Self::Relu { shape, .. } => vec![relu_request(*shape)],
            Self::Function(function) => function.requests(),
            Self::MaxPool { pool, parameters } => {
                let candidates = pool.kernel[0] * pool.kernel[1];
                maximum::tournament(candidates, elements, *parameters).into_iter().map(relu_request).collect()
            }
            Self::ArgMax { count, parameters, .. } => {
                maximum::tournament(*count, elements, *parameters).into_iter().map(relu_request).collect()
            }
            Self::Rank { count, rows, parameters, .. } => {
                sort::shapes(*count, *rows, *parameters).into_iter().map(relu_request).collect()
            }
            Self::WithoutIndex { shape, .. } => vec![Request::Lift { len: shape.len, bits: shape.bits }],
            Self::Multiply { map } => vec![Request::Beaver(*map)],
            Self::Square => vec![Request::Square { len: elements }],
            _ => Vec::new(),
        }
    }

    /// The correlation of a linear step whose input has been masked before.
    pub(super) fn request_again(&self) -> Option<Request> {
        match self {
            Self::Linear { weight, map, .. } => Some(Request::FixedWeightsAgain { mask: *weight, map: *map }),
            _ => None,
        }
    }

    /// What party `party` sends and receives.
    pub(super) fn online<R: Ring>(&self, elements: usize, settings: &Settings, party: usize) -> Traffic {
        let parties = settings.parties;
        match self {
            Self::Share { input } => match settings.roles.input_owner(*input) {
                Owner::Party(owner) => sharing::traffic(party, owner, parties),
                Owner::Outside => Traffic::default(),
            },
            Self::Linear { map, .. } => match settings.clear_owner() {
                None => fixed_weights::traffic::<R>(map, parties),
                Some(owner) => fixed_weights::traffic_at_owner::<R>(map, party, owner, parties),
            },
            Self::Truncate { shape, .. } => truncation::traffic(*shape, parties),
            Self::Relu { shape, .. } => sign::traffic(*shape, parties),
            Self::Function(function) => function.traffic(parties),
            Self::MaxPool { pool, parameters } => {
                maximum::traffic(pool.kernel[0] * pool.kernel[1], elements, *parameters, parties)
            }
            Self::ArgMax { count, parameters, .. } => maximum::traffic(*count, elements, *parameters, parties),
            Self::Rank { count, rows, parameters, .. } => sort::traffic(*count, *rows, *parameters, parties),
            Self::WithoutIndex { shape, .. } => truncation::traffic(*shape, parties),
            Self::Multiply { map } => beaver::traffic::<R>(map, parties),
            Self::Square => open::traffic(elements, R::BITS, parties),
            Self::Reveal { .. } => {
                sharing::reveal_to_traffic::<R>(elements, party, &settings.roles.recipients().parties(), parties)
            }
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
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// What the elements of the result stand for.
    pub format: Format,
    /// Later linear steps, by their index, that have the same input: it is opened once, in this step, which does them too.
    pub branches: Vec<usize>,
    /// Whether an earlier step has done this one.
    pub is_branch: bool,
    /// What each party sends and receives online.
    #[serde(skip)]
    pub online: Vec<Traffic>,
    /// What the last party receives from the dealer.
    #[serde(skip)]
    pub preprocessing: Traffic,
}
