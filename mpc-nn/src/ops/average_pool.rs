//! The mean of each window of an image.

use core::iter::StepBy;
use core::ops::Range;

use mpc_shares::SecretVec;

use super::prelude::*;
use super::windows::{self, over_windows};
use crate::graph::Pool;

/// The bits of the reciprocals of window sizes.
const RECIPROCAL_BITS: u32 = 24;

impl GraphBuilder {
    /// The mean of each window of [b, c, h, w].
    ///
    /// # Errors
    /// Another number of axes, windows that do not fit; a name that is taken.
    pub fn average_pool(&mut self, name: &str, input: NodeId, pool: Pool) -> Result<NodeId, GraphError> {
        let shape = windows::shape(name, self.shape_for(name, input)?, &pool)?;
        self.push(name, Op::AveragePool(pool), vec![input], shape)
    }
}

pub(super) struct AveragePool<'a>(pub(super) &'a Pool);

impl Operation for AveragePool<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.average_pool(node.name(), node.input(0), *self.0)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        over_windows(self.0, x.input(0), x.shape(), |window, divisor| window.sum() / divisor as f32)
    }

    /// Sums whose divisor stays pending, if all windows have the same; else sums times reciprocals.
    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (input, pool) = (node.inputs()[0], *self.0);
        let shape = walk.graph.node(input).shape();
        let size = [shape[2], shape[3]];
        let windows = (0..node.shape()[2]).flat_map(|y| (0..node.shape()[3]).map(move |x| [y, x]));
        let mut divisors = windows.map(|window| pool.divisor(window, size));
        let first = divisors.next().unwrap_or(1);
        if divisors.all(|divisor| divisor == first) {
            return Ok((Action::SumPool(pool), walk.mean_of(input, first)?.into()));
        }
        walk.need_plain(input)?;
        let bits = RECIPROCAL_BITS.min(R::BITS - walk.settings.comparison_bits);
        Ok((Action::MeanPool { pool, bits }, walk.number(input)?.finer(bits).into()))
    }
}

pub(super) struct SumPoolStep<'a>(pub(super) &'a Pool);

impl Local for SumPoolStep<'_> {
    const KIND: &'static str = "average pool";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        sum_windows(x.get(0)?, self.0, shape)
    }
}

/// Means over windows whose numbers of elements differ, with `bits` more fractional bits.
pub(super) struct MeanPoolStep<'a> {
    pub(super) pool: &'a Pool,
    pub(super) bits: u32,
}

impl Local for MeanPoolStep<'_> {
    const KIND: &'static str = "average pool";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let x = x.get(0)?;
        let size = [x.shape()[2], x.shape()[3]];
        let mut means = sum_windows(x, self.pool, shape)?;
        for plane in means.elements_mut().chunks_exact_mut(shape[2] * shape[3]) {
            for (window, value) in plane.iter_mut().enumerate() {
                let divisor = self.pool.divisor([window / shape[3], window % shape[3]], size) as u128;
                let reciprocal = ((1u128 << self.bits) + divisor / 2) / divisor;
                *value = value.wrapping_mul(R::from_u128(reciprocal));
            }
        }
        Ok(means)
    }
}

/// The sum over each window: of its rows first, element by element, then of the columns of that.
fn sum_windows<R: Ring>(x: &ArithmeticShares<R>, pool: &Pool, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
    let [height, width] = [x.shape()[2], x.shape()[3]];
    let columns: Vec<_> = (0..shape[3]).map(|column| pool.window_along(1, column, width)).collect();
    let mut sums = Vec::with_capacity(shape.iter().product());
    let mut of_rows = SecretVec::zeros(width);
    for plane in x.elements().chunks_exact(height * width) {
        for row in 0..shape[2] {
            of_rows.fill(R::ZERO);
            for row in pool.window_along(0, row, height) {
                let row = &plane[row * width..][..width];
                of_rows.iter_mut().zip(row).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
            }
            let sum =
                |window: &StepBy<Range<usize>>| window.clone().fold(R::ZERO, |sum, at| sum.wrapping_add(of_rows[at]));
            sums.extend(columns.iter().map(sum));
        }
    }
    Ok(ArithmeticShares::new(shape, sums)?)
}
