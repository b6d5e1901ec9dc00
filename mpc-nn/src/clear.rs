//! Evaluation in the clear, in floating point: the reference that private inference is compared with.

pub(crate) mod node;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use ndarray::{ArrayD, Dimension, IxDyn};

use crate::graph::{Calibration, Graph, NodeId, Op};
use crate::ops;
use crate::values::{self, Flaw};
use crate::weights::{Weights, zeroize};
use node::Clear;
use zeroize::Zeroize;

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
    /// An element of an input of whole numbers that is none.
    #[error("input `{name}` takes whole numbers, and there is none at {index:?}")]
    NotWhole {
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
    let mut values: Vec<ArrayD<f32>> = vec![ArrayD::default(IxDyn(&[0])); graph.nodes().len()];
    for (id, node) in graph.iter() {
        let given = graph.inputs().iter().position(|&input| input == id).map(|input| &inputs[input]);
        let value = value_of(&Clear { node, weights, values: &values, given })?;
        observe(id, &value);
        values[id.index()] = value;
        for input in node.inputs().iter().filter(|input| last_readers[input.index()] == Some(id)) {
            values[input.index()] = ArrayD::default(IxDyn(&[0]));
        }
    }
    Ok(graph.outputs().iter().map(|id| core::mem::take(&mut values[id.index()])).collect())
}

/// The value of a node.
pub(crate) fn value_of(clear: &Clear<'_>) -> Result<ArrayD<f32>, EvaluateError> {
    let value = ops::clear(clear.node.op(), clear);
    if values::check(&value, f32::MAX).is_err() {
        zeroize(value);
        return Err(EvaluateError::Overflow { name: clear.node.name().to_owned() });
    }
    Ok(value)
}

/// The smallest and the largest value of each node in the clear. They are zeroised when it is dropped.
#[derive(Default)]
pub struct Ranges(BTreeMap<NodeId, [f32; 2]>);

impl Ranges {
    /// Adds a node's values. Returns their largest magnitude.
    pub fn add(&mut self, id: NodeId, values: &ArrayD<f32>) -> f32 {
        let [low, high] = values::range(values);
        self.0.insert(id, [low, high]);
        high.max(-low).max(0.0)
    }

    /// A node's smallest and largest value.
    pub(crate) fn of(&self, id: NodeId) -> Option<[f32; 2]> {
        self.0.get(&id).copied()
    }

    /// The largest difference of the values that a node compares with each other, which must stay below the plan's bound as well;
    /// `None` for a node that compares none.
    pub(crate) fn compared(&self, graph: &Graph, id: NodeId) -> Option<f64> {
        let node = graph.node(id);
        let compared = node.inputs().first().filter(|_| node.compares_elements())?;
        let [low, high] = self.of(*compared)?;
        Some(f64::from(high) - f64::from(low))
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl Calibration {
    /// Takes in how large the values of a network become for one more input, those of the inputs themselves left out.
    ///
    /// # Errors
    /// [`EvaluateError`].
    pub fn observe(&mut self, graph: &Graph, weights: &Weights, inputs: &[ArrayD<f32>]) -> Result<(), EvaluateError> {
        let digits = graph.digits();
        let observe = |id: NodeId, value: &ArrayD<f32>| {
            let node = graph.node(id);
            if !node.op().is_input() && !digits[id.index()] {
                let [low, high] = values::range(value);
                let largest = high.max(-low).max(0.0);
                let known = self.largest.entry(node.name().to_owned()).or_default();
                *known = known.max(largest.into());
            }
        };
        evaluate_with(graph, weights, inputs, observe).map(drop)
    }
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
        if *node.op() == Op::WholeInput
            && let Some((index, _)) = input.indexed_iter().find(|(_, value)| *value % 1.0 != 0.0)
        {
            return Err(EvaluateError::NotWhole { name: name(), index: index.slice().to_vec() });
        }
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
