//! The architecture of a network: a graph of layers with static shapes, and no weights in it.
//!
//! A [`Graph`] is public: every party knows it, plans from it and walks it in the same order. It is made by a
//! [`GraphBuilder`], which infers and checks every shape, so that whoever walks a graph need not check again.

mod builder;
mod encoding;
mod error;
mod shape;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::iter::StepBy;
use core::ops::Range;

use mpc_protocols::function::Function;
use mpc_ring::Convolution;
use serde::{Deserialize, Serialize};

pub use builder::{ConvolutionOptions, GraphBuilder};
pub use encoding::GraphLimits;
pub use error::GraphError;

/// The largest number of elements that one tensor of a graph may have: 2^28 (1 GiB of `f32`).
pub const MAX_ELEMENTS: usize = 1 << 28;
/// The largest number of axes of a tensor.
pub const MAX_RANK: usize = 8;

/// The place of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(usize);

impl NodeId {
    /// The position in [`Graph::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a node computes. Images are [batch, channels, height, width]; any other axis is like every other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Op {
    /// A tensor that the data owner provides.
    Input,
    /// A tensor that the model owner provides: the parameter `value`.
    Parameter,
    /// A two-dimensional convolution with the parameters `weight` and, if `bias`, `bias`.
    Convolution {
        /// The sizes.
        shape: Convolution,
        /// Whether a bias is added to each output channel.
        bias: bool,
    },
    /// y = x·Wᵀ + b for x of shape [rows, input_features].
    Linear {
        /// The length of a row of the input.
        input_features: usize,
        /// The length of a row of the output.
        output_features: usize,
        /// Whether a bias is added.
        bias: bool,
        /// The name before `.weight` and `.bias` of parameters that several nodes share; `None` for the node's own.
        tied: Option<String>,
    },
    /// x ⊙ w: element i times entry (i / inner) mod channels of the parameter `weight`.
    ScaleChannels(Channels),
    /// x + b: element i plus entry (i / inner) mod channels of the parameter `bias`.
    OffsetChannels(Channels),
    /// max(x, 0), element by element.
    Relu,
    /// A function of each element.
    Function(Function),
    /// The largest element of each window; padding never wins.
    MaxPool(Pool),
    /// The mean of each window.
    AveragePool(Pool),
    /// The sum over axes, which stay with size 1.
    Sum {
        /// The axes.
        axes: Vec<usize>,
    },
    /// The mean over axes, which stay with size 1.
    Mean {
        /// The axes.
        axes: Vec<usize>,
    },
    /// The index of the largest element along the last axis, the first of equal ones.
    ArgMax,
    /// The largest elements along the last axis in falling order, the first of equal ones in front, each together with its
    /// index: for [`Op::RankedValue`] and [`Op::RankedIndex`] alone.
    Rank {
        /// How many.
        count: usize,
    },
    /// The values of a [`Op::Rank`], which is the first input; the second is what was ranked.
    RankedValue,
    /// The indices of a [`Op::Rank`], which is the first input; the second is what was ranked.
    RankedIndex,
    /// The sum of two tensors of one shape, element by element.
    Add,
    /// The product of two tensors; element j of the second multiplies the j-th block of elements of the first.
    Multiply,
    /// x², element by element.
    Square,
    /// Products of matrices: [batch, rows, inner] × [batch, inner, columns] → [batch, rows, columns].
    MatrixProduct,
    /// x·factor, the factor being public.
    Scale {
        /// The factor.
        factor: f32,
    },
    /// x + value, the value being public.
    Offset {
        /// The value.
        value: f32,
    },
    /// A public linear map along an axis: position i of the result is a sum of coefficients times positions.
    Combine {
        /// The axis.
        axis: usize,
        /// For each position of the result, positions of the input and their coefficients.
        rows: Vec<Vec<(usize, f32)>>,
    },
    /// Tensors one after the other along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// The same elements, in row-major order, in another shape.
    Reshape,
    /// The axes in another order: axis i of the result is axis `permutation[i]` of the input.
    Transpose {
        /// A permutation of the axes.
        permutation: Vec<usize>,
    },
    /// Positions along an axis, which may repeat and be in any order.
    Gather {
        /// The axis.
        axis: usize,
        /// The position in the input of each position of the result.
        indices: Vec<usize>,
    },
    /// Zeros around a tensor.
    Pad {
        /// The number of zeros in front, for each axis.
        before: Vec<usize>,
        /// The number of zeros behind, for each axis.
        after: Vec<usize>,
    },
    /// Each axis restricted to the positions `start`, `start + step`, … below `stop`.
    Slice {
        /// The first position of each axis.
        start: Vec<usize>,
        /// One past the last position that each axis may use.
        stop: Vec<usize>,
        /// The distance of one position from the next, for each axis.
        step: Vec<usize>,
    },
}

/// Which entry of a vector belongs to which element of a tensor: entry (i / inner) mod channels to element i.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channels {
    /// The number of entries.
    pub channels: usize,
    /// The number of neighbouring elements that share an entry.
    pub inner: usize,
}

/// The windows of a pooling layer, over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Distance from one window to the next, down and across.
    pub stride: [usize; 2],
    /// Rows or columns added at the top, left, bottom and right; each smaller than the window.
    pub padding: [usize; 4],
    /// Distance from one row or column of a window to the next, in the input.
    pub dilation: [usize; 2],
    /// Whether a mean counts the padding as zeros. Of no effect on a maximum.
    pub count_padding: bool,
}

impl Pool {
    /// Windows side by side, without padding.
    ///
    /// ```
    /// use mpc_nn::Pool;
    /// let overlapping = Pool { stride: [2, 2], padding: [1; 4], ..Pool::new([3, 3]) };
    /// let [rows, columns] = overlapping.window([0, 1], [8, 8]);
    /// assert!(rows.eq(0..2) && columns.eq(1..4));
    /// assert_eq!(overlapping.divisor([0, 1], [8, 8]), 6);
    /// ```
    #[must_use]
    pub const fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: kernel, padding: [0; 4], dilation: [1; 2], count_padding: false }
    }

    /// The rows and the columns of an input of size `input` that the window of `output` = [row, column] covers,
    /// without the padding. Never empty for a pool that a graph holds.
    pub fn window(&self, output: [usize; 2], input: [usize; 2]) -> [StepBy<Range<usize>>; 2] {
        [0, 1].map(|axis| {
            let (padding, dilation) = (self.padding[axis], self.dilation[axis]);
            let first = output[axis] * self.stride[axis];
            let outside = padding.saturating_sub(first).div_ceil(dilation);
            let start = (first + outside * dilation).saturating_sub(padding);
            let stop = (first + (self.kernel[axis] - 1) * dilation + 1).saturating_sub(padding).min(input[axis]);
            (start..stop).step_by(dilation)
        })
    }

    /// The number that the sum over the window of `output` is divided by for its mean.
    #[must_use]
    pub fn divisor(&self, output: [usize; 2], input: [usize; 2]) -> usize {
        if self.count_padding {
            return self.kernel[0] * self.kernel[1];
        }
        let [rows, columns] = self.window(output, input);
        rows.len() * columns.len()
    }
}

/// One operation of a graph, and the shape of what it gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    name: String,
    op: Op,
    inputs: Vec<NodeId>,
    shape: Vec<usize>,
}

impl Node {
    /// The name, which no other node of the graph has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the node computes.
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

    /// The name of its weight, where it has one.
    #[must_use]
    pub fn weight_name(&self) -> Option<String> {
        let has_weight = matches!(self.op, Op::Convolution { .. } | Op::Linear { .. } | Op::ScaleChannels(_));
        has_weight.then(|| format!("{}.weight", self.parameters_name()))
    }

    /// The name of its bias, where it has one.
    #[must_use]
    pub fn bias_name(&self) -> Option<String> {
        let has_bias = matches!(
            self.op,
            Op::Convolution { bias: true, .. } | Op::Linear { bias: true, .. } | Op::OffsetChannels(_)
        );
        has_bias.then(|| format!("{}.bias", self.parameters_name()))
    }

    /// The name of its value, for a [`Op::Parameter`].
    #[must_use]
    pub fn value_name(&self) -> Option<String> {
        (self.op == Op::Parameter).then(|| format!("{}.value", self.name))
    }

    /// What stands before the point in the names of its parameters.
    fn parameters_name(&self) -> &str {
        match &self.op {
            Op::Linear { tied: Some(tied), .. } => tied,
            _ => &self.name,
        }
    }

    /// The number of ring multiplications by a weight that it takes.
    #[must_use]
    pub fn multiplications(&self) -> u64 {
        match &self.op {
            Op::Convolution { shape, .. } => shape.multiplications(),
            Op::Linear { input_features, .. } => self.len() as u64 * *input_features as u64,
            Op::ScaleChannels(_) => self.len() as u64,
            _ => 0,
        }
    }

    fn parameters(&self, node: NodeId) -> Vec<Parameter> {
        let (weight, bias) = match &self.op {
            Op::Convolution { shape, .. } => (weight_shape(shape), shape.output_channels),
            Op::Linear { input_features, output_features, .. } => {
                (vec![*output_features, *input_features], *output_features)
            }
            Op::ScaleChannels(map) | Op::OffsetChannels(map) => (vec![map.channels], map.channels),
            Op::Parameter => (Vec::new(), 0),
            _ => return Vec::new(),
        };
        let parameter = |kind, name, shape| Parameter { name, node, kind, shape };
        let weight = self.weight_name().map(|name| parameter(ParameterKind::Weight, name, weight));
        let bias = self.bias_name().map(|name| parameter(ParameterKind::Bias, name, vec![bias]));
        let value = self.value_name().map(|name| parameter(ParameterKind::Value, name, self.shape.clone()));
        weight.into_iter().chain(bias).chain(value).collect()
    }
}

/// [output channels, input channels of a group, kernel height, kernel width].
fn weight_shape(shape: &Convolution) -> Vec<usize> {
    vec![shape.output_channels, shape.input_channels / shape.groups, shape.kernel[0], shape.kernel[1]]
}

/// Which of a layer's tensors a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// The matrix or the filters.
    Weight,
    /// What is added to each feature or channel of the output.
    Bias,
    /// A tensor that other nodes take as an input.
    Value,
}

/// A tensor that the model owner provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The node's name, or that of tied parameters, with `.weight`, `.bias` or `.value` behind it.
    pub name: String,
    /// The first node that uses it.
    pub node: NodeId,
    /// What it is to that node.
    pub kind: ParameterKind,
    /// Convolution weights: [output channels, input channels / groups, kernel height, kernel width]; linear
    /// weights: [output features, input features]; biases and channelwise factors: `[channels]`; values: as the node.
    pub shape: Vec<usize>,
}

/// A network's architecture: nodes in an order in which each comes after those it takes its inputs from.
///
/// Its `Serialize` is the canonical encoding that parties hash to find out whether they run the same network. What is
/// read by `Deserialize` may come from anybody: it is built anew, node by node, and every shape is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "encoding::Unchecked")]
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

    /// The same network with every node but the inputs and ranks as an output, to look inside.
    #[must_use]
    pub fn with_all_outputs(&self) -> Self {
        let is_shown = |op: &Op| !matches!(op, Op::Input | Op::Rank { .. });
        let outputs = self.iter().filter(|(_, node)| is_shown(node.op())).map(|(id, _)| id).collect();
        Self { outputs, ..self.clone() }
    }

    /// Drops the values of the inputs that `node` is the last to read.
    pub(crate) fn free_inputs<V>(&self, node: NodeId, last_readers: &[Option<NodeId>], values: &mut [Option<V>]) {
        for input in self.node(node).inputs() {
            if last_readers[input.0] == Some(node) {
                values[input.0] = None;
            }
        }
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
}
