//! How far a private result is from the function's value.

use super::evaluation::Evaluation;
use super::octaves::Octave;
use super::route::{Kind, Rest, Route};
use super::{Function, FunctionShape};
use crate::ProtocolError;

/// The error of a result y is at most `absolute` + `relative`·|y|, of a quotient by d also `of_inverse`/|d|.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBound {
    /// The part that does not depend on the result.
    pub absolute: f64,
    /// The part that grows with the result.
    pub relative: f64,
    /// The part that grows with the inverse of a divisor: of quotients alone, and 0 where the ring has room for their products.
    pub of_inverse: f64,
}

/// More than the rounding of f64 in fits and references.
const FLOATING: f64 = 1e-9;

impl ErrorBound {
    /// The bound for a magnitude of the result.
    #[must_use]
    pub fn at(&self, result: f64) -> f64 {
        self.absolute + self.relative * libm::fabs(result)
    }

    /// The bound for the magnitude of a quotient, and the divisor.
    #[must_use]
    pub fn of_quotient(&self, quotient: f64, divisor: f64) -> f64 {
        self.at(quotient) + if self.of_inverse > 0.0 { self.of_inverse / libm::fabs(divisor) } else { 0.0 }
    }

    /// Whether it is no larger than another one, whatever the result is.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.absolute <= other.absolute && self.relative <= other.relative && self.of_inverse <= other.of_inverse
    }

    /// A bound that no divisor has a part in.
    fn new(absolute: f64, relative: f64) -> Self {
        Self { absolute, relative, of_inverse: 0.0 }
    }

    /// Sums of: the argument's rounding by n/2 units, times the largest slope; the fit's error |f'''|·width³/24; the rounding
    /// of coefficients; the tail outside the interval; the result's rounding by n/2 units; the rounding of slopes, times
    /// the largest argument.
    pub(super) fn of(
        shape: &FunctionShape,
        route: &Route,
        ring_bits: u32,
        parties: usize,
    ) -> Result<Self, ProtocolError> {
        let unit = libm::exp2(-f64::from(shape.fractional_bits));
        let half = parties as f64 / 2.0 * unit;
        let argument = if shape.shift > 0 { parties as f64 / 2.0 * shape.unit() } else { 0.0 };
        match &route.kind {
            Kind::Linear(rest) => {
                // A bound or an offset is rounded to a unit.
                let absolute = rest.error(shape, half) + rest.slope() * argument + (1.0 + rest.slope()) * unit;
                Ok(Self::new(absolute + FLOATING, 0.0))
            }
            Kind::Smooth { evaluation, rest, .. } => {
                let (fitted, slope) = Self::of_evaluation(evaluation, ring_bits, half)?;
                let (added, added_slope) =
                    rest.as_ref().map_or((0.0, 0.0), |rest| (rest.error(shape, half), rest.slope()));
                let smooth = evaluation.table().smooth()?;
                let tail = smooth.tail;
                if smooth.relative {
                    return Ok(Self::new(fitted.absolute + tail, fitted.relative + 1.001 * slope * argument));
                }
                // Where a bent function is added to an even one both slopes count; else one of the two is 0.
                let even = route.thresholds.len() == 3;
                let slope = if even { slope + added_slope } else { slope.max(added_slope) };
                let absolute = fitted.absolute + tail + added + slope * argument;
                Ok(Self::new(absolute, 0.0))
            }
            Kind::Octaves(octaves) => {
                let (table, n) = (octaves.evaluation.table(), parties as f64);
                // The normalised argument, and the table's result, are rounded by n/2 of their units.
                let normalised =
                    if octaves.shift > 0 { n / 2.0 * libm::exp2(-f64::from(table.input_bits)) } else { 0.0 };
                let (fitted, slope) = Self::of_evaluation(
                    &octaves.evaluation,
                    ring_bits,
                    n / 2.0 * libm::exp2(-f64::from(table.output_bits)),
                )?;
                let relative = || {
                    let sum = fitted.relative + slope * normalised + fitted.absolute / smallest(shape.function);
                    sum * 1.001
                };
                Ok(match octaves.octave {
                    Octave::Offset(_) => Self::new(fitted.absolute + slope * normalised + unit / 2.0, 0.0),
                    // The factor is rounded by half a unit, when the table's result is below 1.
                    Octave::Factor { .. } => Self::new(half + unit / 2.0 + FLOATING, relative()),
                    Octave::Quotient { first, .. } => {
                        let bits = table.output_bits - first;
                        let of_inverse = if first > 0 { 2.0 * half * libm::exp2(-f64::from(bits)) } else { 0.0 };
                        Self { of_inverse, ..Self::new(half + FLOATING, relative()) }
                    }
                })
            }
        }
    }

    /// Of the smooth part's result, and the slope that the argument's error is multiplied by.
    fn of_evaluation(evaluation: &Evaluation, ring_bits: u32, half: f64) -> Result<(Self, f64), ProtocolError> {
        let (smooth, error) = (evaluation.table().smooth()?, evaluation.error(ring_bits)?);
        let unit = libm::exp2(-f64::from(evaluation.table().output_bits));
        let truncated = if error.is_truncated { half } else { 0.0 };
        let rounding = error.rounding * unit + truncated + FLOATING;
        let bound = if smooth.relative { Self::new(rounding, error.fit) } else { Self::new(rounding + error.fit, 0.0) };
        Ok((bound, smooth.slope))
    }
}

/// The smallest value of a power on [1, 2].
fn smallest(function: Function) -> f64 {
    match function {
        Function::Sqrt => 1.0,
        Function::Power { exponent } => libm::exp2(exponent.into()).min(1.0),
        _ => 0.5,
    }
}

impl Rest {
    /// The error that the rounding of slopes and a truncation add.
    fn error(&self, shape: &FunctionShape, half: f64) -> f64 {
        if self.fraction == 0 {
            return 0.0;
        }
        let largest = libm::exp2(f64::from(shape.parameters.bits() - 2) - f64::from(shape.fractional_bits));
        // The slope below and that of a step are rounded by half a unit each.
        half + if self.exact { 0.0 } else { largest * libm::exp2(-f64::from(self.fraction)) }
    }

    /// The largest slope.
    pub(super) fn slope(&self) -> f64 {
        let one = libm::exp2(self.fraction.into());
        let mut slope = self.function.slope as f64;
        let mut largest = libm::fabs(slope);
        for step in &self.function.steps {
            slope += step.slope as f64;
            largest = largest.max(libm::fabs(slope));
        }
        largest / one
    }
}
