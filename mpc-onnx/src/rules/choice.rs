//! Private indices: rows with a single 1, by comparisons, and the places of largest elements as such rows.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole, real};
use crate::error::{Lowered, invalid};
use crate::value::{Tensor, Value};

/// Differences up to this count as none: a few units in the last place, which rounding may move a value by.
pub(super) const NEAR: f32 = 1.0 / 16384.0;
/// Two numbers that are nearer are the same.
pub(super) const SAME: f32 = NEAR / 4.0;

/// Rows with a single 1 at each index, in a last axis of `classes` entries; indices below 0 count from the end.
pub(crate) fn one_hot_rows(context: &mut Context, indices: &Tensor, classes: usize) -> Lowered<Tensor> {
    if let Some(rows) = context.rows(indices.id).filter(|rows| rows.shape.last() == Some(&classes)).cloned() {
        return context.reshape(&rows, &[indices.shape.as_slice(), &[classes]].concat());
    }
    // [x ≥ j − 1/2] for j from −classes to classes: neighbours differ at the index.
    let shape = [indices.shape.as_slice(), &[1]].concat();
    let column = context.reshape(indices, &shape)?;
    context.charge(2 * classes + 1)?;
    let limits: Vec<f32> = (0..=2 * classes).map(|j| classes as f32 - j as f32 + 0.5).collect();
    let above = context.offset_by(&column, &crate::value::vector(limits))?;
    let above = context.function(&above, Function::Step)?;
    // Class j is that of the indices j and j − classes.
    let row = |j: usize| vec![(j, 1.0), (j + 1, -1.0), (j + classes, 1.0), (j + classes + 1, -1.0)];
    let rows: Vec<Vec<(usize, f32)>> = (0..classes).map(row).map(merged).collect();
    let rows = context.combine(&above, indices.rank(), &rows)?;
    context.note_whole(rows.id, Whole::Boolean);
    Ok(rows)
}

/// Coefficients with each place once.
fn merged(row: Vec<(usize, f32)>) -> Vec<(usize, f32)> {
    let mut sums = std::collections::BTreeMap::new();
    for (place, coefficient) in row {
        *sums.entry(place).or_insert(0.0) += coefficient;
    }
    sums.into_iter().filter(|&(_, coefficient)| coefficient != 0.0).collect()
}

/// 1 at the largest element of the last axis, the first of equal ones, else 0.
pub(super) fn largest(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let last = x.rank() - 1;
    if x.shape[last] == 1 {
        let zero = context.scale(x, 0.0)?;
        return context.offset(&zero, 1.0);
    }
    let most = context.maximum_of_last(x)?;
    let below = context.subtract(x, &most)?;
    let near = context.offset(&below, NEAR)?;
    let is_largest = context.function(&near, Function::Step)?;
    // Of equal ones, those with none in front.
    let before = context.cumulative_sum(&is_largest, last, true, false)?;
    let negative = context.scale(&before, -1.0)?;
    let free = context.offset(&negative, 0.5)?;
    let is_first = context.function(&free, Function::Step)?;
    let rows = context.multiply(&is_largest, &is_first)?;
    context.note_whole(rows.id, Whole::Boolean);
    Ok(rows)
}

/// The places that rows with a single 1 stand for, as numbers; the last axis goes.
pub(super) fn places(context: &mut Context, rows: &Tensor) -> Lowered<Tensor> {
    let (axis, classes) = (rows.rank() - 1, rows.shape[rows.rank() - 1]);
    context.charge(classes)?;
    let sum = context.combine(rows, axis, &[(0..classes).map(|class| (class, class as f32)).collect()])?;
    let sum = context.reshape(&sum, &rows.shape[..axis])?;
    context.note_rows(sum.id, rows.clone());
    context.note_whole(sum.id, Whole::Integer);
    Ok(sum)
}

/// 1 at the largest element along an axis, else 0.
pub(super) fn hardmax(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    if call.opset < 13 {
        let axis = arrays::axis(call.int("axis", 1)?, x.rank())?;
        let outer: usize = x.shape[..axis].iter().product();
        let flat = context.reshape(x, &[outer, x.len() / outer])?;
        let rows = largest(context, &flat)?;
        return Ok([context.reshape(&rows, &x.shape)?.into()].into());
    }
    let axis = arrays::axis(call.int("axis", -1)?, x.rank())?;
    let mut permutation: Vec<usize> = (0..x.rank()).collect();
    permutation.swap(axis, x.rank() - 1);
    let moved = context.transpose(x, &permutation)?;
    let rows = largest(context, &moved)?;
    Ok([context.transpose(&rows, &permutation)?.into()].into())
}

/// 1 where a difference is 0, else 0. Differences of whole numbers are told apart whatever rounding does to them.
pub(super) fn is_zero(context: &mut Context, difference: &Tensor, is_whole: bool) -> Lowered<Tensor> {
    is_near_zero(context, difference, if is_whole { 0.5 } else { SAME })
}

/// 1 where a difference is as near to 0, else 0.
pub(super) fn is_near_zero(context: &mut Context, difference: &Tensor, near: f32) -> Lowered<Tensor> {
    let above = context.offset(difference, near)?;
    let above = context.function(&above, Function::Step)?;
    let opposite = context.scale(difference, -1.0)?;
    let below = context.offset(&opposite, near)?;
    let below = context.function(&below, Function::Step)?;
    let both = context.add(&above, &below)?;
    let equal = context.offset(&both, -1.0)?;
    context.note_whole(equal.id, Whole::Boolean);
    Ok(equal)
}

/// Whether all of an array are whole numbers.
pub(crate) fn are_whole(array: &ArrayD<f32>) -> bool {
    array.iter().all(|value| value.fract() == 0.0)
}

/// For each element of the rows with a single 1, in their last axis, the element of a table along an axis.
pub(crate) fn elements_at(context: &mut Context, table: &Value, rows: &Tensor, axis: usize) -> Lowered<Tensor> {
    let rank = rows.rank() - 1;
    let mut table = table.clone();
    if table.shape().len() != rank {
        return invalid("its indices have another shape");
    }
    for other in (0..rank).filter(|&other| other != axis) {
        if rows.shape[other] > table.shape()[other] {
            return invalid("its indices have another shape");
        }
        let kept = context.range(0, rows.shape[other])?;
        table = context.gather_value(&table, other, &kept)?;
    }
    // The table's axis behind the others, and one of size 1 in its place.
    let mut order: Vec<usize> = (0..rank).filter(|&other| other != axis).collect();
    order.push(axis);
    let moved = context.transpose_value(&table, &order)?;
    let mut shape = moved.shape().to_vec();
    shape.insert(axis, 1);
    let moved = context.reshape_value(&moved, &shape)?;
    let product = match &moved {
        Value::Node(moved) => context.multiply(rows, moved)?,
        public => context.scale_by(rows, real(public)?.array())?,
    };
    let sum = context.sum(&product, &[rank])?;
    context.reshape(&sum, &rows.shape[..rank])
}
