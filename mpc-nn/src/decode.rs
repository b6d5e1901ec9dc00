//! Reading a graph that somebody else has written.

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, de};

use crate::encoding::{EncodingError, Kind};
use crate::graph::{Graph, GraphBuilder, GraphError, MAX_ELEMENTS, Node, NodeId, Op};
use crate::ops;
use crate::ops::operation::Work;

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
    /// Elements that are compared in one run, or go through a function.
    pub comparisons: u64,
}

impl Default for GraphLimits {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            nodes: 10_000,
            tensor_elements: 1 << 24,
            total_elements: 1 << 28,
            multiplications: 1 << 36,
            comparisons: 1 << 27,
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
        comparisons: u64::MAX,
    };

    /// These limits, so many times as large.
    ///
    /// ```
    /// let limits = mpc_nn::GraphLimits::default();
    /// assert_eq!(limits.times(4).tensor_elements, 4 * limits.tensor_elements);
    /// ```
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let large = |limit: u64| limit.saturating_mul(factor.into());
        let count = |limit: usize| limit.saturating_mul(factor.try_into().unwrap_or(usize::MAX));
        Self {
            bytes: count(self.bytes),
            nodes: count(self.nodes),
            tensor_elements: large(self.tensor_elements),
            total_elements: large(self.total_elements),
            multiplications: large(self.multiplications),
            comparisons: large(self.comparisons),
        }
    }

    fn check_count(&self, nodes: u64) -> Result<(), EncodingError> {
        at_most("nodes", self.nodes as u64, nodes)
    }

    /// Checks a graph that was built, and so has no sizes that overflow.
    fn check(&self, graph: &Graph) -> Result<(), EncodingError> {
        self.check_count(graph.nodes().len() as u64)?;
        let values = graph.nodes().iter().map(|node| node.len() as u64);
        let parameters =
            graph.parameters().into_iter().map(|parameter| parameter.shape.iter().product::<usize>() as u64);
        let mut total = 0u64;
        for elements in values.chain(parameters) {
            at_most("elements in one tensor", self.tensor_elements, elements)?;
            total = total.saturating_add(elements);
        }
        at_most("elements in all", self.total_elements, total)?;
        let work = |node: &Node| ops::work(node, node.inputs().first().map_or(&[], |&input| graph.node(input).shape()));
        let sum =
            |count: fn(Work) -> u64| graph.nodes().iter().map(|node| count(work(node))).fold(0, u64::saturating_add);
        let products = sum(|work| work.multiplications).saturating_add(sum(|work| work.products));
        at_most("multiplications", self.multiplications, products)?;
        at_most("comparisons", self.comparisons, sum(|work| work.comparisons))
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
        // They are shown, and a terminal obeys some of what is no text.
        if let Some(place) = graph.nodes().iter().position(|node| !is_text(node)) {
            return Err(Kind::Graph.malformed(alloc::format!("the name of node {place} is no text")));
        }
        limits.check(&graph)?;
        Ok(graph)
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
        for node in self.nodes() {
            ops::rebuild(&mut builder, node)?;
            builder.bound_last(node)?;
        }
        let name = alloc::format!("{}:class", self.nodes().get(scores.index()).map(Node::name).unwrap_or_default());
        let class = builder.arg_max(&name, scores)?;
        builder.finish(&[class])
    }
}

/// Whether all names of a node can be shown.
fn is_text(node: &Node) -> bool {
    let tied = if let Op::Linear { tied, .. } = node.op() { tied.as_deref() } else { None };
    [Some(node.name()), tied].into_iter().flatten().all(|name| !name.contains(char::is_control))
}

/// A graph as it was written, before it is checked.
#[derive(Deserialize)]
struct Unchecked {
    nodes: Vec<Node>,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Unchecked::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl TryFrom<Unchecked> for Graph {
    type Error = GraphError;

    fn try_from(unchecked: Unchecked) -> Result<Self, GraphError> {
        let mut builder = GraphBuilder::new();
        for node in &unchecked.nodes {
            let id = ops::rebuild(&mut builder, node)?;
            builder.bound_last(node)?;
            if builder.node(id) != node {
                return Err(GraphError::Inconsistent { name: node.name().to_owned() });
            }
        }
        let graph = builder.finish(&unchecked.outputs)?;
        // A dead node or another order of the inputs is no graph that a builder makes.
        if graph.nodes().len() != unchecked.nodes.len() || graph.inputs() != unchecked.inputs {
            let name = unchecked.nodes.last().map(|node| node.name().to_owned()).unwrap_or_default();
            return Err(GraphError::Inconsistent { name });
        }
        Ok(graph)
    }
}
