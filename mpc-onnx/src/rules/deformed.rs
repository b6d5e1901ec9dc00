//! DeformConv: an image sampled at places beside those of each window, and a linear layer of the samples.

use ndarray::{ArrayD, IxDyn};

use crate::arrays;
use crate::call::{Call, int, node};
use crate::context::{Context, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::geometry::Windows;
use crate::rules::{convolution, sampling};
use crate::value::{Tensor, Value};

pub(super) fn convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (x, weight) = (context.tensor_of(call.required(0)?)?, call.required(1)?);
    let (&[batch, channels, ref input @ ..], &[outputs, per_group, ref kernel @ ..]) =
        (x.shape.as_slice(), weight.shape())
    else {
        return invalid("its input or weight has fewer than two axes");
    };
    if input.len() != 2 || kernel.len() != 2 {
        return unsupported("only of images");
    }
    let windows = Windows::new(call, kernel, input)?;
    let groups = arrays::size(call.int("offset_group", 1)?)?;
    let [taps, count] = [&windows.kernel, &windows.count].map(|sizes| sizes.iter().product::<usize>());
    if groups == 0 || channels % groups != 0 || taps == 0 || count == 0 {
        return invalid("its groups do not divide its channels");
    }
    let offsets = context.reshape_value(call.required(2)?, &[batch, groups, taps, 2, count])?;
    let mask = call.input(4).map(|mask| context.reshape_value(mask, &[batch, groups, taps, count])).transpose()?;
    let mut parts = Vec::new();
    for group in 0..groups {
        let own = channels / groups;
        let image = context.slice(&x, 1, group * own, (group + 1) * own)?;
        let offsets = context.gather_value(&offsets, 1, &[group])?;
        let grid = grid(context, &offsets, &windows, input)?;
        let mut samples = sampled(context, image, grid)?;
        if let Some(mask) = &mask {
            let mask = context.gather_value(mask, 1, &[group])?;
            samples = context.scale_by_value(&samples, &mask)?;
        }
        parts.push(samples);
    }
    let samples = context.join(&parts, 1)?;
    let samples = context.reshape(&samples, &[batch, channels * taps, count])?;
    let weight = context.reshape_value(weight, &[outputs, per_group * taps, 1])?;
    let node = node("", "Conv", vec![int("group", call.int("group", 1)?)]);
    let inputs = vec![Some(samples.into()), Some(weight), call.input(3).cloned()];
    let y = convolution::convolution(context, &Call { inputs, opset: call.opset, ..Call::of(&node) })?;
    let [y] = y.as_slice() else { return invalid("it has no result") };
    Ok([context.reshape_value(y, &[&[batch, outputs], windows.count.as_slice()].concat())?].into())
}

/// Offsets of [batch, 1, taps, 2, count] as the places of a GridSample of an image, [batch, taps, count, 2]: −1 and 1 are its borders.
fn grid(context: &mut Context, offsets: &Value, windows: &Windows, sizes: &[usize]) -> Lowered<Value> {
    let &[batch, _, taps, _, count] = offsets.shape() else { return invalid("its offsets") };
    let offsets = context.reshape_value(offsets, &[batch, taps, 2, count])?;
    let moved = context.transpose_value(&offsets, &[0, 1, 3, 2])?;
    // The last axis comes first in a place.
    let moved = context.gather_value(&moved, 3, &[1, 0])?;
    context.charge(taps.saturating_mul(count).saturating_mul(2))?;
    let size = |axis: usize| sizes[axis] as f32;
    let start = ArrayD::from_shape_fn(IxDyn(&[1, taps, count, 2]), |at| {
        let axis = 1 - at[3];
        let split = |place: usize, last: usize| if axis == 1 { place % last } else { place / last };
        let (tap, window) = (split(at[1], windows.kernel[1]), split(at[2], windows.count[1]));
        let place = (window * windows.stride[axis] + tap * windows.dilation[axis]) as f32 - windows.before[axis] as f32;
        (2.0 * place + 1.0) / size(axis) - 1.0
    });
    let factor = ArrayD::from_shape_fn(IxDyn(&[1, 1, 1, 2]), |at| 2.0 / size(1 - at[3]));
    match &moved {
        Value::Node(moved) => {
            let scaled = context.scale_by(moved, &factor)?;
            Ok(context.offset_by(&scaled, &start)?.into())
        }
        moved => {
            let scaled = arrays::zip(real(moved)?.array(), &factor, |offset, factor| Ok(offset * factor))?;
            arrays::zip(&scaled, &start, |scaled, start| Ok(scaled + start)).map(Value::constant)
        }
    }
}

/// [batch, channels, taps, count]
fn sampled(context: &mut Context, image: Tensor, grid: Value) -> Lowered<Tensor> {
    let node = node("", "GridSample", vec![int("align_corners", 0)]);
    let inputs = vec![Some(image.into()), Some(grid)];
    let y = sampling::grid_sample(context, &Call { inputs, opset: 20, ..Call::of(&node) })?;
    match y.as_slice() {
        [Value::Node(y)] => Ok(y.clone()),
        _ => invalid("it has no result"),
    }
}
