use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Convolution;

use super::{Graph, GraphError, Node, NodeId, Op, shape};

/// The parts of a convolution that its input's shape does not tell.
///
/// ```
/// use mpc_nn::ConvolutionOptions;
/// let same_size = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(16, [3, 3]) };
/// assert_eq!(same_size.stride, [1, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionOptions {
    /// The number of filters.
    pub output_channels: usize,
    /// Height and width of a filter.
    pub kernel: [usize; 2],
    /// Distance from one position of the filter to the next, down and across.
    pub stride: [usize; 2],
    /// Rows or columns of zeros at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// Distance from one row or column of the filter to the next, in the input.
    pub dilation: [usize; 2],
    /// The number of groups that the channels are divided into.
    pub groups: usize,
    /// Whether a bias is added to each output channel.
    pub bias: bool,
}

impl ConvolutionOptions {
    /// Stride 1, no padding, no dilation, one group, with a bias.
    #[must_use]
    pub const fn new(output_channels: usize, kernel: [usize; 2]) -> Self {
        Self { output_channels, kernel, stride: [1; 2], padding: [0; 4], dilation: [1; 2], groups: 1, bias: true }
    }

    pub(crate) fn applied_to(&self, [batch, input_channels, height, width]: [usize; 4]) -> Convolution {
        Convolution {
            batch,
            input_channels,
            output_channels: self.output_channels,
            height,
            width,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

/// Makes a [`Graph`] node by node, and checks every shape as it goes.
///
/// ```
/// use mpc_nn::{ConvolutionOptions, GraphBuilder, GraphError};
/// let mut builder = GraphBuilder::new();
/// let image = builder.input("image", &[1, 3, 8, 8])?;
/// let hidden = builder.convolution("conv1", image, ConvolutionOptions::new(4, [3, 3]))?;
/// let hidden = builder.relu("relu1", hidden)?;
/// let hidden = builder.flatten("flatten", hidden)?;
/// let scores = builder.linear("linear", hidden, 10, true)?;
/// let graph = builder.finish(&[scores])?;
/// assert_eq!(graph.node(scores).shape(), [1, 10]);
/// assert_eq!(graph.relu_count(), 4 * 6 * 6);
/// # Ok::<(), GraphError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    names: BTreeSet<String>,
    /// The shapes of the parameters so far.
    parameters: BTreeMap<String, Vec<usize>>,
}

impl GraphBuilder {
    /// A graph without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The shape of the output of a node added before.
    ///
    /// # Errors
    /// [`GraphError::UnknownNode`] for another builder's id.
    pub fn shape(&self, id: NodeId) -> Result<&[usize], GraphError> {
        self.shape_for("shape", id)
    }

    /// A node added before.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Gives the node added last the bound of one of another graph.
    pub(crate) fn bound_last(&mut self, other: &Node) -> Result<(), GraphError> {
        self.nodes.last_mut().map_or(Ok(()), |node| node.take_bound(other))
    }

    /// The graph that computes `outputs`.
    ///
    /// Nodes that no output depends on are left out. Where there are such nodes, those behind them move: look nodes up
    /// with [`Graph::find`] or [`Graph::outputs`] then, not with the ids that the builder gave.
    ///
    /// # Errors
    /// No output, the same output twice, an unknown one; an input that no output depends on.
    pub fn finish(self, outputs: &[NodeId]) -> Result<Graph, GraphError> {
        self.check_outputs(outputs)?;
        let used = self.used_by(outputs);
        let mut places = Vec::with_capacity(self.nodes.len());
        let mut nodes: Vec<Node> = Vec::new();
        for (mut node, used) in self.nodes.into_iter().zip(used) {
            places.push(NodeId(nodes.len()));
            if used {
                node.inputs.iter_mut().for_each(|id| *id = places[id.0]);
                nodes.push(node);
            } else if node.op.is_input() {
                return Err(GraphError::UnusedInput { name: node.name });
            }
        }
        let inputs = (0..nodes.len()).filter(|&index| nodes[index].op.is_input()).map(NodeId).collect();
        Ok(Graph { inputs, outputs: outputs.iter().map(|id| places[id.0]).collect(), nodes })
    }

    fn check_outputs(&self, outputs: &[NodeId]) -> Result<(), GraphError> {
        let mut seen = BTreeSet::new();
        for &id in outputs {
            self.shape_for("outputs", id)?;
            if !seen.insert(id) {
                return Err(GraphError::DuplicateOutput { name: self.nodes[id.0].name.clone() });
            }
        }
        if outputs.is_empty() { Err(GraphError::NoOutput) } else { Ok(()) }
    }

    /// For each node, whether an output depends on it.
    fn used_by(&self, outputs: &[NodeId]) -> Vec<bool> {
        let mut used = vec![false; self.nodes.len()];
        outputs.iter().for_each(|id| used[id.0] = true);
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if used[index] {
                node.inputs.iter().for_each(|id| used[id.0] = true);
            }
        }
        used
    }

    pub(crate) fn shape_for(&self, name: &str, id: NodeId) -> Result<&[usize], GraphError> {
        let unknown = || GraphError::UnknownNode { name: name.to_owned(), index: id.0 };
        Ok(&self.nodes.get(id.0).ok_or_else(unknown)?.shape)
    }

    /// Adds a node that has the shape of its input.
    pub(crate) fn elementwise(&mut self, name: &str, input: NodeId, op: Op) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?.to_vec();
        self.push(name, op, vec![input], shape)
    }

    /// Adds a node whose shape an operation has inferred.
    pub(crate) fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<NodeId>,
        shape: Vec<usize>,
    ) -> Result<NodeId, GraphError> {
        if name.is_empty() {
            return Err(GraphError::EmptyName);
        }
        shape::check(name, &shape)?;
        if !self.names.insert(name.to_owned()) {
            return Err(GraphError::DuplicateName { name: name.to_owned() });
        }
        let node = Node { name: name.to_owned(), op, inputs, shape, bound_bits: None };
        let id = NodeId(self.nodes.len());
        for parameter in node.parameters(id) {
            let known = self.parameters.entry(parameter.name.clone()).or_insert_with(|| parameter.shape.clone());
            if *known != parameter.shape {
                return Err(GraphError::Tied { name: node.name, parameter: parameter.name });
            }
        }
        self.nodes.push(node);
        Ok(id)
    }
}
