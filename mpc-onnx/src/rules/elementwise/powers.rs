//! Powers: of public numbers, with public exponents, and with private ones.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::private_comparison::not;
use super::{apply, placed};
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::rounding::{self, Divisor};
use crate::value::{Constant, Tensor, Value};

/// The largest whole exponent that becomes a chain of products.
const MAX_CHAIN: i32 = 16;
/// The most different exponents of one Pow.
const MAX_EXPONENTS: usize = 8;
/// How far the logarithm of 0 lies below that of the smallest number: e^(−128·y) is 0 for any power that is not a root of high
/// degree, and 128·y stays in range up to y = 100.
const BELOW_ALL: f32 = 128.0;

pub(crate) fn power(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (base, exponent) = (call.required(0)?, call.required(1)?);
    if call.opset < 7 && call.optional_int("axis")?.is_some() {
        let inputs = vec![Some(base.clone()), Some(placed(context, call)?)];
        let inner = Call { opset: 7, ..call.with(inputs) };
        return power(context, &inner);
    }
    let Value::Node(x) = base else {
        if let Value::Node(exponent) = exponent {
            return Ok([constant_to_power(context, &real(base)?, exponent)?.into()].into());
        }
        return Ok([apply(context, call, "Pow", base, exponent)?].into());
    };
    if let Value::Node(exponent) = exponent {
        return Ok([private_power(context, x, exponent)?.into()].into());
    }
    let exponent = call.constant(1)?;
    let Some(&first) = exponent.array().first() else { return invalid("it has no exponent") };
    if exponent.array().iter().any(|&other| other != first) {
        return Ok([several_powers(context, x, exponent.array())?.into()].into());
    }
    let y = to_power(context, x, first)?;
    let shape = arrays::broadcast_shape(&y.shape, exponent.array().shape())?;
    Ok([context.expand(&y, &shape)?.into()].into())
}

/// c^x = e^(x·ln c)
fn constant_to_power(context: &mut Context, base: &Constant, exponent: &Tensor) -> Lowered<Tensor> {
    if base.array().iter().any(|&base| base <= 0.0) {
        return unsupported("a private power of what is not positive");
    }
    let scaled = context.scale_by(exponent, &base.array().mapv(|base| f64::from(base).ln() as f32))?;
    context.function(&scaled, Function::Exp)
}

/// x^y = e^(y·ln x) for x ≥ 0; where the file says that y is whole, also (−1)^y·|x|^y for x < 0.
fn private_power(context: &mut Context, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
    if context.is_typed(x.id) {
        return unsupported("a private power of an integer would be rounded; cast the base to floats first");
    }
    let is_whole = context.whole(y.id).is_some();
    let base = if is_whole { context.function(x, Function::Abs)? } else { x.clone() };
    let logarithm = logarithm_or_far_below(context, &base)?;
    let scaled = context.multiply(&logarithm, y)?;
    let power = context.function(&scaled, Function::Exp)?;
    if !is_whole {
        return Ok(power);
    }
    let two = arrays::scalar_like(2.0);
    let is_odd = rounding::remainder(context, y, &Divisor::Constant(&two), false)?;
    let not_below = context.function(x, Function::Step)?;
    let is_below = not(context, &not_below)?;
    let is_negative = context.multiply(&is_below, &is_odd)?;
    let sign = context.scale(&is_negative, -2.0)?;
    let sign = context.offset(&sign, 1.0)?;
    context.multiply(&power, &sign)
}

/// ln x, and a number far below all logarithms for x ≤ 0, so that positive powers of 0 are 0.
fn logarithm_or_far_below(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let opposite = context.scale(x, -1.0)?;
    let is_zero = context.function(&opposite, Function::Step)?;
    // 1 in place of 0, whose logarithm is 0.
    let positive = context.add(x, &is_zero)?;
    let logarithm = context.logarithm(&positive)?;
    let lowered = context.scale(&is_zero, -BELOW_ALL)?;
    context.add(&logarithm, &lowered)
}

fn distinct(exponents: &ArrayD<f32>) -> Vec<f32> {
    let mut distinct: Vec<f32> = exponents.iter().copied().collect();
    distinct.sort_by(f32::total_cmp);
    distinct.dedup();
    distinct
}

/// Each power of all elements, where it is wanted.
fn several_powers(context: &mut Context, x: &Tensor, exponents: &ArrayD<f32>) -> Lowered<Tensor> {
    let distinct = distinct(exponents);
    if distinct.len() > MAX_EXPONENTS {
        let logarithm = logarithm_or_far_below(context, x)?;
        let scaled = context.scale_by(&logarithm, exponents)?;
        return context.function(&scaled, Function::Exp);
    }
    let mut sum: Option<Tensor> = None;
    for exponent in distinct {
        let power = to_power(context, x, exponent)?;
        let kept = context.scale_by(&power, &exponents.mapv(|other| f32::from(u8::from(other == exponent))))?;
        sum = Some(match sum {
            Some(sum) => context.add(&sum, &kept)?,
            None => kept,
        });
    }
    sum.map_or_else(|| invalid("it has no exponent"), Ok)
}

pub(crate) fn to_power(context: &mut Context, x: &Tensor, exponent: f32) -> Lowered<Tensor> {
    let whole = exponent as i32;
    if whole as f32 == exponent && whole.abs() <= MAX_CHAIN {
        return match whole {
            0 => {
                let zero = context.scale(x, 0.0)?;
                context.offset(&zero, 1.0)
            }
            1.. => whole_power(context, x, whole),
            _ => {
                let power = whole_power(context, x, -whole)?;
                context.reciprocal(&power)
            }
        };
    }
    if exponent == 0.5 {
        return context.root(x);
    }
    context.function(x, Function::Power { exponent })
}

/// Whether each power with these exponents is a product of the base with itself.
pub(crate) fn are_chains(exponents: &Value) -> bool {
    let Ok(exponents) = real(exponents) else { return false };
    let distinct = distinct(exponents.array());
    distinct.len() <= MAX_EXPONENTS && distinct.iter().all(|y| y.fract() == 0.0 && (0.0..=MAX_CHAIN as f32).contains(y))
}

fn whole_power(context: &mut Context, x: &Tensor, exponent: i32) -> Lowered<Tensor> {
    if exponent == 1 {
        return Ok(x.clone());
    }
    let half = whole_power(context, x, exponent / 2)?;
    let even = context.square(&half)?;
    if exponent % 2 == 0 { Ok(even) } else { context.multiply(&even, x) }
}
