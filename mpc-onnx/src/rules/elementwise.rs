//! Arithmetic element by element, with broadcasting.

mod exponentials;
mod masks;
mod powers;
mod private_comparison;
mod private_masks;

use mpc_nn::weights::MAX_WEIGHT;
use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Origin, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::integer;
use crate::rules::rounding::{self, Divisor};
use crate::value::{Constant, Tensor, Value};

pub(crate) use masks::{
    DEEP_MASK, MASK, SWALLOWING, in_coarse_steps, is_alone, leaves_some, masked, note_alone, note_unknown,
};
pub(crate) use powers::are_chains;
pub(super) use powers::{power, to_power};
pub(super) use private_comparison::{before, beyond, thresholded};
pub(crate) use private_masks::{full_rows, infinities, note as note_private_masks, swallowed, undefined};

pub(super) fn binary(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (left, right) = (call.required(0)?, &placed(context, call)?);
    Ok([apply(context, call, call.operator(), left, right)?].into())
}

/// The second operand, whose axes an attribute of the first opsets places among those of the first operand.
fn placed(context: &mut Context, call: &Call<'_>) -> Lowered<Value> {
    let (left, right) = (call.required(0)?, call.required(1)?);
    let Some(axis) = call.optional_int("axis")?.filter(|_| call.opset < 7) else { return Ok(right.clone()) };
    let (rank, own) = (left.shape().len(), right.shape().len());
    let axis = arrays::axis(axis, rank)?;
    let Some(behind) = rank.checked_sub(axis + own) else { return invalid("its second operand has too many axes") };
    let shape: Vec<usize> = right.shape().iter().copied().chain(core::iter::repeat_n(1, behind)).collect();
    context.reshape_value(right, &shape)
}

/// The operator of that name for the operands of another call.
pub(super) fn named(context: &mut Context, call: &Call<'_>, operator: &str) -> Lowered<Vec<Value>> {
    Ok([apply(context, call, operator, call.required(0)?, call.required(1)?)?].into())
}

fn apply(context: &mut Context, call: &Call<'_>, operator: &str, left: &Value, right: &Value) -> Lowered<Value> {
    if let (Value::Integer(a), Value::Integer(b)) = (left, right) {
        context.charge(arrays::elements(&arrays::broadcast_shape(a.shape(), b.shape())?)?)?;
        if operator == "Mod" && call.int("fmod", 0)? != 0 {
            let rest = |a: i64, b| a.checked_rem(b).map_or_else(|| invalid("it divides by 0"), Ok);
            return arrays::zip(a, b, |&a, &b| rest(a, b)).map(Value::integer);
        }
        return arrays::zip(a, b, |&a, &b| integer::binary(operator, a, b)).map(Value::integer);
    }
    if !left.is_private() && !right.is_private() {
        return on_constants(context, call, operator, &real(left)?, &real(right)?);
    }
    if let Some(decided) = private_comparison::decided(context, operator, left, right)? {
        return Ok(decided);
    }
    if let Some(decided) = private_comparison::with_the_farthest(context, operator, left, right)? {
        return Ok(decided);
    }
    Ok(match (left, right) {
        (Value::Tokens { .. }, _) | (_, Value::Tokens { .. }) => {
            return unsupported("it takes a private input of integers; cast it to floats first");
        }
        (Value::Node(x), Value::Node(y)) => on_nodes(context, call, operator, x, y)?,
        (Value::Node(x), Value::Integer(y)) if operator == "Div" && context.is_typed(x.id) => {
            rounding::whole_quotient(context, x, &Divisor::Constant(&y.mapv(|y| y as f32)))?
        }
        (Value::Node(x), constant) if operator == "Mod" => {
            rounding::remainder(context, x, &Divisor::Constant(real(constant)?.array()), call.int("fmod", 0)? != 0)?
        }
        (constant, Value::Node(y)) if operator == "Mod" || (operator == "Div" && context.is_typed(y.id)) => {
            let x = context.tensor_of(constant)?;
            if operator == "Div" && matches!(constant, Value::Integer(_)) {
                rounding::whole_quotient(context, &x, &Divisor::Tensor(y))?
            } else if operator == "Mod" {
                rounding::remainder(context, &x, &Divisor::Tensor(y), call.int("fmod", 0)? != 0)?
            } else {
                from_constant(context, operator, &real(constant)?, y)?
            }
        }
        (Value::Node(x), constant) | (constant, Value::Node(x))
            if operator == "Mul" && masks::mask_factor(constant, call.masking).is_some() =>
        {
            masks::product(context, call, x, constant)?
        }
        (Value::Node(x), constant) => masks::beside_mask(context, call, operator, x, &real(constant)?)?,
        (constant, Value::Node(x)) => {
            let near = masked(call.masking, real(constant)?);
            let y = from_constant(context, operator, &near, x)?;
            if operator == "Add" {
                masks::note_added(context, call, x, &y, near.array());
            }
            y
        }
        _ => return unsupported("operands of these kinds"),
    }
    .into())
}

/// The operator of two private values.
fn on_nodes(context: &mut Context, call: &Call<'_>, operator: &str, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
    match operator {
        "Add" => {
            let sum = context.add(x, y)?;
            masks::note_sum(context, x, y, &sum);
            Ok(sum)
        }
        "Sub" if is_alone(context, y) => {
            let negative = context.scale(y, -1.0)?;
            note_alone(context, &negative);
            on_nodes(context, call, "Add", x, &negative)
        }
        "Sub" => context.subtract(x, y),
        "Mul" => context.multiply(x, y),
        "Mod" => rounding::remainder(context, x, &Divisor::Tensor(y), call.int("fmod", 0)? != 0),
        "Div" if context.is_typed(x.id) && context.is_typed(y.id) => {
            rounding::whole_quotient(context, x, &Divisor::Tensor(y))
        }
        "Div" => match exponentials::quotient(context, x, y)? {
            Some(known) => Ok(known),
            None => {
                let quotient = context.divide(x, y)?;
                context.quotients.insert(quotient.id, (x.clone(), y.clone().into()));
                Ok(quotient)
            }
        },
        "Max" => context.maximum(x, y),
        "Min" => minimum(context, x, y),
        _ => private_comparison::compare(context, operator, x, y),
    }
}

fn inverted(constant: &Constant) -> Lowered<ArrayD<f32>> {
    if constant.array().iter().any(|&value| value == 0.0) {
        return invalid("it divides by 0");
    }
    Ok(constant.array().mapv(|value| (1.0 / f64::from(value)) as f32))
}

pub(super) fn with_constant(context: &mut Context, operator: &str, x: &Tensor, constant: &Constant) -> Lowered<Tensor> {
    let c = constant.array();
    match operator {
        "Add" => context.offset_by(x, c),
        "Sub" => context.offset_by(x, &c.mapv(|value| -value)),
        "Mul" | "Div" => times(context, operator, x, constant),
        // What no private value is beyond.
        "Max" if c.iter().all(|&value| value <= -MAX_WEIGHT) => expanded(context, x, c),
        "Min" if c.iter().all(|&value| value >= MAX_WEIGHT) => expanded(context, x, c),
        "Max" if context.is_squared_norm(x) && c.iter().all(|&value| value <= 0.0) => expanded(context, x, c),
        "Max" => {
            // max(x, c) = relu(x − c) + c
            let above = context.offset_by(x, &c.mapv(|value| -value))?;
            let positive = context.relu(&above)?;
            let y = context.offset_by(&positive, c)?;
            if let (Some(&low), 1) = (c.first(), c.len())
                && y.shape == x.shape
            {
                context.note(y.id, Origin::Function(x.id, Function::Clip { low, high: f32::INFINITY }));
            }
            Ok(y)
        }
        "Min" => {
            let negative = context.scale(x, -1.0)?;
            let larger = with_constant(context, "Max", &negative, &Constant::new(c.mapv(|value| -value)))?;
            context.scale(&larger, -1.0)
        }
        _ => private_comparison::with_constant(context, operator, x, c),
    }
}

/// The product or quotient of a private value and a constant.
fn times(context: &mut Context, operator: &str, x: &Tensor, c: &Constant) -> Lowered<Tensor> {
    let (y, divisors) = match operator {
        "Div" => (context.scale_by(x, &inverted(c)?)?, Some(c.clone())),
        _ => (context.scale_by(x, c.array())?, rounding::divisors(c.array())),
    };
    if let Some(divisors) = divisors.filter(|_| y.id != x.id) {
        context.quotients.insert(y.id, (x.clone(), Value::Constant(divisors)));
    }
    Ok(y)
}

fn expanded(context: &mut Context, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
    let shape = arrays::broadcast_shape(&x.shape, c.shape())?;
    context.expand(x, &shape)
}

fn from_constant(context: &mut Context, operator: &str, c: &Constant, y: &Tensor) -> Lowered<Tensor> {
    match operator {
        "Sub" => {
            let negative = context.scale(y, -1.0)?;
            context.offset_by(&negative, c.array())
        }
        "Div" => context.divide_constant(c.array(), y),
        _ => with_constant(context, private_comparison::turned(operator), y, c),
    }
}

/// min(x, y) = y − relu(y − x)
fn minimum(context: &mut Context, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
    let difference = context.subtract(y, x)?;
    let positive = context.relu(&difference)?;
    context.subtract(y, &positive)
}

fn on_constants(
    context: &mut Context,
    call: &Call<'_>,
    operator: &str,
    left: &Constant,
    right: &Constant,
) -> Lowered<Value> {
    let (a, b) = (left.array(), right.array());
    context.charge(arrays::elements(&arrays::broadcast_shape(a.shape(), b.shape())?)?)?;
    let real = |function: fn(f32, f32) -> f32| {
        let finite = |&a: &f32, &b: &f32| {
            let value = function(a, b);
            if value.is_nan() { invalid("its result is NaN") } else { Ok(value) }
        };
        arrays::zip(a, b, finite).map(Value::constant)
    };
    let boolean =
        |function: fn(f32, f32) -> bool| arrays::zip(a, b, |&a, &b| Ok(i64::from(function(a, b)))).map(Value::integer);
    match operator {
        "Add" => real(|a, b| a + b),
        "Sub" => real(|a, b| a - b),
        "Mul" => real(|a, b| a * b),
        "Div" => real(|a, b| a / b),
        "Mod" if call.int("fmod", 0)? != 0 => real(|a, b| a % b),
        "Mod" => real(|a, b| a - (a / b).floor() * b),
        "Max" => real(f32::max),
        "Min" => real(f32::min),
        "Pow" => real(f32::powf),
        "Equal" => boolean(|a, b| a == b),
        "Less" => boolean(|a, b| a < b),
        "Greater" => boolean(|a, b| a > b),
        "LessOrEqual" => boolean(|a, b| a <= b),
        "GreaterOrEqual" => boolean(|a, b| a >= b),
        _ => unsupported(format!("{operator} of real numbers")),
    }
}

/// Sum, Mean, Max and Min of any number of operands.
pub(super) fn variadic(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let operator = if matches!(call.operator(), "Sum" | "Mean") { "Add" } else { call.operator() };
    let mut result = call.required(0)?.clone();
    for index in 1..call.inputs.len() {
        result = apply(context, call, operator, &result, call.required(index)?)?;
    }
    if call.operator() == "Mean" {
        let count = Value::constant(arrays::scalar_like(call.inputs.len() as f32));
        result = apply(context, call, "Div", &result, &count)?;
    }
    Ok([result].into())
}

pub(super) fn unary(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let operator = call.operator();
    Ok([match call.required(0)? {
        Value::Integer(array) => {
            context.charge(array.len())?;
            let values = array.iter().map(|&a| integer::unary(operator, a)).collect::<Lowered<Vec<_>>>()?;
            Value::integer(arrays::from_elements(array.shape(), values)?)
        }
        Value::Constant(constant) => {
            context.charge(constant.array().len())?;
            let Some(function) = real_function(operator) else { return unsupported("real numbers") };
            let array = constant.array().mapv(|x| function(f64::from(x)) as f32);
            if array.iter().any(|value| value.is_nan()) {
                return invalid("its result is NaN");
            }
            Value::constant(array)
        }
        Value::Node(x) => match operator {
            "Neg" => context.scale(x, -1.0)?,
            "Abs" => context.function(x, Function::Abs)?,
            "Sqrt" => context.root(x)?,
            "Exp" => context.function(x, Function::Exp)?,
            "Log" => exponentials::logarithm(context, x)?,
            "Erf" => context.function(x, Function::Erf)?,
            "Reciprocal" => context.reciprocal(x)?,
            "Not" => private_comparison::not(context, x)?,
            "Sign" => private_comparison::sign(context, x)?,
            _ => match rounding::unary(context, operator, x)? {
                Some(y) => y,
                None => return unsupported("no private protocol for this function is known here"),
            },
        }
        .into(),
        Value::Tokens { .. } => return unsupported("it takes a private input of integers; cast it to floats first"),
    }]
    .into())
}

fn real_function(operator: &str) -> Option<fn(f64) -> f64> {
    Some(match operator {
        "Neg" => |x| -x,
        "Floor" => f64::floor,
        "Ceil" => f64::ceil,
        "Round" => f64::round_ties_even,
        "Abs" => f64::abs,
        "Sqrt" => f64::sqrt,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Cos" => f64::cos,
        "Sin" => f64::sin,
        "Tan" => f64::tan,
        "Asin" => f64::asin,
        "Acos" => f64::acos,
        "Atan" => f64::atan,
        "Sinh" => f64::sinh,
        "Cosh" => f64::cosh,
        "Asinh" => f64::asinh,
        "Acosh" => f64::acosh,
        "Atanh" => f64::atanh,
        "Erf" => |x| Function::Erf.evaluate(x),
        "Reciprocal" => |x| 1.0 / x,
        "Sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        _ => return None,
    })
}

/// Where.
pub(super) fn choose(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let condition = match call.required(0)? {
        Value::Integer(condition) => condition,
        Value::Node(condition) => {
            let y = private_comparison::choose(context, call, condition)?;
            private_masks::note_chosen(context, call, condition, &y)?;
            return Ok([y.into()].into());
        }
        _ => return unsupported("its condition is neither public nor a comparison"),
    };
    let (yes, no) = (call.required(1)?, call.required(2)?);
    let shape = arrays::broadcast_shape(yes.shape(), no.shape())?;
    let shape = arrays::broadcast_shape(condition.shape(), &shape)?;
    for (value, only) in [(yes, 1), (no, 0)] {
        if condition.iter().all(|&is| i64::from(is != 0) == only) {
            return Ok([context.expand_value(value, &shape)?].into());
        }
    }
    context.charge(arrays::elements(&shape)?.saturating_mul(3))?;
    let condition = arrays::broadcast(condition, &shape)?;
    if yes.is_private() || no.is_private() {
        return Ok([mixed(context, call, &condition, yes, no)?.into()].into());
    }
    if let (Value::Integer(yes), Value::Integer(no)) = (yes, no) {
        let (yes, no) = (arrays::broadcast(yes, &shape)?, arrays::broadcast(no, &shape)?);
        return Ok([Value::integer(select(&condition, &yes, &no)?)].into());
    }
    let (yes, no) = (real(yes)?, real(no)?);
    let (yes, no) = (arrays::broadcast(yes.array(), &shape)?, arrays::broadcast(no.array(), &shape)?);
    Ok([Value::constant(select(&condition, &yes, &no)?)].into())
}

fn select<T: Copy>(condition: &ArrayD<i64>, yes: &ArrayD<T>, no: &ArrayD<T>) -> Lowered<ArrayD<T>> {
    let chosen = condition.iter().zip(yes.iter().zip(no)).map(|(&is, (&yes, &no))| if is != 0 { yes } else { no });
    arrays::from_elements(condition.shape(), chosen.collect())
}

/// c ⊙ yes + (1 − c) ⊙ no
fn mixed(context: &mut Context, call: &Call<'_>, condition: &ArrayD<i64>, yes: &Value, no: &Value) -> Lowered<Tensor> {
    let mask = condition.mapv(|is| f32::from(u8::from(is != 0)));
    let rest = mask.mapv(|value| 1.0 - value);
    match (yes, no) {
        (Value::Node(yes), Value::Node(no)) => {
            let (yes, no) = (context.scale_by(yes, &mask)?, context.scale_by(no, &rest)?);
            context.add(&yes, &no)
        }
        (Value::Node(x), constant) => masks::with_rest(context, call, x, &mask, &rest, constant),
        (constant, Value::Node(x)) => masks::with_rest(context, call, x, &rest, &mask, constant),
        _ => unsupported("it takes a private input of integers; cast it to floats first"),
    }
}
