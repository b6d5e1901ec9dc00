//! Evaluation in the clear, in floating point: the reference that private inference is compared with.

mod convolution;
mod pool;
mod tensor;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use ndarray::{ArrayD, ArrayView1, ArrayView2, Ix1, Ix2, IxDyn};

use crate::graph::{Graph, Node, NodeId, Op};
use crate::values::{self, Flaw};
use crate::weights::Weights;

/// The largest magnitude that an element of an input may have: 2^15.
pub const MAX_INPUT: f32 = 32768.0;

/// Why a graph could not be evaluated. No message contains an element of an input or a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// Too few or too many inputs.
    #[error("{expected} inputs are needed, but there are {found}")]
    InputCount {
        /// The number that the graph takes.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// An input of another shape, for example an image of another size.
    #[error("input `{name}` must have shape {expected:?}, but got {found:?}; resize it or build the graph for it")]
    InputShape {
        /// The input.
        name: String,
        /// The shape that the graph takes.
        expected: Vec<usize>,
        /// The shape given.
        found: Vec<usize>,
    },
    /// An element of an input that is NaN or infinite.
    #[error("input `{name}` is NaN or infinite at {index:?}; check how it was normalised")]
    NotFinite {
        /// The input.
        name: String,
        /// The first such element.
        index: Vec<usize>,
    },
    /// An element of an input of a magnitude above [`MAX_INPUT`].
    #[error("input `{name}` is larger than {MAX_INPUT} in magnitude at {index:?}; normalise it")]
    OutOfRange {
        /// The input.
        name: String,
        /// The first such element.
        index: Vec<usize>,
    },
    /// A parameter that the weights lack, or have with another shape.
    #[error("the weights have no `{name}` of shape {expected:?}; make them with `Weights::for_graph` for this graph")]
    Weights {
        /// The parameter.
        name: String,
        /// The shape that the graph needs.
        expected: Vec<usize>,
    },
    /// An intermediate value that is too large for a float.
    #[error("the output of `{name}` overflows; the weights or the input are far outside what the model was made for")]
    Overflow {
        /// The node.
        name: String,
    },
}

/// The outputs of a graph for inputs in the order of [`Graph::inputs`], each of the shape of its node.
///
/// ```
/// use mpc_nn::{EvaluateError, GraphBuilder, Weights, evaluate};
/// use ndarray::array;
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 3])?;
/// let y = builder.relu("relu", x)?;
/// let graph = builder.finish(&[y])?;
/// let weights = Weights::for_graph(&graph, Default::default())?;
/// let outputs = evaluate(&graph, &weights, &[array![[1.5, -2.0, 0.25]].into_dyn()])?;
/// assert_eq!(outputs, [array![[1.5, 0.0, 0.25]].into_dyn()]);
/// let error = evaluate(&graph, &weights, &[array![[1.5, -2.0]].into_dyn()]);
/// assert!(matches!(error, Err(EvaluateError::InputShape { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Inputs that do not fit the graph, are NaN, infinite or larger than [`MAX_INPUT`]; weights of another graph;
/// intermediate values that overflow.
pub fn evaluate(graph: &Graph, weights: &Weights, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>, EvaluateError> {
    evaluate_with(graph, weights, inputs, |_, _| ())
}

/// [`evaluate`], and `observe` is called with the output of every node, in the order of the nodes.
///
/// For statistics, such as the largest magnitude that each layer reaches on some samples.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    graph: &Graph,
    weights: &Weights,
    inputs: &[ArrayD<f32>],
    mut observe: impl FnMut(NodeId, &ArrayD<f32>),
) -> Result<Vec<ArrayD<f32>>, EvaluateError> {
    check_inputs(graph, graph.inputs(), inputs)?;
    check_weights(graph, weights)?;
    let last_readers = graph.last_readers();
    let mut inputs = inputs.iter();
    let mut values: Vec<ArrayD<f32>> = vec![ArrayD::default(IxDyn(&[0])); graph.nodes().len()];
    for (id, node) in graph.iter() {
        let value = match node.op() {
            Op::Input => inputs.next().map(|input| input.as_standard_layout().into_owned()).unwrap_or_default(),
            _ => apply(node, weights, &values),
        };
        if !value.iter().all(|element| element.is_finite()) {
            return Err(EvaluateError::Overflow { name: node.name().to_owned() });
        }
        observe(id, &value);
        values[id.index()] = value;
        for input in node.inputs().iter().filter(|input| last_readers[input.index()] == Some(id)) {
            values[input.index()] = ArrayD::default(IxDyn(&[0]));
        }
    }
    Ok(graph.outputs().iter().map(|id| core::mem::take(&mut values[id.index()])).collect())
}

/// Checks arrays that are to be the inputs at the given places.
pub(crate) fn check_inputs(graph: &Graph, places: &[NodeId], inputs: &[ArrayD<f32>]) -> Result<(), EvaluateError> {
    if inputs.len() != places.len() {
        return Err(EvaluateError::InputCount { expected: places.len(), found: inputs.len() });
    }
    for (&id, input) in places.iter().zip(inputs) {
        let node = graph.node(id);
        let name = || node.name().to_owned();
        if input.shape() != node.shape() {
            let (expected, found) = (node.shape().to_vec(), input.shape().to_vec());
            return Err(EvaluateError::InputShape { name: name(), expected, found });
        }
        values::check(input, MAX_INPUT).map_err(|flaw| match flaw {
            Flaw::NotFinite(index) => EvaluateError::NotFinite { name: name(), index },
            Flaw::OutOfRange(index) => EvaluateError::OutOfRange { name: name(), index },
        })?;
    }
    Ok(())
}

fn check_weights(graph: &Graph, weights: &Weights) -> Result<(), EvaluateError> {
    let fits = |name: &str, shape: &[usize]| weights.get(name).is_some_and(|tensor| tensor.shape() == shape);
    match graph.parameters().into_iter().find(|parameter| !fits(&parameter.name, &parameter.shape)) {
        Some(parameter) => Err(EvaluateError::Weights { name: parameter.name, expected: parameter.shape }),
        None => Ok(()),
    }
}

/// The output of a node that is not an input, in row-major order. Shapes were checked when the graph was built.
fn apply(node: &Node, weights: &Weights, values: &[ArrayD<f32>]) -> ArrayD<f32> {
    let input = |index: usize| &values[node.inputs()[index].index()];
    match node.op() {
        Op::Input => unreachable!("inputs are not computed"),
        Op::Parameter => parameter(node.value_name(), weights).clone(),
        Op::Convolution { shape, .. } => {
            convolution::apply(shape, input(0), parameter(node.weight_name(), weights), bias(node, weights))
        }
        Op::Linear { .. } => {
            linear(matrix(input(0)), matrix(parameter(node.weight_name(), weights)), bias(node, weights))
        }
        Op::ScaleChannels(map) => {
            tensor::channelwise(input(0), map, parameter(node.weight_name(), weights), |x, factor| x * factor)
        }
        Op::OffsetChannels(map) => {
            tensor::channelwise(input(0), map, parameter(node.bias_name(), weights), |x, offset| x + offset)
        }
        Op::Relu => input(0).mapv(|x| x.max(0.0)),
        Op::Function(function) => input(0).mapv(|x| function.evaluate(f64::from(x)) as f32),
        Op::MaxPool(pool) => pool::maximum(pool, input(0), node.shape()),
        Op::AveragePool(pool) => pool::mean(pool, input(0), node.shape()),
        Op::Sum { axes } => tensor::sum(input(0), axes, node.shape()),
        Op::Mean { axes } => {
            let count = input(0).len() / node.len();
            tensor::sum(input(0), axes, node.shape()) / count as f32
        }
        Op::ArgMax => tensor::arg_max(input(0), node.shape()),
        Op::Rank { .. } | Op::RankedValue => tensor::ranked(input(node.inputs().len() - 1), node.shape(), |_, x| x),
        Op::RankedIndex => tensor::ranked(input(1), node.shape(), |index, _| index as f32),
        Op::Add => input(0) + input(1),
        Op::Multiply => tensor::multiply(input(0), input(1)),
        Op::Square => input(0).mapv(|x| x * x),
        Op::MatrixProduct => tensor::matrix_product(input(0), input(1), node.shape()),
        Op::Scale { factor } => input(0) * *factor,
        Op::Offset { value } => input(0) + *value,
        Op::Combine { axis, rows } => tensor::combine(input(0), *axis, rows, node.shape()),
        Op::Concat { axis } => {
            tensor::concat(*axis, node.inputs().iter().map(|id| values[id.index()].view()).collect())
        }
        Op::Reshape => reshape(input(0).clone(), node.shape()),
        Op::Transpose { permutation } => tensor::transpose(input(0), permutation),
        Op::Gather { axis, indices } => tensor::gather(input(0), *axis, indices),
        Op::Pad { before, .. } => tensor::pad(input(0), before, node.shape()),
        Op::Slice { start, stop, step } => tensor::slice(input(0), start, stop, step),
    }
}

/// A parameter of a node that has it.
fn parameter(name: Option<String>, weights: &Weights) -> &ArrayD<f32> {
    name.and_then(|name| weights.get(&name)).expect("the weights were checked")
}

fn bias<'a>(node: &Node, weights: &'a Weights) -> Option<ArrayView1<'a, f32>> {
    let bias = weights.get(&node.bias_name()?)?;
    Some(bias.view().into_dimensionality::<Ix1>().expect("the weights were checked"))
}

fn matrix(array: &ArrayD<f32>) -> ArrayView2<'_, f32> {
    array.view().into_dimensionality::<Ix2>().expect("the graph has checked the shapes")
}

fn reshape(array: ArrayD<f32>, shape: &[usize]) -> ArrayD<f32> {
    array.into_shape_with_order(shape).expect("the graph has checked the shapes")
}

fn linear(x: ArrayView2<'_, f32>, weight: ArrayView2<'_, f32>, bias: Option<ArrayView1<'_, f32>>) -> ArrayD<f32> {
    let mut y = x.dot(&weight.t()).as_standard_layout().into_owned();
    if let Some(bias) = bias {
        y += &bias;
    }
    y.into_dyn()
}
