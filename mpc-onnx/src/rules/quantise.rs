//! Quantised models, read as the real numbers that they stand for.

use mpc_protocols::function::Function;
use ndarray::ArrayD;
use rten_onnx::onnx::DataType;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Quantisation, Whole, real};
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::rules::{elementwise, integer, rounding};
use crate::value::{Constant, Tensor, Value};

fn parameters(context: &mut Context, call: &Call<'_>, shape: &[usize]) -> Lowered<Quantisation> {
    let (axis, block) = (call.int("axis", 1)?, arrays::size(call.int("block_size", 0)?)?);
    let axis = if call.constant(1)?.array().len() == 1 { 0 } else { arrays::axis(axis, shape.len())? };
    laid(context, shape, (axis, block), call.input(1), call.input(2))
}

/// A scale and a zero point, laid out to broadcast over a tensor whose axis they are for.
pub(super) fn laid_out(
    context: &mut Context,
    shape: &[usize],
    axis: usize,
    scale: Option<&Value>,
    zero: Option<&Value>,
) -> Lowered<Quantisation> {
    laid(context, shape, (axis, 0), scale, zero)
}

fn laid(
    context: &mut Context,
    shape: &[usize],
    (axis, block): (usize, usize),
    scale: Option<&Value>,
    zero: Option<&Value>,
) -> Lowered<Quantisation> {
    let Some(scale) = scale else { return invalid("it has no scale") };
    if scale.is_private() || zero.is_some_and(Value::is_private) {
        return unsupported("a scale or zero point that depends on the private input");
    }
    let scale = real(scale)?;
    let zero = match zero {
        Some(zero) => real(zero)?,
        None => Constant::new(ArrayD::zeros(scale.array().raw_dim())),
    };
    // A comparison with NaN is false.
    if !scale.array().iter().all(|&scale| scale > 0.0) {
        return invalid("a scale is not positive");
    }
    if scale.array().iter().any(|scale| scale.is_infinite()) {
        return invalid("a scale is infinite, as of a mask of −∞: export it with a finite number, such as −10000");
    }
    if zero.array().len() != scale.array().len() {
        return invalid("its scale and zero point differ in length");
    }
    let mut laid = |array: &ArrayD<f32>| -> Lowered<ArrayD<f32>> {
        if array.len() == 1 {
            return arrays::reshape(array, &[1]);
        }
        if axis >= shape.len() {
            return invalid("its scale is for an axis that is not there");
        }
        if array.ndim() == 1 && array.len() == shape[axis] {
            let mut sizes = vec![1; shape.len()];
            sizes[axis] = array.len();
            return arrays::reshape(array, &sizes);
        }
        blocks(context, array, axis, block, shape)
    };
    let [scale, zero] = [laid(scale.array())?, laid(zero.array())?].map(|array| arrays::compact(&array));
    Ok(Quantisation { scale, zero, is_dynamic: false })
}

/// One entry for each block along an axis, repeated.
fn blocks(
    context: &mut Context,
    array: &ArrayD<f32>,
    axis: usize,
    block: usize,
    shape: &[usize],
) -> Lowered<ArrayD<f32>> {
    let mut expected = shape.to_vec();
    expected[axis] = shape[axis].checked_div(block).map_or(0, |_| shape[axis].div_ceil(block));
    if array.shape() != expected {
        return invalid("its scale has another shape than its input");
    }
    context.charge(arrays::elements(shape)?)?;
    Ok(arrays::gather(array, axis, &(0..shape[axis]).map(|i| i / block).collect::<Vec<_>>()))
}

/// (q − zero)·scale. A private value stands for its real number already.
pub(super) fn dequantise(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let parameters = parameters(context, call, value.shape())?;
    Ok([dequantised(context, value, parameters)?].into())
}

pub(crate) fn dequantised(context: &mut Context, value: &Value, parameters: Quantisation) -> Lowered<Value> {
    if let Value::Node(x) = value {
        return Ok(requantised(context, x, parameters)?.into());
    }
    let Quantisation { scale, zero, .. } = parameters;
    // Weights of 8-bit floats are real numbers as they are.
    let real = real(value)?;
    context.charge(real.array().len().saturating_mul(3))?;
    let centred = arrays::zip(real.array(), &zero, |&q, &zero| Ok(q - zero))?;
    Ok(Value::constant(arrays::zip(&centred, &scale, |&q, &scale| Ok(q * scale))?))
}

/// A private value stands for its real number already, unless other parameters read it than wrote it, or it is an integer
/// of the file's that nothing quantised.
fn requantised(context: &mut Context, x: &Tensor, new: Quantisation) -> Lowered<Tensor> {
    let Some(old) = context.quantisation(x.id).cloned() else {
        if !context.is_typed(x.id) {
            return Ok(x.clone());
        }
        let x = context.retyped(x, false)?;
        let centred = context.offset_by(&x, &new.zero.mapv(|zero| -zero))?;
        return context.scale_by(&centred, &new.scale);
    };
    if new == old {
        return Ok(x.clone());
    }
    // (x/old + old zero − new zero)·new
    let factor = arrays::zip(&new.scale, &old.scale, |&new, &old| Ok(new / old))?;
    let zeros = arrays::zip(&old.zero, &new.zero, |&old, &new| Ok(old - new))?;
    let x = context.scale_by(x, &factor)?;
    context.offset_by(&x, &arrays::zip(&zeros, &new.scale, |&zero, &scale| Ok(zero * scale))?)
}

/// The range of the quantised type: that of the zero point, or what an attribute says.
fn limits(call: &Call<'_>) -> Lowered<Option<(f32, f32)>> {
    let declared = call.int("output_dtype", 0)?;
    let kind =
        if declared == 0 || call.operand_type != DataType::UINT8.0 { i64::from(call.operand_type) } else { declared };
    // Of the types that files quantise to.
    let limits = integer::limits_of(kind).filter(|(lowest, highest)| (3..=65_535).contains(&(highest - lowest)));
    Ok(limits.map(|(lowest, highest)| (lowest as f32, highest as f32)))
}

/// A private value keeps its real number, within what the quantised type can stand for. A constant is rounded.
pub(super) fn quantise(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let limits = limits(call)?;
    let parameters = parameters(context, call, value.shape())?;
    if let Value::Node(x) = value {
        return Ok([limited(context, call, x, limits, parameters)?.into()].into());
    }
    Ok([in_integers(context, &real(value)?, limits, &parameters)?].into())
}

/// The integers of a constant.
fn in_integers(
    context: &mut Context,
    constant: &Constant,
    limits: Option<(f32, f32)>,
    parameters: &Quantisation,
) -> Lowered<Value> {
    let Some((low, high)) = limits else { return unsupported("a quantised type that is not known here") };
    context.charge(constant.array().len().saturating_mul(3))?;
    let steps = arrays::zip(constant.array(), &parameters.scale, |&x, &scale| Ok((x / scale).round_ties_even()))?;
    let quantised = arrays::zip(&steps, &parameters.zero, |&x, &zero| Ok(x + zero))?;
    if quantised.iter().any(|value| value.is_nan()) {
        return Err(Problem::Range);
    }
    Ok(Value::integer(quantised.mapv(|value| value.clamp(low, high) as i64)))
}

/// A result of an operator on quantised integers.
pub(super) fn quantised(context: &mut Context, call: &Call<'_>, y: &Value, parameters: Quantisation) -> Lowered<Value> {
    match y {
        Value::Node(y) => limited(context, call, y, limits(call)?, parameters).map(Value::Node),
        constant => in_integers(context, &real(constant)?, limits(call)?, &parameters),
    }
}

/// The integers that quantised real numbers are in the file: a step is the scale, and 0 the zero point.
pub(crate) fn in_steps(context: &mut Context, x: &Tensor, parameters: Quantisation) -> Lowered<Tensor> {
    let steps = context.scale_by(x, &parameters.scale.mapv(|scale| scale.recip()))?;
    let steps = rounding::round(context, &steps)?;
    let y = context.offset_by(&steps, &parameters.zero)?;
    context.note_whole(y.id, Whole::Integer);
    Ok(y)
}

/// The value within what each element's scale and zero point make of the type's limits.
fn limited(
    context: &mut Context,
    call: &Call<'_>,
    x: &Tensor,
    limits: Option<(f32, f32)>,
    parameters: Quantisation,
) -> Lowered<Tensor> {
    let Some((low, high)) = limits else {
        return match call.operand_type {
            0 => unsupported("the type of its zero point is not known; make it a weight of the file"),
            _ if call.is_output => unsupported("an output of floats of 8 bits; end the network with DequantizeLinear"),
            // Wider than what a private value can be.
            _ => Ok(x.clone()),
        };
    };
    let bound = |limit: f32| arrays::zip(&parameters.zero, &parameters.scale, |&zero, &step| Ok((limit - zero) * step));
    let (low, high) = (bound(low)?, bound(high)?);
    if call.masking.sign != 0.0 {
        elementwise::note_unknown(context, call, x);
    }
    let coarse = match parameters.scale.as_slice() {
        Some(&[step]) if call.masking.sign > 0.0 => elementwise::in_coarse_steps(context, x, step)?,
        _ => x.clone(),
    };
    let (y, is_hidden) = match (low.as_slice(), high.as_slice()) {
        (Some(&[low]), Some(&[high])) => {
            let far = if call.masking.sign > 0.0 { low } else { -high };
            (context.function(&coarse, Function::Clip { low, high })?, far <= elementwise::MASK)
        }
        _ => {
            let above = elementwise::with_constant(context, "Max", &coarse, &Constant::new(low))?;
            (elementwise::with_constant(context, "Min", &above, &Constant::new(high))?, true)
        }
    };
    // Masks beyond the limits are none any more.
    if is_hidden && elementwise::is_alone(context, x) {
        elementwise::note_alone(context, &y);
    } else if let Some(masks) = context.masks(x.id).filter(|_| is_hidden) {
        context.note_masks(y.id, masks.to_vec());
    }
    context.note_quantisation(y.id, parameters);
    Ok(y)
}
