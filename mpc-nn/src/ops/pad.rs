//! Zeros around a tensor.

use ndarray::Slice;

use super::prelude::*;
use super::tensors::{view, view_mut, zeros};

impl GraphBuilder {
    /// Zeros around a tensor: `before` and `after` have one entry for each axis.
    ///
    /// # Errors
    /// Another number of entries, a result that is too large; a name that is taken.
    pub fn pad(&mut self, name: &str, input: NodeId, before: &[usize], after: &[usize]) -> Result<NodeId, GraphError> {
        let shape = padded(name, self.shape_for(name, input)?, before, after)?;
        self.push(name, Op::Pad { before: before.to_vec(), after: after.to_vec() }, vec![input], shape)
    }
}

/// Each axis with zeros before and after it.
fn padded(name: &str, input: &[usize], before: &[usize], after: &[usize]) -> Result<Vec<usize>, GraphError> {
    shape::same_rank(name, input, &[before, after])?;
    let padded = |axis: usize| input[axis].checked_add(before[axis])?.checked_add(after[axis]);
    (0..input.len()).map(|axis| padded(axis).ok_or_else(|| shape::bounds(name, axis, input))).collect()
}

pub(super) struct Pad<'a> {
    pub(super) before: &'a [usize],
    pub(super) after: &'a [usize],
}

impl Operation for Pad<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.pad(node.name(), node.input(0), self.before, self.after)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let mut padded = ArrayD::zeros(x.shape());
        let inner = |axis: usize| Slice::from(self.before[axis]..self.before[axis] + x.input(0).shape()[axis]);
        padded.slice_each_axis_mut(|axis| inner(axis.axis.index())).assign(x.input(0));
        padded
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let number = walk.number(node.inputs()[0])?;
        Ok((Action::Pad { before: self.before.to_vec() }, number.into()))
    }
}

/// `before` each axis, and behind it up to the shape.
pub(super) struct PadStep<'a> {
    pub(super) before: &'a [usize],
}

impl Local for PadStep<'_> {
    const KIND: &'static str = "pad";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let x = x.get(0)?;
        let mut result = zeros(shape)?;
        let mut all = view_mut(&mut result);
        let inner = |axis: usize| Slice::from(self.before[axis]..self.before[axis] + x.shape()[axis]);
        all.slice_each_axis_mut(|axis| inner(axis.axis.index())).assign(&view(x));
        Ok(result)
    }
}
