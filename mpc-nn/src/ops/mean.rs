//! The mean over axes, which stay with size 1: a sum whose divisor stays pending.

use super::prelude::*;
use super::sum::summed;

impl GraphBuilder {
    /// The mean over axes, which stay with size 1.
    ///
    /// # Errors
    /// An axis that is not there or named twice; a name that is taken.
    pub fn mean(&mut self, name: &str, input: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let shape = shape::reduce(name, self.shape_for(name, input)?, axes)?;
        self.push(name, Op::Mean { axes: axes.to_vec() }, vec![input], shape)
    }

    /// The mean of each channel: [b, c, h, w] → [b, c, 1, 1].
    ///
    /// # Errors
    /// Another number of axes; a name that is taken.
    pub fn global_average_pool(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let [_, _, _, _] = shape::axes(name, self.shape_for(name, input)?)?;
        self.mean(name, input, &[2, 3])
    }
}

pub(super) struct Mean<'a>(pub(super) &'a [usize]);

impl Operation for Mean<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.mean(node.name(), node.input(0), self.0)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let sums = summed(x.input(0), self.0, x.shape());
        let count = x.input(0).len() / sums.len();
        sums / count as f32
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let input = node.inputs()[0];
        let count = walk.graph.node(input).len() / node.len();
        Ok((Action::Sum { axes: self.0.to_vec() }, walk.mean_of(input, count)?.into()))
    }
}
