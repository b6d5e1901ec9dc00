//! Operators that pick or join parts of an array.

use ndarray::{ArrayD, Dimension, IxDyn};

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::value::Value;

pub(super) fn concat(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let values: Vec<Value> = call.inputs.iter().flatten().cloned().collect();
    let rank = values.first().map_or(0, |value| value.shape().len());
    let axis = call.optional_int("axis")?.or((call.opset < 4).then_some(1));
    let Some(axis) = axis else { return invalid("it names no axis") };
    Ok([context.concat_values(&values, arrays::axis(axis, rank)?)?].into())
}

pub(super) fn split(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let axis = arrays::axis(call.int("axis", 0)?, value.shape().len())?;
    let total = value.shape()[axis];
    let parts = match call.integers_from("split", 1)? {
        Some(parts) => parts.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?,
        None => {
            let count = arrays::size(call.int("num_outputs", call.node.output.len() as i64)?)?;
            if count == 0 || count > call.node.output.len() {
                return invalid("it has another number of outputs than parts");
            }
            let size = total.div_ceil(count);
            (0..count).map(|i| size.min(total.saturating_sub(i * size))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(total) {
        return invalid("its parts do not make up the axis");
    }
    let mut start = 0;
    let mut values = Vec::new();
    for part in parts {
        let indices = context.range(start, start + part)?;
        values.push(context.gather_value(value, axis, &indices)?);
        start += part;
    }
    Ok(values)
}

pub(super) fn slice(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut value = call.required(0)?.clone();
    let rank = value.shape().len();
    let is_old = call.opset < 10;
    let list = |name: &str, index| if is_old { call.ints(name) } else { call.optional_integers(index) };
    let (Some(starts), Some(ends)) = (list("starts", 1)?, list("ends", 2)?) else {
        return invalid("it has no starts or ends");
    };
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = if is_old { None } else { call.optional_integers(4)? }.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return invalid("it has not one start, end and step for each axis");
    }
    for (i, &axis) in axes.iter().enumerate() {
        let axis = arrays::axis(axis, rank)?;
        let indices = positions(context, starts[i], ends[i], steps[i], value.shape()[axis])?;
        if indices.len() == value.shape()[axis] && steps[i] > 0 {
            continue;
        }
        value = context.gather_value(&value, axis, &indices)?;
    }
    Ok([value].into())
}

/// The positions of a slice, as NumPy counts them.
fn positions(context: &mut Context, start: i64, end: i64, step: i64, size: usize) -> Lowered<Vec<usize>> {
    let size = size as i64;
    let from_start = |position: i64| if position < 0 { position.saturating_add(size) } else { position };
    let (start, end) = match step {
        0 => return invalid("its step is 0"),
        1.. => (from_start(start).clamp(0, size), from_start(end).clamp(0, size)),
        _ => (from_start(start).clamp(-1, size - 1), from_start(end).clamp(-1, size - 1)),
    };
    context.charge((start.abs_diff(end) / step.unsigned_abs()) as usize)?;
    let mut positions = Vec::new();
    let mut position = start;
    while (step > 0 && position < end) || (step < 0 && position > end) {
        positions.push(position as usize);
        position = position.saturating_add(step);
    }
    Ok(positions)
}

/// An index that may count from the end.
pub(crate) fn place(index: i64, size: usize) -> Lowered<usize> {
    let from_start = if index < 0 { index.saturating_add(size as i64) } else { index };
    match usize::try_from(from_start) {
        Ok(place) if place < size => Ok(place),
        _ => invalid(format!("index {index} is outside an axis of size {size}")),
    }
}

pub(super) fn gather(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let axis = arrays::axis(call.int("axis", 0)?, value.shape().len())?;
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let size = value.shape()[axis];
    let places = indices.iter().map(|&index| place(index, size)).collect::<Lowered<Vec<_>>>()?;
    let gathered = context.gather_value(value, axis, &places)?;
    let mut shape = value.shape().to_vec();
    shape.splice(axis..=axis, indices.shape().iter().copied());
    Ok([context.reshape_value(&gathered, &shape)?].into())
}

/// Picks elements by their places in row-major order.
fn pick(context: &mut Context, value: &Value, places: &[usize], shape: &[usize]) -> Lowered<Vec<Value>> {
    let flat = context.reshape_value(value, &[arrays::elements(value.shape())?])?;
    let picked = context.gather_value(&flat, 0, places)?;
    Ok([context.reshape_value(&picked, shape)?].into())
}

pub(super) fn row_major(place: &[usize], shape: &[usize]) -> usize {
    place.iter().zip(shape).fold(0, |flat, (&position, &size)| flat * size + position)
}

pub(super) fn gather_elements(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let shape = value.shape();
    let axis = arrays::axis(call.int("axis", 0)?, shape.len())?;
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let fits = |i: usize| i == axis || indices.shape()[i] <= shape[i];
    if indices.ndim() != shape.len() || !(0..shape.len()).all(fits) {
        return invalid("its indices have another shape");
    }
    context.charge(indices.len())?;
    let mut places = Vec::with_capacity(indices.len());
    for (position, &index) in indices.indexed_iter() {
        let mut position: Vec<usize> = (0..shape.len()).map(|i| position[i]).collect();
        position[axis] = place(index, shape[axis])?;
        places.push(row_major(&position, shape));
    }
    pick(context, value, &places, indices.shape())
}

pub(super) fn gather_nd(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let shape = value.shape();
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let batch = arrays::size(call.int("batch_dims", 0)?)?;
    let Some((&depth, outer)) = indices.shape().split_last() else { return invalid("its indices are a scalar") };
    let end = batch.saturating_add(depth);
    if depth == 0 || end > shape.len() || batch > outer.len() || outer[..batch] != shape[..batch] {
        return invalid("its indices do not fit its input");
    }
    let inner = arrays::elements(&shape[end..])?;
    let result: Vec<usize> = outer.iter().chain(&shape[end..]).copied().collect();
    context.charge(arrays::elements(&result)?)?;
    let indices: Vec<i64> = indices.iter().copied().collect();
    let per_batch = arrays::elements(&outer[batch..])?;
    let mut places = Vec::new();
    for (row, index) in indices.chunks(depth).enumerate() {
        let mut flat = row.checked_div(per_batch).unwrap_or(0);
        for (i, &index) in index.iter().enumerate() {
            flat = flat * shape[batch + i] + place(index, shape[batch + i])?;
        }
        places.extend((0..inner).map(|i| flat * inner + i));
    }
    pick(context, value, &places, &result)
}

/// The entries of an axis, or of all elements in a row, where a public condition is true.
pub(super) fn compress(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let Some(Value::Integer(condition)) = call.input(1) else {
        return unsupported("what its condition keeps depends on secrets; end the network before it");
    };
    let mut value = call.required(0)?.clone();
    let axis = match call.optional_int("axis")? {
        Some(axis) => arrays::axis(axis, value.shape().len())?,
        None => {
            value = context.reshape_value(&value, &[arrays::elements(value.shape())?])?;
            0
        }
    };
    let size = value.shape()[axis];
    let kept: Vec<usize> =
        condition.iter().take(size).enumerate().filter(|(_, is)| **is != 0).map(|(i, _)| i).collect();
    Ok([context.gather_value(&value, axis, &kept)?].into())
}

/// A cache with an update written into it from a public place on, for each sample its own.
pub(super) fn tensor_scatter(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (past, update) = (call.required(0)?, call.required(1)?);
    let (shape, new) = (past.shape().to_vec(), update.shape().to_vec());
    let axis = arrays::axis(call.int("axis", -2)?, shape.len())?;
    let fits = |i: usize| if i == axis { new[i] <= shape[i] } else { new[i] == shape[i] };
    if axis == 0 || new.len() != shape.len() || !(0..shape.len()).all(fits) {
        return invalid("its update does not fit its cache");
    }
    let (size, length) = (shape[axis], new[axis]);
    let is_circular = match call.string("mode", "linear")?.as_str() {
        "linear" => false,
        "circular" => true,
        mode => return invalid(format!("mode `{mode}` is not known")),
    };
    let starts = call.optional_integers(2)?.unwrap_or_else(|| vec![0; shape[0]]);
    let starts = starts.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?;
    let is_inside = |start: usize| if is_circular { start < size } else { start.saturating_add(length) <= size };
    if starts.len() != shape[0] || !starts.iter().all(|&start| is_inside(start)) {
        return invalid("it writes outside its cache");
    }
    let elements = arrays::elements(&shape)?;
    context.charge(elements.saturating_mul(2))?;
    let places: Vec<usize> = ndarray::indices(IxDyn(&shape))
        .into_iter()
        .map(|place| {
            let mut place = place.slice().to_vec();
            let own = row_major(&place, &shape);
            // How far behind the first written entry, around the end if the cache is a circle.
            let behind = (place[axis] + size - starts[place[0]]) % size;
            if behind >= length {
                return own;
            }
            place[axis] = behind;
            elements + row_major(&place, &new)
        })
        .collect();
    let flat = [(past, elements), (update, arrays::elements(&new)?)]
        .map(|(value, elements)| context.reshape_value(value, &[elements]));
    let [past, update] = flat;
    let both = context.concat_values(&[past?, update?], 0)?;
    pick(context, &both, &places, &shape)
}

/// The upper or lower triangle of matrices; zeros elsewhere.
pub(super) fn trilu(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let Some(&[rows, columns]) = value.shape().last_chunk::<2>() else { return invalid("its input is not a matrix") };
    let is_upper = call.int("upper", 1)? != 0;
    let diagonal = call.integers_or_zero(1)?;
    context.charge(arrays::elements(&[rows, columns])?)?;
    let kept = |place: &IxDyn| {
        let distance = place[1] as i64 - place[0] as i64;
        if is_upper { distance >= diagonal } else { distance <= diagonal }
    };
    let shape = IxDyn(&[rows, columns]);
    Ok([match value {
        Value::Integer(array) => {
            let mask = ArrayD::from_shape_fn(shape, |place| i64::from(kept(&place)));
            Value::integer(arrays::zip(array, &mask, |a, b| Ok(a * b))?)
        }
        Value::Constant(constant) => {
            let mask = ArrayD::from_shape_fn(shape, |place| f32::from(u8::from(kept(&place))));
            // Not a product: the other triangle may hold −∞.
            Value::constant(arrays::zip(constant.array(), &mask, |a, b| Ok(if *b > 0.0 { *a } else { 0.0 }))?)
        }
        Value::Node(tensor) => {
            let mask = ArrayD::from_shape_fn(shape, |place| f32::from(u8::from(kept(&place))));
            context.scale_by(tensor, &mask)?.into()
        }
        Value::Tokens { .. } => return Err(Problem::Unsupported("it takes a private input of integers".into())),
    }]
    .into())
}
