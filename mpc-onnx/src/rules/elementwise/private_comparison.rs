//! Comparisons of private values: private Booleans, 0 or 1.
//!
//! A comparison jumps: it is that of the values in fixed point, which rounding has moved by a few units in the last place. A
//! choice between two values that meet where the condition changes, as in ELU or a soft shrinkage, is right everywhere.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Mark, Whole, real};
use crate::error::{Lowered, unsupported};
use crate::rules::elementwise::masks::{self, masked};
use crate::rules::elementwise::private_masks;
use crate::rules::{choice, rounding};
use crate::value::{Tensor, Value, vector};

/// As far as a constant counts that is compared with a private value.
const FAR: f32 = 16384.0;

/// No private value of 64 bits is that large, whatever its precision.
const FARTHEST: f32 = (1u64 << 28) as f32;

/// An element that is as near to a value of a rank is that value: both are rounded, by what cuts its index off and by the comparison.
const NEAR_RANKED: f32 = 2.0 * choice::NEAR;

/// 1 for x ≥ 0, else 0.
fn at_least_zero(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    context.function(x, Function::Step)
}

/// 1 for x > 0, else 0.
fn step(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let opposite = context.scale(x, -1.0)?;
    let not_above = at_least_zero(context, &opposite)?;
    not(context, &not_above)
}

/// 1 for x > limit, else 0.
pub(crate) fn beyond(context: &mut Context, x: &Tensor, limit: f32) -> Lowered<Tensor> {
    let above = context.offset(x, -limit)?;
    step(context, &above)
}

/// 1 for the places from 0 to `count` that are below a private whole number, else 0: a row for each number.
pub(crate) fn before(context: &mut Context, lengths: &Tensor, count: usize) -> Lowered<Tensor> {
    context.charge(count)?;
    let (rows, places) = (lengths.len(), (0..count).map(|place| -0.5 - place as f32));
    let lengths = context.reshape(lengths, &[rows, 1])?;
    let lengths = context.expand(&lengths, &[rows, count])?;
    let behind = context.offset_by(&lengths, &vector(places.collect()))?;
    let seen = at_least_zero(context, &behind)?;
    context.note_whole(seen.id, Whole::Boolean);
    context.note_typed(seen.id);
    Ok(seen)
}

/// x for x > alpha, else 0.
pub(crate) fn thresholded(context: &mut Context, x: &Tensor, alpha: f32) -> Lowered<Tensor> {
    let above = context.offset(x, -alpha)?;
    let mask = step(context, &above)?;
    context.multiply(x, &mask)
}

/// 1 − x
pub(super) fn not(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let negative = context.scale(x, -1.0)?;
    context.offset(&negative, 1.0)
}

/// −1, 0 or 1.
pub(super) fn sign(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let near = if context.whole(x.id).is_some() { -0.5 } else { -near(context, "Sign", &[x]) };
    let (above, opposite) = (context.offset(x, near)?, context.scale(x, -1.0)?);
    let below = context.offset(&opposite, near)?;
    let (not_below, not_above) = (at_least_zero(context, &above)?, at_least_zero(context, &below)?);
    context.subtract(&not_below, &not_above)
}

/// The operator with its operands exchanged.
pub(super) fn turned(operator: &str) -> &str {
    match operator {
        "Less" => "Greater",
        "Greater" => "Less",
        "LessOrEqual" => "GreaterOrEqual",
        "GreaterOrEqual" => "LessOrEqual",
        same => same,
    }
}

/// The result of an And or Or that its public operand decides alone, as after a check for infinity (never true), and of a value's
/// comparison with itself, which asks whether it is NaN (true where a public mask leaves nothing).
pub(super) fn decided(context: &mut Context, operator: &str, left: &Value, right: &Value) -> Lowered<Option<Value>> {
    let is_same = matches!((left, right), (Value::Node(x), Value::Node(y)) if x.id == y.id && x.shape == y.shape);
    let deciding = match operator {
        "And" => 0,
        "Or" => 1,
        "Equal" | "LessOrEqual" | "GreaterOrEqual" if is_same => 1,
        "Less" | "Greater" if is_same => 0,
        _ => return Ok(None),
    };
    let decides = |value: &Value| match value {
        Value::Integer(array) => array.iter().all(|&value| i64::from(value != 0) == deciding),
        _ => false,
    };
    let is_logical = matches!(operator, "And" | "Or");
    if is_logical && !decides(left) && !decides(right) {
        return Ok(None);
    }
    if let Value::Node(x) = left
        && deciding == 1
        && !is_logical
        && let Some(rows) = private_masks::undefined(context, x)?
    {
        return Ok(Some(not(context, &rows)?.into()));
    }
    let shape = arrays::broadcast_shape(left.shape(), right.shape())?;
    context.charge(arrays::elements(&shape)?)?;
    if let Value::Node(x) = left
        && let Some(undefined) = context.mark(x.id, Mark::Undefined).filter(|_| !is_logical)
    {
        if undefined.iter().any(|place| place.is_nan()) {
            return unsupported(
                "where a public mask leaves no number is not known here; compare right behind the softmax",
            );
        }
        let numbers = arrays::broadcast(undefined, &shape)?.mapv(|place| deciding * i64::from(place == 0.0));
        return Ok(Some(Value::integer(numbers)));
    }
    Ok(Some(Value::integer(ArrayD::from_elem(shape, deciding))))
}

/// The result of a comparison with constants that are beyond every private value. A mask may have made it −∞ in places.
pub(super) fn with_the_farthest(
    context: &mut Context,
    operator: &str,
    left: &Value,
    right: &Value,
) -> Lowered<Option<Value>> {
    let (operator, x, constant) = match (left, right) {
        (Value::Node(x), constant @ (Value::Constant(_) | Value::Integer(_))) => (operator, x, real(constant)?),
        (constant @ (Value::Constant(_) | Value::Integer(_)), Value::Node(x)) => (turned(operator), x, real(constant)?),
        _ => return Ok(None),
    };
    if !matches!(operator, "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Equal")
        || constant.array().iter().any(|value| value.abs() < FARTHEST)
    {
        return Ok(None);
    }
    let shape = arrays::broadcast_shape(&x.shape, constant.array().shape())?;
    context.charge(arrays::elements(&shape)?.saturating_mul(2))?;
    let limits = arrays::broadcast(constant.array(), &shape)?;
    let values = context.mark(x.id, Mark::Hidden).cloned().unwrap_or_else(|| ArrayD::zeros(shape));
    if values.iter().any(|value| value.is_nan()) {
        return unsupported("what a public mask has left is not known here; compare right behind it");
    }
    let seen = arrays::zip(&limits, &values, |&limit, &x| Ok(i64::from(holds(operator, x, limit))))?;
    if let Some(own) = private_masks::compared(context, operator, x, &limits, &seen)? {
        return Ok(Some(own.into()));
    }
    Ok(Some(Value::integer(seen)))
}

/// Whether a comparison of two numbers is true.
pub(super) fn holds(operator: &str, x: f32, limit: f32) -> bool {
    match operator {
        "Less" => x < limit,
        "LessOrEqual" => x <= limit,
        "Greater" => x > limit,
        "GreaterOrEqual" => x >= limit,
        _ => x == limit,
    }
}

pub(super) fn compare(context: &mut Context, operator: &str, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
    match operator {
        "And" => context.multiply(x, y),
        "Or" | "Xor" => {
            let both = context.multiply(x, y)?;
            let both = context.scale(&both, if operator == "Or" { -1.0 } else { -2.0 })?;
            let sum = context.add(x, y)?;
            context.add(&sum, &both)
        }
        _ => {
            let is_whole = context.whole(x.id).is_some() && context.whole(y.id).is_some();
            let near = near(context, operator, &[x, y]);
            let difference = context.subtract(x, y)?;
            positive(context, operator, &difference, if is_whole { 0.5 } else { near })
        }
    }
}

/// The product with public factors that are whole numbers: exact, and without messages.
fn times_public(context: &mut Context, x: &Tensor, factors: &ArrayD<f32>) -> Lowered<Tensor> {
    let shape = arrays::broadcast_shape(&x.shape, factors.shape())?;
    let count = arrays::elements(&shape)?;
    context.charge(count.saturating_mul(2))?;
    let x = context.expand(x, &shape)?;
    let flat = context.reshape(&x, &[count])?;
    let factors = arrays::broadcast(factors, &shape)?;
    let rows: Vec<_> = factors.iter().enumerate().map(|(place, &factor)| vec![(place, factor)]).collect();
    let products = context.combine(&flat, 0, &rows)?;
    context.reshape(&products, &shape)
}

pub(super) fn with_constant(context: &mut Context, operator: &str, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
    match operator {
        "And" => return times_public(context, x, c),
        // x ∨ c = x·(1 − c) + c, x ⊕ c = x·(1 − 2c) + c
        "Or" | "Xor" => {
            let factor = if operator == "Or" { 1.0 } else { 2.0 };
            let scaled = times_public(context, x, &c.mapv(|value| 1.0 - factor * value))?;
            return context.offset_by(&scaled, c);
        }
        _ => {}
    }
    if !matches!(operator, "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Equal") {
        return unsupported(format!("{operator} of a private value and a constant"));
    }
    let is_whole = context.whole(x.id).is_some() && choice::are_whole(c);
    // Beyond what a private value can be it does not matter how far.
    let near = near(context, operator, &[x]);
    let difference = context.offset_by(x, &c.mapv(|value| -value.clamp(-FAR, FAR)))?;
    positive(context, operator, &difference, if is_whole { 0.5 } else { near })
}

/// As near to each other values are equal of which some are a unit or two beside what they are in the file.
fn near(context: &Context, operator: &str, values: &[&Tensor]) -> f32 {
    let is = |has: fn(&Context, &Tensor) -> bool| values.iter().any(|x| has(context, x));
    match () {
        () if is(|context, x| context.is_ranked(x.id)) => NEAR_RANKED,
        // A part of a whole number may be one, and equal to another.
        () if is(|context, x| matches!(context.quotients.get(&x.id), Some((_, by)) if !by.is_private())) => {
            choice::NEAR
        }
        () if operator != "Equal" && is(|context, x| !context.is_exact(x.id)) => rounding::ROUNDED,
        () => 0.0,
    }
}

/// The comparison of a difference with 0, to which all is equal that is nearer than a half.
fn positive(context: &mut Context, operator: &str, difference: &Tensor, half: f32) -> Lowered<Tensor> {
    if operator == "Equal" {
        return choice::is_near_zero(context, difference, half.max(choice::SAME));
    }
    // A product of whole numbers is rounded to next to one: the limit is half-way to its neighbour.
    let half = match operator {
        "Greater" | "LessOrEqual" => -half,
        "Less" | "GreaterOrEqual" => half,
        _ => 0.0,
    };
    let difference = context.offset(difference, half)?;
    match operator {
        "Greater" => step(context, &difference),
        "GreaterOrEqual" => at_least_zero(context, &difference),
        "Less" => {
            let not_below = at_least_zero(context, &difference)?;
            not(context, &not_below)
        }
        "LessOrEqual" => {
            let opposite = context.scale(&difference, -1.0)?;
            at_least_zero(context, &opposite)
        }
        _ => unsupported(format!("{operator} of private values")),
    }
}

/// no + condition·(yes − no)
pub(super) fn choose(context: &mut Context, call: &Call<'_>, condition: &Tensor) -> Lowered<Tensor> {
    let constant = |index: usize| call.constant(index).map(|constant| masked(call.masking, constant));
    let (yes, no) = (call.required(1)?, call.required(2)?);
    match (yes, no) {
        (mask, Value::Node(x)) if masks::hides(call, mask) => return masks::lowered(context, call, condition, x, true),
        (Value::Node(x), mask) if masks::hides(call, mask) => {
            return masks::lowered(context, call, condition, x, false);
        }
        _ => {}
    }
    let difference = match (yes, no) {
        (Value::Node(yes), Value::Node(no)) => context.subtract(yes, no)?,
        (Value::Node(yes), _) => {
            let no = constant(2)?;
            context.offset_by(yes, &no.array().mapv(|value| -value))?
        }
        (_, Value::Node(no)) => {
            let (yes, negative) = (constant(1)?, context.scale(no, -1.0)?);
            context.offset_by(&negative, yes.array())?
        }
        _ => {
            let (yes, no) = (constant(1)?, constant(2)?);
            let difference = arrays::zip(yes.array(), no.array(), |yes, no| Ok(yes - no))?;
            let chosen = context.scale_by(condition, &difference)?;
            let chosen = context.offset_by(&chosen, no.array())?;
            let is_integer = [1, 2].iter().all(|&place| matches!(call.input(place), Some(Value::Integer(_))));
            return if is_integer { Ok(chosen) } else { context.retyped(&chosen, false) };
        }
    };
    let chosen = context.multiply(&difference, condition)?;
    match no {
        Value::Node(no) => context.add(&chosen, no),
        _ => {
            let no = constant(2)?;
            context.offset_by(&chosen, no.array())
        }
    }
}
