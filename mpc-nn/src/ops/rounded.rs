//! The same elements, with f fractional bits and a few more where a plan has room for them.
//!
//! A plan rounds where a value needs it, which is the cheapest place in most networks. Of a mean that is taken off every
//! element of a row, it is not: there are fewer means than elements.

use super::prelude::*;

impl GraphBuilder {
    /// The same elements, with f fractional bits and `finer` more where a plan has room for them.
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn rounded(&mut self, name: &str, input: NodeId, finer: u32) -> Result<NodeId, GraphError> {
        self.elementwise(name, input, Op::Rounded { finer })
    }
}

pub(super) struct Rounded {
    pub(super) finer: u32,
}

impl Operation for Rounded {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.rounded(node.name(), node.input(0), self.finer)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).clone()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let number = walk.need_rounded(node.inputs()[0], self.finer)?;
        Ok((Action::Reshape, number.into()))
    }
}
