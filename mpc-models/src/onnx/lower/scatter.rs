//! Scatter at public places: a choice between old and new elements.

use std::vec::Vec;

use super::index::{place, row_major};
use crate::onnx::arrays;
use crate::onnx::call::Call;
use crate::onnx::error::{Lowered, invalid, unsupported};
use crate::onnx::lowering::Lowering;
use crate::onnx::value::Value;

/// For each element of the result its place in the data followed by the updates.
fn sources(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<usize>> {
    if call.string("reduction", "none")? != "none" {
        return unsupported("scatter with a reduction");
    }
    let (data, updates) = (call.required(0)?.shape(), call.required(2)?.shape());
    let total = arrays::elements(data)?;
    lowering.charge(total.saturating_add(arrays::elements(updates)?))?;
    Ok((0..total).collect())
}

fn scattered(lowering: &mut Lowering, call: &Call<'_>, sources: &[usize]) -> Lowered<Vec<Value>> {
    let (data, updates) = (call.required(0)?, call.required(2)?);
    let flat = |lowering: &mut Lowering, value: &Value| {
        let elements = arrays::elements(value.shape())?;
        lowering.reshape_value(value, &[elements])
    };
    let both = [flat(lowering, data)?, flat(lowering, updates)?];
    let joined = lowering.concat_values(&both, 0)?;
    let chosen = lowering.gather_value(&joined, 0, sources)?;
    Ok([lowering.reshape_value(&chosen, data.shape())?].into())
}

pub(super) fn scatter_nd(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut sources = sources(lowering, call)?;
    let shape = call.required(0)?.shape();
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let Some((&depth, outer)) = indices.shape().split_last() else { return invalid("its indices are a scalar") };
    if depth == 0 || depth > shape.len() || call.required(2)?.shape() != [outer, &shape[depth..]].concat() {
        return invalid("its updates do not fit its indices");
    }
    let inner = arrays::elements(&shape[depth..])?;
    let indices: Vec<i64> = indices.iter().copied().collect();
    for (row, index) in indices.chunks(depth).enumerate() {
        let mut flat = 0;
        for (axis, &index) in index.iter().enumerate() {
            flat = flat * shape[axis] + place(index, shape[axis])?;
        }
        for i in 0..inner {
            sources[flat * inner + i] = arrays::elements(shape)? + row * inner + i;
        }
    }
    scattered(lowering, call, &sources)
}

pub(super) fn scatter_elements(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut sources = sources(lowering, call)?;
    let shape = call.required(0)?.shape();
    let axis = arrays::axis(call.int("axis", 0)?, shape.len())?;
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let fits = |i: usize| i == axis || indices.shape()[i] <= shape[i];
    let is_same = indices.shape() == call.required(2)?.shape();
    if !is_same || indices.ndim() != shape.len() || !(0..shape.len()).all(fits) {
        return invalid("its updates do not fit its indices");
    }
    let total = arrays::elements(shape)?;
    for (count, (position, &index)) in indices.indexed_iter().enumerate() {
        let mut position: Vec<usize> = (0..shape.len()).map(|i| position[i]).collect();
        position[axis] = place(index, shape[axis])?;
        sources[row_major(&position, shape)] = total + count;
    }
    scattered(lowering, call, &sources)
}
