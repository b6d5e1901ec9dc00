//! The fixed point of a value, and public numbers as integers.

use alloc::vec::Vec;

use mpc_ring::{FixedPoint, Ring};
use ndarray::{ArrayD, IxDyn};
use serde::Serialize;

/// The meaning of the elements of a shared tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Format {
    /// A number in fixed point.
    Number(Number),
    /// An index, and other secrets above it. Nothing but its bits is revealed.
    Index(Index),
    /// A number with f fractional bits, and an index below it.
    Ranked(Index),
}

/// An index, or what a public shift or change of sign makes of it: origin + step·v, v being the lowest `bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Index {
    /// The bits of v, and all that is revealed.
    pub bits: u32,
    /// The result for v = 0.
    pub origin: i64,
    /// 1 or −1.
    pub step: i64,
    /// The number of values that v has, from 0.
    pub count: u64,
}

impl Index {
    /// Whether a run without a fault gives this result.
    pub(crate) fn gives(self, result: f64) -> bool {
        let v = (result - self.origin as f64) * self.step as f64;
        (0.0..self.count as f64).contains(&v)
    }
}

/// A number in fixed point: the signed element, divided by 2^`scale` and by `divisor`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Number {
    /// The fractional bits.
    pub scale: u32,
    /// The divisor that is pending.
    pub divisor: f64,
}

impl Number {
    /// With more fractional bits.
    pub(crate) fn finer(self, bits: u32) -> Self {
        Self { scale: self.scale + bits, ..self }
    }
}

impl Format {
    /// Revealed elements as real numbers.
    pub(crate) fn decode<R: Ring>(self, elements: &[R], shape: &[usize]) -> ArrayD<f64> {
        let values: Vec<f64> = match self {
            Self::Number(Number { scale, divisor }) => {
                let fixed = FixedPoint::new(scale);
                elements.iter().map(|&x| fixed.decode(x) / divisor).collect()
            }
            Self::Index(Index { bits, origin, step, .. }) | Self::Ranked(Index { bits, origin, step, .. }) => {
                elements.iter().map(|&x| (origin + step * (x & R::low_mask(bits)).low_u64() as i64) as f64).collect()
            }
        };
        ArrayD::from_shape_vec(IxDyn(shape), values).expect("a step has as many elements as its shape")
    }
}

impl From<Number> for Format {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

/// ⌈log₂ x⌉ for x ≥ 1, and 0 below.
pub(crate) fn ceil_log2(x: f64) -> u32 {
    (0..64).find(|&bits| x <= power_of_two(bits)).unwrap_or(64)
}

/// 2^exponent, for `exponent` < 1024.
pub(crate) fn power_of_two(exponent: u32) -> f64 {
    num_traits::Float::powi(2.0, exponent as i32)
}

/// x to the nearest integer, halves away from zero.
pub(crate) fn round(x: f64) -> f64 {
    num_traits::Float::round(x)
}

/// Coefficients as integers over 2^bits.
pub(crate) struct Integers {
    pub(crate) bits: u32,
    pub(crate) integers: Vec<i64>,
}

/// The coefficients with the fewest fractional bits that bring each within 2^-22 of the largest one; else with all
/// `available` bits, if that brings each within 2^-14; else `None`.
pub(crate) fn integers(coefficients: &[f64], available: u32) -> Option<Integers> {
    let largest = coefficients.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let fits = |bits: u32, tolerance: f64| {
        let one = power_of_two(bits);
        coefficients.iter().all(|&x| (round(x * one) / one - x).abs() <= largest * tolerance)
    };
    let exact = (0..=available).find(|&bits| fits(bits, 1.0 / power_of_two(22)));
    let bits = exact.or(fits(available, 1.0 / power_of_two(14)).then_some(available))?;
    Some(at_bits(coefficients, bits))
}

/// The coefficients as near as `available` bits bring them.
pub(crate) fn nearest(coefficients: &[f64], available: u32) -> Integers {
    integers(coefficients, available).unwrap_or_else(|| at_bits(coefficients, available))
}

/// The coefficients with that many fractional bits.
fn at_bits(coefficients: &[f64], bits: u32) -> Integers {
    let one = power_of_two(bits);
    Integers { bits, integers: coefficients.iter().map(|&x| round(x * one) as i64).collect() }
}
