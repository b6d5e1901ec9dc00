//! GroupQueryAttention, as ONNX's own rotary embedding and attention.

use ndarray::{ArrayD, IxDyn};

use super::check_attributes;
use crate::arrays;
use crate::call::{Call, float, int, node};
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::{attention, elementwise, rotary};
use crate::value::Value;

/// Queries, keys and values of a sequence, [batch, steps, heads·size], behind a cache of public length.
struct Sequence {
    parts: [Value; 3],
    /// Steps that the cache has.
    past: usize,
}

/// Attention of queries whose heads share those of the keys, causal and behind a cache, with rotations.
pub(super) fn attention_of_groups(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let known =
        ["num_heads", "kv_num_heads", "scale", "softcap", "do_rotary", "rotary_interleaved", "local_window_size"];
    check_attributes(call, &known)?;
    if (10..call.inputs.len()).any(|index| call.input(index).is_some()) {
        return unsupported("a bias, a sink or scales of its cache; export it as MatMul and Softmax");
    }
    let heads = [call.int("num_heads", 0)?, call.int("kv_num_heads", 0)?];
    let mut sequence = Sequence { parts: parts(context, call, heads)?, past: 0 };
    let &[batch, steps, _] = sequence.parts[0].shape() else { return invalid("its queries have not three axes") };
    let total = arrays::size(call.integers_or_zero(6)?)?;
    let cache = [3, 4].map(|index| call.input(index).filter(|_| steps != total).cloned());
    if let [Some(keys), Some(_)] = &cache {
        sequence.past = keys.shape().get(2).copied().unwrap_or(0);
    }
    if sequence.past + steps != total {
        return unsupported("a cache with room; give the keys and values that were there before alone");
    }
    let mask = mask(context, call, sequence.past, [batch, total])?;
    if call.int("do_rotary", 0)? != 0 {
        sequence.rotate(context, call, heads)?;
    }
    let mut attributes = vec![
        int("q_num_heads", heads[0]),
        int("kv_num_heads", heads[1]),
        int("is_causal", 1),
        float("scale", call.float("scale", 0.0)?),
        float("softcap", call.float("softcap", 0.0)?),
    ];
    let window = call.int("local_window_size", -1)?;
    if window > 0 {
        attributes.push(int("left_window_size", window - 1));
    }
    let (node, [keys, values]) = (node("", "Attention", attributes), cache);
    let [query, key, value] = sequence.parts.map(Some);
    let inner = Call { inputs: vec![query, key, value, mask, keys, values], opset: call.opset, ..Call::of(&node) };
    let mut all = attention::attention(context, &inner)?;
    all.truncate(3);
    Ok(all)
}

/// The keys that are seen, [batch, 1, 1, total], where a sequence ends before the longest: by public lengths, or by private ones.
fn mask(context: &mut Context, call: &Call<'_>, past: usize, [batch, total]: [usize; 2]) -> Lowered<Option<Value>> {
    context.charge(batch.saturating_mul(total))?;
    let shape = [batch, 1, 1, total];
    if let Value::Node(last) = call.required(5)? {
        if past > 0 || last.len() != batch {
            return unsupported("private lengths behind a cache; give the mask as a weight of the file");
        }
        let lengths = context.offset(last, 1.0)?;
        let seen = elementwise::before(context, &lengths, total)?;
        let y = context.reshape(&seen, &shape)?;
        return Ok(Some(context.made_of(&[seen], y).into()));
    }
    let last = call.integers(5)?;
    if last.len() != batch || last.iter().any(|&last| last < 0 || last >= total as i64) {
        return invalid("its lengths are not those of its sequences");
    }
    if last.iter().all(|&last| last + 1 == total as i64) {
        return Ok(None);
    }
    if past > 0 {
        return unsupported("a cache of sequences of several lengths; give one sequence at a time");
    }
    Ok(Some(Value::integer(ArrayD::from_shape_fn(IxDyn(&shape), |at| i64::from(at[3] as i64 <= last[at[0]])))))
}

/// Queries, keys and values, which may be packed into one.
fn parts(context: &mut Context, call: &Call<'_>, heads: [i64; 2]) -> Lowered<[Value; 3]> {
    if let (Some(key), Some(value)) = (call.input(1), call.input(2)) {
        return Ok([call.required(0)?.clone(), key.clone(), value.clone()]);
    }
    let x = call.tensor(0)?;
    let [own, shared] = [arrays::size(heads[0])?, arrays::size(heads[1])?];
    let all = own.saturating_add(shared.saturating_mul(2));
    let &[_, _, width] = x.shape.as_slice() else { return invalid("its queries have not three axes") };
    if all == 0 || width % all != 0 {
        return invalid("its heads do not divide its operand");
    }
    let size = width / all;
    let mut part = |first: usize, count: usize| context.slice(x, 2, first * size, (first + count) * size);
    Ok([part(0, own)?.into(), part(own, shared)?.into(), part(own + shared, shared)?.into()])
}

impl Sequence {
    /// Rotates queries and keys by their places behind the cache, or by those that are given.
    fn rotate(&mut self, context: &mut Context, call: &Call<'_>, heads: [i64; 2]) -> Lowered<()> {
        let (cosines, sines) = (call.required(7)?.clone(), call.required(8)?.clone());
        let rotated = cosines.shape().last().copied().unwrap_or(0).saturating_mul(2);
        let steps = self.parts[0].shape()[1];
        let positions = match call.input(9) {
            Some(positions) => positions.clone(),
            None => Value::integers((self.past..self.past + steps).map(|place| place as i64).collect()),
        };
        let is_interleaved = call.int("rotary_interleaved", 0)?;
        for (part, heads) in self.parts.iter_mut().zip(heads) {
            let attributes = vec![
                int("num_heads", heads),
                int("interleaved", is_interleaved),
                int("rotary_embedding_dim", rotated as i64),
            ];
            let node = node("com.microsoft", "RotaryEmbedding", attributes);
            let operands = [part.clone(), positions.clone(), cosines.clone(), sines.clone()];
            let inner = Call { inputs: operands.map(Some).into(), opset: call.opset, ..Call::of(&node) };
            let [y] = rotary::rotary(context, &inner)?.try_into().unwrap_or([part.clone()]);
            *part = y;
        }
        Ok(())
    }
}
