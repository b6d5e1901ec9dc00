//! A network with its weights, and the names and shapes that its user knows its inputs and outputs by.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::graph::{Graph, NodeId};
use crate::weights::Weights;

/// How the data owner writes an input down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Each element as a number.
    Plain,
    /// Each element, an integer below the number of classes, as a row of that many elements, all 0 but a 1 at its place: the
    /// graph's input has an axis more. A negative number counts from the end.
    OneHot(usize),
}

/// An input of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInput {
    /// The name, that of its node in the graph.
    pub name: String,
    /// The shape before encoding, as the model's own file has it. The graph's has an axis of classes more if the encoding is
    /// one-hot, and one axis of size 1 for a scalar.
    pub shape: Vec<usize>,
    /// How its elements are given to the graph.
    pub encoding: Encoding,
    /// Of a one-hot input that several tables are read by, for each element the number of rows of the smallest table that
    /// it chooses from: it must be below that. Empty for others.
    pub limits: Vec<usize>,
}

/// An output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkOutput {
    /// The name in the model's own file.
    pub name: String,
    /// The shape in the model's own file; the graph's is the same, but one axis of size 1 for a scalar.
    pub shape: Vec<usize>,
}

/// A network that can be planned and run: of the zoo, of an imported file, of a packed model.
#[derive(Debug)]
pub struct Network {
    /// The architecture, public.
    pub graph: Graph,
    /// The model owner's weights.
    pub weights: Weights,
    /// The inputs, in the order of the graph's, which may differ from the file's. Inputs of a file that no output depends on
    /// are missing.
    pub inputs: Vec<NetworkInput>,
    /// The outputs, in the order of the graph's and of the file's.
    pub outputs: Vec<NetworkOutput>,
}

impl AsRef<Weights> for Network {
    fn as_ref(&self) -> &Weights {
        &self.weights
    }
}

impl Network {
    /// A network whose inputs are plain numbers, and whose inputs and outputs have the names and shapes of their nodes.
    #[must_use]
    pub fn new(graph: Graph, weights: Weights) -> Self {
        let of = |&id: &NodeId| (graph.node(id).name().to_owned(), graph.node(id).shape().to_vec());
        let input = |(name, shape)| NetworkInput { name, shape, encoding: Encoding::Plain, limits: Vec::new() };
        let inputs = graph.inputs().iter().map(of).map(input).collect();
        let outputs = graph.outputs().iter().map(of).map(|(name, shape)| NetworkOutput { name, shape }).collect();
        Self { graph, weights, inputs, outputs }
    }
}
