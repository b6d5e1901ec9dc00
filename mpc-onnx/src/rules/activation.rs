//! Activations.

use mpc_protocols::function::Function;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::rules::elementwise;
use crate::value::{Constant, Tensor, Value};

/// Whether the operator is a function of each element.
pub(super) fn is_function(operator: &str) -> bool {
    const NAMES: [&str; 18] = [
        "ThresholdedRelu",
        "Relu",
        "LeakyRelu",
        "Sigmoid",
        "Tanh",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Softsign",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "FastGelu",
        "Mish",
        "Swish",
        "Silu",
        "QuickGelu",
    ];
    NAMES.contains(&operator)
}

pub(super) fn function(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let function = match call.operator() {
        "Relu" => return Ok([context.relu(x)?.into()].into()),
        "LeakyRelu" => Function::LeakyRelu { slope: call.float("alpha", 0.01)? },
        "Sigmoid" => Function::Sigmoid,
        "Tanh" => Function::Tanh,
        "HardSigmoid" => Function::HardSigmoid { alpha: call.float("alpha", 0.2)?, beta: call.float("beta", 0.5)? },
        "HardSwish" => Function::HardSwish,
        "Softplus" => Function::Softplus,
        "Elu" => Function::Elu { alpha: call.float("alpha", 1.0)? },
        "Selu" => Function::Selu { alpha: call.float("alpha", 1.673_263_2)?, gamma: call.float("gamma", 1.050_701)? },
        "Celu" => Function::Celu { alpha: positive(call.float("alpha", 1.0)?)? },
        "Mish" => Function::Mish,
        "Silu" => Function::Silu,
        "FastGelu" if call.input(1).is_none() => Function::GeluTanh,
        "Gelu" => match call.string("approximate", "none")?.as_str() {
            "none" => Function::Gelu,
            "tanh" => Function::GeluTanh,
            other => return invalid(format!("approximation `{other}` is not known")),
        },
        "Swish" | "QuickGelu" => {
            let default = if call.operator() == "Swish" { 1.0 } else { 1.702 };
            return Ok([context.swish(x, call.float("alpha", default)?)?.into()].into());
        }
        "ThresholdedRelu" => {
            return Ok([elementwise::thresholded(context, x, call.float("alpha", 1.0)?)?.into()].into());
        }
        "Softsign" => return Ok([softsign(context, x)?.into()].into()),
        _ => return unsupported("this form of it is not known here"),
    };
    Ok([context.function(x, function)?.into()].into())
}

/// x / (1 + |x|)
fn softsign(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let magnitude = context.function(x, Function::Abs)?;
    let divisor = context.offset(&magnitude, 1.0)?;
    context.quotient(x, &divisor, true)
}

/// An activation by its name and its numbers, alpha and beta, as recurrent and fused operators have them; no name is none.
pub(super) fn named(context: &mut Context, name: &str, [alpha, beta]: [Option<f32>; 2], x: &Tensor) -> Lowered<Tensor> {
    let or = |number: Option<f32>, default: f32| number.unwrap_or(default);
    let function = match name {
        "" => return Ok(x.clone()),
        "Relu" => return context.relu(x),
        "LeakyRelu" => Function::LeakyRelu { slope: or(alpha, 0.01) },
        "Sigmoid" => Function::Sigmoid,
        "Tanh" => Function::Tanh,
        "HardSigmoid" => Function::HardSigmoid { alpha: or(alpha, 0.2), beta: or(beta, 0.5) },
        "Elu" => Function::Elu { alpha: or(alpha, 1.0) },
        "Softplus" => Function::Softplus,
        "Clip" => Function::Clip { low: or(alpha, f32::NEG_INFINITY), high: or(beta, f32::INFINITY) },
        "Softsign" => return softsign(context, x),
        "ThresholdedRelu" => return elementwise::thresholded(context, x, or(alpha, 1.0)),
        "Affine" => {
            let scaled = context.scale(x, or(alpha, 1.0))?;
            return context.offset(&scaled, or(beta, 0.0));
        }
        "ScaledTanh" => {
            let (Some(alpha), Some(beta)) = (alpha, beta) else { return invalid("its ScaledTanh has not two numbers") };
            let scaled = context.scale(x, beta)?;
            let bent = context.function(&scaled, Function::Tanh)?;
            return context.scale(&bent, alpha);
        }
        other => return unsupported(format!("activation `{other}`")),
    };
    context.function(x, function)
}

/// x outside of −λ to λ, moved towards 0, else 0.
pub(super) fn shrink(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let (bias, limit) = (call.float("bias", 0.0)?, call.float("lambd", 0.5)?);
    let opposite = context.scale(x, -1.0)?;
    let mut sides = Vec::new();
    for side in [x, &opposite] {
        let moved = context.offset(side, -bias)?;
        let beyond = elementwise::beyond(context, side, limit)?;
        sides.push(context.multiply(&moved, &beyond)?);
    }
    Ok([context.subtract(&sides[0], &sides[1])?.into()].into())
}

fn positive(alpha: f32) -> Lowered<f32> {
    if alpha > 0.0 { Ok(alpha) } else { Err(Problem::Invalid("its alpha is not positive".into())) }
}

pub(super) fn clip(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.opset >= 11 && [1, 2].iter().any(|&index| call.input(index).is_some_and(Value::is_private)) {
        return clip_privately(context, call);
    }
    let (low, high) = if call.opset < 11 {
        (call.float("min", f32::NEG_INFINITY)?, call.float("max", f32::INFINITY)?)
    } else {
        let low = call.optional_scalar(1)?.unwrap_or(f32::NEG_INFINITY);
        (low, call.optional_scalar(2)?.unwrap_or(f32::INFINITY))
    };
    // The largest float stands for no limit in files of old exporters.
    let low = if low <= f32::MIN { f32::NEG_INFINITY } else { low };
    let high = if high >= f32::MAX { f32::INFINITY } else { high };
    Ok([match call.required(0)? {
        Value::Node(x) if low == f32::NEG_INFINITY && high == f32::INFINITY => x.clone().into(),
        Value::Node(x) if low == 0.0 && high == f32::INFINITY => context.relu(x)?.into(),
        // The definition of a clip with crossed limits: the upper one holds.
        Value::Node(x) => context.function(x, Function::Clip { low: low.min(high), high })?.into(),
        Value::Constant(constant) => Value::constant(constant.array().mapv(|x| x.max(low).min(high))),
        Value::Integer(array) => {
            let limit = |index: usize, default: i64| match call.optional_integers(index)?.as_deref() {
                Some(&[value]) => Ok(value),
                None => Ok(default),
                _ => invalid("a limit is not one number"),
            };
            let (low, high) = (limit(1, i64::MIN)?, limit(2, i64::MAX)?);
            Value::integer(array.mapv(|x| x.max(low).min(high)))
        }
        Value::Tokens { .. } => return unsupported("it takes a private input of integers; cast it to floats first"),
    }]
    .into())
}

/// min(max(x, low), high) with limits that depend on a private input.
fn clip_privately(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut value = call.required(0)?.clone();
    for (index, operator) in [(1, "Max"), (2, "Min")] {
        if let Some(limit) = call.input(index) {
            let inputs = vec![Some(value), Some(limit.clone())];
            let inner = call.with(inputs);
            let [result] = elementwise::named(context, &inner, operator)?.try_into().unwrap_or([Value::scalar(0)]);
            value = result;
        }
    }
    Ok([value].into())
}

/// relu(x) − slope·relu(−x), with a private slope.
pub(super) fn prelu(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let positive = context.relu(x)?;
    // −relu(−x) = x − relu(x)
    let negative = context.subtract(x, &positive)?;
    let sloped = match call.required(1)? {
        Value::Node(slope) => context.multiply(&negative, slope)?,
        _ => {
            let mut slope = call.constant(1)?;
            let count = slope.array().len();
            let is_row = call.opset >= 7 && x.shape.last() == Some(&count);
            if slope.array().ndim() == 1 && x.rank() > 2 && x.shape[1] == count && !is_row {
                // One slope for each channel, as the first files have it.
                let mut shape = vec![1; x.rank() - 1];
                shape[0] = x.shape[1];
                slope = Constant::new(arrays::reshape(slope.array(), &shape)?);
            }
            if arrays::broadcast_shape(&x.shape, slope.array().shape())? != x.shape {
                return invalid("its slope has another shape");
            }
            context.scale_privately(&negative, slope.array())?
        }
    };
    Ok([context.add(&positive, &sloped)?.into()].into())
}
