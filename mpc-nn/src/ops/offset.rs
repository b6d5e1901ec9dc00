//! x + value with a public value.

use super::prelude::*;
use super::tensors::{copy, offset};
use crate::plan::format::{Index, power_of_two, round};

impl GraphBuilder {
    /// x + value with a public value.
    ///
    /// # Errors
    /// A value that is not finite or larger than 2^15 in magnitude; a name that is taken.
    pub fn offset(&mut self, name: &str, input: NodeId, value: f32) -> Result<NodeId, GraphError> {
        shape::check_coefficients(name, &[value])?;
        self.elementwise(name, input, Op::Offset { value })
    }
}

pub(super) struct Offset(pub(super) f32);

impl Operation for Offset {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.offset(node.name(), node.input(0), self.0)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0) + self.0
    }

    /// An index may be shifted by an integer.
    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (input, value) = (node.inputs()[0], f64::from(self.0));
        if let (Format::Index(index), 0.0) = (walk.format(input), self.0 % 1.0) {
            return Ok((Action::Reshape, Format::Index(Index { origin: index.origin + self.0 as i64, ..index })));
        }
        let number = walk.need_offset(input, value, node)?;
        let value = round(value * number.divisor * power_of_two(number.scale)) as i128;
        Ok((Action::Offset { value }, number.into()))
    }
}

pub(super) struct OffsetStep(pub(super) i128);

impl Local for OffsetStep {
    const KIND: &'static str = "constant";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, _shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        Ok(offset(copy(x.get(0)?), self.0, x.party))
    }
}
