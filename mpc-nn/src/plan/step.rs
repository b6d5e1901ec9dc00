//! Steps: what is done to a node's value, what it consumes and what it costs.

use alloc::string::String;
use alloc::vec::Vec;

use mpc_protocols::function::{Function, FunctionPlan};
use mpc_protocols::maximum::Grouping;
use mpc_protocols::sign::SignParameters;
use mpc_protocols::{Bilinear, Request};
use mpc_transport::Traffic;
use serde::Serialize;

use super::format::{Format, Number, power_of_two};
use super::settings::Settings;
use crate::graph::{Channels, Graph, NodeId, Pool};

/// A weight tensor that is opened under a mask when the model is loaded, in the order of the masks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskedWeight {
    /// The tensor's name.
    pub name: String,
    /// Its number of elements.
    pub len: usize,
    /// The fractional bits of its fixed point.
    pub fractional_bits: u32,
    /// The divisor of the weights before they are encoded: the pending divisor of the layer's input.
    pub divisor: f64,
    /// The low bits of them that the layers read: they are opened under their mask in no more.
    pub width: u32,
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
    /// The factor on the tensor before it is encoded: the pending divisor of the value that it is added to.
    pub factor: f64,
}

/// The action of a step on the value of its node.
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
        /// k: the bits that remain.
        bits: u32,
        /// The way in which they become right modulo what is read.
        lifting: Lifting,
    },
    /// ReLU, truncating by `shift` bits.
    Relu {
        /// The fractional bits of the value beyond f.
        shift: u32,
        /// The bits of the comparison.
        parameters: SignParameters,
    },
    /// A function of each element, truncating.
    Function(FunctionPlan),
    /// Maximum over windows.
    MaxPool {
        /// The windows.
        pool: Pool,
        /// The bits of the comparisons.
        parameters: SignParameters,
        /// How many elements are compared at once.
        grouping: Grouping,
    },
    /// The index of the largest of `count` elements, in the lowest `index_bits` bits: count − 1 − index.
    ArgMax {
        /// The number of elements that are compared.
        count: usize,
        /// ⌈log₂ count⌉.
        index_bits: u32,
        /// The bits of the comparisons.
        parameters: SignParameters,
        /// How many elements are compared at once.
        grouping: Grouping,
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
        /// k: the bits that remain.
        bits: u32,
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
    /// Those who learn the outputs learn the node's value, a number with f fractional bits.
    Reveal {
        /// The place among the graph's outputs.
        output: usize,
        /// The lowest bits of a number that are not revealed: those beyond f.
        drop: u32,
    },
    /// Running sums along an axis.
    CumulativeSum {
        /// The axis.
        axis: usize,
        /// Whether an element's own sum is without itself.
        exclusive: bool,
        /// Whether the sums run from the end.
        reverse: bool,
    },
    /// The quotient of two shared tensors, truncating.
    Divide(FunctionPlan),
}

/// How a truncated value becomes right modulo all bits that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Lifting {
    /// Under a mask of k bits, which are opened.
    Masked,
    /// Between two parties, by the carry of their shares: one bit is opened.
    Carried,
    /// It is, since so few are read that what each party has alone is right.
    Nothing,
}

impl Action {
    /// k: the bits of what it compares or truncates, without those of an index.
    #[must_use]
    pub fn comparison_bits(&self) -> Option<u32> {
        match self {
            Self::Truncate { bits, .. } | Self::WithoutIndex { bits, .. } => Some(*bits),
            Self::Relu { parameters, .. } | Self::MaxPool { parameters, .. } => Some(parameters.bits()),
            Self::ArgMax { parameters, index_bits, .. } | Self::Rank { parameters, index_bits, .. } => {
                Some(parameters.bits() - index_bits)
            }
            Self::Function(plan) => Some(plan.shape().parameters.bits()),
            Self::Divide(plan) => plan.shape().dividends.map(|dividends| dividends.bits),
            _ => None,
        }
    }
}

impl Step {
    /// The magnitude that what it compares or truncates must stay below: of a maximum or a rank also each difference.
    #[must_use]
    pub fn bound(&self, settings: &Settings) -> Option<f64> {
        if let Action::Function(plan) = &self.action
            && plan.shape().argument.is_some()
        {
            return Some(plan.range().1);
        }
        let (scale, divisor) = match self.format {
            Format::Number(Number { scale, divisor }) => (scale, divisor),
            _ => (settings.fractional_bits, 1.0),
        };
        let bits = self.action.comparison_bits()?;
        let bound = power_of_two(bits - 2) / power_of_two(scale) / divisor;
        Some(match &self.action {
            // Of both signs, a divisor is comparable with the thresholds of the other sign up to half of it.
            Action::Function(plan) | Action::Divide(plan) if plan.shape().function == Function::Reciprocal => {
                bound.min(plan.range().1)
            }
            _ => bound,
        })
    }

    /// Whether the bound of what it compares or truncates comes from a calibration.
    #[must_use]
    pub fn is_calibrated(&self, graph: &Graph) -> bool {
        let compared = match self.action {
            Action::Truncate { .. } => self.node,
            _ => graph.node(self.node).inputs().last().copied().unwrap_or(self.node),
        };
        self.action.comparison_bits().is_some() && graph.node(compared).bound().is_some()
    }
}

/// One step of a plan: what is done, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// A name that no other step has: the node's, with what was inserted behind it.
    pub name: String,
    /// The node whose value the step makes or changes.
    pub node: NodeId,
    /// The action of this step.
    pub action: Action,
    /// The correlations that it consumes, in order.
    pub requests: Vec<Request>,
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// The format of the result.
    pub format: Format,
    /// The low bits of the result that later steps read. Only these are right: what is dealt and opened for the step has no
    /// more, and what a share has above them means nothing.
    pub width: u32,
    /// Later linear steps, by their index, that have the same input: it is opened once, in this step, which does them too.
    pub branches: Vec<usize>,
    /// Whether an earlier step has done this one.
    pub is_branch: bool,
    /// Where it runs in the same rounds as others, which of the ways that wait for nothing of each other it belongs to.
    pub way: Option<usize>,
    /// The values that no later step reads.
    #[serde(skip)]
    pub(crate) last_reads: Vec<NodeId>,
    /// Each party's traffic online; a frame and a round of several steps are the first's.
    #[serde(skip)]
    pub online: Vec<Traffic>,
    /// The traffic that the last party receives from the dealer.
    #[serde(skip)]
    pub preprocessing: Traffic,
}
