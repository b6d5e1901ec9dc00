//! A public linear map along an axis: position i of the result is a sum of coefficients times positions.

use ndarray::Axis;

use super::prelude::*;
use super::tensors::{view, view_mut, zeros};
use crate::plan::format::Integers;

impl GraphBuilder {
    /// A public linear map along an axis: position i of the result is the sum over `rows[i]` of coefficient times the
    /// input's position. For interpolation.
    ///
    /// # Errors
    /// An axis or a position that is not there, a coefficient that is not finite or larger than 2^15 in magnitude, no
    /// rows or more coefficients than a tensor may have elements; a name that is taken.
    pub fn combine(
        &mut self,
        name: &str,
        input: NodeId,
        axis: usize,
        rows: &[Vec<(usize, f32)>],
    ) -> Result<NodeId, GraphError> {
        for row in rows {
            let coefficients: Vec<f32> = row.iter().map(|&(_, coefficient)| coefficient).collect();
            shape::check_coefficients(name, &coefficients)?;
        }
        let positions = rows.iter().flatten().map(|&(position, _)| position);
        let shape = shape::gather(name, self.shape_for(name, input)?, axis, rows.len(), positions)?;
        self.push(name, Op::Combine { axis, rows: rows.to_vec() }, vec![input], shape)
    }
}

pub(super) struct Combine<'a> {
    pub(super) axis: usize,
    pub(super) rows: &'a [Vec<(usize, f32)>],
}

impl Operation for Combine<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.combine(node.name(), node.input(0), self.axis, self.rows)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let mut result = ArrayD::zeros(x.shape());
        for (mut target, row) in result.axis_iter_mut(Axis(self.axis)).zip(self.rows) {
            for &(position, coefficient) in row {
                target.scaled_add(coefficient, &x.input(0).index_axis(Axis(self.axis), position));
            }
        }
        result
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (axis, input) = (self.axis, node.inputs()[0]);
        let coefficients: Vec<f64> = self.rows.iter().flatten().map(|&(_, x)| f64::from(x)).collect();
        let Integers { bits, integers } = walk.public_factors(input, &coefficients)?;
        let mut integers = integers.into_iter();
        let with_integers =
            |row: &Vec<(usize, f32)>| row.iter().map(|&(position, _)| position).zip(integers.by_ref()).collect();
        let rows = self.rows.iter().map(with_integers).collect();
        Ok((Action::Combine { axis, rows }, walk.number(input)?.finer(bits).into()))
    }
}

pub(super) struct CombineStep<'a> {
    pub(super) axis: usize,
    pub(super) rows: &'a [Vec<(usize, i64)>],
}

impl Local for CombineStep<'_> {
    const KIND: &'static str = "scale";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let mut result = zeros(shape)?;
        let (input, mut output) = (view(x.get(0)?), view_mut(&mut result));
        for (mut target, row) in output.axis_iter_mut(Axis(self.axis)).zip(self.rows) {
            for &(position, coefficient) in row {
                let coefficient = R::from_i128(i128::from(coefficient));
                let add = |sum: &mut R, &x: &R| *sum = sum.wrapping_add(x.wrapping_mul(coefficient));
                target.zip_mut_with(&input.index_axis(Axis(self.axis), position), add);
            }
        }
        Ok(result)
    }
}
