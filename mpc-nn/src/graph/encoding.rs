//! Reading a graph that somebody else has written.

use alloc::vec::Vec;

use serde::Deserialize;

use super::{ConvolutionOptions, Graph, GraphBuilder, GraphError, Node, NodeId, Op};

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
