//! Public integers: shapes and what is computed from them.

use ndarray::{ArrayD, Dimension, IxDyn};
use rten_onnx::onnx::DataType;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Mark, Whole};
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::rules::{choice, elementwise, rounding};
use crate::tensor::{self, INT2, UINT2};
use crate::value::{Tensor, Value, vector};

/// A binary operator on integers; Booleans are 0 and 1.
pub(super) fn binary(operator: &str, a: i64, b: i64) -> Lowered<i64> {
    let overflow = || Problem::Invalid(format!("{operator} of {a} and {b} overflows"));
    let boolean = |value: bool| Ok(i64::from(value));
    match operator {
        "Add" => a.checked_add(b).ok_or_else(overflow),
        "Sub" => a.checked_sub(b).ok_or_else(overflow),
        "Mul" => a.checked_mul(b).ok_or_else(overflow),
        "Div" => a.checked_div(b).ok_or_else(overflow),
        "Mod" => {
            a.checked_rem_euclid(b).map(|rest| if b < 0 && rest != 0 { rest + b } else { rest }).ok_or_else(overflow)
        }
        "Max" => Ok(a.max(b)),
        "Min" => Ok(a.min(b)),
        "And" => boolean(a != 0 && b != 0),
        "Or" => boolean(a != 0 || b != 0),
        "Xor" => boolean((a != 0) != (b != 0)),
        "BitwiseAnd" => Ok(a & b),
        "BitwiseOr" => Ok(a | b),
        "BitwiseXor" => Ok(a ^ b),
        "Equal" => boolean(a == b),
        "Less" => boolean(a < b),
        "Greater" => boolean(a > b),
        "LessOrEqual" => boolean(a <= b),
        "GreaterOrEqual" => boolean(a >= b),
        "Pow" => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)).ok_or_else(overflow),
        _ => unsupported(format!("{operator} of integers")),
    }
}

/// A unary operator on integers.
pub(super) fn unary(operator: &str, a: i64) -> Lowered<i64> {
    match operator {
        "Neg" => a.checked_neg().map_or_else(|| invalid("a negation overflows"), Ok),
        "Abs" => a.checked_abs().map_or_else(|| invalid("a magnitude overflows"), Ok),
        "Not" => Ok((a == 0).into()),
        "Sign" => Ok(a.signum()),
        "Floor" | "Ceil" | "Round" => Ok(a),
        _ => unsupported(format!("{operator} of integers")),
    }
}

pub(super) fn constant(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = if let Some(attribute) = call.tensor_attribute("value")? {
        decode(attribute)?
    } else if let Some(parts) = call.graph_attribute("sparse_value")? {
        sparse(context, parts)?
    } else if let Some(value) = call.optional_int("value_int")? {
        Value::scalar(value)
    } else if let Some(values) = call.ints("value_ints")? {
        Value::integers(values)
    } else if let Some(values) = call.floats("value_floats")? {
        Value::constant(vector(values))
    } else if call.node.attribute.iter().any(|attribute| attribute.name.as_deref() == Some("value_float")) {
        Value::constant(arrays::scalar_like(call.float("value_float", 0.0)?))
    } else {
        return unsupported("a constant that is neither of floats nor of integers");
    };
    Ok([value].into())
}

/// The values of a sparse tensor at their places, which are counted in row-major order or by axes.
fn sparse(context: &mut Context, parts: &[rten_onnx::onnx::TensorProto]) -> Lowered<Value> {
    let [values, places, sizes] = parts else { return invalid("a sparse tensor without values or places") };
    let (values, Value::Integer(places), Value::Integer(sizes)) = (decode(values)?, decode(places)?, decode(sizes)?)
    else {
        return invalid("a sparse tensor whose places are not integers");
    };
    let shape = sizes.iter().map(|&size| arrays::size(size)).collect::<Lowered<Vec<_>>>()?;
    let elements = arrays::elements(&shape)?;
    context.charge(elements)?;
    let rank = if places.ndim() == 2 { places.shape()[1] } else { 1 };
    let count: usize = values.shape().iter().product();
    if places.len() != count.saturating_mul(rank) || (places.ndim() == 2 && rank != shape.len()) {
        return invalid("a sparse tensor has not one place for each value");
    }
    let places: Vec<i64> = places.iter().copied().collect();
    let mut flat = Vec::with_capacity(count);
    for place in places.chunks(rank.max(1)) {
        let limits = if rank == shape.len() && places.len() != count { shape.clone() } else { vec![elements] };
        let place = place.iter().zip(&limits).map(|(&p, &size)| super::place(p, size)).collect::<Lowered<Vec<_>>>()?;
        flat.push(super::index::row_major(&place, &limits));
    }
    Ok(match values {
        Value::Integer(values) => {
            let mut all = vec![0; elements];
            flat.iter().zip(values.iter()).for_each(|(&place, &value)| all[place] = value);
            Value::integer(arrays::from_elements(&shape, all)?)
        }
        Value::Constant(values) => {
            let mut all = vec![0.0; elements];
            flat.iter().zip(values.array()).for_each(|(&place, &value)| all[place] = value);
            Value::constant(arrays::from_elements(&shape, all)?)
        }
        _ => return invalid("a sparse tensor of other values"),
    })
}

fn decode(attribute: &rten_onnx::onnx::TensorProto) -> Lowered<Value> {
    tensor::decode(attribute, None).or_else(|reason| invalid(format!("its tensor: {reason}")))
}

pub(super) fn constant_of_shape(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let shape = call.integers(0)?.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?;
    context.charge(arrays::elements(&shape)?)?;
    let value = match call.tensor_attribute("value")? {
        Some(attribute) => decode(attribute)?,
        None => Value::constant(arrays::scalar_like(0.0)),
    };
    Ok([match &value {
        Value::Integer(array) if array.len() == 1 => {
            Value::integer(ArrayD::from_elem(shape, array.first().copied().unwrap_or_default()))
        }
        Value::Constant(array) if array.array().len() == 1 => {
            Value::constant(ArrayD::from_elem(shape, array.array().first().copied().unwrap_or_default()))
        }
        _ => return invalid("its value must have one element"),
    }]
    .into())
}

pub(super) fn range(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if [0, 1, 2].iter().all(|&index| matches!(call.input(index), Some(Value::Integer(_)))) {
        let scalar = |index| match call.integers(index)?.as_slice() {
            &[value] => Ok(value),
            _ => invalid("a limit is not a scalar"),
        };
        let (start, limit, step) = (i128::from(scalar(0)?), i128::from(scalar(1)?), i128::from(scalar(2)?));
        if step == 0 {
            return invalid("its step is 0");
        }
        let count = ((limit - start + step - step.signum()) / step).max(0);
        let count = usize::try_from(count).map_err(|_| Problem::Memory("a range".into()))?;
        context.charge(count)?;
        return Ok([Value::integers((0..count).map(|i| (start + i as i128 * step) as i64).collect())].into());
    }
    let scalar = |index| call.optional_scalar(index)?.map_or_else(|| invalid("a limit is missing"), Ok);
    let (start, limit, step) = (scalar(0)?, scalar(1)?, scalar(2)?);
    let count = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil();
    if !count.is_finite() || count > arrays::elements(&[mpc_nn::graph::MAX_ELEMENTS])? as f64 {
        return Err(Problem::Memory("a range".into()));
    }
    let count = count.max(0.0) as usize;
    context.charge(count)?;
    Ok([Value::constant(vector((0..count).map(|i| start + i as f32 * step).collect()))].into())
}

/// The places of what is not 0, for public arrays.
pub(super) fn non_zero(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let Value::Integer(array) = call.required(0)? else {
        return unsupported("the places of what is not 0 depend on secrets");
    };
    context.charge(array.len().saturating_mul(array.ndim()))?;
    let places: Vec<_> = array.indexed_iter().filter(|(_, value)| **value != 0).map(|(place, _)| place).collect();
    let rows = (0..array.ndim()).flat_map(|axis| places.iter().map(move |place| place[axis] as i64));
    Ok([Value::integer(arrays::from_elements(&[array.ndim(), places.len()], rows.collect())?)].into())
}

pub(super) fn eye_like(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let shape = call.required(0)?.shape().to_vec();
    let &[rows, columns] = shape.as_slice() else { return invalid("its input is not a matrix") };
    let diagonal = call.int("k", 0)?;
    context.charge(arrays::elements(&[rows, columns])?)?;
    let matrix = ArrayD::from_shape_fn(IxDyn(&shape), |place| {
        i64::from((place[0] as i64).checked_add(diagonal) == Some(place[1] as i64))
    });
    let is_float = call.optional_int("dtype")?.is_none_or(is_float);
    Ok([if is_float { Value::constant(matrix.mapv(|x| x as f32)) } else { Value::integer(matrix) }].into())
}

/// One-hot rows of public integers.
pub(super) fn one_hot(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let Value::Integer(indices) = call.required(0)? else { return unsupported("its indices are not public integers") };
    let depth = match call.constant(1)?.array().as_slice() {
        Some(&[depth]) => arrays::size(depth as i64)?,
        _ => return invalid("its depth is not one number"),
    };
    let values = call.constant(2)?;
    let &[off, on] = values.array().as_slice().unwrap_or_default() else { return invalid("it needs two values") };
    let axis = arrays::axis(call.int("axis", -1)?, indices.ndim() + 1)?;
    let mut shape = indices.shape().to_vec();
    shape.insert(axis, depth);
    context.charge(arrays::elements(&shape)?)?;
    let size = depth as i64;
    let array = ArrayD::from_shape_fn(IxDyn(&shape), |place| {
        let mut at = place.slice().to_vec();
        let class = at.remove(axis) as i64;
        let index = indices[at.as_slice()];
        if index == class || index.checked_add(size) == Some(class) { on } else { off }
    });
    let is_integer = matches!(call.input(2), Some(Value::Integer(_)));
    Ok([if is_integer { Value::integer(array.mapv(|x| x as i64)) } else { Value::constant(array) }].into())
}

pub(crate) fn is_float(data_type: i64) -> bool {
    let floats = [DataType::FLOAT, DataType::DOUBLE, DataType::FLOAT16, DataType::BFLOAT16];
    floats.iter().any(|float| i64::from(float.0) == data_type)
}

/// Whether a type holds a few numbers only, so that a cast to it is more than another name.
pub(crate) fn is_narrow(data_type: i64) -> bool {
    is_small_float(data_type) || limits_of(data_type).is_some_and(|limits| count(limits) <= FEW)
}

pub(crate) fn is_boolean(data_type: i64) -> bool {
    data_type == i64::from(DataType::BOOL.0)
}

/// As many numbers as an integer of 4 bits has.
const FEW: i64 = 16;

/// Whether a type is one of the floats of 4 or 8 bits.
fn is_small_float(data_type: i64) -> bool {
    i32::try_from(data_type).is_ok_and(|kind| tensor::is_small_float(DataType(kind)))
}

/// The type that a Cast names, by its number or, in the first opsets, by its name; that of a CastLike's second operand.
pub(crate) fn target(call: &Call<'_>) -> Lowered<i64> {
    if call.operator() == "CastLike" {
        return Ok(call.operand_type.into());
    }
    if call.opset >= 6 {
        return call.int("to", 0);
    }
    let name = call.string("to", "")?;
    let kind = (1..=16).map(DataType).find(|kind| kind.name() == Some(&name));
    kind.map_or_else(|| invalid(format!("its type `{name}` is not known")), |kind| Ok(kind.0.into()))
}

/// The lowest and the highest number of an integer type.
pub(super) fn limits_of(data_type: i64) -> Option<(i64, i64)> {
    let (bits, is_signed) = match i32::try_from(data_type).map(DataType).ok()? {
        DataType::UINT8 => (8, false),
        DataType::INT8 => (8, true),
        DataType::UINT16 => (16, false),
        DataType::INT16 => (16, true),
        DataType::UINT32 => (32, false),
        DataType::INT32 => (32, true),
        DataType::UINT4 => (4, false),
        DataType::INT4 => (4, true),
        UINT2 => (2, false),
        INT2 => (2, true),
        _ => return None,
    };
    let lowest = if is_signed { -(1 << (bits - 1)) } else { 0 };
    Some((lowest, lowest + (1i64 << bits) - 1))
}

/// Whether a type holds integers beyond the range of private values.
pub(crate) fn is_wide(data_type: i64) -> bool {
    limits_of(data_type).is_some_and(|limits| limits.1 >= RANGE)
}

/// The magnitude that private values stay below, unless a run is given more bits.
const RANGE: i64 = 1 << 14;

/// The number of integers within limits.
fn count((lowest, highest): (i64, i64)) -> i64 {
    highest - lowest + 1
}

/// An integer as a type holds it, which goes around where it does not fit.
fn wrapped(value: i64, data_type: i64) -> i64 {
    let Some(limits) = limits_of(data_type) else { return value };
    value.wrapping_sub(limits.0).rem_euclid(count(limits)) + limits.0
}

pub(super) fn cast(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    let to = target(call)?;
    if to == i64::from(DataType::STRING.0) {
        return unsupported("text");
    }
    if is_small_float(to) {
        return unsupported("a cast to floats of 4 or 8 bits, which rounds coarsely; export the model without it");
    }
    let (to_float, to_boolean) = (is_float(to), is_boolean(to));
    Ok([match value {
        Value::Integer(array) if to_float => Value::constant(array.mapv(|x| x as f32)),
        Value::Integer(array) if to_boolean => Value::integer(array.mapv(|x| i64::from(x != 0))),
        Value::Integer(array) => Value::integer(array.mapv(|x| wrapped(x, to))),
        Value::Constant(constant) if to_boolean => Value::integer(constant.array().mapv(|x| i64::from(x != 0.0))),
        Value::Constant(constant) if !to_float => Value::integer(constant.array().mapv(|x| wrapped(x as i64, to))),
        Value::Node(x) if to_boolean && context.whole(x.id) != Some(Whole::Boolean) => {
            let is_whole = context.whole(x.id).is_some();
            let zero = choice::is_zero(context, x, is_whole)?;
            let negative = context.scale(&zero, -1.0)?;
            let other = context.offset(&negative, 1.0)?;
            context.note_whole(other.id, Whole::Boolean);
            other.into()
        }
        Value::Node(x) if !to_float => to_integers(context, x, to)?.into(),
        Value::Node(x) if to_float => context.retyped(x, false)?.into(),
        other => other.clone(),
    }]
    .into())
}

/// A private value without what is behind its point. What the widest types do not hold is not defined, or beyond every range.
fn to_integers(context: &mut Context, x: &Tensor, to: i64) -> Lowered<Tensor> {
    let is_boolean = context.whole(x.id) == Some(Whole::Boolean);
    let y = rounding::towards_zero(context, x)?;
    let y = if y.id == x.id { context.retyped(x, true)? } else { y };
    match limits_of(to) {
        Some(limits) if count(limits) <= FEW && !is_boolean => {
            rounding::wrapped(context, &y, limits.0 as f32, count(limits) as f32)
        }
        _ => Ok(y),
    }
}

/// Fixed point is neither NaN nor infinite, but what it stands for may be, where masks say so.
pub(super) fn never(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let value = call.required(0)?;
    context.charge(arrays::elements(value.shape())?)?;
    let mark = if call.operator() == "IsInf" { Mark::Hidden } else { Mark::Undefined };
    let seen = [call.int("detect_negative", 1)? != 0, call.int("detect_positive", 1)? != 0];
    let is = |number: f32| match mark {
        Mark::Hidden => number.is_infinite() && seen[usize::from(number > 0.0)],
        Mark::Undefined => number == 1.0,
    };
    if let Value::Node(x) = value {
        let places = match mark {
            Mark::Hidden if seen[0] => elementwise::infinities(context, x)?,
            Mark::Hidden => None,
            Mark::Undefined => elementwise::undefined(context, x)?,
        };
        if let Some(places) = places {
            return Ok([places.into()].into());
        }
    }
    Ok([match value {
        Value::Constant(constant) if mark == Mark::Hidden => {
            Value::integer(constant.array().mapv(|x| i64::from(is(x))))
        }
        Value::Node(x) if context.mark(x.id, mark).is_some() => {
            let places = context.mark(x.id, mark).cloned().unwrap_or_default();
            if places.iter().any(|number| number.is_nan()) {
                return unsupported(
                    "what a public mask has left is not known here; ask right behind it, or behind the softmax",
                );
            }
            Value::integer(arrays::broadcast(&places.mapv(|number| is(number).into()), &x.shape)?)
        }
        other => Value::integer(ArrayD::zeros(IxDyn(other.shape()))),
    }]
    .into())
}
