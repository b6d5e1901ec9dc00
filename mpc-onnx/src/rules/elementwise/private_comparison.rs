//! Comparisons of private values: private Booleans, 0 or 1.
//!
//! A comparison jumps: it is that of the values in fixed point, which rounding has moved by a few units in the last place. A
//! choice between two values that meet where the condition changes, as in ELU or a soft shrinkage, is right everywhere.

use std::format;

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::onnx::arrays;
use crate::onnx::call::Call;
use crate::onnx::error::{Lowered, unsupported};
use crate::onnx::lowering::Lowering;
use crate::onnx::value::{Tensor, Value};

/// 1 for x ≥ 0, else 0.
fn at_least_zero(lowering: &mut Lowering, x: &Tensor) -> Lowered<Tensor> {
    lowering.function(x, Function::Step)
}

/// 1 for x > 0, else 0.
fn step(lowering: &mut Lowering, x: &Tensor) -> Lowered<Tensor> {
    let opposite = lowering.scale(x, -1.0)?;
    let not_above = at_least_zero(lowering, &opposite)?;
    not(lowering, &not_above)
}

/// x for x > alpha, else 0.
pub(in crate::onnx::lower) fn thresholded(lowering: &mut Lowering, x: &Tensor, alpha: f32) -> Lowered<Tensor> {
    let above = lowering.offset(x, -alpha)?;
    let mask = step(lowering, &above)?;
    lowering.multiply(x, &mask)
}

/// 1 − x
pub(super) fn not(lowering: &mut Lowering, x: &Tensor) -> Lowered<Tensor> {
    let negative = lowering.scale(x, -1.0)?;
    lowering.offset(&negative, 1.0)
}

/// −1, 0 or 1.
pub(super) fn sign(lowering: &mut Lowering, x: &Tensor) -> Lowered<Tensor> {
    let not_below = at_least_zero(lowering, x)?;
    let opposite = lowering.scale(x, -1.0)?;
    let not_above = at_least_zero(lowering, &opposite)?;
    lowering.subtract(&not_below, &not_above)
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

/// What the public operand of an And or Or decides alone, as after a check for infinity, which is never true.
pub(super) fn decided(lowering: &mut Lowering, operator: &str, left: &Value, right: &Value) -> Lowered<Option<Value>> {
    let deciding = match operator {
        "And" => 0,
        "Or" => 1,
        _ => return Ok(None),
    };
    let decides = |value: &Value| match value {
        Value::Integer(array) => array.iter().all(|&value| i64::from(value != 0) == deciding),
        _ => false,
    };
    if !decides(left) && !decides(right) {
        return Ok(None);
    }
    let shape = arrays::broadcast_shape(left.shape(), right.shape())?;
    lowering.charge(arrays::elements(&shape)?)?;
    Ok(Some(Value::integer(ArrayD::from_elem(shape, deciding))))
}

pub(super) fn compare(lowering: &mut Lowering, operator: &str, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
    match operator {
        "And" => lowering.multiply(x, y),
        "Or" | "Xor" => {
            let both = lowering.multiply(x, y)?;
            let both = lowering.scale(&both, if operator == "Or" { -1.0 } else { -2.0 })?;
            let sum = lowering.add(x, y)?;
            lowering.add(&sum, &both)
        }
        _ => {
            let difference = lowering.subtract(x, y)?;
            positive(lowering, operator, &difference)
        }
    }
}

pub(super) fn with_constant(lowering: &mut Lowering, operator: &str, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
    match operator {
        "And" => return lowering.scale_by(x, c),
        // x ∨ c = x·(1 − c) + c, x ⊕ c = x·(1 − 2c) + c
        "Or" | "Xor" => {
            let factor = if operator == "Or" { 1.0 } else { 2.0 };
            let scaled = lowering.scale_by(x, &c.mapv(|value| 1.0 - factor * value))?;
            return lowering.offset_by(&scaled, c);
        }
        _ => {}
    }
    if !matches!(operator, "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual") {
        return unsupported(format!("{operator} of private values: where it jumps depends on the last bit"));
    }
    let difference = lowering.offset_by(x, &c.mapv(|value| -value))?;
    positive(lowering, operator, &difference)
}

/// The comparison of a difference with 0.
fn positive(lowering: &mut Lowering, operator: &str, difference: &Tensor) -> Lowered<Tensor> {
    match operator {
        "Greater" => step(lowering, difference),
        "GreaterOrEqual" => at_least_zero(lowering, difference),
        "Less" => {
            let not_below = at_least_zero(lowering, difference)?;
            not(lowering, &not_below)
        }
        "LessOrEqual" => {
            let opposite = lowering.scale(difference, -1.0)?;
            at_least_zero(lowering, &opposite)
        }
        _ => unsupported(format!("{operator} of private values: where it jumps depends on the last bit")),
    }
}

/// no + condition·(yes − no)
pub(super) fn choose(lowering: &mut Lowering, call: &Call<'_>, condition: &Tensor) -> Lowered<Tensor> {
    let (yes, no) = (call.required(1)?, call.required(2)?);
    let difference = match (yes, no) {
        (Value::Node(yes), Value::Node(no)) => lowering.subtract(yes, no)?,
        (Value::Node(yes), _) => {
            let no = call.constant(2)?;
            lowering.offset_by(yes, &no.array().mapv(|value| -value))?
        }
        (_, Value::Node(no)) => {
            let (yes, negative) = (call.constant(1)?, lowering.scale(no, -1.0)?);
            lowering.offset_by(&negative, yes.array())?
        }
        _ => {
            let (yes, no) = (call.constant(1)?, call.constant(2)?);
            let difference = arrays::zip(yes.array(), no.array(), |yes, no| Ok(yes - no))?;
            let chosen = lowering.scale_by(condition, &difference)?;
            return lowering.offset_by(&chosen, no.array());
        }
    };
    let chosen = lowering.multiply(&difference, condition)?;
    match no {
        Value::Node(no) => lowering.add(&chosen, no),
        _ => {
            let no = call.constant(2)?;
            lowering.offset_by(&chosen, no.array())
        }
    }
}
