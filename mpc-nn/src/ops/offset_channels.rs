//! Private offsets, one for each channel: x + b.

use super::prelude::*;
use super::tensors::copy;
use super::{channels, weighted};
use crate::graph::Channels;

impl GraphBuilder {
    /// x + b with a private b: element i plus entry (i / inner) mod channels of the parameter `{name}.bias`.
    ///
    /// # Errors
    /// `channels`·`inner` that does not divide the number of elements; a name that is taken.
    pub fn offset_channels(
        &mut self,
        name: &str,
        input: NodeId,
        channels: usize,
        inner: usize,
    ) -> Result<NodeId, GraphError> {
        let map = Channels { channels, inner };
        channels::check(name, self.shape_for(name, input)?, map)?;
        self.elementwise(name, input, Op::OffsetChannels(map))
    }
}

pub(super) struct OffsetChannels(pub(super) Channels);

impl Operation for OffsetChannels {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.offset_channels(node.name(), node.input(0), self.0.channels, self.0.inner)
    }

    fn parameters(&self, _node: &Node) -> Vec<(ParameterKind, Vec<usize>)> {
        vec![(ParameterKind::Bias, vec![self.0.channels])]
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let bias = x.bias();
        channels::map(x.input(0), self.0, bias.iter().flatten(), |x, offset| x + offset)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let number = walk.number(node.inputs()[0])?;
        let name = node.bias_name().unwrap_or_default();
        let constant = walk.shared_constant(name, self.0.channels, number.scale, number.divisor);
        Ok((Action::AddConstant { constant, map: self.0 }, number.into()))
    }
}

pub(super) struct AddConstantStep {
    pub(super) constant: usize,
    pub(super) map: Channels,
}

impl Local for AddConstantStep {
    const KIND: &'static str = "constant";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, _shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let mut sum = copy(x.get(0)?);
        weighted::add_channels(sum.elements_mut(), x.constant(self.constant)?, self.map);
        Ok(sum)
    }
}
