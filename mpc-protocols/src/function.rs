//! Element-wise functions of activations, normalisations and attention: what they are, and how they are computed privately.
//!
//! [`Function`] names a function and evaluates it in plain arithmetic; a [`FunctionPlan`] computes it on shares. There are
//! three kinds:
//!
//! - Piecewise linear functions are a [`piecewise`](crate::piecewise) comparison, which also truncates the argument, and one
//!   truncation more where slopes are fractions.
//! - Smooth functions with straight ends are g(c(x)) + l(x): c clips the argument to an interval, and l is what the
//!   function adds outside it, both piecewise linear; a short [Fourier series](crate::fourier) is g on the interval, or a
//!   [table](crate::lookup) where a series would take more. Where f(x) − max(x, 0) is even, as with GELU, SiLU and Softplus, c(x)
//!   is min(|x|, R), and g is smoother.
//! - Logarithms, roots, powers and reciprocals first move the argument to [1, 2) by a power of two, which is found with a
//!   threshold at each power of two of the range; powers then multiply by that of the octave.
//!
//! # Rounds and communication
//! Per element in Z_{2^64} with f = 16 and k = 32 after a product (`shift` = 16): bits sent to each other party, and bytes
//! dealt to the last party for a result of which all bits are read. A table of the size of another parameter may be smaller or
//! larger by a factor 2.
//!
//! | function | rounds | bits sent | bytes dealt | values dealt |
//! |---|---|---|---|---|
//! | Clip to (−∞, high] or [low, ∞), Abs, Step | 3 | 44 | 66.5 | |
//! | Clip | 3 | 56 | 96.9 | |
//! | LeakyRelu with a slope such as 0.01 | 4 | 76 | 76.6 | |
//! | HardSigmoid | 4 | 76 | 92.4 | |
//! | HardSwish | 5 | 96 | 166.6 | 10 |
//! | Gelu, GeluTanh | 5 | 104 | 196.3 | 10 |
//! | Silu | 5 | 107 | 243.0 | 16 |
//! | Softplus | 5 | 107 | 210.0 | 12 |
//! | Elu | 5 | 96 | 187.0 | 12 |
//! | Tanh | 5 | 95 | 264.5 | 32 |
//! | Erf | 5 | 95 | 191.8 | 18 |
//! | ExpNonPositive | 5 | 96 | 149.5 | 12 |
//! | Sigmoid | 5 | 96 | 249.3 | 30 |
//! | Celu with alpha = 1/2 | 5 | 94 | 184.1 | 12 |
//! | Selu | 6 | 129 | 198.1 | 14 |
//! | Mish | 5 | 101 | 409.1 | 38 |
//! | Exp | 5 | 110 | 6,215.9 | a table of 256 · 3 |
//! | Log | 5 | 441 | 1,002.1 | 8 |
//! | Sqrt | 7 | 578 | 860.1 | 6 |
//! | Power with exponent −1/2 | 7 | 576 | 860.5 | 8 |
//! | PositiveReciprocal | 7 | 576 | 861.5 | 8 |
//! | Reciprocal | 7 | 911 | 1,565.0 | 8 |
//! | PositiveReciprocal of as many dividends | 8 | 728 | 1,023.8 | 8 |
//! | Reciprocal of as many dividends, k = 33 for divisors | 8 | 1,209 | 2,625.1 | 8 |
//!
//! Without a dealer two parties make tables ([`FunctionPlan::tabulated`]), of which a GELU's has 64 · 3 entries; it opens 105 bits,
//! and a function that moves its argument to [1, 2) takes a round more.
//!
//! # Memory
//! The last party holds the dealt bytes of a function from drawing its material to its use, 196 MB for 10^6 GELUs; the
//! others hold a few words. The dealer streams what it deals in frames and holds one frame, besides the masks.
//!
//! # Errors of results
//! [`FunctionPlan::error_bound`] gives a bound that holds over all of [`FunctionPlan::range`]. For f = 16, k = 32 and up to four
//! parties it is at most 2^−12 for functions with straight ends; 2^−12 + 2^−12·e^x for Exp, which is limited to results
//! below 2^{k−2−f}, less a part of 2^−11; 2^−12 for Log, and 2^−13 + 2^−12·|y| for roots, powers and reciprocals y, both of an argument that was
//! rounded by n/2 units if it was shifted. A quotient q with dividends is off by n/2 units + 2^−13·|q|, of the divisor rounded
//! in the same way, however large the dividend and the divisor are.
//!
//! ExpNonPositive with a result of m bits more than its argument ([`ArgumentShape`]) has errors that are smaller by 2^m, and a tail below
//! which it is 0 that is smaller by 2^{m+2}.
//!
//! Sqrt, Power and PositiveReciprocal give 0 for arguments from −2^{k−3} units to 0, Reciprocal gives 0 for 0, with dividends,
//! too, and Log gives −f·ln 2. Beyond the largest result, 2^{k−2} units, results are meaningless, as they are outside
//! [`FunctionPlan::range`].

mod bound;
mod evaluation;
mod octaves;
mod plan;
mod route;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod smooth;

use serde::{Deserialize, Serialize};

pub use bound::ErrorBound;
pub use plan::{ArgumentShape, Dividends, FunctionPlan, FunctionShape};
pub use run::FunctionMaterial;

pub(crate) use smooth::Smooth;

/// A function that is applied to every element of a tensor.
///
/// ```
/// use mpc_protocols::function::Function;
/// assert_eq!(Function::Sigmoid.evaluate(0.0), 0.5);
/// assert_eq!(Function::Clip { low: 0.0, high: 6.0 }.evaluate(7.5), 6.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Function {
    /// min(max(x, low), high); one of the two may be infinite.
    Clip {
        /// The smallest result.
        low: f32,
        /// The largest result.
        high: f32,
    },
    /// |x|.
    Abs,
    /// 1 for x ≥ 0, else 0: right for every argument at scale f; after a shift, for arguments a few units away from 0.
    Step,
    /// x for x ≥ 0, slope·x below.
    LeakyRelu {
        /// The slope below 0.
        slope: f32,
    },
    /// max(0, min(1, alpha·x + beta)).
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// x·max(0, min(1, x/6 + 1/2)).
    HardSwish,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// x / (1 + e^−x), also called swish.
    Silu,
    /// ln(1 + e^x).
    Softplus,
    /// x for x > 0, alpha·(e^x − 1) below.
    Elu {
        /// Minus the limit at −∞.
        alpha: f32,
    },
    /// gamma·x for x > 0, gamma·alpha·(e^x − 1) below.
    Selu {
        /// Minus the limit at −∞, before the scale.
        alpha: f32,
        /// The scale.
        gamma: f32,
    },
    /// x for x > 0, alpha·(e^(x/alpha) − 1) below; alpha > 0.
    Celu {
        /// Minus the limit at −∞, and the width of the bend.
        alpha: f32,
    },
    /// x·Φ(x) = x·(1 + erf(x/√2)) / 2.
    Gelu,
    /// The approximation x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2.
    GeluTanh,
    /// x·tanh(ln(1 + e^x)).
    Mish,
    /// erf x.
    Erf,
    /// e^x.
    Exp,
    /// e^x where x ≤ 0 is known, as after a subtraction of the maximum: a third of the table of [`Exp`](Self::Exp).
    ExpNonPositive,
    /// ln x, for x > 0.
    Log,
    /// √x, for x ≥ 0.
    Sqrt,
    /// x^exponent, for x > 0.
    Power {
        /// The constant exponent.
        exponent: f32,
    },
    /// 1/x, for x ≠ 0.
    Reciprocal,
    /// 1/x where x > 0 is known, as of a sum of exponentials: half the cost of [`Reciprocal`](Self::Reciprocal).
    PositiveReciprocal,
    /// cos(2πx) for x from −1/2 to 1/2, and −1 beyond.
    CosineOfTurns,
    /// A staircase: `width`·j for the largest j from `first` − 1 to `last` for which that is not above x, but at least for
    /// `first` − 1. Right for every argument at scale f; after a shift, for arguments that are at a step or a few units away.
    Stairs {
        /// The first step.
        first: i32,
        /// The last step; at most 64 steps.
        last: i32,
        /// Height and length of each step.
        width: f32,
    },
}

/// As equal as the bits of a plan; parameters that are no numbers are refused when a function is planned.
impl Eq for Function {}

impl Function {
    /// The function's value at `x`: the same on every machine.
    #[must_use]
    pub fn evaluate(&self, x: f64) -> f64 {
        match *self {
            Self::Clip { low, high } => x.max(low.into()).min(high.into()),
            Self::Abs => libm::fabs(x),
            Self::Step => f64::from(u8::from(x >= 0.0)),
            Self::LeakyRelu { slope } => bend(x, f64::from(slope) * x),
            Self::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => libm::tanh(x),
            Self::Silu => x * sigmoid(x),
            Self::Softplus => softplus(x),
            Self::Elu { alpha } => bend(x, f64::from(alpha) * libm::expm1(x)),
            Self::Selu { alpha, gamma } => f64::from(gamma) * bend(x, f64::from(alpha) * libm::expm1(x)),
            Self::Celu { alpha } => bend(x, f64::from(alpha) * libm::expm1(x / f64::from(alpha))),
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                // x·(1 + tanh z)/2 = x·sigmoid(2z), which loses nothing for z near −∞.
                let z = libm::sqrt(core::f64::consts::FRAC_2_PI) * (x + 0.044_715 * x * x * x);
                x * sigmoid(2.0 * z)
            }
            Self::Mish => x * libm::tanh(softplus(x)),
            Self::Erf => libm::erf(x),
            Self::Exp | Self::ExpNonPositive => libm::exp(x),
            Self::Log => libm::log(x),
            Self::Sqrt => libm::sqrt(x),
            Self::Power { exponent } => libm::pow(x, exponent.into()),
            Self::Reciprocal | Self::PositiveReciprocal => 1.0 / x,
            Self::CosineOfTurns => libm::cos(core::f64::consts::TAU * x.clamp(-0.5, 0.5)),
            Self::Stairs { first, last, width } => {
                let step = libm::floor(x / f64::from(width));
                step.max(f64::from(first) - 1.0).min(last.into()) * f64::from(width)
            }
        }
    }
}

/// x for x > 0, `below` elsewhere.
fn bend(x: f64, below: f64) -> f64 {
    if x > 0.0 { x } else { below }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-libm::fabs(x)))
}

#[cfg(test)]
mod tests {
    use super::Function;

    fn near(function: Function, x: f64, expected: f64) {
        let y = function.evaluate(x);
        assert!((y - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{function:?} of {x} is {y}, not {expected}");
    }

    #[test]
    fn values_are_those_of_the_definitions() {
        for (function, at_minus_two, at_one) in [
            (Function::Clip { low: -1.0, high: f32::INFINITY }, -1.0, 1.0),
            (Function::Clip { low: f32::NEG_INFINITY, high: 0.5 }, -2.0, 0.5),
            (Function::Abs, 2.0, 1.0),
            (Function::Step, 0.0, 1.0),
            (Function::LeakyRelu { slope: 0.25 }, -0.5, 1.0),
            (Function::HardSigmoid { alpha: 0.25, beta: 0.5 }, 0.0, 0.75),
            (Function::HardSwish, -1.0 / 3.0, 2.0 / 3.0),
            (Function::Sigmoid, 0.119_202_9, 0.731_058_6),
            (Function::Tanh, -0.964_027_6, 0.761_594_2),
            (Function::Silu, -0.238_405_8, 0.731_058_6),
            (Function::Softplus, 0.126_928_0, 1.313_261_7),
            (Function::Elu { alpha: 2.0 }, -1.729_329_4, 1.0),
            (Function::Selu { alpha: 2.0, gamma: 0.5 }, -0.864_664_7, 0.5),
            (Function::Celu { alpha: 2.0 }, -1.264_241_1, 1.0),
            (Function::Gelu, -0.045_500_26, 0.841_344_7),
            (Function::GeluTanh, -0.045_402_306, 0.841_191_99),
            (Function::Mish, -0.252_501_48, 0.865_098_39),
            (Function::Erf, -0.995_322_3, 0.842_700_8),
            (Function::Exp, 0.135_335_3, core::f64::consts::E),
            (Function::CosineOfTurns, -1.0, -1.0),
            (Function::Stairs { first: 0, last: 3, width: 0.5 }, -0.5, 1.0),
            (Function::Reciprocal, -0.5, 1.0),
        ] {
            near(function, -2.0, at_minus_two);
            near(function, 1.0, at_one);
        }
        near(Function::Log, 2.0, core::f64::consts::LN_2);
        near(Function::Sqrt, 2.0, core::f64::consts::SQRT_2);
        near(Function::Power { exponent: -0.5 }, 4.0, 0.5);
        near(Function::PositiveReciprocal, 4.0, 0.25);
    }

    #[test]
    fn tails_neither_overflow_nor_cancel() {
        for function in [Function::Silu, Function::Softplus, Function::Gelu, Function::GeluTanh, Function::Mish] {
            near(function, 10_000.0, 10_000.0);
            assert!(function.evaluate(-1000.0).abs() < 1e-12, "{function:?}");
        }
    }
}
