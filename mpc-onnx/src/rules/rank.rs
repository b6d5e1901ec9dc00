//! TopK: the largest elements, and their indices as an output.

use mpc_nn::NodeId;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, graph_shape};
use crate::error::{Lowered, invalid};
use crate::value::{Tensor, Value};

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
    let mut indices: Option<NodeId> = None;
    let values = context.emit("top_k", &graph_shape(&shape), |builder, name| {
        let [values, of_values] = builder.top_k(name, moved.id, count)?;
        indices = Some(of_values);
        Ok(values)
    })?;
    let Some(id) = indices else { return invalid("it has no indices") };
    let indices = Tensor { id, shape: shape.clone() };
    let values = if is_largest { values } else { context.scale(&values, -1.0)? };
    let values = context.transpose(&values, &permutation)?;
    let indices = context.transpose(&indices, &permutation)?;
    Ok([values.into(), indices.into()].into())
}
