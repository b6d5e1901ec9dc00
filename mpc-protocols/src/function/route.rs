//! How a function is computed: thresholds, a table, piecewise linear functions, in integers.

use alloc::vec;
use alloc::vec::Vec;

use super::evaluation::{Evaluation, Means};
use super::octaves::Octaves;
use super::{Function, FunctionShape};
use crate::ProtocolError;
use crate::lookup::Table;
use crate::piecewise::{PiecewiseLinear, Step};

/// The most steps of a staircase.
const MAX_STEPS: i64 = 64;

/// A piecewise linear function in integers, units in the last place for arguments.
pub(crate) type Linear = PiecewiseLinear<i128>;

/// Thresholds in units in the last place, and what is done with the pieces.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) thresholds: Vec<i64>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The pieces are the result.
    Linear(Rest),
    /// A smooth part of a piecewise linear function of the argument, and what is added to it.
    Smooth { evaluation: Evaluation, argument: Linear, rest: Option<Rest> },
    /// An argument moved to [1, 2).
    Octaves(Octaves),
}

/// A piecewise linear function with `fraction` more fractional bits than the result.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    pub(crate) function: Linear,
    pub(crate) fraction: u32,
    /// Whether its slopes are exact.
    pub(crate) exact: bool,
    /// The k of its truncation.
    pub(crate) bits: u32,
}

pub(crate) fn unsupported(parameter: &'static str, value: u64, allowed: &'static str) -> ProtocolError {
    ProtocolError::Parameter { protocol: "function", parameter, value, allowed }
}

pub(crate) fn step(offset: i128, slope: i128) -> Step<i128> {
    Step { offset, slope }
}

impl Route {
    pub(crate) fn new(shape: &FunctionShape, ring_bits: u32, means: Means) -> Result<Self, ProtocolError> {
        let route = Self::unchecked(shape, ring_bits, means)?;
        let bits = shape.parameters.bits();
        let largest = route.thresholds.iter().map(|t| t.unsigned_abs()).max().unwrap_or(0);
        // At least a quarter of the range remains.
        if largest > 3 << (bits - 4) {
            return Err(unsupported(
                "threshold",
                largest,
                "at most 3/4 of 2^(k-2) units in the last place: a larger k has room for it",
            ));
        }
        Ok(route)
    }

    fn unchecked(shape: &FunctionShape, ring_bits: u32, means: Means) -> Result<Self, ProtocolError> {
        match shape.function {
            Function::Clip { .. }
            | Function::Abs
            | Function::Step
            | Function::LeakyRelu { .. }
            | Function::Stairs { .. }
            | Function::HardSigmoid { .. } => Self::linear(shape, ring_bits),
            Function::Log
            | Function::Sqrt
            | Function::Power { .. }
            | Function::Reciprocal
            | Function::PositiveReciprocal => Octaves::route(shape, ring_bits, means),
            _ => Self::smooth(shape, ring_bits, means),
        }
    }

    fn linear(shape: &FunctionShape, ring_bits: u32) -> Result<Self, ProtocolError> {
        let exact = |thresholds, function| {
            let rest = Rest { function, fraction: 0, exact: true, bits: shape.parameters.bits() };
            Ok(Self { thresholds, kind: Kind::Linear(rest) })
        };
        match shape.function {
            Function::Clip { low, high } => {
                let (low, high) = (shape.bound(low)?, shape.bound(high)?);
                clip(low, high)
                    .map_or(Err(unsupported("clip", 0, "low below high, one of them within range")), |clip| {
                        exact(clip.0, clip.1)
                    })
            }
            Function::Abs => exact(vec![0], Linear { constant: 0, slope: -1, steps: vec![step(0, 2)] }),
            Function::Step => {
                let one = 1 << shape.fractional_bits;
                exact(vec![0], Linear { constant: 0, slope: 0, steps: vec![step(one, 0)] })
            }
            Function::Stairs { first, last, width } => {
                let (thresholds, function) = stairs(shape, first, last, width)?;
                exact(thresholds, function)
            }
            Function::LeakyRelu { slope } => {
                let scale = shape.slopes(ring_bits, &[slope.into()])?;
                let below = scale.integer(slope.into());
                let function = Linear { constant: 0, slope: below, steps: vec![step(0, scale.one() - below)] };
                Ok(Self { thresholds: vec![0], kind: Kind::Linear(scale.rest(function, shape.parameters.bits())) })
            }
            Function::HardSigmoid { alpha, beta } => hard_sigmoid(shape, ring_bits, alpha.into(), beta.into()),
            _ => Err(unsupported("the function", 0, "a piecewise linear one")),
        }
    }

    fn smooth(shape: &FunctionShape, ring_bits: u32, means: Means) -> Result<Self, ProtocolError> {
        let FunctionShape { function, fractional_bits, parameters, .. } = *shape;
        let bits = parameters.bits();
        let (input_bits, limit_bits) = (shape.argument_bits(), shape.result_bits() - 2);
        let table = Table { function, input_bits, output_bits: fractional_bits, limit_bits };
        let evaluation = Evaluation::new(table, ring_bits, means)?;
        let (low, span) = evaluation.interval()?;
        let (low, high) = (i128::from(low), i128::from(low) + i128::from(span));
        let tail =
            |slope| Rest { function: Linear { constant: 0, slope: 0, steps: slope }, fraction: 0, exact: true, bits };
        let nothing = step(0, 0);
        let (thresholds, argument, rest) = match function {
            Function::Silu | Function::Softplus | Function::Gelu | Function::GeluTanh => {
                // min(|y|, R), and y where it is positive.
                let steps = vec![step(-high, -1), step(0, 2), step(high, -1)];
                let rest = tail(vec![nothing, step(0, 1)]);
                (vec![-high, 0, high], Linear { constant: high, slope: 0, steps }, Some(rest))
            }
            Function::Elu { .. } | Function::Celu { .. } | Function::Selu { .. } | Function::ExpNonPositive => {
                // min(max(−y, 0), R), and a multiple of y where it is positive.
                let steps = vec![step(-high, -1), step(0, 1)];
                let rest = match function {
                    Function::ExpNonPositive => None,
                    Function::Selu { gamma, .. } => {
                        let scale = shape.slopes(ring_bits, &[gamma.into()])?;
                        let steps = vec![nothing, step(0, scale.integer(gamma.into()))];
                        Some(scale.rest(Linear { constant: 0, slope: 0, steps }, bits))
                    }
                    _ => Some(tail(vec![nothing, step(0, 1)])),
                };
                (vec![-high, 0], Linear { constant: high, slope: 0, steps }, rest)
            }
            _ => {
                // y − low within the interval, and what y exceeds it by.
                let steps = vec![step(-low, 1), step(high, -1)];
                let grows = matches!(function, Function::Mish | Function::HardSwish);
                let rest = grows.then(|| tail(vec![nothing, step(-high, 1)]));
                (vec![low, high], Linear { constant: 0, slope: 0, steps }, rest)
            }
        };
        let thresholds = thresholds.into_iter().map(|t| t as i64).collect();
        let argument = scaled(argument, evaluation.multiplier().into());
        Ok(Self { thresholds, kind: Kind::Smooth { evaluation, argument, rest } })
    }
}

fn scaled(function: Linear, factor: i128) -> Linear {
    let steps = function.steps.iter().map(|s| step(s.offset * factor, s.slope * factor)).collect();
    Linear { constant: function.constant * factor, slope: function.slope * factor, steps }
}

/// min(max(y, low), high), where a bound that is never reached is `None`.
fn clip(low: Bound, high: Bound) -> Option<(Vec<i64>, Linear)> {
    match (low, high) {
        (Bound::At(low), Bound::At(high)) if low <= high => {
            let (l, h) = (i128::from(low), i128::from(high));
            Some((vec![low, high], Linear { constant: l, slope: 0, steps: vec![step(-l, 1), step(h, -1)] }))
        }
        (Bound::At(low), Bound::Above) => {
            let l = i128::from(low);
            Some((vec![low], Linear { constant: l, slope: 0, steps: vec![step(-l, 1)] }))
        }
        (Bound::Below, Bound::At(high)) => {
            Some((vec![high], Linear { constant: 0, slope: 1, steps: vec![step(high.into(), -1)] }))
        }
        _ => None,
    }
}

/// A step up at each multiple of the width.
fn stairs(shape: &FunctionShape, first: i32, last: i32, width: f32) -> Result<(Vec<i64>, Linear), ProtocolError> {
    let allowed = "1 to 64 steps of a positive width of whole units, within range";
    let units = f64::from(width) * libm::exp2(shape.fractional_bits.into());
    let is_whole = units >= 1.0 && libm::trunc(units) == units;
    let count = i64::from(last) - i64::from(first) + 1;
    let mut thresholds = Vec::new();
    for j in first..=last {
        match shape.bound_f64(f64::from(j) * f64::from(width)) {
            Ok(Bound::At(threshold)) if is_whole && (1..=MAX_STEPS).contains(&count) => thresholds.push(threshold),
            _ => return Err(unsupported("stairs", count.unsigned_abs(), allowed)),
        }
    }
    if thresholds.is_empty() {
        return Err(unsupported("stairs", 0, allowed));
    }
    let height = units as i128;
    let steps = thresholds.iter().map(|_| step(height, 0)).collect();
    Ok((thresholds, Linear { constant: (i128::from(first) - 1) * height, slope: 0, steps }))
}

fn hard_sigmoid(shape: &FunctionShape, ring_bits: u32, alpha: f64, beta: f64) -> Result<Route, ProtocolError> {
    let allowed = "alpha > 0, and 0 and 1 reached within range";
    if !(alpha > 0.0 && beta.is_finite()) {
        return Err(unsupported("hard sigmoid", 0, allowed));
    }
    let (Bound::At(low), Bound::At(high)) = (shape.bound_f64(-beta / alpha)?, shape.bound_f64((1.0 - beta) / alpha)?)
    else {
        return Err(unsupported("hard sigmoid", 0, allowed));
    };
    let scale = shape.slopes(ring_bits, &[alpha, beta])?;
    let (slope, one) = (scale.integer(alpha), scale.one() << shape.fractional_bits);
    let offset = libm::round(beta * one as f64) as i128;
    let steps = vec![step(offset, slope), step(one - offset, -slope)];
    // The result lies within [0, 1] and a few units around it.
    let bits = (shape.fractional_bits + 4).min(ring_bits - scale.fraction);
    let rest = scale.rest(Linear { constant: 0, slope: 0, steps }, bits);
    Ok(Route { thresholds: vec![low, high], kind: Kind::Linear(rest) })
}

/// Where a bound is: within range, or out of reach.
#[derive(Clone, Copy)]
enum Bound {
    Below,
    At(i64),
    Above,
}

/// Slopes in `fraction` bits.
struct Slopes {
    fraction: u32,
    exact: bool,
}

impl Slopes {
    fn one(&self) -> i128 {
        1 << self.fraction
    }

    fn integer(&self, slope: f64) -> i128 {
        libm::round(slope * self.one() as f64) as i128
    }

    fn rest(&self, function: Linear, bits: u32) -> Rest {
        Rest { function, fraction: self.fraction, exact: self.exact, bits }
    }
}

impl FunctionShape {
    fn bound(&self, x: f32) -> Result<Bound, ProtocolError> {
        self.bound_f64(x.into())
    }

    fn bound_f64(&self, x: f64) -> Result<Bound, ProtocolError> {
        let units = libm::round(x * libm::exp2(self.fractional_bits.into()));
        let reach = libm::exp2(f64::from(self.parameters.bits() - 2));
        match units {
            units if units.is_nan() => Err(unsupported("a bound", 0, "a number")),
            units if units >= reach => Ok(Bound::Above),
            units if units <= -reach => Ok(Bound::Below),
            units => Ok(Bound::At(units as i64)),
        }
    }

    /// The fewest bits in which all slopes are exact, or all that the ring has room for.
    fn slopes(&self, ring_bits: u32, slopes: &[f64]) -> Result<Slopes, ProtocolError> {
        if !slopes.iter().all(|s| s.is_finite() && libm::fabs(*s) <= 16.0) {
            return Err(unsupported("a slope", 17, "numbers of magnitude up to 16"));
        }
        let room = ring_bits.saturating_sub(self.parameters.bits()).min(30);
        let exact = |bits: &u32| {
            slopes.iter().all(|s| libm::trunc(s * libm::exp2((*bits).into())) == s * libm::exp2((*bits).into()))
        };
        let fraction = (0..=room).find(exact);
        if fraction.is_some() || room >= self.fractional_bits.min(8) {
            Ok(Slopes { fraction: fraction.unwrap_or(room), exact: fraction.is_some() })
        } else {
            Err(unsupported("k", self.parameters.bits().into(), "8 bits less than the ring, for slopes"))
        }
    }
}
