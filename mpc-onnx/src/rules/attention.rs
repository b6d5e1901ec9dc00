//! Scaled dot-product attention as one operator (opset 23 on), which newer exporters of PyTorch write.

use mpc_protocols::function::Function;
use ndarray::{ArrayD, Axis, IxDyn};

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::elementwise::{MASK, full_rows};
use crate::rules::softmax;
use crate::value::{Tensor, Value, vector};

pub(super) fn attention(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    check_attributes(call)?;
    let is_flat = call.required(0)?.shape().len() == 3;
    let heads = |name: &str| arrays::size(call.int(name, 0)?);
    let query = split_heads(context, call.required(0)?, || heads("q_num_heads"))?;
    let mut key = split_heads(context, call.required(1)?, || heads("kv_num_heads"))?;
    let mut value = split_heads(context, call.required(2)?, || heads("kv_num_heads"))?;
    let past = call.input(4).map_or(0, |past| past.shape().get(2).copied().unwrap_or(0));
    for (present, index) in [(&mut key, 4), (&mut value, 5)] {
        if let Some(old) = call.input(index) {
            *present = context.concat_values(&[old.clone(), present.clone()], 2)?;
        }
    }
    let present = [key.clone(), value.clone()];
    let [key, value] = served(context, &query, [&key, &value])?;
    let (rows, columns, size) = (query.shape()[2], key.shape()[2], query.shape()[3]);
    let scores = Scores::new(context, call, [&query, &key], size)?;
    let (masked, weights) = weights(context, call, &scores.capped, [rows, columns, past])?;
    let value = context.tensor_of(&value)?;
    let mut y = context.matrix_product(&weights, &value)?;
    if is_flat {
        y = context.transpose(&y, &[0, 2, 1, 3])?;
        let shape = [y.shape[0], y.shape[1], y.shape[2] * y.shape[3]];
        y = context.reshape(&y, &shape)?;
    }
    let shown = scores.shown(call, masked, weights)?;
    let [key, value] = present;
    Ok([y.into(), key, value, shown.into()].into())
}

/// The scores of FlexAttention, and the values for each head of the queries.
pub(crate) fn flexible_scores(context: &mut Context, call: &Call<'_>) -> Lowered<(Tensor, Tensor)> {
    let query = call.required(0)?;
    let [key, value] = served(context, query, [call.required(1)?, call.required(2)?])?;
    let scores = Scores::new(context, call, [query, &key], query.shape()[3])?;
    Ok((scores.raw, context.tensor_of(&value)?))
}

/// Keys and values for each head of the queries: each head of theirs serves several in a row.
fn served(context: &mut Context, query: &Value, [key, value]: [&Value; 2]) -> Lowered<[Value; 2]> {
    let (&[_, heads, _, size], &[_, own, _, _], &[_, value_heads, _, _]) = (query.shape(), key.shape(), value.shape())
    else {
        return invalid("its operands have not four axes");
    };
    if own != value_heads || own == 0 || heads % own != 0 || size == 0 {
        return invalid("its heads do not fit together");
    }
    let served: Vec<usize> = (0..heads).map(|head| head / (heads / own)).collect();
    Ok([context.gather_value(key, 1, &served)?, context.gather_value(value, 1, &served)?])
}

fn check_attributes(call: &Call<'_>) -> Lowered<()> {
    let known = [
        "scale",
        "is_causal",
        "softcap",
        "q_num_heads",
        "kv_num_heads",
        "softmax_precision",
        "qk_matmul_output_mode",
        "left_window_size",
        "right_window_size",
    ];
    let names = call.node.attribute.iter().filter_map(|attribute| attribute.name.as_deref());
    match names.into_iter().find(|name| !known.contains(name)) {
        Some(other) => unsupported(format!("attribute `{other}` of attention; export it as MatMul and Softmax")),
        None => Ok(()),
    }
}

/// The products of queries and keys, before and behind the soft cap.
struct Scores {
    raw: Tensor,
    capped: Tensor,
}

impl Scores {
    fn new(context: &mut Context, call: &Call<'_>, [query, key]: [&Value; 2], size: usize) -> Lowered<Self> {
        let turned = context.transpose_value(key, &[0, 1, 3, 2])?;
        let (query, turned) = (context.tensor_of(query)?, context.tensor_of(&turned)?);
        let products = context.matrix_product(&query, &turned)?;
        let scale = match call.float("scale", 0.0)? {
            0.0 => 1.0 / (size as f32).sqrt(),
            scale => scale,
        };
        let raw = context.scale(&products, scale)?;
        let cap = call.float("softcap", 0.0)?;
        let capped = if cap > 0.0 {
            let small = context.scale(&raw, 1.0 / cap)?;
            let bent = context.function(&small, Function::Tanh)?;
            context.scale(&bent, cap)?
        } else {
            raw.clone()
        };
        Ok(Self { raw, capped })
    }

    /// The scores that the fourth output shows.
    fn shown(self, call: &Call<'_>, masked: Tensor, weights: Tensor) -> Lowered<Tensor> {
        Ok(match call.int("qk_matmul_output_mode", 0)? {
            _ if !call.is_used(3) => self.raw,
            0 => self.raw,
            1 => self.capped,
            2 => masked,
            3 => weights,
            mode => return invalid(format!("its qk_matmul_output_mode {mode} is none of 0 to 3")),
        })
    }
}

/// A private mask that an input or a node gives.
enum Mask {
    /// Numbers that are added to the scores.
    Added(Tensor),
    /// 1 for what is seen, 0 for what is hidden.
    Seen(Tensor),
}

impl Mask {
    /// The private mask of a call; entries beyond its end are hidden.
    fn private(context: &mut Context, call: &Call<'_>, columns: usize) -> Lowered<Option<Self>> {
        let Some(Value::Node(mask)) = call.input(3) else { return Ok(None) };
        let is_boolean = context.whole(mask.id) == Some(Whole::Boolean) && context.is_typed(mask.id);
        let Some((&last, outer)) = mask.shape.split_last() else { return invalid("its mask is a scalar") };
        let missing = if last == 1 { 0 } else { columns.saturating_sub(last) };
        let (before, mut after) = (vec![0; mask.rank()], vec![0; outer.len()]);
        after.push(missing);
        let mask = context.pad(mask, &before, &after)?;
        if is_boolean {
            return Ok(Some(Self::Seen(mask)));
        }
        if missing == 0 {
            return Ok(Some(Self::Added(mask)));
        }
        context.charge(columns)?;
        let hidden = (0..columns).map(|column| if column < last { 0.0 } else { MASK });
        Ok(Some(Self::Added(context.offset_by(&mask, &vector(hidden.collect()))?)))
    }
}

/// 1 for the rows that see nothing, else 0: by what a private mask shows, where a public one does not hide it.
fn blind_rows(context: &mut Context, seen: &Tensor, hidden: Option<&ArrayD<f32>>) -> Lowered<Tensor> {
    let seen = match hidden {
        Some(hidden) => context.scale_by(seen, &hidden.mapv(|x| f32::from(u8::from(x > MASK))))?,
        None => seen.clone(),
    };
    let opposite = context.scale(&seen, -1.0)?;
    let unseen = context.offset(&opposite, 1.0)?;
    full_rows(context, &unseen, seen.rank() - 1)
}

/// The scores behind the mask, and their softmax, where a row that sees nothing is 0.
fn weights(context: &mut Context, call: &Call<'_>, capped: &Tensor, sizes: [usize; 3]) -> Lowered<(Tensor, Tensor)> {
    let private = Mask::private(context, call, sizes[1])?;
    let public = public_mask(context, call, sizes)?;
    let mut masked = match &private {
        None => capped.clone(),
        Some(Mask::Added(mask)) => context.add(capped, mask)?,
        Some(Mask::Seen(seen)) => {
            let lowered = context.scale(seen, -MASK)?;
            let lowered = context.offset(&lowered, MASK)?;
            context.add(capped, &lowered)?
        }
    };
    if let Some(mask) = &public {
        masked = context.offset_by(&masked, mask)?;
    }
    let all = match &private {
        Some(Mask::Seen(seen)) => {
            let blind = blind_rows(context, seen, public.as_ref())?;
            softmax::without(context, &masked, 3, Some(&blind))?
        }
        _ => softmax::along(context, &masked, 3, false)?,
    };
    let Some(mask) = public else { return Ok((masked, all)) };
    let seen = mask.map_axis(Axis(mask.ndim() - 1), |row| f32::from(u8::from(row.iter().any(|&x| x > MASK))));
    if seen.iter().all(|&seen| seen != 0.0) {
        return Ok((masked, all));
    }
    let weights = context.scale_by(&all, &seen.insert_axis(Axis(mask.ndim() - 1)))?;
    Ok((masked, weights))
}

/// [batch, rows, heads·size] → [batch, heads, rows, size]
fn split_heads(context: &mut Context, value: &Value, heads: impl Fn() -> Lowered<usize>) -> Lowered<Value> {
    let &[batch, rows, width] = value.shape() else { return Ok(value.clone()) };
    let heads = heads()?;
    if heads == 0 || width % heads != 0 {
        return invalid("its heads do not divide its operand");
    }
    let split = context.reshape_value(value, &[batch, rows, heads, width / heads])?;
    context.transpose_value(&split, &[0, 2, 1, 3])
}

/// All that is hidden publicly, in the last two axes and as many in front as it takes.
fn public_mask(context: &mut Context, call: &Call<'_>, sizes: [usize; 3]) -> Lowered<Option<ArrayD<f32>>> {
    let hidden = hidden(context, call, sizes)?;
    let array = match call.input(3) {
        None | Some(Value::Node(_)) => return Ok(hidden),
        Some(Value::Integer(seen)) => seen.mapv(|seen| if seen != 0 { 0.0 } else { MASK }),
        Some(Value::Constant(mask)) => mask.array().mapv(|value| value.max(MASK)),
        Some(Value::Tokens { .. }) => return unsupported("a private mask of Booleans; give it in floats"),
    };
    let Some(&last) = array.shape().last() else { return invalid("its mask is a scalar") };
    // What a mask is too short for is not seen.
    let (before, mut after) = (vec![0; array.ndim()], vec![0; array.ndim()]);
    after[array.ndim() - 1] = if last > 1 { sizes[1].saturating_sub(last) } else { 0 };
    if after[array.ndim() - 1] > 0 && hidden.is_some() && call.input(6).is_some() && call.int("is_causal", 0)? != 0 {
        return unsupported("a mask shorter than the keys, with causality and lengths at once; pad the mask");
    }
    context.charge(array.len().saturating_add(array.len() / last.max(1) * after[array.ndim() - 1]))?;
    let array = arrays::pad(&array, &before, &after, MASK)?;
    let Some(hidden) = hidden else { return Ok(Some(array)) };
    context.charge(arrays::elements(&arrays::broadcast_shape(array.shape(), hidden.shape())?)?)?;
    arrays::zip(&array, &hidden, |a, b| Ok((a + b).max(MASK))).map(Some)
}

/// The entries that causality, windows and the lengths of the sequences hide.
fn hidden(context: &mut Context, call: &Call<'_>, [rows, columns, past]: [usize; 3]) -> Lowered<Option<ArrayD<f32>>> {
    let is_causal = call.int("is_causal", 0)? != 0;
    let lengths = call.optional_integers(6)?;
    let [left, right] = [call.int("left_window_size", -1)?, call.int("right_window_size", -1)?];
    if !is_causal && lengths.is_none() && left < 0 && right < 0 {
        return Ok(None);
    }
    let batch = lengths.as_ref().map_or(1, Vec::len);
    let shape = [batch, 1, rows, columns];
    context.charge(arrays::elements(&shape)?)?;
    Ok(Some(ArrayD::from_shape_fn(IxDyn(&shape), |place| {
        let (row, column) = (place[2] as i64, place[3] as i64);
        let length = lengths.as_ref().and_then(|lengths| lengths.get(place[0])).copied();
        // The last row sees all of a sequence whose keys are there already.
        let offset = length.map_or(past as i64, |length| length.saturating_sub(rows as i64));
        let own = row.saturating_add(offset);
        let is_near =
            (left < 0 || column >= own.saturating_sub(left)) && (right < 0 || column <= own.saturating_add(right));
        let is_seen = length.is_none_or(|length| column < length) && (!is_causal || column <= own) && is_near;
        if is_seen { 0.0 } else { MASK }
    })))
}
