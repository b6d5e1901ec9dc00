//! Pad.

use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::value::{Tensor, Value};

pub(super) fn pad(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut value = call.required(0)?.clone();
    let rank = value.shape().len();
    let (pads, fill) = if call.opset < 11 {
        (call.ints("pads")?.or(call.ints("paddings")?).unwrap_or_default(), call.float("value", 0.0)?)
    } else {
        let is_private = call.input(2).is_some_and(Value::is_private);
        (call.integers(1)?, if is_private { 0.0 } else { call.optional_scalar(2)?.unwrap_or(0.0) })
    };
    let axes = match call.optional_integers(3)? {
        Some(axes) => axes.iter().map(|&axis| arrays::axis(axis, rank)).collect::<Lowered<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return invalid("it has not two counts for each axis");
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (pads[i], pads[axes.len() + i]);
    }
    // Negative counts cut off.
    for axis in 0..rank {
        let size = value.shape()[axis] as i64;
        let start = before[axis].saturating_neg().clamp(0, size);
        let end = size.saturating_add(after[axis].min(0)).clamp(0, size);
        if (start, end) != (0, size) {
            if start >= end {
                return unsupported("it cuts off all elements");
            }
            let indices = context.range(start as usize, end as usize)?;
            value = context.gather_value(&value, axis, &indices)?;
        }
    }
    let positive = |counts: &[i64]| counts.iter().map(|&count| arrays::size(count.max(0))).collect::<Lowered<Vec<_>>>();
    let (before, after) = (positive(&before)?, positive(&after)?);
    let mode = call.string("mode", "constant")?;
    Ok([match mode.as_str() {
        "constant" => match call.input(2) {
            Some(Value::Node(fill)) => private_fill(context, &value, &before, &after, fill)?,
            _ => constant(context, &value, &before, &after, fill)?,
        },
        "reflect" | "edge" | "wrap" => {
            for axis in 0..rank {
                let indices = border(context, &mode, value.shape()[axis], before[axis], after[axis])?;
                value = context.gather_value(&value, axis, &indices)?;
            }
            value
        }
        mode => return invalid(format!("mode `{mode}` is not known")),
    }]
    .into())
}

/// The positions that a border repeats.
fn border(context: &mut Context, mode: &str, size: usize, before: usize, after: usize) -> Lowered<Vec<usize>> {
    let total = size.saturating_add(before).saturating_add(after);
    arrays::elements(&[total])?;
    context.charge(total)?;
    let size = size as i64;
    if size == 0 {
        return invalid("its input has no elements");
    }
    let period = (2 * size - 2).max(1);
    let inner = |position: i64| match mode {
        "reflect" => {
            let place = position.rem_euclid(period);
            place.min(period - place).min(size - 1)
        }
        "edge" => position.clamp(0, size - 1),
        _ => position.rem_euclid(size),
    };
    Ok((0..total as i64).map(|position| inner(position - before as i64) as usize).collect())
}

fn constant(context: &mut Context, value: &Value, before: &[usize], after: &[usize], fill: f32) -> Lowered<Value> {
    if fill == 0.0 || before.iter().chain(after).all(|&count| count == 0) {
        return context.pad_value(value, before, after);
    }
    match value {
        Value::Integer(array) => {
            context.charge(padded_elements(array.shape(), before, after)?)?;
            arrays::pad(array, before, after, fill as i64).map(Value::integer)
        }
        Value::Constant(constant) => {
            context.charge(padded_elements(constant.array().shape(), before, after)?)?;
            arrays::pad(constant.array(), before, after, fill).map(Value::constant)
        }
        Value::Node(tensor) => {
            // Shifted so that the border is 0, and back.
            let shifted = context.offset(tensor, -fill)?;
            let padded = context.pad(&shifted, before, after)?;
            Ok(context.offset(&padded, fill)?.into())
        }
        Value::Tokens { .. } => unsupported("it pads a private input of integers"),
    }
}

/// A border of one private number.
fn private_fill(
    context: &mut Context,
    value: &Value,
    before: &[usize],
    after: &[usize],
    fill: &Tensor,
) -> Lowered<Value> {
    if fill.len() != 1 {
        return invalid("its input 2 must have one element");
    }
    let inner = value.shape().to_vec();
    context.charge(padded_elements(&inner, before, after)?.saturating_mul(2))?;
    let border = arrays::pad(&ArrayD::zeros(inner), before, after, 1.0)?;
    let padded = context.pad_value(value, before, after)?;
    let padded = context.tensor_of(&padded)?;
    let fill = context.reshape(fill, &vec![1; border.ndim()])?;
    let border = context.scale_by(&fill, &border)?;
    Ok(context.add(&padded, &border)?.into())
}

fn padded_elements(shape: &[usize], before: &[usize], after: &[usize]) -> Lowered<usize> {
    let padded = |axis: usize| shape[axis].saturating_add(before[axis]).saturating_add(after[axis]);
    arrays::elements(&(0..shape.len()).map(padded).collect::<Vec<_>>())
}
