//! The architecture of a network: a graph of layers with static shapes, and no weights in it.
//!
//! A [`Graph`] is public: every party knows it, plans from it and walks it in the same order. It is made by a
//! [`GraphBuilder`], which infers and checks every shape, so that whoever walks a graph need not check again. Each operation
//! has its method of the builder in its own file, with all else about it.

mod builder;
mod calibration;
mod error;
mod node;
mod op;
pub(crate) mod shape;

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;

use crate::ops::DIGITS;

pub use builder::{ConvolutionOptions, GraphBuilder};
pub use calibration::Calibration;
pub use error::GraphError;
pub use node::{Node, NodeId, Parameter, ParameterKind};
pub use op::{Channels, Op, Pool};

/// The largest number of elements that one tensor of a graph may have: 2^28 (1 GiB of `f32`).
pub const MAX_ELEMENTS: usize = 1 << 28;
/// The largest number of axes of a tensor.
pub const MAX_RANK: usize = 8;

/// A network's architecture: nodes in an order in which each comes after those it takes its inputs from.
///
/// Its `Serialize` is the canonical encoding that parties hash to find out whether they run the same network. What is
/// read by `Deserialize` may come from anybody: it is built anew, node by node, and every shape is checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
}

impl Graph {
    /// All nodes, each after those it takes its inputs from.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes with their places, in the same order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index), node))
    }

    /// The node at a place.
    ///
    /// # Panics
    /// If `id` is another graph's and this one has fewer nodes.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The place of the node of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The inputs, in the order in which they were declared.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The outputs, in the order in which they were given to [`GraphBuilder::finish`].
    #[must_use]
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The number of samples that one run evaluates: the first size of the first input.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.inputs.first().and_then(|&input| self.node(input).shape.first()).copied().unwrap_or(1)
    }

    /// The tensors that the model owner provides, in the order of the nodes, a layer's weight before its bias; tied
    /// ones once.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut names = BTreeSet::new();
        let all = self.iter().flat_map(|(id, node)| node.parameters(id));
        all.filter(|parameter| names.insert(parameter.name.clone())).collect()
    }

    /// The number of multiplications by a weight in one run, for the whole batch.
    #[must_use]
    pub fn multiplications(&self) -> u64 {
        self.nodes.iter().map(Node::multiplications).fold(0, u64::saturating_add)
    }

    /// The number of elements that go through a ReLU in one run, for the whole batch.
    #[must_use]
    pub fn relu_count(&self) -> u64 {
        self.nodes.iter().filter(|node| node.op == Op::Relu).map(|node| node.len() as u64).fold(0, u64::saturating_add)
    }

    /// The same network with every node but the inputs, ranks and the digits of roundings as an output, to look inside.
    #[must_use]
    pub fn with_all_outputs(&self) -> Self {
        let is_shown = |op: &Op| !op.is_input() && !matches!(op, Op::Rank { .. });
        let all = self.iter().zip(self.digits()).filter(|((_, node), is_digit)| is_shown(node.op()) && !is_digit);
        Self { outputs: all.map(|((id, _), _)| id).collect(), ..self.clone() }
    }

    /// Which nodes are digits of a rounding, or sums of some and what they leave: in the clear the first digit is the whole number.
    pub(crate) fn digits(&self) -> Vec<bool> {
        let mut digits = vec![false; self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            let is_last =
                node.inputs.iter().any(|id| matches!(self.nodes[id.0].op, Op::Digit { level } if level + 1 == DIGITS));
            digits[place] = match node.op {
                Op::Digit { .. } => true,
                Op::Add | Op::Scale { .. } => !is_last && node.inputs.iter().any(|id| digits[id.0]),
                _ => false,
            };
        }
        digits
    }

    /// For each node the last one that reads its output, after which it can be freed; `None` for the outputs.
    ///
    /// ```
    /// # use mpc_nn::{GraphBuilder, GraphError};
    /// let mut builder = GraphBuilder::new();
    /// let image = builder.input("image", &[1, 3])?;
    /// let relu = builder.relu("relu", image)?;
    /// let sum = builder.add("sum", image, relu)?;
    /// let graph = builder.finish(&[sum])?;
    /// assert_eq!(graph.last_readers(), [Some(sum), Some(sum), None]);
    /// # Ok::<(), GraphError>(())
    /// ```
    #[must_use]
    pub fn last_readers(&self) -> Vec<Option<NodeId>> {
        let mut last = vec![None; self.nodes.len()];
        for (id, node) in self.iter() {
            for input in &node.inputs {
                last[input.0] = Some(id);
            }
        }
        for output in &self.outputs {
            last[output.0] = None;
        }
        last
    }

    /// For each node how many of its elements the longest sum of them has.
    pub(crate) fn terms(&self) -> Vec<usize> {
        let mut terms = vec![1; self.nodes.len()];
        for node in self.nodes.iter().filter(|node| matches!(node.op, Op::Sum { .. })) {
            let term = &mut terms[node.inputs[0].0];
            *term = (*term).max(self.nodes[node.inputs[0].0].len() / node.len().max(1));
        }
        terms
    }

    /// For each node how many others read its value, counted once for all as a file may have thousands.
    pub(crate) fn readers(&self) -> Vec<usize> {
        let (mut readers, mut last) = (vec![0; self.nodes.len()], vec![None; self.nodes.len()]);
        for (id, node) in self.iter() {
            for input in node.inputs() {
                if last[input.index()].replace(id) != Some(id) {
                    readers[input.index()] += 1;
                }
            }
        }
        readers
    }
}
