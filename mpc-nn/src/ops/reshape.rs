//! The same elements, in row-major order, in another shape.

use super::prelude::*;
use super::tensors::copy;

impl GraphBuilder {
    /// The same elements, in row-major order, in another shape.
    ///
    /// # Errors
    /// Another number of elements; a name that is taken.
    pub fn reshape(&mut self, name: &str, input: NodeId, shape: &[usize]) -> Result<NodeId, GraphError> {
        let from = self.shape_for(name, input)?.to_vec();
        shape::check(name, shape)?;
        if from.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: from, right: shape.to_vec() });
        }
        self.push(name, Op::Reshape, vec![input], shape.to_vec())
    }

    /// [b, …] → [b, product of the rest].
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn flatten(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?;
        let features = shape.iter().skip(1).product();
        let shape: Vec<usize> = shape.iter().take(1).copied().chain([features]).collect();
        self.reshape(name, input, &shape)
    }
}

pub(super) struct Reshape;

impl Operation for Reshape {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.reshape(node.name(), node.input(0), node.shape())
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).clone().into_shape_with_order(x.shape()).expect("the graph has checked the shapes")
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        Ok((Action::Reshape, walk.format(node.inputs()[0])))
    }
}

pub(super) struct ReshapeStep;

impl Local for ReshapeStep {
    const KIND: &'static str = "reshape";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        Ok(copy(x.get(0)?).reshape(shape)?)
    }
}
