//! Functions of a wide range of positive values: the argument is moved to [1, 2) by a power of two that nobody learns.
//!
//! With a threshold at each power of two, and y in [2^j, 2^{j+1}) units, u = y·2^{J−j} lies in [2^J, 2^{J+1}) and is a sum
//! of b_i·y with public factors, exactly: consecutive steps telescope to the factor of the octave. In the same way
//! 2^{(j−f)·p} or (j−f)·ln 2 is a sum of the bits b_i. So x^p = (u/2^J)^p·2^{(j−f)p}, and ln x = ln(u/2^J) + (j−f)·ln 2.

use alloc::vec::Vec;

use super::evaluation::{Evaluation, Means};
use super::route::{Kind, Linear, Route, step, unsupported};
use super::{Function, FunctionShape};
use crate::lookup::Table;
use crate::{Bilinear, ProtocolError};

/// How an argument is normalised, and what its octave contributes.
#[derive(Clone, Debug)]
pub(crate) struct Octaves {
    /// u, from 2^J on; 2^J itself for arguments that have no octave.
    pub(crate) argument: Linear,
    /// J less the argument's fractional bits in the evaluation: what u is truncated by, if it is.
    pub(crate) shift: u32,
    pub(crate) evaluation: Evaluation,
    pub(crate) octave: Octave,
}

#[derive(Clone, Debug)]
pub(crate) enum Octave {
    /// Added to the table's result.
    Offset(Linear),
    /// Multiplied by the table's result, and `shift` bits then cut off.
    Factor { factor: Linear, shift: u32 },
    /// Multiplied by the product of a dividend and the table's result, of which `first` bits are cut off; then `second` more.
    Quotient { factor: Linear, map: Bilinear, first: u32, second: u32 },
}

/// More than that would overflow almost everywhere.
const MAX_EXPONENT: f64 = 8.0;
const ROOM: &str =
    "at most the ring's bits: fewer fractional bits and a smaller k need fewer, and a larger ring has more";

impl Octaves {
    pub(crate) fn route(shape: &FunctionShape, ring_bits: u32, means: Means) -> Result<Route, ProtocolError> {
        let FunctionShape { function, fractional_bits, parameters, .. } = *shape;
        let bits = parameters.bits();
        let both = function == Function::Reciprocal;
        let has_room = shape.argument.is_some() || bits >= fractional_bits + 3;
        if !has_room || bits < 8 {
            return Err(unsupported("k", bits.into(), "8 bits, and 3 more than the fractional bits"));
        }
        // With both signs a value must be comparable with the thresholds of the other sign.
        let top = if both { bits - 4 } else { bits - 3 };
        let exponent = match function {
            Function::Log => None,
            Function::Sqrt => Some(0.5),
            Function::Power { exponent } => Some(f64::from(exponent)),
            _ => Some(-1.0),
        };
        let result_bits = shape.result_bits();
        let finer = libm::ceil(exponent.unwrap_or(0.0).clamp(0.0, MAX_EXPONENT)) as u32;
        // Where no squares stand behind the argument, the table's result gives way before the function is refused.
        let is_plain = shape.argument.is_none() && shape.dividends.is_none();
        let room = ring_bits.saturating_sub(result_bits + finer + fractional_bits);
        let output_bits = fractional_bits + exponent.map_or(0, |_| if is_plain { room.min(2) } else { 2 });
        let finest = Table { function, input_bits: top, output_bits, limit_bits: result_bits - 2 };
        let coarser = Table { input_bits: top.min(fractional_bits + 2), ..finest };
        let octave = match exponent {
            Some(_) if shape.dividends.is_some() => Octave::quotient(shape, top, output_bits, ring_bits)?,
            None => {
                let unit = libm::exp2(fractional_bits.into()) * core::f64::consts::LN_2;
                let value = |j: u32| libm::round((f64::from(j) - f64::from(fractional_bits)) * unit) as i128;
                Octave::Offset(positive_octaves(top, value, value(0)))
            }
            Some(p) if libm::fabs(p) <= MAX_EXPONENT => {
                let shift = output_bits + finer;
                if result_bits + shift > ring_bits {
                    let needed = result_bits + shift;
                    return Err(unsupported("bits of a product", needed.into(), ROOM));
                }
                let value = |j| factor(shape, p, finer, j);
                let factor = if both { signed_octaves(top, value) } else { positive_octaves(top, value, 0) };
                Octave::Factor { factor, shift }
            }
            Some(_) => return Err(unsupported("exponent", 9, "of magnitude up to 8")),
        };
        let evaluation = match Evaluation::new(finest, ring_bits, means) {
            // A series reads an argument of any precision, and a table grows with it.
            Ok(series @ Evaluation::Series(_)) => series,
            _ => Evaluation::new(coarser, ring_bits, means)?,
        };
        let (thresholds, argument) = if both { signed_argument(top) } else { positive_argument(top) };
        let shift = top - evaluation.table().input_bits;
        Ok(Route { thresholds, kind: Kind::Octaves(Self { argument, shift, evaluation, octave }) })
    }
}

impl Octave {
    /// The factor of an octave is a power of two, which as many bits hold as the range has octaves beyond 1. So its product with
    /// the dividend and the table's result needs no rounding before the last one, if the ring has room for it.
    fn quotient(shape: &FunctionShape, top: u32, output_bits: u32, ring_bits: u32) -> Result<Self, ProtocolError> {
        let FunctionShape { function, fractional_bits, .. } = *shape;
        let bits = shape.result_bits();
        let highest = top.max(fractional_bits);
        let shift = output_bits + highest - fractional_bits;
        let first = (bits + shift).saturating_sub(ring_bits);
        if first > output_bits || bits + output_bits > ring_bits {
            let needed = bits + output_bits.max(highest - fractional_bits);
            return Err(unsupported("bits of a quotient", needed.into(), ROOM));
        }
        let value = |j| power_of_two(highest - j);
        let is_signed = function == Function::Reciprocal;
        let factor = if is_signed { signed_octaves(top, value) } else { positive_octaves(top, value, 0) };
        Ok(Self::Quotient { factor, map: products(shape), first, second: shift - first })
    }

    /// The same for a shape that has other numbers of elements.
    pub(super) fn resize(&mut self, shape: &FunctionShape) {
        if let Self::Quotient { map, .. } = self {
            *map = products(shape);
        }
    }
}

/// The products of dividends with the reciprocals of divisors.
fn products(shape: &FunctionShape) -> Bilinear {
    Bilinear::blockwise(shape.dividends.map_or(shape.len, |dividends| dividends.len), shape.len)
}

/// 2^j units of the argument, to the power of p, in f + `finer` bits; where all of an octave's results leave the range, the
/// largest that fits.
fn factor(shape: &FunctionShape, p: f64, finer: u32, j: u32) -> i128 {
    let f = f64::from(shape.fractional_bits);
    let unit = libm::exp2(f + f64::from(finer));
    let exact = libm::exp2((f64::from(j) + libm::log2(shape.unit())) * p);
    let limit = libm::exp2(f64::from(shape.result_bits() - 2) - f) - 64.0 / libm::exp2(f);
    let (smallest, largest) = (libm::exp2(p).min(1.0), libm::exp2(p).max(1.0));
    let saturated = if exact * smallest >= limit { limit / largest } else { exact };
    libm::round(saturated * unit) as i128
}

fn power_of_two(j: u32) -> i128 {
    1 << j
}

/// b_j = [y ≥ 2^j] for j ≤ top: u = b_0·y·2^top − Σ_{j>0} b_j·y·2^{top−j}, and 2^top where y ≤ 0.
fn positive_argument(top: u32) -> (Vec<i64>, Linear) {
    let middle = power_of_two(top);
    let steps = (0..=top).map(|j| if j == 0 { step(-middle, middle) } else { step(0, -power_of_two(top - j)) });
    let function = Linear { constant: middle, slope: 0, steps: steps.collect() };
    ((0..=top).map(|j| 1 << j).collect(), function)
}

/// As [`positive_argument`] for |y|: the bits [y ≥ 1 − 2^j] = 1 − [−y ≥ 2^j] come after the others.
fn signed_argument(top: u32) -> (Vec<i64>, Linear) {
    let (mut thresholds, positive) = positive_argument(top);
    thresholds.extend((0..=top).map(|j| 1 - (1i64 << j)));
    let middle = power_of_two(top);
    let mut steps = positive.steps;
    steps.extend((0..=top).map(|j| if j == 0 { step(middle, middle) } else { step(0, -power_of_two(top - j)) }));
    // All of −y's bits are 1 minus a bit: −2^top + Σ_{j>0} 2^{top−j} = −1 times y remains.
    (thresholds, Linear { constant: 0, slope: -1, steps })
}

/// `value`(j) in octave j, `otherwise` where y ≤ 0.
fn positive_octaves(top: u32, value: impl Fn(u32) -> i128, otherwise: i128) -> Linear {
    let before = |j: u32| if j == 0 { otherwise } else { value(j - 1) };
    let steps = (0..=top).map(|j| step(value(j) - before(j), 0)).collect();
    Linear { constant: otherwise, slope: 0, steps }
}

/// `value`(j) where y is in octave j, −`value`(j) where −y is, and 0 at 0.
fn signed_octaves(top: u32, value: impl Fn(u32) -> i128) -> Linear {
    let mut steps = positive_octaves(top, &value, 0).steps;
    steps.extend_from_within(..);
    Linear { constant: -value(top), slope: 0, steps }
}
