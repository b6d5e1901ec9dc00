//! The tabulated part of a function: its smooth part on a bounded interval.

use super::Function;

/// The smooth part of a function on the interval where it is tabulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Smooth {
    /// The interval's lower end.
    pub(crate) low: f64,
    /// The interval's upper end.
    pub(crate) high: f64,
    /// A bound of the third derivative's magnitude on the interval.
    pub(crate) third: f64,
    /// A bound of the first derivative's magnitude on the interval.
    pub(crate) slope: f64,
    /// A bound of what the function changes by outside the interval.
    pub(crate) tail: f64,
    /// Whether the bounds of derivatives are relative to the function's magnitude.
    pub(crate) relative: bool,
    /// The largest error, absolute or relative, that the table may have.
    pub(crate) target: f64,
}

/// An exponential below this is 0.
const FALLEN: f64 = 4.7e-5;
/// As many bits further an exponential falls that is finer than its argument: less than a unit is left of it then.
const FURTHER: u32 = 2;
/// Sums of n values that each party rounded are this far outside the interval of normalised values at most.
const SLACK: f64 = 32.0;

impl Function {
    /// The smooth part, with arguments of `input_bits` fractional bits, results with `finer` more and below 2^`limit`; `None` for
    /// functions that need no table. Of a finer e^x with x ≤ 0 errors are as much smaller.
    ///
    /// The derivatives' bounds: σ''' is −1/8 and tanh''' −2 at 0; erf''' is −4/√π at 0; that of ln(1 + e^x) is σ'', at
    /// most 1/(6√3); for GELU, SiLU and Mish the maxima were found numerically and rounded up. The tails: σ(−10.5) is below
    /// 2.8·10^−5, ln(1 + e^−10.4) below 3.1·10^−5, 1 − tanh 5.28 below 5.2·10^−5, erfc 2.95 below 3.1·10^−5, 12.55·σ(−12.55)
    /// below 4.5·10^−5, 4.4·Φ(−4.4) below 2.4·10^−5, and Mish is within 3·10^−5 of 0 below −13 and of x above 7.
    pub(crate) fn smooth(&self, input_bits: u32, finer: u32, limit: f64) -> Option<Smooth> {
        let target = libm::exp2(-f64::from(input_bits.clamp(2, 15) - 1));
        let part =
            |low, high, third, slope, tail| Some(Smooth { low, high, third, slope, tail, relative: false, target });
        // For half the table: 2^−13 where 2^−14 is just missed.
        let coarser = |smooth: Option<Smooth>| smooth.map(|smooth| Smooth { target: 2.0 * target, ..smooth });
        // The argument of an exponential's table is ≥ 0; scaled by `weight` it falls below this.
        let decay = |weight: f64, rate: f64| {
            let high = libm::log(weight.max(1e-4) / FALLEN).max(1.0) / rate;
            part(0.0, high, weight * rate * rate * rate, weight * rate, FALLEN)
        };
        match *self {
            Self::Sigmoid => part(-10.5, 10.5, 0.125, 0.25, 2.8e-5),
            Self::Tanh => part(-5.28, 5.28, 2.0, 1.0, 5.2e-5),
            Self::Erf => part(-2.95, 2.95, 2.257, 1.129, 3.1e-5),
            Self::Silu => coarser(part(0.0, 12.55, 0.309, 0.5, 4.5e-5)),
            Self::Softplus => part(0.0, 10.4, 0.0963, 0.5, 3.1e-5),
            Self::Gelu | Self::GeluTanh => part(0.0, 4.4, 0.78, 0.5, 2.4e-5),
            Self::Mish => coarser(part(-13.0, 7.0, 0.59, 1.1, 3.0e-5)),
            Self::CosineOfTurns => part(-0.5, 0.5, 248.1, 6.284, 0.0),
            Self::HardSwish => part(-3.0, 3.0, 0.0, 1.5, 0.0),
            Self::Elu { alpha } => decay(magnitude(alpha), 1.0),
            Self::Selu { alpha, gamma } => decay(magnitude(alpha) * magnitude(gamma), 1.0),
            Self::Celu { alpha } => decay(magnitude(alpha), 1.0 / f64::from(alpha)),
            Self::ExpNonPositive => {
                let (fallen, target) = (fallen(finer), target * libm::exp2(-f64::from(finer)));
                let smooth = part(0.0, -libm::log(fallen), 1.0, 1.0, fallen);
                smooth.map(|smooth| Smooth { target, ..smooth })
            }
            // The error, and the rounding of all parties, do not leave the range. Over an entry of 1/6, which the target
            // makes the widest, e^x grows by less than a factor 1.2.
            Self::Exp => Some(Smooth {
                low: -9.75,
                high: libm::log(limit * (1.0 - libm::exp2(-11.0)) - 32.0 * libm::exp2(-f64::from(input_bits))),
                third: 1.2,
                slope: 1.0,
                tail: 6e-5,
                relative: true,
                target: 1.0 / 16_384.0,
            }),
            Self::Log => normalised(input_bits, false, |[low, _]| (2.0 / (low * low * low), 1.0 / low)),
            Self::Sqrt => power(input_bits, 0.5),
            Self::Power { exponent } => power(input_bits, exponent.into()),
            Self::Reciprocal | Self::PositiveReciprocal => power(input_bits, -1.0),
            Self::Clip { .. }
            | Self::Stairs { .. }
            | Self::Abs
            | Self::Step
            | Self::LeakyRelu { .. }
            | Self::HardSigmoid { .. } => None,
        }
    }

    /// The tabulated part, with `finer` as in [`smooth`](Self::smooth): of a function with g(−x) = g(x) + x, or bent at 0, what is
    /// left of it for x ≤ 0, at −u.
    pub(crate) fn tabulated(&self, u: f64, finer: u32) -> f64 {
        match *self {
            Self::Silu | Self::Softplus | Self::Gelu | Self::GeluTanh => self.evaluate(-u),
            // The analytic branch, also for u < 0.
            Self::Elu { alpha } => f64::from(alpha) * libm::expm1(-u),
            Self::Selu { alpha, gamma } => f64::from(gamma) * f64::from(alpha) * libm::expm1(-u),
            Self::Celu { alpha } => f64::from(alpha) * libm::expm1(-u / f64::from(alpha)),
            Self::ExpNonPositive => falling(u, fallen(finer)),
            _ => self.evaluate(u),
        }
    }
}

/// e^−u, less what brings it to 0 over the last unit of the interval: a sum of many results is not that of its tails.
fn falling(u: f64, fallen: f64) -> f64 {
    let bent = (u + libm::log(fallen) + 1.0).max(0.0);
    libm::exp(-u) - fallen * bent * bent * bent
}

/// An exponential below this is 0, with `finer` bits more than its argument.
fn fallen(finer: u32) -> f64 {
    let further = if finer > 0 { finer + FURTHER } else { 0 };
    FALLEN * libm::exp2(-f64::from(further))
}

fn magnitude(x: f32) -> f64 {
    f64::from(x.abs())
}

/// On [1, 2], to which the octaves of an argument are moved, and a little around it; `bounds` gives those of the third and
/// the first derivative on an interval.
fn normalised(input_bits: u32, relative: bool, bounds: impl Fn([f64; 2]) -> (f64, f64)) -> Option<Smooth> {
    let slack = SLACK / libm::exp2(input_bits.into());
    let (low, high) = (1.0 - slack, 2.0 + slack);
    let (third, slope) = bounds([low, high]);
    (slack < 0.6).then_some(Smooth { low, high, third, slope, tail: 0.0, relative, target: 1.0 / 16_384.0 })
}

/// x^p on [1, 2]: the bounds are relative to the smallest value there. Powers are largest and smallest at the ends.
fn power(input_bits: u32, p: f64) -> Option<Smooth> {
    normalised(input_bits, true, |ends| {
        let largest = |exponent: f64| ends.map(|x| libm::pow(x, exponent)).into_iter().fold(0.0, f64::max);
        let smallest = ends.map(|x| libm::pow(x, p)).into_iter().fold(f64::INFINITY, f64::min);
        let third = libm::fabs(p * (p - 1.0) * (p - 2.0)) * largest(p - 3.0) / smallest;
        (third, libm::fabs(p) * largest(p - 1.0) / smallest)
    })
}
