//! The sum of two tensors of one shape.

use mpc_shares::{SecretVec, ShareError};

use super::prelude::*;

impl GraphBuilder {
    /// The sum of two tensors of one shape.
    ///
    /// # Errors
    /// Different shapes; a name that is taken.
    pub fn add(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, left)?.to_vec();
        let other = self.shape_for(name, right)?.to_vec();
        if shape != other {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: other });
        }
        self.push(name, Op::Add, vec![left, right], shape)
    }
}

pub(super) struct Add;

impl Operation for Add {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.add(node.name(), node.input(0), node.input(1))
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0) + x.input(1)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (format, shifts) = walk.common(node.inputs())?;
        Ok((Action::Add { shifts: [shifts[0], shifts[1]] }, format))
    }
}

/// Each is shifted left by its number of bits first.
pub(super) struct AddStep {
    pub(super) shifts: [u32; 2],
}

impl Local for AddStep {
    const KIND: &'static str = "add";

    fn shift(&self, operand: usize) -> u32 {
        self.shifts[operand]
    }

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, _shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let (x, y, [left, right]) = (x.get(0)?, x.get(1)?, self.shifts);
        if x.shape() != y.shape() {
            return Err(ShareError::ShapesDiffer { left: x.shape().to_vec(), right: y.shape().to_vec() }.into());
        }
        let pairs = x.elements().iter().zip(y.elements());
        let sums: SecretVec<R> = pairs.map(|(&x, &y)| (x << left).wrapping_add(y << right)).collect();
        Ok(ArithmeticShares::new(x.shape(), sums.into_vec())?)
    }
}
