mod tensor;

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Convolution;

use super::{Graph, GraphError, Node, NodeId, Op, Pool, shape, weight_shape};

/// What a convolution adds to the shape of its input.
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

    fn applied_to(&self, [batch, input_channels, height, width]: [usize; 4]) -> Convolution {
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
    pub(super) nodes: Vec<Node>,
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

    /// A tensor of the data owner's.
    ///
    /// # Errors
    /// A shape without elements or with too many; a name that is taken.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.push(name, Op::Input, vec![], shape.to_vec())
    }

    /// A two-dimensional convolution of [b, c, h, w].
    ///
    /// # Errors
    /// Another number of axes, sizes that do not fit together or are too large; a name that is taken.
    pub fn convolution(
        &mut self,
        name: &str,
        input: NodeId,
        options: ConvolutionOptions,
    ) -> Result<NodeId, GraphError> {
        let sizes = shape::axes(name, self.shape_for(name, input)?)?;
        let shape = options.applied_to(sizes);
        shape.validate().map_err(|source| GraphError::Convolution { name: name.to_owned(), source })?;
        shape::check(name, &weight_shape(&shape))?;
        // A kernel computes at least a row of the output at a time, with a patch of the input for each of its pixels.
        let patch = shape.weight_len() / shape.output_channels;
        shape::check(name, &[shape.output_width(), patch])?;
        let output = vec![shape.batch, shape.output_channels, shape.output_height(), shape.output_width()];
        self.push(name, Op::Convolution { shape, bias: options.bias }, vec![input], output)
    }

    /// A linear layer on [rows, features].
    ///
    /// # Errors
    /// Another number of axes, a weight that is empty or too large; a name that is taken.
    pub fn linear(
        &mut self,
        name: &str,
        input: NodeId,
        output_features: usize,
        bias: bool,
    ) -> Result<NodeId, GraphError> {
        self.any_linear(name, input, output_features, bias, None)
    }

    /// A linear layer with the parameters `{parameters}.weight` and `{parameters}.bias`, which other nodes share, as
    /// the steps of a recurrent network do.
    ///
    /// # Errors
    /// As [`linear`](Self::linear); parameters that another node has in another shape.
    pub fn linear_tied(
        &mut self,
        name: &str,
        input: NodeId,
        output_features: usize,
        bias: bool,
        parameters: &str,
    ) -> Result<NodeId, GraphError> {
        self.any_linear(name, input, output_features, bias, Some(parameters.to_owned()))
    }

    fn any_linear(
        &mut self,
        name: &str,
        input: NodeId,
        output_features: usize,
        bias: bool,
        tied: Option<String>,
    ) -> Result<NodeId, GraphError> {
        let [rows, input_features] = shape::axes(name, self.shape_for(name, input)?)?;
        shape::check(name, &[output_features, input_features])?;
        let op = Op::Linear { input_features, output_features, bias, tied };
        self.push(name, op, vec![input], vec![rows, output_features])
    }

    /// max(x, 0) for each element.
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn relu(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?.to_vec();
        self.push(name, Op::Relu, vec![input], shape)
    }

    /// The largest element of each window of [b, c, h, w].
    ///
    /// # Errors
    /// Another number of axes, windows that do not fit; a name that is taken.
    pub fn max_pool(&mut self, name: &str, input: NodeId, pool: Pool) -> Result<NodeId, GraphError> {
        let shape = shape::pool(name, self.shape_for(name, input)?, &pool)?;
        // A tournament has all elements of all windows at once.
        shape::check(name, &[&shape[..], &[pool.kernel[0] * pool.kernel[1]]].concat())?;
        self.push(name, Op::MaxPool(pool), vec![input], shape)
    }

    /// The mean of each window of [b, c, h, w].
    ///
    /// # Errors
    /// Another number of axes, windows that do not fit; a name that is taken.
    pub fn average_pool(&mut self, name: &str, input: NodeId, pool: Pool) -> Result<NodeId, GraphError> {
        let shape = shape::pool(name, self.shape_for(name, input)?, &pool)?;
        self.push(name, Op::AveragePool(pool), vec![input], shape)
    }

    /// The mean of each channel: [b, c, h, w] → [b, c, 1, 1].
    ///
    /// # Errors
    /// Another number of axes; a name that is taken.
    pub fn global_average_pool(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let [_, _, _, _] = shape::axes(name, self.shape_for(name, input)?)?;
        self.mean(name, input, &[2, 3])
    }

    /// The sum of two tensors of one shape.
    ///
    /// # Errors
    /// Different shapes; a name that is taken.
    pub fn add(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, left)?.to_vec();
        let other = self.shape_for(name, right)?.to_vec();
        if shape != other {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: other });
        }
        self.push(name, Op::Add, vec![left, right], shape)
    }

    /// Tensors one after the other along `axis`.
    ///
    /// # Errors
    /// No inputs, shapes that differ in another axis, an axis that is not there; a name that is taken.
    pub fn concat(&mut self, name: &str, inputs: &[NodeId], axis: usize) -> Result<NodeId, GraphError> {
        let shapes = inputs.iter().map(|&id| self.shape_for(name, id)).collect::<Result<Vec<_>, _>>()?;
        let shape = shape::concat(name, axis, &shapes)?;
        self.push(name, Op::Concat { axis }, inputs.to_vec(), shape)
    }

    /// [b, …] → [b, product of the rest].
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn flatten(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = shape::flatten(self.shape_for(name, input)?);
        self.reshape(name, input, &shape)
    }

    /// Zeros around a tensor: `before` and `after` have one entry for each axis.
    ///
    /// # Errors
    /// Another number of entries, a result that is too large; a name that is taken.
    pub fn pad(&mut self, name: &str, input: NodeId, before: &[usize], after: &[usize]) -> Result<NodeId, GraphError> {
        let shape = shape::pad(name, self.shape_for(name, input)?, before, after)?;
        self.push(name, Op::Pad { before: before.to_vec(), after: after.to_vec() }, vec![input], shape)
    }

    /// The positions `start`, `start + step`, … below `stop` of each axis.
    ///
    /// # Errors
    /// Another number of entries, positions outside the tensor; a name that is taken.
    pub fn slice(
        &mut self,
        name: &str,
        input: NodeId,
        start: &[usize],
        stop: &[usize],
        step: &[usize],
    ) -> Result<NodeId, GraphError> {
        let shape = shape::slice(name, self.shape_for(name, input)?, start, stop, step)?;
        let op = Op::Slice { start: start.to_vec(), stop: stop.to_vec(), step: step.to_vec() };
        self.push(name, op, vec![input], shape)
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
            } else if node.op == Op::Input {
                return Err(GraphError::UnusedInput { name: node.name });
            }
        }
        let inputs = (0..nodes.len()).filter(|&index| nodes[index].op == Op::Input).map(NodeId).collect();
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

    fn shape_for(&self, name: &str, id: NodeId) -> Result<&[usize], GraphError> {
        let unknown = || GraphError::UnknownNode { name: name.to_owned(), index: id.0 };
        Ok(&self.nodes.get(id.0).ok_or_else(unknown)?.shape)
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Vec<usize>) -> Result<NodeId, GraphError> {
        if name.is_empty() {
            return Err(GraphError::EmptyName);
        }
        shape::check(name, &shape)?;
        if !self.names.insert(name.to_owned()) {
            return Err(GraphError::DuplicateName { name: name.to_owned() });
        }
        let (node, id) = (Node { name: name.to_owned(), op, inputs, shape }, NodeId(self.nodes.len()));
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
