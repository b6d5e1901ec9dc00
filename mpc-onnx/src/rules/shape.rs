//! Operators that give an array another shape.

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::value::Value;

pub(super) fn identity(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let is_dropout = call.operator() == "Dropout";
    // A private ratio is one that has an effect, if the network is trained.
    let is_public = !call.input(1).is_some_and(Value::is_private);
    let has_effect = is_dropout && !(is_public && call.optional_scalar(1)? == Some(0.0));
    if has_effect && call.optional_integers(2)?.is_some_and(|training| training.iter().any(|&is| is != 0)) {
        return unsupported("dropout in training mode; export the model for inference");
    }
    if call.is_used(1) {
        // Dropout's mask: all that is kept.
        context.charge(arrays::elements(call.required(0)?.shape())?)?;
        let ones = ndarray::ArrayD::from_elem(call.required(0)?.shape(), 1);
        return Ok([call.required(0)?.clone(), Value::integer(ones)].into());
    }
    Ok([call.required(0)?.clone()].into())
}

pub(super) fn reshape(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let allow_zero = call.int("allowzero", 0)? != 0;
    let mut shape = Vec::new();
    let mut open = None;
    let Some(sizes) = call.integers_from("shape", 1)? else { return invalid("it has no shape") };
    for (axis, &size) in sizes.iter().enumerate() {
        shape.push(match size {
            -1 if open.replace(axis).is_none() => 1,
            0 if !allow_zero => match value.shape().get(axis) {
                Some(&size) => size,
                None => return invalid("it copies the size of an axis that is not there"),
            },
            size => arrays::size(size)?,
        });
    }
    if let Some(axis) = open {
        let (total, known) = (arrays::elements(value.shape())?, arrays::elements(&shape)?);
        shape[axis] = total.checked_div(known).unwrap_or(0);
    }
    Ok([context.reshape_value(value, &shape)?].into())
}

pub(super) fn flatten(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let rank = value.shape().len();
    // The axis may be one behind the last.
    let axis = match call.int("axis", 1)? {
        axis if usize::try_from(axis) == Ok(rank) => rank,
        axis => arrays::axis(axis, rank)?,
    };
    let (outer, inner) = value.shape().split_at(axis);
    let shape = [outer.iter().product(), inner.iter().product()];
    Ok([context.reshape_value(value, &shape)?].into())
}

pub(super) fn transpose(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let permutation = call.sizes("perm")?.unwrap_or_else(|| (0..value.shape().len()).rev().collect());
    Ok([context.transpose_value(value, &permutation)?].into())
}

pub(super) fn squeeze(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let shape = value.shape();
    let axes = match call.integers_from("axes", 1)? {
        Some(axes) => arrays::axes(&axes, shape.len())?,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    if axes.iter().any(|&axis| shape[axis] != 1) {
        return invalid("it removes an axis whose size is not 1");
    }
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    Ok([context.reshape_value(value, &kept)?].into())
}

pub(super) fn unsqueeze(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let Some(axes) = call.integers_from("axes", 1)? else { return invalid("it names no axes") };
    let rank = value.shape().len() + axes.len();
    let axes = arrays::axes(&axes, rank)?;
    let mut old = value.shape().iter().copied();
    let shape: Vec<usize> =
        (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { old.next().unwrap_or(1) }).collect();
    Ok([context.reshape_value(value, &shape)?].into())
}

pub(super) fn expand(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let shape = call.integers(1)?.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?;
    Ok([context.expand_value(call.required(0)?, &shape)?].into())
}

pub(super) fn tile(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut value = call.required(0)?.clone();
    let mut repeats = call.integers(1)?.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?;
    if call.opset < 6 {
        // One count, and its axis.
        let axis = arrays::axis(call.integers_or_zero(2)?, value.shape().len())?;
        let &[count] = repeats.as_slice() else { return invalid("it has not one count") };
        repeats = vec![1; value.shape().len()];
        repeats[axis] = count;
    }
    if repeats.len() != value.shape().len() {
        return invalid("it has not one count for each axis");
    }
    let tiled: Vec<usize> = value.shape().iter().zip(&repeats).map(|(&a, &b)| a.saturating_mul(b)).collect();
    arrays::elements(&tiled)?;
    for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
        let size = value.shape()[axis];
        context.charge(tiled[axis])?;
        let indices: Vec<usize> = (0..count).flat_map(|_| 0..size).collect();
        value = context.gather_value(&value, axis, &indices)?;
    }
    Ok([value].into())
}

/// [n, c·b², h, w] → [n, c, h·b, w·b]
pub(super) fn depth_to_space(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (value, block) = (call.required(0)?, block(call)?);
    let &[n, c, h, w] = value.shape() else { return invalid("its input is not an image") };
    let depth = c.checked_div(block * block).filter(|depth| depth * block * block == c && block > 0);
    let Some(depth) = depth else { return invalid("the blocks do not divide the channels") };
    let (split, permutation) = match call.string("mode", "DCR")?.as_str() {
        "DCR" => ([n, block, block, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, block, block, h, w], [0, 1, 4, 2, 5, 3]),
        mode => return invalid(format!("mode `{mode}` is not known")),
    };
    let split = context.reshape_value(value, &split)?;
    let moved = context.transpose_value(&split, &permutation)?;
    Ok([context.reshape_value(&moved, &[n, depth, h * block, w * block])?].into())
}

/// [n, c, h·b, w·b] → [n, b²·c, h, w]
pub(super) fn space_to_depth(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (value, block) = (call.required(0)?, block(call)?);
    let &[n, c, h, w] = value.shape() else { return invalid("its input is not an image") };
    if h % block != 0 || w % block != 0 {
        return invalid("the blocks do not divide the image");
    }
    let (h, w) = (h / block, w / block);
    let permutation = match call.string("mode", "DCR")?.as_str() {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        mode => return invalid(format!("mode `{mode}` is not known")),
    };
    let split = context.reshape_value(value, &[n, c, h, block, w, block])?;
    let moved = context.transpose_value(&split, &permutation)?;
    Ok([context.reshape_value(&moved, &[n, c * block * block, h, w])?].into())
}

fn block(call: &Call<'_>) -> Lowered<usize> {
    match arrays::size(call.int("blocksize", 0)?)? {
        block @ 1..=4096 => Ok(block),
        _ => Err(Problem::Invalid("its block size is not a positive small number".into())),
    }
}

pub(super) fn shape(_: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let shape = call.required(0)?.shape();
    let rank = shape.len() as i64;
    let place =
        |position: i64| (if position < 0 { position.saturating_add(rank) } else { position }).clamp(0, rank) as usize;
    let (start, end) = (place(call.int("start", 0)?), place(call.int("end", rank)?));
    let sizes = shape.get(start..end).unwrap_or_default().iter().map(|&size| size as i64);
    Ok([Value::integers(sizes.collect())].into())
}

pub(super) fn size(_: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    Ok([Value::scalar(arrays::elements(call.required(0)?.shape())? as i64)].into())
}
