//! TopK: the largest elements, and their indices as an output.

use mpc_nn::NodeId;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole, graph_shape};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::choice;
use crate::value::{Tensor, Value};

/// The most elements that are taken one after the other.
const MAX_COUNT: usize = 64;

pub(super) fn top_k(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axis = arrays::axis(call.int("axis", -1)?, x.rank())?;
    let wanted = if call.opset < 10 { call.int("k", 0)? } else { call.integers(1)?.first().copied().unwrap_or(0) };
    let Some(count) = usize::try_from(wanted).ok().filter(|count| (1..=x.shape[axis]).contains(count)) else {
        return invalid(format!("it takes the {wanted} largest of {} elements", x.shape[axis]));
    };
    // The smallest are the largest of the opposites; sorted is an order that is always right.
    let is_largest = call.int("largest", 1)? != 0;
    let ranked = if is_largest { x.clone() } else { context.scale(x, -1.0)? };
    let last = x.rank() - 1;
    let mut permutation: Vec<usize> = (0..x.rank()).collect();
    permutation.swap(axis, last);
    let moved = context.transpose(&ranked, &permutation)?;
    let mut shape = moved.shape.clone();
    shape[last] = count;
    if call.is_used(1) && !call.is_revealed {
        return by_rows(context, &moved, count, is_largest, &permutation);
    }
    let mut indices: Option<NodeId> = None;
    let values = context.emit("top_k", &graph_shape(&shape), |builder, name| {
        let [values, of_values] = builder.top_k(name, moved.id, count)?;
        indices = Some(of_values);
        Ok(values)
    })?;
    let Some(id) = indices else { return invalid("it has no indices") };
    let indices = Tensor { id, shape: shape.clone() };
    let values = returned(context, &values, is_largest, &permutation)?;
    let indices = context.transpose(&indices, &permutation)?;
    Ok([values.into(), indices.into()].into())
}

/// Ranked values with their own signs and axes.
fn returned(context: &mut Context, values: &Tensor, is_largest: bool, permutation: &[usize]) -> Lowered<Tensor> {
    let values = if is_largest { values.clone() } else { context.scale(values, -1.0)? };
    context.note_ranked(values.id);
    context.transpose(&values, permutation)
}

/// The largest elements one after the other, as rows with a single 1: something is computed from their indices.
fn by_rows(
    context: &mut Context,
    x: &Tensor,
    count: usize,
    is_largest: bool,
    permutation: &[usize],
) -> Lowered<Vec<Value>> {
    if count > MAX_COUNT {
        return unsupported(format!("more than {MAX_COUNT} indices from which something is computed"));
    }
    let last = x.rank() - 1;
    let negative = context.scale(x, -1.0)?;
    let least = context.maximum_of_last(&negative)?;
    let least = context.scale(&least, -1.0)?;
    // What was taken goes below all others.
    let floor = context.offset(&least, -1.0)?;
    let mut rest = x.clone();
    let (mut values, mut all) = (Vec::new(), Vec::new());
    for taken in 0..count {
        let rows = choice::largest(context, &rest)?;
        let product = context.multiply(&rest, &rows)?;
        values.push(context.sum(&product, &[last])?);
        let mut shape = rows.shape.clone();
        shape.insert(last, 1);
        all.push(context.reshape(&rows, &shape)?);
        if taken + 1 < count {
            let above = context.subtract(&rest, &floor)?;
            let part = context.multiply(&above, &rows)?;
            rest = context.subtract(&rest, &part)?;
        }
    }
    let values = context.join(&values, last)?;
    let rows = context.join(&all, last)?;
    let indices = choice::places(context, &rows)?;
    let values = returned(context, &values, is_largest, permutation)?;
    // Axes that move take the rows with them.
    let moved = context.transpose(&indices, permutation)?;
    if moved.id != indices.id {
        let behind: Vec<usize> = permutation.iter().copied().chain([last + 1]).collect();
        let rows = context.transpose(&rows, &behind)?;
        context.note_rows(moved.id, rows);
    }
    context.note_whole(moved.id, Whole::Integer);
    Ok([values.into(), moved.into()].into())
}
