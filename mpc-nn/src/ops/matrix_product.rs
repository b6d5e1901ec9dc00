//! Products of secret matrices: [batch, rows, inner] × [batch, inner, columns] → [batch, rows, columns].

use mpc_protocols::Bilinear;
use ndarray::{ArrayView3, Ix3};

use super::prelude::*;
use super::tensors::from_elements;

impl GraphBuilder {
    /// Products of matrices, both secret: [batch, rows, inner] × [batch, inner, columns].
    ///
    /// # Errors
    /// Another number of axes, sizes that do not fit together; a name that is taken.
    pub fn matrix_product(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, GraphError> {
        let [batch, rows, inner] = shape::axes(name, self.shape_for(name, left)?)?;
        let [right_batch, right_inner, columns] = shape::axes(name, self.shape_for(name, right)?)?;
        if batch != right_batch || inner != right_inner {
            let (left, right) = (vec![batch, rows, inner], vec![right_batch, right_inner, columns]);
            return Err(GraphError::Mismatch { name: name.to_owned(), left, right });
        }
        self.push(name, Op::MatrixProduct, vec![left, right], vec![batch, rows, columns])
    }
}

pub(super) struct MatrixProduct;

impl Operation for MatrixProduct {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.matrix_product(node.name(), node.input(0), node.input(1))
    }

    fn work(&self, node: &Node, input: &[usize]) -> Work {
        Work::products((node.len() as u64).saturating_mul(input.last().map_or(1, |&inner| inner as u64)))
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let (left, right) = (batched(x.input(0)), batched(x.input(1)));
        let products = left.outer_iter().zip(right.outer_iter()).map(|(x, y)| x.dot(&y));
        from_elements(x.shape(), products.flat_map(|product| product.iter().copied().collect::<Vec<_>>()).collect())
    }

    /// A [product](super::multiply) of another shape.
    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let left = walk.need_at_most_single(node.inputs()[0])?;
        let right = walk.need_at_most_single(node.inputs()[1])?;
        let (batch, rows, columns) = (node.shape()[0], node.shape()[1], node.shape()[2]);
        let inner = walk.graph.node(node.inputs()[0]).shape()[2];
        Ok((
            Action::Multiply { map: Bilinear::BatchedMatrixProduct { batch, rows, inner, columns } },
            Number { scale: left + right, divisor: 1.0 }.into(),
        ))
    }
}

fn batched(tensor: &ArrayD<f32>) -> ArrayView3<'_, f32> {
    tensor.view().into_dimensionality::<Ix3>().expect("the graph has checked the shapes")
}
