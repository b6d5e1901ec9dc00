//! Layers that hand a state from one step to the next, of opset 27: linear attention, and the causal convolution before it.

use mpc_protocols::function::Function;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::MAX_STEPS;
use crate::rules::convolution::{self, private};
use crate::rules::geometry::Windows;
use crate::value::{Tensor, Value};

/// A convolution of each channel by itself over the present and the past; the second result is what the next call needs of it.
pub(super) fn causal_convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (x, weight) = (call.required(0)?, call.required(1)?);
    let (&[_, channels, length], &[own, 1, kernel]) = (x.shape(), weight.shape()) else {
        return invalid("its input or weight has not three axes, or its channels see each other");
    };
    if own != channels || kernel == 0 || length == 0 {
        return invalid("its channels do not fit its weight");
    }
    let padded = match call.input(3) {
        Some(past) => context.concat_values(&[past.clone(), x.clone()], 2)?,
        None => context.pad_value(x, &[0, 0, kernel - 1], &[0; 3])?,
    };
    if padded.shape()[2] != length + kernel - 1 {
        return invalid("its state does not fit its weight");
    }
    let windows = Windows {
        kernel: vec![kernel],
        stride: vec![1],
        dilation: vec![1],
        before: vec![0],
        after: vec![0],
        count: vec![length],
        declared_after: vec![0],
    };
    let tensor = context.tensor_of(&padded)?;
    let mut y = if (1..3).any(|place| call.input(place).is_some_and(Value::is_private)) {
        let weight = context.tensor_of(weight)?;
        let y = private::convolved(context, &tensor, &weight, &windows)?;
        private::with_bias(context, &y, call.input(2))?
    } else {
        let (weight, bias) = (call.constant(1)?.array().clone(), convolution::bias(call, channels)?);
        convolution::convolve(context, &tensor, weight, bias, &windows, channels)?
    };
    y = match call.string("activation", "none")?.as_str() {
        "none" => y,
        "silu" | "swish" => context.function(&y, Function::Silu)?,
        other => return invalid(format!("activation `{other}` is not known")),
    };
    if !call.is_used(1) {
        return Ok([y.into()].into());
    }
    let last = context.range(length, length + kernel - 1)?;
    Ok([y.into(), context.gather_value(&padded, 2, &last)?].into())
}

/// [batch, steps, heads·size] → [batch, heads, steps, size]
fn split(context: &mut Context, value: &Value, heads: usize) -> Lowered<Tensor> {
    let &[batch, steps, width] = value.shape() else { return invalid("an operand has not three axes") };
    if heads == 0 || width % heads != 0 || width == 0 {
        return invalid("its heads do not divide its operand");
    }
    let value = context.reshape_value(value, &[batch, steps, heads, width / heads])?;
    let value = context.transpose_value(&value, &[0, 2, 1, 3])?;
    context.tensor_of(&value)
}

/// The operands of a linear attention, by heads.
struct Operands {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    /// The exponentials of the decays.
    decay: Option<Tensor>,
    beta: Option<Tensor>,
    /// The heads of the state that each head of the query reads.
    served: Vec<usize>,
    scale: f32,
}

impl Operands {
    fn new(context: &mut Context, call: &Call<'_>) -> Lowered<Self> {
        let (q_heads, heads) =
            (arrays::size(call.int("q_num_heads", 0)?)?, arrays::size(call.int("kv_num_heads", 0)?)?);
        let query = split(context, call.required(0)?, q_heads)?;
        let (key, value) = (split(context, call.required(1)?, heads)?, split(context, call.required(2)?, heads)?);
        let (steps, size) = (query.shape[2], query.shape[3]);
        let is_same = |x: &Tensor| x.shape[0] == query.shape[0] && x.shape[2] == steps;
        if q_heads % heads != 0 || key.shape[3] != size || !is_same(&key) || !is_same(&value) {
            return invalid("its heads or steps do not fit together");
        }
        if steps > MAX_STEPS {
            return unsupported(format!("more than {MAX_STEPS} steps"));
        }
        let rule = call.string("update_rule", "gated_delta")?;
        let (has_decay, has_beta) = match rule.as_str() {
            "linear" => (false, false),
            "gated" => (true, false),
            "delta" => (false, true),
            "gated_delta" => (true, true),
            other => return invalid(format!("update rule `{other}` is not known")),
        };
        let decay = if has_decay {
            let decay = split(context, call.required(4)?, heads)?;
            Some(context.function(&decay, Function::Exp)?)
        } else {
            None
        };
        let beta = if has_beta {
            let beta = call.required(5)?;
            let own = beta.shape().last().copied().unwrap_or(0);
            Some(split(context, beta, own)?)
        } else {
            None
        };
        if [&decay, &beta].into_iter().flatten().any(|x| !is_same(x)) {
            return invalid("its decays or rates do not fit its steps");
        }
        let scale = match call.float("scale", 0.0)? {
            0.0 => 1.0 / (size as f32).sqrt(),
            scale => scale,
        };
        let served = (0..q_heads).map(|head| head / (q_heads / heads)).collect();
        Ok(Self { query, key, value, decay, beta, served, scale })
    }

    /// The state behind a step: e^g·S + k ⊗ v, where v is β·(v − k·S) if there is a rate.
    fn step(&self, context: &mut Context, state: Option<Tensor>, step: usize) -> Lowered<Tensor> {
        let at = |context: &mut Context, x: &Tensor| context.slice(x, 2, step, step + 1);
        let (key, mut value) = (at(context, &self.key)?, at(context, &self.value)?);
        let state = match (state, &self.decay) {
            (Some(state), Some(decay)) => {
                let decay = at(context, decay)?;
                let decay = context.transpose_last(&decay)?;
                Some(context.multiply(&state, &decay)?)
            }
            (state, _) => state,
        };
        if let Some(beta) = &self.beta {
            let beta = at(context, beta)?;
            if let Some(state) = &state {
                let known = context.matrix_product(&key, state)?;
                value = context.subtract(&value, &known)?;
            }
            value = context.multiply(&value, &beta)?;
        }
        let column = context.transpose_last(&key)?;
        let update = context.matrix_product(&column, &value)?;
        match state {
            Some(state) => context.add(&state, &update),
            None => Ok(update),
        }
    }
}

/// Attention without a softmax: what it knows of the past is one matrix for each head.
pub(super) fn linear_attention(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let operands = Operands::new(context, call)?;
    let &[batch, q_heads, steps, size] = operands.query.shape.as_slice() else { return invalid("its query") };
    let width = operands.value.shape[3];
    let mut state = match call.input(3) {
        None => None,
        Some(past) if past.shape() == [batch, operands.key.shape[1], size, width] => Some(context.tensor_of(past)?),
        Some(_) => return invalid("its state does not fit its heads"),
    };
    let mut rows = Vec::new();
    for step in 0..steps {
        let new = operands.step(context, state.take(), step)?;
        let read = context.gather(&new, 1, &operands.served)?;
        let query = context.slice(&operands.query, 2, step, step + 1)?;
        rows.push(context.matrix_product(&query, &read)?);
        state = Some(new);
    }
    let Some(state) = state else { return invalid("it has no steps") };
    let y = context.join(&rows, 2)?;
    let y = context.scale(&y, operands.scale)?;
    let y = context.transpose(&y, &[0, 2, 1, 3])?;
    let y = context.reshape(&y, &[batch, steps, q_heads * width])?;
    Ok([y.into(), state.into()].into())
}
