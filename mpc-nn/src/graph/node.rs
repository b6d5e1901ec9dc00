//! Nodes and their parameters.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::op::Op;

/// The place of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub(super) usize);

impl NodeId {
    /// The position in [`Graph::nodes`](super::Graph::nodes).
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }

    /// A place that no graph has.
    pub(crate) const NOWHERE: Self = Self(usize::MAX);
}

/// One operation of a graph, and the shape of what it gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) inputs: Vec<NodeId>,
    pub(super) shape: Vec<usize>,
    /// The exponent of two that its value stays below in magnitude, where a calibration says so.
    pub(super) bound_bits: Option<u8>,
}

impl Node {
    /// The name, which no other node of the graph has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operation that the node computes.
    #[must_use]
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The nodes whose outputs it takes, in order.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The shape of the output.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements of the output.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Always false: no tensor of a graph is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The node whose output is input `at`; a place that no graph has if there is none.
    pub(crate) fn input(&self, at: usize) -> NodeId {
        self.inputs.get(at).copied().unwrap_or(NodeId::NOWHERE)
    }
}

/// Which of a layer's tensors a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// The matrix or the filters.
    Weight,
    /// The number added to each feature or channel of the output.
    Bias,
    /// A tensor that other nodes take as an input.
    Value,
}

impl fmt::Display for ParameterKind {
    /// Its part of a parameter's name, behind the point.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Value => "value",
        })
    }
}

/// A tensor that the model owner provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The node's name, or that of tied parameters, with `.weight`, `.bias` or `.value` behind it.
    pub name: String,
    /// The first node that uses it.
    pub node: NodeId,
    /// Its part in that node.
    pub kind: ParameterKind,
    /// Convolution weights: [output channels, input channels / groups, kernel height, kernel width]; linear
    /// weights: [output features, input features]; biases and channelwise factors: `[channels]`; values: as the node.
    pub shape: Vec<usize>,
}
