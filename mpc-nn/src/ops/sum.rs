//! The sum over axes, which stay with size 1.

use ndarray::Axis;

use super::prelude::*;
use super::tensors::{from_elements, view, zeros};

impl GraphBuilder {
    /// The sum over axes, which stay with size 1.
    ///
    /// # Errors
    /// An axis that is not there or named twice; a name that is taken.
    pub fn sum(&mut self, name: &str, input: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let shape = shape::reduce(name, self.shape_for(name, input)?, axes)?;
        self.push(name, Op::Sum { axes: axes.to_vec() }, vec![input], shape)
    }
}

pub(super) struct Sum<'a>(pub(super) &'a [usize]);

impl Operation for Sum<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.sum(node.name(), node.input(0), self.0)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        summed(x.input(0), self.0, x.shape())
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        Ok((Action::Sum { axes: self.0.to_vec() }, walk.number(node.inputs()[0])?.into()))
    }
}

pub(super) fn summed(input: &ArrayD<f32>, axes: &[usize], shape: &[usize]) -> ArrayD<f32> {
    let summed = axes.iter().fold(input.clone(), |x, &axis| x.sum_axis(Axis(axis)).insert_axis(Axis(axis)));
    from_elements(shape, summed.iter().copied().collect())
}

pub(super) struct SumStep<'a>(pub(super) &'a [usize]);

impl Local for SumStep<'_> {
    const KIND: &'static str = "sum";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let x = x.get(0)?;
        let kept = (0..x.shape().len()).filter(|axis| !self.0.contains(axis));
        let order: Vec<usize> = kept.chain(self.0.iter().copied()).collect();
        let reordered = view(x).permuted_axes(order);
        let count = x.len() / shape.iter().product::<usize>().max(1);
        let mut sums = zeros::<R>(shape)?;
        for (index, &element) in reordered.iter().enumerate() {
            let sum = &mut sums.elements_mut()[index / count];
            *sum = sum.wrapping_add(element);
        }
        Ok(sums)
    }
}
