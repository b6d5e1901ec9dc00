//! Functions that the tests of tables and of series have in common.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;

use super::Function;

/// A check of every mask and every argument of a function on an interval that is small enough for that.
pub(crate) trait Exhaustive {
    fn check<R: Ring>(function: Function, bits: u32);
}

/// Checks functions of a few fractional bits in every ring.
pub(crate) fn exhaust<C: Exhaustive>() {
    for bits in [2, 3] {
        C::check::<u64>(Function::Sigmoid, bits);
        C::check::<u32>(Function::Sigmoid, bits);
        C::check::<u64>(Function::Gelu, bits);
        C::check::<u128>(Function::Elu { alpha: 1.5 }, bits);
        C::check::<u64>(Function::HardSwish, bits);
        C::check::<u32>(Function::Erf, bits);
    }
    C::check::<u64>(Function::Tanh, 5);
    C::check::<u64>(Function::Sqrt, 6);
    C::check::<u64>(Function::Log, 6);
    C::check::<u64>(Function::Reciprocal, 6);
}

/// Smooth functions that both a table and a series can do at the usual precision.
pub(crate) fn smooth() -> Vec<Function> {
    let power = |exponent| Function::Power { exponent };
    vec![
        Function::Sigmoid,
        Function::Tanh,
        Function::Erf,
        Function::Silu,
        Function::Softplus,
        Function::Gelu,
        Function::GeluTanh,
        Function::Mish,
        Function::HardSwish,
        Function::Elu { alpha: 1.0 },
        Function::Elu { alpha: -0.5 },
        Function::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
        Function::Celu { alpha: 2.0 },
        Function::ExpNonPositive,
        Function::Log,
        Function::Sqrt,
        Function::Reciprocal,
        power(-0.5),
        power(3.0),
        power(-2.5),
        power(0.25),
    ]
}
