//! Private factors, one for each channel: x ⊙ w.

use super::prelude::*;
use super::{channels, weighted};
use crate::graph::Channels;

impl GraphBuilder {
    /// x ⊙ w with a private w: element i times entry (i / inner) mod channels of the parameter `{name}.weight`.
    ///
    /// # Errors
    /// `channels`·`inner` that does not divide the number of elements; a name that is taken.
    pub fn scale_channels(
        &mut self,
        name: &str,
        input: NodeId,
        channels: usize,
        inner: usize,
    ) -> Result<NodeId, GraphError> {
        let map = Channels { channels, inner };
        channels::check(name, self.shape_for(name, input)?, map)?;
        self.elementwise(name, input, Op::ScaleChannels(map))
    }
}

pub(super) struct ScaleChannels(pub(super) Channels);

impl Operation for ScaleChannels {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.scale_channels(node.name(), node.input(0), self.0.channels, self.0.inner)
    }

    fn parameters(&self, _node: &Node) -> Vec<(ParameterKind, Vec<usize>)> {
        vec![(ParameterKind::Weight, vec![self.0.channels])]
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::multiplications(node.len() as u64)
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        channels::map(x.input(0), self.0, x.weight().iter(), |x, factor| x * factor)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let Channels { channels, inner } = self.0;
        weighted::plan(walk, node, weighted::channelwise(node.len() / (channels * inner), channels, inner))
    }
}
