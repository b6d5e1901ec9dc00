//! The product of two secret tensors.

use mpc_protocols::{Bilinear, beaver};

use super::prelude::*;
use super::tensors::from_elements;

impl GraphBuilder {
    /// The product of two tensors. The second has the shape of the first, or fewer elements: then element j of it
    /// multiplies the j-th of equal blocks of the first, as if trailing axes of size 1 were repeated.
    ///
    /// # Errors
    /// Shapes that do not fit together; a name that is taken.
    pub fn multiply(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_in_blocks(name, left, right)?;
        self.push(name, Op::Multiply, vec![left, right], shape)
    }

    /// The shape of the first of two tensors, of which the second has an element for each of equal blocks.
    pub(super) fn shape_in_blocks(&self, name: &str, left: NodeId, right: NodeId) -> Result<Vec<usize>, GraphError> {
        let shape = self.shape_for(name, left)?.to_vec();
        let other = self.shape_for(name, right)?.to_vec();
        if shape.iter().product::<usize>() % other.iter().product::<usize>() != 0 {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: other });
        }
        Ok(shape)
    }
}

pub(super) struct Multiply;

impl Operation for Multiply {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.multiply(node.name(), node.input(0), node.input(1))
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::products(node.len() as u64)
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        by_blocks(x, |x, y| x * y)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let number = walk.need_factors([node.inputs()[0], node.inputs()[1]])?;
        let map = Bilinear::blockwise(node.len(), walk.graph.node(node.inputs()[1]).len());
        Ok((Action::Multiply { map }, number.into()))
    }
}

/// An operation of the elements of the first input and those of the second, each of which is for a block.
pub(super) fn by_blocks(x: &Clear<'_>, operation: impl Fn(f32, f32) -> f32) -> ArrayD<f32> {
    let (left, right) = (x.input(0), x.input(1));
    let block = left.len() / right.len();
    let others = right.iter().flat_map(|&y| core::iter::repeat_n(y, block));
    from_elements(left.shape(), left.iter().zip(others).map(|(&x, y)| operation(x, y)).collect())
}

/// A product by a Beaver triple.
pub(super) struct MultiplyStep<'a>(pub(super) &'a Bilinear);

impl Protocol for MultiplyStep<'_> {
    fn kind(&self) -> &'static str {
        "product"
    }

    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        step.width
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Product(*self.0)
    }

    fn online<R: Ring>(&self, _elements: usize, width: u32, settings: &Settings, _party: usize) -> Traffic {
        beaver::traffic(self.0, width, settings.parties)
    }

    fn workspace(&self, operands: usize, _elements: usize) -> usize {
        2 * operands + self.0.scratch_len()
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Product(triple) = material else { return Err(Failure::NoValue) };
        let (x, y) = (run.values.operand(step, 0)?, run.values.operand(step, 1)?);
        Ok(beaver::multiply(run.party, x, y, triple).await?.reshape(&step.shape)?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        let mut output = vec![R::ZERO; self.0.output_len()];
        self.0.accumulate(ideal.elements(0)?, ideal.elements(1)?, &mut output);
        Ok(output)
    }
}
