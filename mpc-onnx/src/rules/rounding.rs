//! Rounding, remainders, and the functions of an angle, which begin with one.
//!
//! They jump where a value passes a whole number, and do it where its fixed point does.

mod quotient;

use mpc_protocols::function::Function;

use crate::context::{Context, Whole};
use crate::error::{Lowered, invalid};
use crate::rules::elementwise::with_constant;
use crate::value::{Constant, Tensor};
use quotient::Quotient;
pub(super) use quotient::{Divisor, divisors, remainder, whole_quotient};

/// The private form of these operators of one operand; none for others.
pub(super) fn unary(context: &mut Context, operator: &str, x: &Tensor) -> Lowered<Option<Tensor>> {
    Ok(Some(match operator {
        "Floor" => floor(context, x)?,
        "Ceil" => ceil(context, x)?,
        "Round" => round(context, x)?,
        "Cos" => turn(context, x, 0.0)?,
        "Sin" => turn(context, x, -0.25)?,
        "Tan" => tangent(context, x)?,
        "Atan" => arc_tangent(context, x)?,
        "Asin" => arc_sine(context, x)?,
        "Acos" => {
            let sine = arc_sine(context, x)?;
            let negative = context.scale(&sine, -1.0)?;
            context.offset(&negative, core::f32::consts::FRAC_PI_2)?
        }
        "Sinh" | "Cosh" => {
            let opposite = context.scale(x, -1.0)?;
            let (up, down) = (context.function(x, Function::Exp)?, context.function(&opposite, Function::Exp)?);
            let sum = if operator == "Sinh" { context.subtract(&up, &down)? } else { context.add(&up, &down)? };
            context.scale(&sum, 0.5)?
        }
        "Asinh" => {
            let magnitude = context.function(x, Function::Abs)?;
            let inverse = area(context, &magnitude, 1.0)?;
            let sign = sign_of(context, x)?;
            context.multiply(&inverse, &sign)?
        }
        "Acosh" => area(context, x, -1.0)?,
        "Atanh" => {
            let (up, opposite) = (context.offset(x, 1.0)?, context.scale(x, -1.0)?);
            let down = context.offset(&opposite, 1.0)?;
            let (up, down) = (context.function(&up, Function::Log)?, context.function(&down, Function::Log)?);
            let difference = context.subtract(&up, &down)?;
            context.scale(&difference, 0.5)?
        }
        _ => return Ok(None),
    }))
}

pub(super) fn floor(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    if context.whole(x.id).is_some() {
        return Ok(x.clone());
    }
    let y = match Quotient::find(context, x)? {
        Some(quotient) => quotient.floor(context)?,
        None if context.is_exact(x.id) => context.floor(x)?,
        None => {
            let upper = context.offset(x, ROUNDED)?;
            context.floor(&upper)?
        }
    };
    context.note_whole(y.id, Whole::Integer);
    Ok(y)
}

fn ceil(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let below = match Quotient::find(context, x)? {
        Some(quotient) => quotient.negative(context)?.floor(context)?,
        None => {
            let opposite = context.scale(x, -1.0)?;
            floor(context, &opposite)?
        }
    };
    context.scale(&below, -1.0)
}

/// To the nearest whole number, of two equally near ones to the even one.
pub(super) fn round(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    if context.whole(x.id).is_some() {
        return Ok(x.clone());
    }
    let (up, down) = (context.offset(x, 0.5)?, context.offset(x, -0.5)?);
    let (up, down) = (floor(context, &up)?, ceil(context, &down)?);
    // They differ where both are equally near: then the upper one goes if it is odd.
    let is_half = context.subtract(&up, &down)?;
    let half = context.scale(&up, 0.5)?;
    let half = context.floor(&half)?;
    let even = context.scale(&half, -2.0)?;
    let odd = context.add(&up, &even)?;
    let excess = context.multiply(&odd, &is_half)?;
    context.subtract(&up, &excess)
}

/// So much of a value is lost where it is computed.
pub(super) const ROUNDED: f32 = 1.0 / 32768.0;
/// As far below a whole number a value is taken for it that a cast cuts.
const NEXT: f32 = 1.0 / 4096.0;

/// Towards 0.
pub(super) fn towards_zero(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    if context.whole(x.id).is_some() {
        return Ok(x.clone());
    }
    if let Some(quotient) = Quotient::find(context, x)? {
        return quotient.towards_zero(context);
    }
    let magnitude = context.function(x, Function::Abs)?;
    // What is computed of whole numbers is next to one, which may be above it.
    let upper = context.offset(&magnitude, NEXT)?;
    let whole = floor(context, &upper)?;
    let sign = sign_of(context, x)?;
    context.multiply(&whole, &sign)
}

/// A whole number as a type of so many integers holds it, which goes around where it does not fit.
pub(super) fn wrapped(context: &mut Context, x: &Tensor, lowest: f32, size: f32) -> Lowered<Tensor> {
    // Half a unit more, so that rounding does not take a whole number to the one below.
    let from_lowest = context.offset(x, 0.5 - lowest)?;
    let turns = context.scale(&from_lowest, 1.0 / size)?;
    let turns = context.floor(&turns)?;
    let excess = context.scale(&turns, -size)?;
    context.add(x, &excess)
}

/// 1 for x ≥ 0, else −1.
fn sign_of(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let step = context.function(x, Function::Step)?;
    let double = context.scale(&step, 2.0)?;
    context.offset(&double, -1.0)
}

/// cos(x + 2π·shift), by the distance of the angle in turns from the nearest whole number.
fn turn(context: &mut Context, x: &Tensor, shift: f32) -> Lowered<Tensor> {
    let turns = context.scale(x, (0.5 / core::f64::consts::PI) as f32)?;
    let turns = context.offset(&turns, shift)?;
    let nearest = context.offset(&turns, 0.5)?;
    let nearest = context.floor(&nearest)?;
    let distance = context.subtract(&turns, &nearest)?;
    context.function(&distance, Function::CosineOfTurns)
}

/// The tangent, by the distance d of the angle from the nearest multiple of π, and the smaller one m of |d| and π/2 − |d|: m
/// over q(m²) up to π/4, and q(m²) over m beyond, where q(m²) is m·cot m. So a value next to a pole is divided by its distance
/// from it.
fn tangent(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    use core::f32::consts::{FRAC_1_PI, FRAC_PI_4, PI};
    let turns = context.scale(x, FRAC_1_PI)?;
    let nearest = context.offset(&turns, 0.5)?;
    let nearest = context.floor(&nearest)?;
    let multiple = context.scale(&nearest, PI)?;
    let distance = context.subtract(x, &multiple)?;
    let magnitude = context.function(&distance, Function::Abs)?;
    let beyond = context.offset(&magnitude, -FRAC_PI_4)?;
    let is_steep = context.function(&beyond, Function::Step)?;
    // π/4 − ||d| − π/4|
    let from_middle = context.function(&beyond, Function::Abs)?;
    let small = context.scale(&from_middle, -1.0)?;
    let small = context.offset(&small, FRAC_PI_4)?;
    let square = context.square(&small)?;
    // The series of m·cot m, right to 10^−6 up to π/4.
    let q = polynomial(context, &square, &[1.0, -1.0 / 3.0, -1.0 / 45.0, -2.0 / 945.0, -1.0 / 4725.0])?;
    let change = context.subtract(&q, &small)?;
    let change = context.multiply(&change, &is_steep)?;
    let (above, below) = (context.add(&small, &change)?, context.subtract(&q, &change)?);
    let quotient = context.quotient(&above, &below, true)?;
    let sign = sign_of(context, &distance)?;
    context.multiply(&quotient, &sign)
}

/// The polynomial with these coefficients, the lowest first.
fn polynomial(context: &mut Context, x: &Tensor, coefficients: &[f32]) -> Lowered<Tensor> {
    let Some((&last, others)) = coefficients.split_last() else { return invalid("a polynomial of no coefficients") };
    let mut y: Option<Tensor> = None;
    for &coefficient in others.iter().rev() {
        let product = match &y {
            Some(y) => context.multiply(y, x)?,
            None => context.scale(x, last)?,
        };
        y = Some(context.offset(&product, coefficient)?);
    }
    y.map_or_else(|| invalid("a polynomial of one coefficient"), Ok)
}

/// By M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 4.4.47, of min(|x|, 1/|x|): an error of 10^−5.
fn arc_tangent(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let magnitude = context.function(x, Function::Abs)?;
    let small = context.function(&magnitude, Function::Clip { low: f32::NEG_INFINITY, high: 1.0 })?;
    let large = context.function(&magnitude, Function::Clip { low: 1.0, high: f32::INFINITY })?;
    let z = context.quotient(&small, &large, true)?;
    let square = context.square(&z)?;
    let factor = polynomial(context, &square, &[0.999_866, -0.330_299_5, 0.180_141, -0.085_133, 0.020_835_1])?;
    let near = context.multiply(&z, &factor)?;
    // Beyond 1, what is missing to π/2.
    let beyond = context.offset(&magnitude, -1.0)?;
    let is_beyond = context.function(&beyond, Function::Step)?;
    let opposite = context.scale(&near, -2.0)?;
    let rest = context.offset(&opposite, core::f32::consts::FRAC_PI_2)?;
    let part = context.multiply(&rest, &is_beyond)?;
    let angle = context.add(&near, &part)?;
    let sign = sign_of(context, x)?;
    context.multiply(&angle, &sign)
}

/// π/2 − √(1 − |x|)·p(|x|), the same book's 4.4.45: an error of 5·10^−5.
fn arc_sine(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let magnitude = context.function(x, Function::Abs)?;
    let opposite = context.scale(&magnitude, -1.0)?;
    let rest = context.offset(&opposite, 1.0)?;
    let root = context.function(&rest, Function::Sqrt)?;
    let factor = polynomial(context, &magnitude, &[1.570_728_8, -0.212_114_4, 0.074_261, -0.018_729_3])?;
    let missing = context.multiply(&root, &factor)?;
    let negative = context.scale(&missing, -1.0)?;
    let angle = context.offset(&negative, core::f32::consts::FRAC_PI_2)?;
    let sign = sign_of(context, x)?;
    context.multiply(&angle, &sign)
}

/// ln(x + √(x² + c))
fn area(context: &mut Context, x: &Tensor, c: f32) -> Lowered<Tensor> {
    let square = context.square(x)?;
    let under = context.offset(&square, c)?;
    let root = context.function(&under, Function::Sqrt)?;
    let sum = context.add(x, &root)?;
    context.function(&sum, Function::Log)
}

/// 1 where x is above 0, else 0.
pub(super) fn above_zero(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    if context.whole(x.id) == Some(Whole::Boolean) {
        return Ok(x.clone());
    }
    let opposite = context.scale(x, -1.0)?;
    let not_above = context.function(&opposite, Function::Step)?;
    let above = context.scale(&not_above, -1.0)?;
    context.offset(&above, 1.0)
}

/// max(factor·x, limit) for a factor that may be larger than a private value.
pub(super) fn scaled_mask(context: &mut Context, x: &Tensor, factor: f32, limit: f32) -> Lowered<Tensor> {
    if context.whole(x.id) == Some(Whole::Boolean) {
        return context.scale(x, factor.max(limit));
    }
    let reach = limit / factor;
    if reach < 1.0 / 4096.0 {
        // All that is above 0 is beyond the limit.
        let above = above_zero(context, x)?;
        return context.scale(&above, limit);
    }
    let most = with_constant(context, "Min", x, &Constant::new(crate::arrays::scalar_like(reach)))?;
    let root = factor.abs().sqrt();
    // Two factors, each of which a graph takes.
    let part = context.emit("scale", &most.shape, |builder, name| builder.scale(name, most.id, root))?;
    context.emit("scale", &most.shape, |builder, name| builder.scale(name, part.id, -root))
}
