//! Formulas of exponentials: what they are made of is in range where they are far too large, or so small that rounding is most of
//! their logarithm.

use mpc_protocols::function::Function;

use crate::context::{Context, Origin, reduced};
use crate::error::Lowered;
use crate::rules::{reduce, softmax};
use crate::value::Tensor;

/// The longest way back from a value to an exponential.
const MAX_DEPTH: usize = 6;

/// ln x
pub(super) fn logarithm(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    context.once(x, |context, x| match known_logarithm(context, x, MAX_DEPTH)? {
        Some(logarithm) => Ok(logarithm),
        None => context.logarithm(x),
    })
}

/// ln x, where x was made of an exponential, a sigmoid or a softmax.
fn known_logarithm(context: &mut Context, x: &Tensor, depth: usize) -> Lowered<Option<Tensor>> {
    let Some(left) = depth.checked_sub(1) else { return Ok(None) };
    if let Some((source, axes)) = context.exponents.get(&x.id).cloned() {
        let sum = reduce::log_sum_exp(context, &source, &axes)?;
        return context.reshape(&sum, &x.shape).map(Some);
    }
    if let Some((source, axis)) = context.softmaxes.get(&x.id).cloned() {
        return softmax::along(context, &source, axis, true).map(Some);
    }
    let Some(origin) = context.origin(x.id) else { return Ok(None) };
    match origin {
        Origin::Function(source, Function::Exp) => return Ok(Some(x.with_id(source))),
        Origin::Function(source, Function::Sigmoid) => {
            let opposite = context.scale(&x.with_id(source), -1.0)?;
            return negative_softplus(context, &opposite).map(Some);
        }
        Origin::Offset(source, 1.0) => {
            if let Some(Origin::Scaled(sigmoid, -1.0)) = context.origin(source)
                && let Some(Origin::Function(source, Function::Sigmoid)) = context.origin(sigmoid)
            {
                return negative_softplus(context, &x.with_id(source)).map(Some);
            }
        }
        _ => {}
    }
    let (source, factor) = match origin {
        Origin::Function(source, Function::Clip { low, .. }) => (source, low),
        Origin::Scaled(source, factor) | Origin::Offset(source, factor) => (source, factor),
        _ => return Ok(None),
    };
    if factor <= 0.0 {
        return Ok(None);
    }
    let Some(inner) = known_logarithm(context, &x.with_id(source), left)? else { return Ok(None) };
    let shift = f64::from(factor).ln() as f32;
    match origin {
        Origin::Function(_, Function::Clip { high, .. }) => {
            context.function(&inner, Function::Clip { low: shift, high: high.ln() })
        }
        Origin::Scaled(..) => context.offset(&inner, shift),
        // ln(e^y + c) = ln c + ln(1 + e^(y − ln c))
        _ => {
            let apart = context.offset(&inner, -shift)?;
            let above = context.function(&apart, Function::Softplus)?;
            context.offset(&above, shift)
        }
    }
    .map(Some)
}

/// −ln(1 + e^x)
fn negative_softplus(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let softplus = context.function(x, Function::Softplus)?;
    context.scale(&softplus, -1.0)
}

/// x / y, where that is a softmax, a sigmoid or a hyperbolic tangent, written out.
pub(super) fn quotient(context: &mut Context, x: &Tensor, y: &Tensor) -> Lowered<Option<Tensor>> {
    if let Some(Origin::Function(exponent, Function::Exp)) = context.origin(x.id) {
        let exponent = x.with_id(exponent);
        if context.origin(y.id) == Some(Origin::Offset(x.id, 1.0)) {
            return context.function(&exponent, Function::Sigmoid).map(Some);
        }
        return written_softmax(context, x, &exponent, y);
    }
    let Some(angle) = tangent(context, x, y) else { return Ok(None) };
    let (source, factor) = angle;
    let angle = context.scale(&x.with_id(source), factor)?;
    context.function(&angle, Function::Tanh).map(Some)
}

/// e^x / Σ e^x
fn written_softmax(context: &mut Context, x: &Tensor, exponent: &Tensor, y: &Tensor) -> Lowered<Option<Tensor>> {
    let sum = context.source(y);
    let Some((source, axes)) = context.exponents.get(&sum.id).cloned() else { return Ok(None) };
    let &[axis] = axes.as_slice() else { return Ok(None) };
    if source.id != exponent.id || source.shape != x.shape || sum.shape != reduced(&x.shape, &[axis]) {
        return Ok(None);
    }
    // Of a difference the largest element is off already.
    if context.is_less_maximum(source.id) {
        let y = context.divide(x, y)?;
        context.softmaxes.insert(y.id, (source, axis));
        return Ok(Some(y));
    }
    softmax::along(context, &source, axis, false).map(Some)
}

/// The value that x / y is the hyperbolic tangent of, and the factor on it.
fn tangent(context: &Context, x: &Tensor, y: &Tensor) -> Option<(mpc_nn::NodeId, f32)> {
    let exponent = |id| match context.origin(id)? {
        Origin::Function(source, Function::Exp) => Some(source),
        _ => None,
    };
    match (context.origin(x.id)?, context.origin(y.id)?) {
        // (e^2x − 1) / (e^2x + 1)
        (Origin::Offset(above, -1.0), Origin::Offset(below, 1.0)) if above == below => Some((exponent(above)?, 0.5)),
        // (e^x − e^−x) / (e^x + e^−x)
        (Origin::Sum(rising, negative), Origin::Sum(also, falling))
            if rising == also && context.origin(negative) == Some(Origin::Scaled(falling, -1.0)) =>
        {
            let source = exponent(rising)?;
            (context.origin(exponent(falling)?) == Some(Origin::Scaled(source, -1.0))).then_some((source, 1.0))
        }
        _ => None,
    }
}
