//! A linear layer: y = x·Wᵀ + b.

use alloc::string::String;

use mpc_ring::Convolution;
use ndarray::{ArrayView2, Ix2};

use super::prelude::*;
use super::weighted;

impl GraphBuilder {
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
}

pub(super) struct Linear<'a> {
    pub(super) input_features: usize,
    pub(super) output_features: usize,
    pub(super) bias: bool,
    pub(super) tied: Option<&'a str>,
}

impl Operation for Linear<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        let tied = self.tied.map(str::to_owned);
        builder.any_linear(node.name(), node.input(0), self.output_features, self.bias, tied)
    }

    fn tied(&self) -> Option<&str> {
        self.tied
    }

    fn parameters(&self, _node: &Node) -> Vec<(ParameterKind, Vec<usize>)> {
        let weight = (ParameterKind::Weight, vec![self.output_features, self.input_features]);
        let bias = self.bias.then(|| (ParameterKind::Bias, vec![self.output_features]));
        [weight].into_iter().chain(bias).collect()
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::multiplications(node.len() as u64 * self.input_features as u64)
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let mut y = matrix(x.input(0)).dot(&matrix(x.weight()).t()).as_standard_layout().into_owned();
        if let Some(bias) = x.bias() {
            y += &bias;
        }
        y.into_dyn()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let shape = Convolution {
            batch: node.shape()[0],
            ..Convolution::valid([self.input_features, self.output_features], [1, 1], [1, 1])
        };
        weighted::plan(walk, node, shape)
    }
}

fn matrix(array: &ArrayD<f32>) -> ArrayView2<'_, f32> {
    array.view().into_dimensionality::<Ix2>().expect("the graph has checked the shapes")
}
