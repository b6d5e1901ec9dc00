//! The axes in another order.

use ndarray::IxDyn;

use super::prelude::*;
use super::tensors::view;

impl GraphBuilder {
    /// The axes in another order: axis i of the result is axis `permutation[i]` of the input.
    ///
    /// # Errors
    /// Axes that are no permutation; a name that is taken.
    pub fn transpose(&mut self, name: &str, input: NodeId, permutation: &[usize]) -> Result<NodeId, GraphError> {
        let shape = permuted(name, self.shape_for(name, input)?, permutation)?;
        self.push(name, Op::Transpose { permutation: permutation.to_vec() }, vec![input], shape)
    }
}

/// The sizes in the order of a permutation of the axes.
fn permuted(name: &str, input: &[usize], permutation: &[usize]) -> Result<Vec<usize>, GraphError> {
    shape::same_rank(name, input, &[permutation])?;
    for (index, &axis) in permutation.iter().enumerate() {
        if axis >= input.len() || permutation[..index].contains(&axis) {
            return Err(shape::axis(name, axis, input));
        }
    }
    Ok(permutation.iter().map(|&axis| input[axis]).collect())
}

pub(super) struct Transpose<'a>(pub(super) &'a [usize]);

impl Operation for Transpose<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.transpose(node.name(), node.input(0), self.0)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).view().permuted_axes(IxDyn(self.0)).as_standard_layout().into_owned()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        Ok((Action::Transpose { permutation: self.0.to_vec() }, walk.format(node.inputs()[0])))
    }
}

pub(super) struct TransposeStep<'a>(pub(super) &'a [usize]);

impl Local for TransposeStep<'_> {
    const KIND: &'static str = "reshape";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let permuted = view(x.get(0)?).permuted_axes(IxDyn(self.0));
        Ok(ArithmeticShares::new(shape, permuted.iter().copied().collect())?)
    }
}
