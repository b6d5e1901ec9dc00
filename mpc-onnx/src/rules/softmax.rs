//! Softmax and LogSoftmax.

use mpc_protocols::function::Function;
use ndarray::{ArrayD, ArrayView1, Axis};

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Mark, Swallowed};
use crate::error::{Lowered, unsupported};
use crate::rules::elementwise::swallowed;
use crate::rules::reduce;
use crate::value::{Tensor, Value};

/// By so much a row that is taken out lies below what is subtracted: exponentials are 0 in fixed point, and in floats.
const ABOVE_ALL: f32 = 128.0;

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
    if let Some(numbers) = context.mark(x.id, Mark::Hidden).filter(|_| flat.id != x.id).cloned() {
        context.charge(x.len())?;
        let numbers = arrays::reshape(&arrays::broadcast(&numbers, &x.shape)?, &flat.shape)?;
        context.note_mark(flat.id, Mark::Hidden, numbers);
    }
    let y = of(context, &flat, 1, is_log)?;
    let rows = context.mark(y.id, Mark::Undefined).cloned();
    let y = context.reshape(&y, &x.shape)?;
    if let Some(rows) = rows {
        let shape: Vec<usize> = (0..x.rank()).map(|place| if place < axis { x.shape[place] } else { 1 }).collect();
        context.note_mark(y.id, Mark::Undefined, arrays::reshape(&rows, &shape)?);
    }
    if !is_log && axis + 1 == x.rank() {
        context.softmaxes.insert(y.id, (x.clone(), axis));
    }
    Ok([y.into()].into())
}

/// The softmax along an axis, or its logarithm, with what the file has of rows that a public mask hides whole.
pub(crate) fn of(context: &mut Context, x: &Tensor, axis: usize, is_log: bool) -> Lowered<Tensor> {
    let y = along(context, x, axis, is_log)?;
    let Some(numbers) = context.mark(x.id, Mark::Hidden).cloned() else { return Ok(y) };
    let numbers = arrays::reshape(&numbers, &arrays::aligned(numbers.shape(), x.rank()))?;
    let Public { kept, own, undefined } = public(numbers, axis, x.shape[axis], is_log)?;
    let y = if kept.iter().all(|&kept| kept == 1.0) {
        y
    } else {
        let y = context.scale_by(&y, &arrays::compact(&kept))?;
        context.offset_by(&y, &arrays::compact(&own))?
    };
    if undefined.iter().any(|&is| is != 0.0) {
        context.note_mark(y.id, Mark::Undefined, undefined);
    }
    Ok(y)
}

/// The part of a softmax that a public mask alone decides.
struct Public {
    /// 0 for rows that are decided, else 1.
    kept: ArrayD<f32>,
    /// The results of those rows, else 0.
    own: ArrayD<f32>,
    /// 1 for rows of nothing but −∞, else 0.
    undefined: ArrayD<f32>,
}

/// The results of rows of nothing but masks, by the numbers that the file has for these.
fn public(numbers: ArrayD<f32>, axis: usize, size: usize, is_log: bool) -> Lowered<Public> {
    let is_infinite = |row: ArrayView1<'_, f32>| f32::from(u8::from(row.iter().all(|&n| n == f32::NEG_INFINITY)));
    let undefined = numbers.map_axis(Axis(axis), is_infinite).insert_axis(Axis(axis));
    let mut kept = ArrayD::from_elem(numbers.raw_dim(), 1.0);
    let mut own = numbers;
    for (mut row, mut kept) in own.lanes_mut(Axis(axis)).into_iter().zip(kept.lanes_mut(Axis(axis))) {
        let is_hidden = row.iter().all(|&number| number < 0.0 || number.is_nan());
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !is_hidden || row.iter().all(|&number| number == f32::NEG_INFINITY) {
            row.fill(0.0);
            continue;
        }
        let count = if row.len() == 1 { size } else { row.iter().filter(|&&number| number == largest).count() };
        if row.iter().any(|number| number.is_nan()) || (is_log && count < size) {
            return unsupported("a row of nothing but masks; a mask must leave one element of each row");
        }
        let part = 1.0 / count as f32;
        row.mapv_inplace(|number| {
            if number < largest {
                0.0
            } else if is_log {
                part.ln()
            } else {
                part
            }
        });
        kept.fill(0.0);
    }
    Ok(Public { kept, own, undefined })
}

pub(super) fn along(context: &mut Context, x: &Tensor, axis: usize, is_log: bool) -> Lowered<Tensor> {
    if is_log {
        let norm = reduce::log_sum_exp(context, x, &[axis])?;
        return context.subtract(x, &norm);
    }
    let hidden = swallowed(context, x, axis)?;
    let mut y = without(context, x, axis, hidden.as_ref().map(|Swallowed { rows, .. }| rows))?;
    if let Some(Swallowed { weights, .. }) = hidden {
        y = context.add(&y, &weights)?;
    }
    context.softmaxes.insert(y.id, (x.clone(), axis));
    Ok(y)
}

/// The softmax along an axis, 0 in the rows of which a private Boolean is 1.
pub(super) fn without(context: &mut Context, x: &Tensor, axis: usize, rows: Option<&Tensor>) -> Lowered<Tensor> {
    let mut largest = reduce::maximum(context, x, &[axis])?;
    if let Some(rows) = rows {
        let above = context.scale(rows, ABOVE_ALL)?;
        largest = context.add(&largest, &above)?;
    }
    let shifted = context.subtract(x, &largest)?;
    let exponentials = context.function(&shifted, Function::ExpNonPositive)?;
    let mut sum = context.sum(&exponentials, &[axis])?;
    if let Some(rows) = rows {
        sum = context.add(&sum, rows)?;
    }
    let reciprocal = context.function(&sum, Function::PositiveReciprocal)?;
    context.multiply(&exponentials, &reciprocal)
}
