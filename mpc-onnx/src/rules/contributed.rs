//! Operators of onnxruntime's own domain, which it writes when it optimises a model.

mod distance;
mod grouped;

use mpc_protocols::function::Function;
use ndarray::{ArrayD, Axis, IxDyn};

use super::{Apply, Rule};
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::elementwise::{self, MASK};
use crate::rules::{activation, convolution, eight_bits, linear, normalise, recurrent, softmax};
use crate::value::{Tensor, Value};

/// The rule of an operator that only this domain has, or that means something else here.
pub(super) fn find(operator: &str) -> Option<Rule> {
    let rule: Apply = match operator {
        "BiasGelu" | "FastGelu" => bias_gelu,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => skip_norm,
        // Whose tables were made real numbers already.
        "EmbedLayerNormalization" | "QEmbedLayerNormalization" => return Some(Rule::Any(embeddings)),
        "Attention" => attention,
        "QAttention" => quantised_attention,
        "MultiHeadAttention" => multi_head_attention,
        "GroupQueryAttention" => grouped::attention_of_groups,
        "FusedConv" => fused_convolution,
        "FusedGemm" => fused_gemm,
        "FusedMatMul" | "TransposeMatMul" => fused_product,
        "BiasAdd" => bias_add,
        "CDist" => distance::distances,
        "DynamicQuantizeLSTM" => quantised_lstm,
        _ => return None,
    };
    Some(Rule::Private(rule))
}

/// x, and a constant or private addend of the last axis.
fn plus(context: &mut Context, call: &Call<'_>, x: &Tensor, place: usize) -> Lowered<Tensor> {
    match call.input(place) {
        None => Ok(x.clone()),
        Some(addend) => context.offset_by_value(x, addend),
    }
}

fn bias_gelu(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = context.tensor_of(call.required(0)?)?;
    let x = plus(context, call, &x, 1)?;
    let function = if call.operator() == "FastGelu" { Function::GeluTanh } else { Function::Gelu };
    Ok([context.function(&x, function)?.into()].into())
}

fn bias_add(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = context.tensor_of(call.required(0)?)?;
    let x = plus(context, call, &x, 1)?;
    Ok([plus(context, call, &x, 2)?.into()].into())
}

/// A normalisation of the sum of two values and a bias; the fourth result is that sum.
fn skip_norm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let is_simple = call.operator() == "SkipSimplifiedLayerNormalization";
    let x = context.tensor_of(call.required(0)?)?;
    let mut sum = plus(context, call, &x, 1)?;
    let bias = if is_simple { 3 } else { 4 };
    sum = plus(context, call, &sum, bias)?;
    let beta = if is_simple { None } else { call.input(3).cloned() };
    let mut all = normalised(context, call, &sum, [call.input(2).cloned(), beta], is_simple)?;
    all.resize(3, sum.clone().into());
    all.push(sum.into());
    Ok(all)
}

fn normalised(
    context: &mut Context,
    call: &Call<'_>,
    x: &Tensor,
    [gamma, beta]: [Option<Value>; 2],
    is_simple: bool,
) -> Lowered<Vec<Value>> {
    let inputs = vec![Some(x.clone().into()), gamma, beta];
    let inner = Call { opset: 17, ..call.with(inputs) };
    let default = if is_simple { 1e-5 } else { 1e-12 };
    normalise::last_axis(context, &inner, call.float("epsilon", default)?, is_simple)
}

/// The sum of the rows that words, positions and segments choose, normalised. What chooses was made rows already.
fn embeddings(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    // 0 and 1 are looked up in 2 and 4 before.
    let Value::Node(words) = call.required(0)? else { return unsupported("words that are public") };
    let &[_, steps, width] = words.shape.as_slice() else { return invalid("its words are not sequences") };
    let positions = match call.input(8) {
        Some(_) => call.integers(8)?,
        None => (0..steps as i64).collect(),
    };
    let table = call.constant(3)?;
    let Some(&[rows, columns]) = table.array().shape().first_chunk() else { return invalid("its positions") };
    if columns != width || positions.len() % steps != 0 || positions.is_empty() {
        return invalid("its positions do not fit its words");
    }
    let places = positions.iter().map(|&place| super::place(place, rows)).collect::<Lowered<Vec<_>>>()?;
    let own = arrays::gather(table.array(), 0, &places);
    let own = arrays::reshape(&own, &[places.len() / steps, steps, width])?;
    let mut sum = context.offset_privately(words, &own)?;
    if let Some(segments) = call.input(1) {
        let Value::Node(segments) = segments else { return unsupported("segments that are public") };
        sum = context.add(&sum, segments)?;
    }
    let mut all = normalised(context, call, &sum, [call.input(5).cloned(), call.input(6).cloned()], false)?;
    all.truncate(1);
    all.push(if call.is_used(1) { seen_words(context, call)? } else { Value::scalar(0) });
    all.push(sum.into());
    Ok(all)
}

/// The number of words of each sequence that its mask shows.
fn seen_words(context: &mut Context, call: &Call<'_>) -> Lowered<Value> {
    let mask = call.required(7)?;
    let &[batch, _] = mask.shape() else { return invalid("its mask has not one number for each word") };
    Ok(match mask {
        Value::Integer(mask) => {
            Value::integer(mask.map_axis(Axis(1), |row| row.iter().filter(|&&is| is != 0).count() as i64))
        }
        mask => {
            let mask = context.tensor_of(mask)?;
            let count = context.sum(&mask, &[1])?;
            let count = context.reshape(&count, &[batch])?;
            context.note_whole(count.id, Whole::Integer);
            context.note_typed(count.id);
            count.into()
        }
    })
}

/// Queries, keys and values of one attention: [batch, heads, steps, size].
struct Heads {
    query: Value,
    key: Value,
    value: Value,
    /// The steps of keys that were there before.
    past: usize,
}

impl Heads {
    /// With keys and values that were there before.
    fn behind(mut self, context: &mut Context, past: [Option<&Value>; 2]) -> Lowered<Self> {
        self.past = past[0].map_or(0, |past| past.shape().get(2).copied().unwrap_or(0));
        for (own, past) in [&mut self.key, &mut self.value].into_iter().zip(past) {
            if let Some(past) = past {
                *own = context.concat_values(&[past.clone(), own.clone()], 2)?;
            }
        }
        Ok(self)
    }
}

/// [batch, steps, heads·size] to [batch, heads, steps, size]
fn split(context: &mut Context, value: &Value, heads: usize) -> Lowered<Value> {
    let &[batch, steps, width] = value.shape() else {
        return if value.shape().len() == 4 { Ok(value.clone()) } else { invalid("an operand has not three axes") };
    };
    if heads == 0 || width % heads != 0 {
        return invalid("its heads do not divide its operand");
    }
    let split = context.reshape_value(value, &[batch, steps, heads, width / heads])?;
    context.transpose_value(&split, &[0, 2, 1, 3])
}

/// Attention of one input and one weight of queries, keys and values side by side.
fn attention(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let heads = arrays::size(call.int("num_heads", 0)?)?;
    let known = ["num_heads", "unidirectional", "qkv_hidden_sizes", "scale", "mask_filter_value"];
    check_attributes(call, &known)?;
    let bias = match call.input(2) {
        None => None,
        Some(_) => Some(call.constant(2)?.array().iter().copied().collect()),
    };
    let (x, weight) = (call.tensor(0)?, call.constant(1)?);
    let &[_, outputs] = weight.array().shape() else { return invalid("its weight is not a matrix") };
    let all = context.linear(x, arrays::transpose(weight.array(), &[1, 0]), bias)?;
    let widths = match call.sizes("qkv_hidden_sizes")? {
        Some(widths) if widths.len() == 3 && widths.iter().sum::<usize>() == outputs => widths,
        Some(_) => return invalid("its sizes are not those of its weight"),
        None => vec![outputs / 3; 3],
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for width in widths {
        let part = context.slice(&all, 2, start, start + width)?;
        parts.push(split(context, &part.into(), heads)?);
        start += width;
    }
    let [query, key, value] = parts.as_slice() else { return invalid("it has not three parts") };
    let mut parts = Heads { query: query.clone(), key: key.clone(), value: value.clone(), past: 0 };
    if let Some(past) = call.input(4) {
        let shape = past.shape().to_vec();
        let mut of = |which: usize| {
            let part = context.gather_value(past, 0, &[which])?;
            context.reshape_value(&part, shape.get(1..).unwrap_or_default())
        };
        let past = [of(0)?, of(1)?];
        parts = parts.behind(context, [Some(&past[0]), Some(&past[1])])?;
    }
    let [key, value] = [parts.key.clone(), parts.value.clone()];
    let mut all = attended(context, call, parts, call.input(3).cloned(), call.input(5).cloned())?;
    if call.is_used(1) {
        let mut stacked = |part: &Value| context.reshape_value(part, &[&[1], part.shape()].concat());
        let present = [stacked(&key)?, stacked(&value)?];
        all.push(context.concat_values(&present, 0)?);
    }
    Ok(all)
}

/// Attention of an input and a weight of integers, each with a scale and a zero point behind the other operands.
fn quantised_attention(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = eight_bits::dequantised(context, call, [0, 3, 6], 0)?;
    let weight = eight_bits::dequantised(context, call, [1, 4, 7], 1)?;
    let [bias, mask, past] = [2, 5, 8].map(|place| call.input(place).cloned());
    let inputs = vec![Some(x), Some(weight), bias, mask, past];
    attention(context, &call.with(inputs))
}

fn check_attributes(call: &Call<'_>, known: &[&str]) -> Lowered<()> {
    for attribute in &call.node.attribute {
        let name = attribute.name.as_deref().unwrap_or_default();
        // What is 0 is the default.
        let is_set = attribute.i.unwrap_or(0) != 0 || attribute.f.unwrap_or(0.0) != 0.0;
        if !known.contains(&name) && is_set {
            return unsupported(format!("attribute `{name}` of attention; export it as MatMul and Softmax"));
        }
    }
    Ok(())
}

/// Attention of three inputs, which a bias may be added to.
fn multi_head_attention(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let heads = arrays::size(call.int("num_heads", 0)?)?;
    check_attributes(call, &["num_heads", "unidirectional", "scale", "mask_filter_value"])?;
    if call.input(8).is_some() || call.input(9).is_some() {
        return unsupported("a cache with room; give the keys and values that were there before alone");
    }
    if call.input(1).is_none() || call.input(2).is_none() {
        return unsupported("queries, keys and values packed into one");
    }
    let bias = match call.input(3) {
        None => None,
        Some(_) => Some(call.constant(3)?),
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for place in 0..3 {
        let mut part = call.required(place)?.clone();
        if let Some(bias) = &bias {
            let width = part.shape().last().copied().unwrap_or(0);
            let own: Vec<f32> = bias.array().iter().skip(start).take(width).copied().collect();
            if own.len() != width || part.shape().len() != 3 {
                return invalid("its bias does not fit its operands");
            }
            let x = context.tensor_of(&part)?;
            part = context.offset_privately(&x, &crate::value::vector(own))?.into();
            start += width;
        }
        parts.push(split(context, &part, heads)?);
    }
    let [query, key, value] = parts.as_slice() else { return invalid("it has not three parts") };
    let parts = Heads { query: query.clone(), key: key.clone(), value: value.clone(), past: 0 };
    let parts = parts.behind(context, [call.input(6), call.input(7)])?;
    let present = [parts.key.clone(), parts.value.clone()];
    let mut all = attended(context, call, parts, call.input(4).cloned(), call.input(5).cloned())?;
    all.extend(present);
    Ok(all)
}

fn attended(
    context: &mut Context,
    call: &Call<'_>,
    parts: Heads,
    mask: Option<Value>,
    addend: Option<Value>,
) -> Lowered<Vec<Value>> {
    let turned = context.transpose_value(&parts.key, &[0, 1, 3, 2])?;
    let (query, key) = (context.tensor_of(&parts.query)?, context.tensor_of(&turned)?);
    let size = query.shape[3];
    let scale = match call.float("scale", 0.0)? {
        0.0 => 1.0 / (size as f32).sqrt(),
        scale => scale,
    };
    let products = context.matrix_product(&query, &key)?;
    let mut scores = context.scale(&products, scale)?;
    let [batch, rows, columns] = [scores.shape[0], scores.shape[2], scores.shape[3]];
    if let Some(addend) = addend {
        scores = match &addend {
            Value::Node(addend) => context.add(&scores, addend)?,
            constant => {
                let constant = real(constant)?.array().mapv(|value| value.max(MASK));
                context.offset_by(&scores, &constant)?
            }
        };
    }
    if call.int("unidirectional", 0)? != 0 {
        context.charge(rows.saturating_mul(columns))?;
        let hidden = ArrayD::from_shape_fn(IxDyn(&[rows, columns]), |place| {
            // The last row sees all, also where there are more keys than queries.
            let is_hidden = place[0] + 1 < rows && place[1] > place[0] + parts.past;
            // Further below than what a mask hides: a row that has nothing else takes this.
            if is_hidden { 2.0 * MASK } else { 0.0 }
        });
        scores = context.offset_by(&scores, &hidden)?;
    }
    if let Some(mask) = mask {
        scores = masked(context, &scores, &mask, [batch, rows, columns], hiding(call)?)?;
    }
    let weights = softmax::along(context, &scores, 3, false)?;
    let value = context.tensor_of(&parts.value)?;
    let y = context.matrix_product(&weights, &value)?;
    let y = context.transpose(&y, &[0, 2, 1, 3])?;
    let shape = [y.shape[0], y.shape[1], y.shape[2] * y.shape[3]];
    Ok([context.reshape(&y, &shape)?.into()].into())
}

/// The number that a mask adds to what it hides, as far as it is below the scores.
fn hiding(call: &Call<'_>) -> Lowered<f32> {
    Ok(call.float("mask_filter_value", -10_000.0)?.max(MASK))
}

/// Scores under a mask that is above 0 where a key is seen, or that counts the keys of each sequence.
fn masked(
    context: &mut Context,
    scores: &Tensor,
    mask: &Value,
    [batch, rows, columns]: [usize; 3],
    far: f32,
) -> Lowered<Tensor> {
    let shape = match mask.shape() {
        [first, last] if *last == columns && *first == batch => vec![batch, 1, 1, columns],
        [first, middle, last] if *last == columns && *middle == rows && *first == batch => {
            vec![batch, 1, rows, columns]
        }
        [count] if *count == batch && batch > 0 => {
            let lengths = match mask {
                Value::Integer(lengths) => lengths,
                Value::Node(lengths) => {
                    let seen = elementwise::before(context, lengths, columns)?;
                    return masked(context, scores, &seen.into(), [batch, rows, columns], far);
                }
                _ => return unsupported("lengths that are no integers"),
            };
            let hidden = ArrayD::from_shape_fn(IxDyn(&[batch, 1, 1, columns]), |place| {
                if (place[3] as i64) < lengths[[place[0]]] { 0.0 } else { far }
            });
            return context.offset_by(scores, &hidden);
        }
        other => return unsupported(format!("a mask of shape {other:?}")),
    };
    let mask = context.reshape_value(mask, &shape)?;
    match &mask {
        Value::Node(mask) => {
            let is_boolean = context.whole(mask.id) == Some(Whole::Boolean);
            let seen = if is_boolean { mask.clone() } else { elementwise::beyond(context, mask, 0.5)? };
            let scaled = context.scale(&seen, -far)?;
            let hidden = context.offset(&scaled, far)?;
            context.add(scores, &hidden)
        }
        Value::Integer(seen) => {
            let hidden = seen.mapv(|seen| if seen > 0 { 0.0 } else { far });
            context.offset_by(scores, &hidden)
        }
        _ => unsupported("a mask of real numbers"),
    }
}

/// A convolution, an addend, and an activation.
fn fused_convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let inner = call.with(call.inputs.iter().take(3).cloned().collect());
    let y = convolution::convolution(context, &inner)?;
    let [Value::Node(y)] = y.as_slice() else { return invalid("it has no private operand") };
    let y = match call.input(3) {
        Some(addend) => {
            let addend = context.tensor_of(addend)?;
            context.add(y, &addend)?
        }
        None => y.clone(),
    };
    Ok([activated(context, call, &y, "activation_params")?.into()].into())
}

fn activated(context: &mut Context, call: &Call<'_>, x: &Tensor, parameters: &str) -> Lowered<Tensor> {
    let name = call.string("activation", "")?;
    let parameters = call.floats(parameters)?.unwrap_or_default();
    activation::named(context, &name, [0, 1].map(|place| parameters.get(place).copied()), x)
}

fn fused_gemm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let y = linear::gemm(context, call)?;
    let [Value::Node(y)] = y.as_slice() else { return invalid("it has no private operand") };
    let numbers = [call.float("activation_alpha", 0.0)?, call.float("activation_beta", 0.0)?].map(Some);
    let has_alpha = call.node.attribute.iter().any(|one| one.name.as_deref() == Some("activation_alpha"));
    let name = call.string("activation", "")?;
    let y = activation::named(context, &name, if has_alpha { numbers } else { [None; 2] }, y)?;
    Ok([y.into()].into())
}

/// An LSTM whose weights are integers of 8 bits, [directions, inputs, 4·hidden], with a scale for each direction or column.
fn quantised_lstm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut inputs = call.inputs.clone();
    for (place, scale) in [(1, 8), (2, 10)] {
        let weight = call.constant(place)?;
        let weight = weight.array();
        let &[directions, _, columns] = weight.shape() else { return invalid("its weight has not three axes") };
        context.charge(weight.len().saturating_mul(3))?;
        let laid_out = |index: usize| -> Lowered<Option<ArrayD<f32>>> {
            let Some(constant) = call.optional_constant(index)? else { return Ok(None) };
            let array = constant.array();
            let last = if array.len() == directions { 1 } else { columns };
            arrays::reshape(array, &[directions, 1, last]).map(Some)
        };
        let Some(scale_of) = laid_out(scale)? else { return invalid("its weight has no scale") };
        let zero = laid_out(scale + 1)?.unwrap_or_else(|| arrays::scalar_like(0.0));
        let centred = arrays::zip(weight, &zero, |&value, &zero| Ok(value - zero))?;
        let real = arrays::zip(&centred, &scale_of, |&value, &scale| Ok(value * scale))?;
        inputs[place] = Some(Value::constant(arrays::transpose(&real, &[0, 2, 1])));
    }
    inputs.truncate(8);
    let inner = call.with(inputs);
    recurrent::lstm(context, &inner)
}

/// α·op(A)·op(B)
fn fused_product(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut operands = Vec::new();
    for (place, [matrix, batch]) in [["transA", "transBatchA"], ["transB", "transBatchB"]].into_iter().enumerate() {
        let value = call.required(place)?;
        let rank = value.shape().len();
        let mut permutation: Vec<usize> = (0..rank).collect();
        if call.int(batch, 0)? != 0 && rank > 2 {
            // The first axis goes behind the others of the batch.
            permutation[..rank - 1].rotate_left(1);
        }
        if call.int(matrix, 0)? != 0 && rank > 1 {
            permutation.swap(rank - 2, rank - 1);
        }
        operands.push(Some(context.transpose_value(value, &permutation)?));
    }
    let inner = call.with(operands);
    let y = linear::mat_mul(context, &inner)?;
    let [Value::Node(y)] = y.as_slice() else { return invalid("it has no private operand") };
    Ok([context.scale(y, call.float("alpha", 1.0)?)?.into()].into())
}
