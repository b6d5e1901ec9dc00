//! Tensors one after the other along an axis.

use ndarray::{Axis, Slice, concatenate};

use super::prelude::*;
use super::tensors::{view, view_mut, zeros};

impl GraphBuilder {
    /// Tensors one after the other along `axis`.
    ///
    /// # Errors
    /// No inputs, shapes that differ in another axis, an axis that is not there; a name that is taken.
    pub fn concat(&mut self, name: &str, inputs: &[NodeId], axis: usize) -> Result<NodeId, GraphError> {
        let shapes = inputs.iter().map(|&id| self.shape_for(name, id)).collect::<Result<Vec<_>, _>>()?;
        let shape = joined_shape(name, axis, &shapes)?;
        self.push(name, Op::Concat { axis }, inputs.to_vec(), shape)
    }
}

/// The joined shape of tensors that agree in every axis but `axis`.
fn joined_shape(name: &str, axis: usize, shapes: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let [first, rest @ ..] = shapes else { return Err(GraphError::NoInput { name: name.to_owned() }) };
    if axis >= first.len() {
        return Err(shape::axis(name, axis, first));
    }
    let mut joined = first.to_vec();
    for other in rest {
        let agrees = other.len() == first.len() && (0..first.len()).all(|i| i == axis || other[i] == first[i]);
        if !agrees {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: first.to_vec(), right: other.to_vec() });
        }
        // Saturation stands for "too large", which the check of the whole shape reports.
        joined[axis] = joined[axis].saturating_add(other[axis]);
    }
    Ok(joined)
}

pub(super) struct Concat {
    pub(super) axis: usize,
}

impl Operation for Concat {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.concat(node.name(), node.inputs(), self.axis)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let inputs: Vec<_> = x.inputs().map(|input| input.view()).collect();
        let joined = concatenate(Axis(self.axis), &inputs).expect("the graph has checked the shapes");
        joined.as_standard_layout().into_owned()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (format, shifts) = walk.common(node.inputs())?;
        Ok((Action::Concat { axis: self.axis, shifts }, format))
    }
}

/// Each tensor is shifted left by its number of bits first.
pub(super) struct ConcatStep<'a> {
    pub(super) axis: usize,
    pub(super) shifts: &'a [u32],
}

impl Local for ConcatStep<'_> {
    const KIND: &'static str = "concat";

    fn shift(&self, operand: usize) -> u32 {
        self.shifts[operand]
    }

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let mut result = zeros(shape)?;
        let mut at = 0;
        for (tensor, &shift) in x.values.iter().zip(self.shifts) {
            let end = at + tensor.shape()[self.axis];
            let mut all = view_mut(&mut result);
            let mut target = all.slice_axis_mut(Axis(self.axis), Slice::from(at..end));
            target.zip_mut_with(&view(tensor), |target, &x| *target = x << shift);
            at = end;
        }
        Ok(result)
    }
}
