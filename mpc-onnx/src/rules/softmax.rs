//! Softmax and LogSoftmax.

use mpc_protocols::function::Function;
use ndarray::Axis;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::Lowered;
use crate::rules::reduce;
use crate::value::{Tensor, Value};

pub(super) fn softmax(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let is_log = call.operator() == "LogSoftmax";
    if call.opset >= 13 {
        let axis = arrays::axis(call.int("axis", -1)?, x.rank())?;
        return Ok([of(context, x, axis, is_log)?.into()].into());
    }
    // Before opset 13, all axes from the named one on are one.
    let axis = arrays::axis(call.int("axis", 1)?, x.rank())?;
    let outer: usize = x.shape[..axis].iter().product();
    let flat = context.reshape(x, &[outer, x.len() / outer])?;
    let y = along(context, &flat, 1, is_log)?;
    let y = context.reshape(&y, &x.shape)?;
    if !is_log && axis + 1 == x.rank() {
        context.softmaxes.insert(y.id, (x.clone(), axis));
    }
    Ok([y.into()].into())
}

/// The softmax along an axis, or its logarithm, with a note of the rows that a public mask hides whole.
pub(crate) fn of(context: &mut Context, x: &Tensor, axis: usize, is_log: bool) -> Lowered<Tensor> {
    let y = along(context, x, axis, is_log)?;
    note_undefined(context, x, &y, axis)?;
    Ok(y)
}

/// Notes which rows are no numbers, as a public mask hides the whole of them.
fn note_undefined(context: &mut Context, x: &Tensor, y: &Tensor, axis: usize) -> Lowered<()> {
    let Some(places) = context.infinite(x.id).cloned() else { return Ok(()) };
    context.charge(x.len())?;
    let rows = arrays::broadcast(&places, &x.shape)?.map_axis(Axis(axis), |row| row.iter().copied().min().unwrap_or(0));
    if rows.iter().any(|&row| row == 1) {
        context.note_undefined(y.id, rows.insert_axis(Axis(axis)));
    }
    Ok(())
}

pub(super) fn along(context: &mut Context, x: &Tensor, axis: usize, is_log: bool) -> Lowered<Tensor> {
    if is_log {
        let norm = reduce::log_sum_exp(context, x, &[axis])?;
        return context.subtract(x, &norm);
    }
    let largest = reduce::maximum(context, x, &[axis])?;
    let shifted = context.subtract(x, &largest)?;
    let exponentials = context.function(&shifted, Function::ExpNonPositive)?;
    let sum = context.sum(&exponentials, &[axis])?;
    let reciprocal = context.function(&sum, Function::PositiveReciprocal)?;
    let y = context.multiply(&exponentials, &reciprocal)?;
    context.softmaxes.insert(y.id, (x.clone(), axis));
    Ok(y)
}
