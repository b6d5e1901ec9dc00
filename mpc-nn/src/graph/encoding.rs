//! Reading a graph that somebody else has written.

use alloc::string::ToString;
use alloc::vec::Vec;

use serde::Deserialize;

use super::{ConvolutionOptions, Graph, GraphBuilder, GraphError, MAX_ELEMENTS, Node, NodeId, Op};
use crate::encoding::{EncodingError, Kind};

/// The most that a graph from somebody else may have, so that whoever reads, plans or deals for it knows what it costs.
///
/// The default is for networks of the size of a ResNet-50 at batch 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphLimits {
    /// Bytes of the encoding. Reading it takes at most some thirty times as much memory.
    pub bytes: usize,
    /// Nodes.
    pub nodes: usize,
    /// Elements of one tensor, be it a parameter or a value.
    pub tensor_elements: u64,
    /// Elements of all parameters and values together.
    pub total_elements: u64,
    /// Multiplications in one run, those of two values included.
    pub multiplications: u64,
}

impl Default for GraphLimits {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            nodes: 10_000,
            tensor_elements: 1 << 24,
            total_elements: 1 << 28,
            multiplications: 1 << 36,
        }
    }
}

impl GraphLimits {
    /// No limits but those of every graph.
    pub const NONE: Self = Self {
        bytes: usize::MAX,
        nodes: usize::MAX,
        tensor_elements: MAX_ELEMENTS as u64,
        total_elements: u64::MAX,
        multiplications: u64::MAX,
    };

    fn check_count(&self, nodes: u64) -> Result<(), EncodingError> {
        at_most("nodes", self.nodes as u64, nodes)
    }

    /// Checks a graph that was built, and so has no sizes that overflow.
    fn check(&self, graph: &Graph) -> Result<(), EncodingError> {
        self.check_count(graph.nodes.len() as u64)?;
        let values = graph.nodes.iter().map(|node| node.len() as u64);
        let parameters =
            graph.parameters().into_iter().map(|parameter| parameter.shape.iter().product::<usize>() as u64);
        let mut total = 0u64;
        for elements in values.chain(parameters) {
            at_most("elements in one tensor", self.tensor_elements, elements)?;
            total = total.saturating_add(elements);
        }
        at_most("elements in all", self.total_elements, total)?;
        let products = graph.nodes.iter().map(|node| graph.products(node));
        let products = products.fold(graph.multiplications(), u64::saturating_add);
        at_most("multiplications", self.multiplications, products)
    }
}

fn at_most(unit: &'static str, limit: u64, found: u64) -> Result<(), EncodingError> {
    if found <= limit { Ok(()) } else { Err(EncodingError::TooLarge { what: Kind::Graph.what(), unit, limit, found }) }
}

impl Graph {
    /// Its encoding: public, and the same for equal graphs.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, Kind::Graph.tag().to_vec()).expect("graphs always encode")
    }

    /// A graph from bytes that are not trusted: built anew, node by node, and checked against `limits`.
    ///
    /// ```
    /// use mpc_nn::{EncodingError, Graph, GraphBuilder, GraphLimits};
    /// let mut builder = GraphBuilder::new();
    /// let x = builder.input("x", &[1, 1000])?;
    /// let y = builder.relu("y", x)?;
    /// let graph = builder.finish(&[y])?;
    /// let bytes = graph.to_bytes();
    /// assert_eq!(Graph::from_bytes(&bytes, &GraphLimits::default())?, graph);
    /// let limits = GraphLimits { tensor_elements: 999, ..GraphLimits::default() };
    /// assert!(matches!(Graph::from_bytes(&bytes, &limits), Err(EncodingError::TooLarge { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EncodingError::TooLarge`], [`EncodingError::Kind`], [`EncodingError::Malformed`], [`EncodingError::Graph`].
    pub fn from_bytes(bytes: &[u8], limits: &GraphLimits) -> Result<Self, EncodingError> {
        at_most("bytes", limits.bytes as u64, bytes.len() as u64)?;
        let bytes = Kind::Graph.untag(bytes)?;
        let malformed = |error: postcard::Error| Kind::Graph.malformed(error.to_string());
        // The encoding begins with the number of nodes, which is refused before any is read.
        limits.check_count(postcard::take_from_bytes(bytes).map_err(malformed)?.0)?;
        let (unchecked, rest) = postcard::take_from_bytes::<Unchecked>(bytes).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(Kind::Graph.malformed("bytes follow its end".to_string()));
        }
        let graph = Self::try_from(unchecked)?;
        limits.check(&graph)?;
        Ok(graph)
    }

    /// The number of products of two values that a node takes.
    fn products(&self, node: &Node) -> u64 {
        let elements = node.len() as u64;
        match node.op {
            Op::Multiply | Op::Square => elements,
            // [batch, rows, inner] × [batch, inner, columns].
            Op::MatrixProduct => {
                let inner = node.inputs.first().and_then(|&left| self.node(left).shape.last().copied()).unwrap_or(1);
                elements.saturating_mul(inner as u64)
            }
            _ => 0,
        }
    }

    /// A classifier that reveals the class and nothing else: the index of the largest score of `scores` along its last axis
    /// is the only output, and the scores are not opened.
    ///
    /// Nodes that the class does not depend on are left out, as in [`GraphBuilder::finish`].
    ///
    /// # Errors
    /// [`GraphError::UnknownNode`]; [`GraphError::UnusedInput`] for an input that the class does not depend on.
    pub fn with_class_only(&self, scores: NodeId) -> Result<Self, GraphError> {
        let mut builder = GraphBuilder::new();
        for node in &self.nodes {
            add(&mut builder, node)?;
        }
        let name = alloc::format!("{}:class", self.nodes.get(scores.0).map(Node::name).unwrap_or_default());
        let class = builder.arg_max(&name, scores)?;
        builder.finish(&[class])
    }
}

/// A graph as it was written, before it is checked.
#[derive(Deserialize)]
pub(super) struct Unchecked {
    nodes: Vec<Node>,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
}

impl TryFrom<Unchecked> for Graph {
    type Error = GraphError;

    fn try_from(unchecked: Unchecked) -> Result<Self, GraphError> {
        let mut builder = GraphBuilder::new();
        for node in &unchecked.nodes {
            let id = add(&mut builder, node)?;
            let built = &builder.nodes[id.0];
            if built != node {
                return Err(GraphError::Inconsistent { name: node.name.clone() });
            }
        }
        let graph = builder.finish(&unchecked.outputs)?;
        // A dead node or another order of the inputs is no graph that a builder makes.
        if graph.nodes.len() != unchecked.nodes.len() || graph.inputs != unchecked.inputs {
            let name = unchecked.nodes.last().map(|node| node.name.clone()).unwrap_or_default();
            return Err(GraphError::Inconsistent { name });
        }
        Ok(graph)
    }
}

/// Adds a node by the method that makes its operation.
fn add(builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
    let name = node.name.as_str();
    let inputs = || node.inputs.iter().copied();
    // A missing input refers to a node that is not there.
    let input = |index: usize| inputs().nth(index).unwrap_or(NodeId(usize::MAX));
    let x = input(0);
    match &node.op {
        Op::Input => builder.input(name, &node.shape),
        Op::Parameter => builder.parameter(name, &node.shape),
        Op::Convolution { shape, bias } => {
            let options = ConvolutionOptions {
                output_channels: shape.output_channels,
                kernel: shape.kernel,
                stride: shape.stride,
                padding: shape.padding,
                dilation: shape.dilation,
                groups: shape.groups,
                bias: *bias,
            };
            builder.convolution(name, x, options)
        }
        Op::Linear { output_features, bias, tied: None, .. } => builder.linear(name, x, *output_features, *bias),
        Op::Linear { output_features, bias, tied: Some(tied), .. } => {
            builder.linear_tied(name, x, *output_features, *bias, tied)
        }
        Op::ScaleChannels(map) => builder.scale_channels(name, x, map.channels, map.inner),
        Op::OffsetChannels(map) => builder.offset_channels(name, x, map.channels, map.inner),
        Op::Relu => builder.relu(name, x),
        Op::Function(function) => builder.function(name, x, *function),
        Op::MaxPool(pool) => builder.max_pool(name, x, *pool),
        Op::AveragePool(pool) => builder.average_pool(name, x, *pool),
        Op::Sum { axes } => builder.sum(name, x, axes),
        Op::Mean { axes } => builder.mean(name, x, axes),
        Op::ArgMax => builder.arg_max(name, x),
        Op::Rank { count } => builder.rank(name, x, *count),
        Op::RankedValue | Op::RankedIndex => builder.ranked(name, node.op.clone(), x, input(1)),
        Op::Add => builder.add(name, x, input(1)),
        Op::Multiply => builder.multiply(name, x, input(1)),
        Op::Square => builder.square(name, x),
        Op::MatrixProduct => builder.matrix_product(name, x, input(1)),
        Op::Scale { factor } => builder.scale(name, x, *factor),
        Op::Offset { value } => builder.offset(name, x, *value),
        Op::Combine { axis, rows } => builder.combine(name, x, *axis, rows),
        Op::Concat { axis } => builder.concat(name, &inputs().collect::<Vec<_>>(), *axis),
        Op::Reshape => builder.reshape(name, x, &node.shape),
        Op::Transpose { permutation } => builder.transpose(name, x, permutation),
        Op::Gather { axis, indices } => builder.gather(name, x, *axis, indices),
        Op::Pad { before, after } => builder.pad(name, x, before, after),
        Op::Slice { start, stop, step } => builder.slice(name, x, start, stop, step),
    }
}
