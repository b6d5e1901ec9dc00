//! The operands of an operation in floating point.

use alloc::string::String;

use ndarray::{ArrayD, ArrayView1, Ix1};

use crate::graph::Node;
use crate::weights::Weights;

/// A node's inputs and parameters.
pub(crate) struct Clear<'a> {
    pub(crate) node: &'a Node,
    pub(crate) weights: &'a Weights,
    /// The value of each node so far.
    pub(crate) values: &'a [ArrayD<f32>],
    /// The tensor that is given for the node, if it is an input of the graph.
    pub(crate) given: Option<&'a ArrayD<f32>>,
}

impl<'a> Clear<'a> {
    /// The shape of the result.
    pub(crate) fn shape(&self) -> &'a [usize] {
        self.node.shape()
    }

    /// Input `at` of the node.
    pub(crate) fn input(&self, at: usize) -> &'a ArrayD<f32> {
        &self.values[self.node.inputs()[at].index()]
    }

    /// All inputs of the node.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &'a ArrayD<f32>> {
        self.node.inputs().iter().map(|id| &self.values[id.index()])
    }

    /// The tensor that is given for an input of the graph.
    pub(crate) fn given(&self) -> &'a ArrayD<f32> {
        self.given.expect("every input of the graph is given")
    }

    /// The node's weight, which it has.
    pub(crate) fn weight(&self) -> &'a ArrayD<f32> {
        self.parameter(self.node.weight_name())
    }

    /// The node's value, which it has.
    pub(crate) fn value(&self) -> &'a ArrayD<f32> {
        self.parameter(self.node.value_name())
    }

    /// The node's bias, if it has one.
    pub(crate) fn bias(&self) -> Option<ArrayView1<'a, f32>> {
        let bias = self.parameter(Some(self.node.bias_name()?));
        Some(bias.view().into_dimensionality::<Ix1>().expect("the weights were checked"))
    }

    fn parameter(&self, name: Option<String>) -> &'a ArrayD<f32> {
        name.and_then(|name| self.weights.get(&name)).expect("the weights were checked")
    }
}
