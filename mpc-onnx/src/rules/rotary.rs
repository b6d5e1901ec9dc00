//! Rotary embeddings, and gated units.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::value::{Tensor, Value};

/// RotaryEmbedding of ONNX, and that of onnxruntime, which has its operands in another order.
pub(super) fn rotary(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let is_contributed = call.node.domain.as_deref() == Some("com.microsoft");
    let [cosines, sines, positions] = if is_contributed { [2, 3, 1] } else { [1, 2, 3] };
    let x = call.tensor(0)?;
    let heads = arrays::size(call.int("num_heads", 0)?)?;
    // [batch, steps, heads, size]
    let (y, is_flat) = match *x.shape.as_slice() {
        [batch, steps, width] => {
            let heads = if heads == 0 && is_contributed {
                let rotated = call.required(cosines)?.shape().last().copied().unwrap_or(0);
                width.checked_div(2 * rotated).unwrap_or(0)
            } else {
                heads
            };
            if heads == 0 || width % heads != 0 {
                return invalid("its heads do not divide its input");
            }
            (context.reshape(x, &[batch, steps, heads, width / heads])?, true)
        }
        [_, _, _, _] => (context.transpose(x, &[0, 2, 1, 3])?, false),
        _ => return invalid("its input has not three or four axes"),
    };
    let (steps, size) = (y.shape[1], y.shape[3]);
    let rotated = match arrays::size(call.int("rotary_embedding_dim", 0)?)? {
        0 => size,
        rotated => rotated,
    };
    if rotated == 0 || rotated > size || rotated % 2 != 0 {
        return invalid("it does not rotate an even part of its heads");
    }
    let [cosine, sine] = [cosines, sines].map(|index| angles(context, call, [index, positions], steps));
    let (cosine, sine) = (cosine?, sine?);
    if cosine.shape().last() != Some(&(rotated / 2)) || cosine.shape() != sine.shape() {
        return invalid("its angles do not fit its heads");
    }
    let places = |first: usize| -> Vec<usize> {
        let is_interleaved = call.int("interleaved", 0).is_ok_and(|is| is != 0);
        (0..rotated / 2).map(|i| if is_interleaved { 2 * i + first } else { i + first * rotated / 2 }).collect()
    };
    let (left, right) = (context.gather(&y, 3, &places(0))?, context.gather(&y, 3, &places(1))?);
    let turned = [
        turned(context, [&left, &right], [&cosine, &sine], true)?,
        turned(context, [&left, &right], [&sine, &cosine], false)?,
    ];
    let mut all = turned.to_vec();
    if rotated < size {
        all.push(context.slice(&y, 3, rotated, size)?);
    }
    let joined = context.join(&all, 3)?;
    let mut order = vec![0; size];
    for (first, half) in [places(0), places(1)].iter().enumerate() {
        half.iter().enumerate().for_each(|(i, &place)| order[place] = first * rotated / 2 + i);
    }
    (rotated..size).for_each(|place| order[place] = place);
    let y = context.gather(&joined, 3, &order)?;
    Ok([if is_flat { context.reshape(&y, &x.shape)? } else { context.transpose(&y, &[0, 2, 1, 3])? }.into()].into())
}

/// The cosines or sines of each step, with an axis of size 1 for the heads.
fn angles(context: &mut Context, call: &Call<'_>, [index, positions]: [usize; 2], steps: usize) -> Lowered<Value> {
    let cache = call.required(index)?;
    let cache = if cache.is_private() { cache.clone() } else { Value::Constant(real(cache)?) };
    let shape = cache.shape().to_vec();
    let Some(&half) = shape.last() else { return invalid("its angles are a scalar") };
    let Some(array) = call.optional_integer_array(positions)? else {
        return if shape.len() == 3 && shape[1] == steps {
            context.reshape_value(&cache, &[shape[0], steps, 1, half])
        } else {
            invalid("its angles are not those of each step")
        };
    };
    if shape.len() != 2 {
        return invalid("its angles are not a table of positions");
    }
    // One position is that of the first step of each sequence.
    let array = if array.len() == 1 && steps != 1 {
        let first = array.first().copied().unwrap_or(0);
        ArrayD::from_shape_fn([1, steps].as_slice(), |place| first.saturating_add(place[1] as i64))
    } else {
        array.clone()
    };
    let places = array.iter().map(|&place| super::place(place, shape[0])).collect::<Lowered<Vec<_>>>()?;
    if places.is_empty() || places.len() % steps != 0 {
        return invalid("its positions are not those of each step");
    }
    let rows = context.gather_value(&cache, 0, &places)?;
    context.reshape_value(&rows, &[places.len() / steps, steps, 1, half])
}

/// left·a − right·b, or left·a + right·b.
fn turned(
    context: &mut Context,
    [left, right]: [&Tensor; 2],
    [a, b]: [&Value; 2],
    is_difference: bool,
) -> Lowered<Tensor> {
    let times = |context: &mut Context, x: &Tensor, factor: &Value| match factor {
        Value::Node(factor) => context.multiply(x, factor),
        Value::Constant(factor) => context.scale_by(x, factor.array()),
        _ => unsupported("its angles are not numbers"),
    };
    let (left, right) = (times(context, left, a)?, times(context, right, b)?);
    if is_difference { context.subtract(&left, &right) } else { context.add(&left, &right) }
}

/// x·sigmoid(αx)·y
pub(super) fn gated(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (x, y) = (context.tensor_of(call.required(0)?)?, context.tensor_of(call.required(1)?)?);
    let alpha = call.float("alpha", 1.0)?;
    let swish = if alpha == 0.0 {
        context.scale(&x, 0.5)?
    } else {
        let scaled = context.scale(&x, alpha)?;
        let silu = context.function(&scaled, Function::Silu)?;
        context.scale(&silu, 1.0 / alpha)?
    };
    Ok([context.multiply(&swish, &y)?.into()].into())
}
