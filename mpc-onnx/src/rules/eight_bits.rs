//! Operators on quantised integers, read as the real numbers that these stand for.
//!
//! A private value stands for its real number from the node on that quantised it. Sums of products of integers are kept in
//! units of 128, so that they stay in the range of a private value until the scale behind them is applied.

pub(super) mod of_runtime;

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Quantisation, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::quantise::{self, laid_out};
use crate::rules::{convolution, elementwise, linear, pool, softmax};
use crate::value::{Constant, Tensor, Value};

/// The divisor of weights of integers, with which sums of their products are multiplied later.
const UNIT: f32 = 128.0;

/// A scale of 1 and a zero point of 0: the value stands for itself, and its scale is found by nobody.
pub(super) fn dynamic(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.is_output {
        return unsupported("quantised integers, or their scale, as an output");
    }
    let x = call.tensor(0)?;
    let one = Value::constant(arrays::scalar_like(1.0));
    // A node of its own, which is known to be quantised by these.
    let y = context.copy(x)?;
    let unit = |value: f32| ArrayD::from_elem([1].as_slice(), value);
    context.note_quantisation(y.id, Quantisation { scale: unit(1.0), zero: unit(0.0), is_dynamic: true });
    Ok([y.into(), one, Value::scalar(0)].into())
}

/// A private operand of an integer product: its real number, and the scale of its integers.
fn operand(context: &mut Context, value: &Value, zero: Option<&Value>) -> Lowered<(Value, f32)> {
    let zero = match zero {
        Some(zero) => real(zero)?,
        None => Constant::new(arrays::scalar_like(0.0)),
    };
    match value {
        Value::Node(x) => match context.quantisation(x.id).cloned() {
            Some(own) if own.is_uniform() => {
                let same = zero.array().iter().all(|&zero| Some(&zero) == own.zero.first());
                let scale = own.scale.first().copied().unwrap_or(1.0);
                if same { Ok((value.clone(), scale)) } else { unsupported("a zero point other than its operand's") }
            }
            Some(_) => unsupported("a private operand with a scale for each channel"),
            // Integers themselves.
            None => Ok((context.offset_by(x, &zero.array().mapv(|zero| -zero))?.into(), 1.0)),
        },
        constant => {
            let constant = real(constant)?;
            let centred = arrays::zip(constant.array(), zero.array(), |&q, &zero| Ok((q - zero) / UNIT))?;
            Ok((Value::constant(centred), 1.0 / UNIT))
        }
    }
}

/// The zero points of the columns of a matrix or of the rows of a kernel, laid out.
fn per_column(zero: Option<&Value>, shape: &[usize], axis: usize) -> Lowered<Option<Value>> {
    let Some(value) = zero else { return Ok(None) };
    let array = real(value)?;
    if array.array().len() == 1 || array.array().ndim() != 1 {
        return Ok(Some(value.clone()));
    }
    let mut sizes = vec![1; shape.len()];
    sizes[axis] = array.array().len();
    Ok(Some(Value::constant(arrays::reshape(array.array(), &sizes)?)))
}

/// The integers of a product of real numbers: not computed before a scale makes them smaller.
fn in_integers(context: &mut Context, y: &Tensor, scales: [f32; 2]) -> Lowered<Tensor> {
    context.scale_later(y, 1.0 / (scales[0] * scales[1]))
}

pub(super) fn matrix_product(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.is_output {
        return unsupported("sums of products of integers as an output; end the network behind their scale");
    }
    let (left, right) = (call.required(0)?, call.required(1)?);
    let column = right.shape().len().saturating_sub(1);
    let zeros = per_column(call.input(3), right.shape(), column)?;
    let left_zeros = per_column(call.input(2), left.shape(), left.shape().len().saturating_sub(2))?;
    let (x, scale) = operand(context, left, left_zeros.as_ref())?;
    let (y, other) = operand(context, right, zeros.as_ref())?;
    let inner = call.with(vec![Some(x), Some(y)]);
    let product = linear::mat_mul(context, &inner)?;
    let [Value::Node(product)] = product.as_slice() else { return invalid("it has no private operand") };
    Ok([in_integers(context, product, [scale, other])?.into()].into())
}

pub(super) fn convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.is_output {
        return unsupported("sums of products of integers as an output; end the network behind their scale");
    }
    let weight = call.required(1)?;
    let zeros = per_column(call.input(3), weight.shape(), 0)?;
    let (x, scale) = operand(context, call.required(0)?, call.input(2))?;
    let (weight, other) = operand(context, weight, zeros.as_ref())?;
    let inner = call.with(vec![Some(x), Some(weight)]);
    let product = convolution::convolution(context, &inner)?;
    let [Value::Node(product)] = product.as_slice() else { return invalid("it has no private operand") };
    Ok([in_integers(context, product, [scale, other])?.into()].into())
}

/// The real numbers of an operand with its scale and zero point.
pub(super) fn dequantised(context: &mut Context, call: &Call<'_>, places: [usize; 3], axis: usize) -> Lowered<Value> {
    let [value, scale, zero] = places.map(|place| call.input(place).cloned());
    let Some(value) = value else { return invalid("it has too few operands") };
    let parameters = laid_out(context, value.shape(), axis, scale.as_ref(), zero.as_ref())?;
    quantise::dequantised(context, &value, parameters)
}

/// A result with its scale and zero point.
fn quantised(context: &mut Context, call: &Call<'_>, y: &[Value], places: [usize; 2]) -> Lowered<Vec<Value>> {
    let [y] = y else { return invalid("it has not one result") };
    let [scale, zero] = places.map(|place| call.input(place).cloned());
    let parameters = laid_out(context, y.shape(), 1, scale.as_ref(), zero.as_ref())?;
    Ok([quantise::quantised(context, call, y, parameters)?].into())
}

/// The axes of an image with channels in the last one as they are with channels before the others, or back; none to move if an
/// attribute does not say that channels are the last.
fn turned(context: &mut Context, call: &Call<'_>, image: &Value, back: bool) -> Lowered<Value> {
    let rank = image.shape().len();
    if call.int("channels_last", 0)? == 0 && call.operator() != "NhwcMaxPool" || rank < 3 {
        return Ok(image.clone());
    }
    let mut axes: Vec<usize> = (0..rank).collect();
    if back {
        axes[1..].rotate_left(1)
    } else {
        axes[1..].rotate_right(1)
    }
    context.transpose_value(image, &axes)
}

/// A rule for images with channels before the other axes, where they may be the last.
fn on_images(
    context: &mut Context,
    call: &Call<'_>,
    operands: Vec<Option<Value>>,
    rule: impl FnOnce(&mut Context, &Call<'_>) -> Lowered<Vec<Value>>,
) -> Lowered<Vec<Value>> {
    let mut inner = call.with(operands);
    if let Some(Some(image)) = inner.inputs.first_mut() {
        *image = turned(context, call, image, false)?;
    }
    rule(context, &inner)?.iter().map(|y| turned(context, call, y, true)).collect()
}

/// onnxruntime's NhwcMaxPool.
pub(super) fn maximum(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    on_images(context, call, call.inputs.clone(), pool::maximum)
}

/// QLinearConv: x, its scale and zero point, w, its own, those of the result, and a bias in units of both scales.
pub(super) fn linear_convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = dequantised(context, call, [0, 1, 2], 1)?;
    let weight = dequantised(context, call, [3, 4, 5], 0)?;
    let bias = match call.optional_constant(8)? {
        None => None,
        Some(bias) => {
            let (own, other) = (call.constant(1)?, call.constant(4)?);
            let scale = own.array().first().copied().unwrap_or(1.0);
            let scales = arrays::zip(bias.array(), other.array(), |&bias, &other| Ok(bias * other * scale))?;
            Some(Value::constant(scales))
        }
    };
    let y = on_images(context, call, vec![Some(x), Some(weight), bias], convolution::convolution)?;
    quantised(context, call, &y, [6, 7])
}

/// QLinearMatMul, and onnxruntime's QLinearAdd and QLinearMul.
pub(super) fn linear_binary(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let rank = |place: usize| call.input(place).map_or(0, |value| value.shape().len());
    let left = dequantised(context, call, [0, 1, 2], rank(0).saturating_sub(2))?;
    let right = dequantised(context, call, [3, 4, 5], rank(3).saturating_sub(1))?;
    let inner = Call { masking: call.masking, ..call.with(vec![Some(left), Some(right)]) };
    let y = match call.operator() {
        "QLinearMatMul" => linear::mat_mul(context, &inner)?,
        "QLinearAdd" => elementwise::named(context, &inner, "Add")?,
        _ => elementwise::named(context, &inner, "Mul")?,
    };
    quantised(context, call, &y, [6, 7])
}

/// onnxruntime's operators of one operand: QLinearGlobalAveragePool, QLinearAveragePool, QLinearSigmoid, QLinearLeakyRelu and
/// QLinearSoftmax.
pub(super) fn linear_unary(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = dequantised(context, call, [0, 1, 2], 1)?;
    let slope = call.float("alpha", 0.01)?;
    let y = on_images(context, call, vec![Some(x)], |context, inner| match call.operator() {
        "QLinearGlobalAveragePool" => pool::global_average(context, inner),
        "QLinearAveragePool" => pool::average(context, inner),
        "QLinearSoftmax" => {
            let inner = Call { opset: call.int("opset", 13)?, ..call.with(inner.inputs.clone()) };
            softmax::softmax(context, &inner)
        }
        "QLinearSigmoid" => Ok([context.function(inner.tensor(0)?, Function::Sigmoid)?.into()].into()),
        _ => Ok([context.function(inner.tensor(0)?, Function::LeakyRelu { slope })?.into()].into()),
    })?;
    quantised(context, call, &y, [3, 4])
}

/// onnxruntime's MatMulNBits: a weight of few bits, blocks of each column with a scale of their own.
pub(super) fn few_bits(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let size = |name: &str| call.optional_int(name)?.map_or_else(|| invalid(format!("it has no {name}")), arrays::size);
    let (inner, outputs, block) = (size("K")?, size("N")?, size("block_size")?);
    let bits = arrays::size(call.int("bits", 4)?)?;
    if call.input(4).is_some() {
        return unsupported("columns in an order of their own");
    }
    if ![2, 4, 8].contains(&bits) || block == 0 || inner == 0 {
        return unsupported(format!("weights of {bits} bits, or blocks of {block}"));
    }
    let (packed, scales) = (call.integers(1)?, call.constant(2)?);
    let blocks = inner.div_ceil(block);
    let bytes = (block * bits).div_ceil(8);
    if packed.len() != outputs * blocks * bytes || scales.array().len() != outputs * blocks {
        return invalid("its weight has another size than its attributes say");
    }
    context.charge(outputs.saturating_mul(inner).saturating_mul(2))?;
    let mask = (1i64 << bits) - 1;
    let part = |list: &[i64], start: usize, i: usize| list[start + i * bits / 8] >> (i * bits % 8) & mask;
    // Zero points of a column are packed, too, and begin with a byte of their own; they may also be real.
    let zero_bytes = (blocks * bits).div_ceil(8);
    let zeros = match call.input(3) {
        None => None,
        Some(Value::Integer(zeros)) if zeros.len() == outputs * zero_bytes => {
            let zeros: Vec<i64> = zeros.iter().copied().collect();
            let all = (0..outputs * blocks).map(|place| part(&zeros, place / blocks * zero_bytes, place % blocks));
            Some(all.map(|zero| zero as f32).collect::<Vec<_>>())
        }
        Some(Value::Constant(zeros)) if zeros.array().len() == outputs * blocks => {
            Some(zeros.array().iter().copied().collect())
        }
        Some(_) => return invalid("its zero points have another size than its attributes say"),
    };
    let scales: Vec<f32> = scales.array().iter().copied().collect();
    let element = |output: usize, i: usize| {
        let place = output * blocks + i / block;
        let zero = zeros.as_ref().map_or((1 << (bits - 1)) as f32, |zeros| zeros[place]);
        (part(&packed, place * bytes, i % block) as f32 - zero) * scales[place]
    };
    let weight = (0..outputs).flat_map(|output| (0..inner).map(move |i| (output, i))).map(|(o, i)| element(o, i));
    let weight = arrays::from_elements(&[outputs, inner], weight.collect())?;
    let bias = call.optional_constant(5)?.map(|bias| bias.array().iter().copied().collect());
    Ok([context.linear(x, weight, bias)?.into()].into())
}

/// onnxruntime's DynamicQuantizeMatMul and MatMulIntegerToFloat: a product whose weight has a scale.
pub(super) fn scaled_product(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let is_dynamic = call.operator() == "DynamicQuantizeMatMul";
    // x, w, then the scales and zero points of those that have some, then the bias.
    let (scale, zero, bias) = if is_dynamic { (2, 3, 4) } else { (3, 5, 6) };
    let x = if is_dynamic { call.required(0)?.clone() } else { dequantised(context, call, [0, 2, 4], 0)? };
    let column = call.required(1)?.shape().len().saturating_sub(1);
    let weight = dequantised(context, call, [1, scale, zero], column)?;
    let inner = call.with(vec![Some(x), Some(weight)]);
    let y = linear::mat_mul(context, &inner)?;
    let ([Value::Node(y)], Some(bias)) = (y.as_slice(), call.optional_constant(bias)?) else { return Ok(y) };
    Ok([context.offset_by(y, bias.array())?.into()].into())
}
