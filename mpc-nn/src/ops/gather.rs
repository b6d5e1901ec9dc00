//! Positions along an axis, which may repeat and be in any order.

use ndarray::Axis;

use super::prelude::*;

impl GraphBuilder {
    /// Positions along an axis, which may repeat and be in any order.
    ///
    /// # Errors
    /// An axis or a position that is not there, no positions; a name that is taken.
    pub fn gather(&mut self, name: &str, input: NodeId, axis: usize, indices: &[usize]) -> Result<NodeId, GraphError> {
        let positions = indices.iter().copied();
        let shape = shape::gather(name, self.shape_for(name, input)?, axis, indices.len(), positions)?;
        self.push(name, Op::Gather { axis, indices: indices.to_vec() }, vec![input], shape)
    }
}

pub(super) struct Gather<'a> {
    pub(super) axis: usize,
    pub(super) indices: &'a [usize],
}

impl Operation for Gather<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.gather(node.name(), node.input(0), self.axis, self.indices)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).select(Axis(self.axis), self.indices).as_standard_layout().into_owned()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let action = Action::Gather { axis: self.axis, indices: self.indices.to_vec() };
        Ok((action, walk.format(node.inputs()[0])))
    }
}

pub(super) struct GatherStep<'a> {
    pub(super) axis: usize,
    pub(super) indices: &'a [usize],
}

impl Local for GatherStep<'_> {
    const KIND: &'static str = "reshape";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let x = x.get(0)?;
        let inner: usize = x.shape()[self.axis + 1..].iter().product();
        let mut elements = Vec::with_capacity(shape.iter().product());
        for block in x.elements().chunks_exact(x.shape()[self.axis] * inner) {
            self.indices.iter().for_each(|&index| elements.extend_from_slice(&block[index * inner..][..inner]));
        }
        Ok(ArithmeticShares::new(shape, elements)?)
    }
}
