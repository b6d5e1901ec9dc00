//! Series: what the dealer deals and the parties add up is the function, for every mask and every argument of small intervals.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;

use super::choice::MAX_WAVES;
use super::circle::{POINTS, Roots};
use super::{ROUNDING_ERROR, Series, add_waves, turned_waves};
use crate::function::Function;
use crate::function::samples::{Exhaustive, exhaust, smooth};
use crate::lookup::Table;

fn table(function: Function, bits: u32) -> Table {
    Table { function, input_bits: bits, output_bits: bits, limit_bits: 12 }
}

/// The sums of some arguments under some masks, in units of the result.
fn sums<R: Ring>(series: &Series, arguments: &[u64], masks: &[u64]) -> Vec<f64> {
    let waves = series.coefficients().unwrap();
    let roots = Roots::new(series.argument_bits);
    let mut results = Vec::new();
    for (arguments, masks) in arguments.chunks(POINTS).zip(masks.chunks(POINTS)) {
        let mut dealt = vec![R::ZERO; series.elements() * masks.len()];
        let in_ring: Vec<R> = masks.iter().map(|&mask| R::from_u64(mask)).collect();
        turned_waves(&waves, &roots, &in_ring, &mut dealt);
        let opened: Vec<R> = arguments.iter().zip(masks).map(|(&u, &a)| R::from_u64(u.wrapping_add(a))).collect();
        let constant = R::from_i128(i128::from(series.constant) << series.circle_bits);
        let mut sums = vec![constant; masks.len()];
        add_waves(&roots, libm::exp2(series.circle_bits.into()), &opened, &dealt, &mut sums);
        // Modulo 2^{g+k}, as the truncation reads them.
        let unused = R::BITS - series.entry_bits();
        let value = |sum: &R| (*sum << unused).shift_right_signed(unused).to_i128() as f64;
        results.extend(sums.iter().map(|sum| value(sum) * libm::exp2(-f64::from(series.guard_bits()))));
    }
    results
}

/// The largest error in parts of its bound, and the sums' magnitude in that of theirs.
fn is_near<R: Ring>(series: &Series, arguments: &[u64], masks: &[u64]) {
    let (function, smooth) = (series.table.function, series.table.smooth().unwrap());
    let (low, _) = series.table.interval(&smooth);
    let unit = libm::exp2(f64::from(series.table.output_bits));
    let most = libm::exp2(f64::from(series.result_bits - 2));
    for (&u, sum) in arguments.iter().zip(sums::<R>(series, arguments, masks)) {
        let x = (low as f64 + u as f64) / libm::exp2(series.table.input_bits.into());
        let exact = series.table.value(x);
        let relative = if smooth.relative { libm::fabs(exact) } else { 1.0 };
        let limit = Series::fit_error(&smooth) * relative * unit + ROUNDING_ERROR;
        let error = libm::fabs(sum - exact * unit);
        assert!(error <= limit, "{function:?} of {x}: {sum} units, not {}: {error} > {limit}", exact * unit);
        assert!(libm::fabs(sum) < most, "{function:?} of {x}: {sum} units");
    }
}

struct Small;

impl Exhaustive for Small {
    fn check<R: Ring>(function: Function, bits: u32) {
        let series = Series::of(table(function, bits), R::BITS).unwrap().unwrap();
        let (_, span) = series.table.interval(&series.table.smooth().unwrap());
        let arguments: Vec<u64> = (0..=span).collect();
        for mask in 0..1u64 << series.argument_bits {
            // Bits of the mask above w are there and mean nothing.
            is_near::<R>(&series, &arguments, &vec![mask | 5 << series.argument_bits; arguments.len()]);
        }
    }
}

#[test]
fn every_mask_and_every_argument() {
    exhaust::<Small>();
    for bits in [2, 3] {
        Small::check::<u64>(Function::CosineOfTurns, bits);
    }
}

fn functions() -> Vec<Function> {
    let power = |exponent| Function::Power { exponent };
    let others = [
        Function::CosineOfTurns,
        Function::Elu { alpha: 40.0 },
        Function::Celu { alpha: 0.5 },
        power(0.0),
        power(1.0),
        power(8.0),
        power(-8.0),
    ];
    smooth().into_iter().chain(others).collect()
}

/// As fine as in use, at every precision: many arguments, each with a mask of its own.
#[test]
fn series_are_within_their_bounds() {
    let mut masks = 1u64;
    let mut mask = || {
        masks = masks.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        masks >> 11
    };
    for function in functions() {
        for bits in [8, 12, 16, 20, 24] {
            let table = Table { function, input_bits: bits, output_bits: bits, limit_bits: 29 };
            let Some(series) = Series::of(table, 64).unwrap() else {
                let is_steep = matches!(function, Function::Power { exponent } if exponent.abs() == 8.0);
                assert!(bits > 16 || is_steep, "{function:?} has no series of {bits} bits");
                continue;
            };
            let (_, span) = table.interval(&table.smooth().unwrap());
            let arguments: Vec<u64> = (0..=20_000).map(|i| (u128::from(span) * i / 20_000) as u64).collect();
            let masks: Vec<u64> = arguments.iter().map(|_| mask()).collect();
            is_near::<u64>(&series, &arguments, &masks);
            is_near::<u128>(&series, &arguments[..2_000], &masks);
            std::println!("{function:?}, {bits} bits: {} bytes, {series:?}", series.dealt_bits() as f64 / 8.0);
        }
    }
}

/// Moved to [1, 2) an argument keeps all of its bits.
#[test]
fn arguments_of_many_bits() {
    for function in [Function::Reciprocal, Function::Power { exponent: -0.5 }, Function::Log, Function::Sqrt] {
        for input_bits in [7, 10, 21, 29, 38, 50, 60] {
            let table = Table { function, input_bits, output_bits: 18, limit_bits: 34 };
            let series = Series::of(table, 64).unwrap().unwrap();
            let (_, span) = table.interval(&table.smooth().unwrap());
            let arguments: Vec<u64> = (0..=5_000).map(|i| (u128::from(span) * i / 5_000) as u64).collect();
            let masks: Vec<u64> = arguments.iter().map(|u| u.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
            is_near::<u64>(&series, &arguments, &masks);
        }
    }
}

#[test]
fn what_no_series_can_do_is_left_to_tables_or_refused() {
    let wide = |function| Series::of(Table { function, input_bits: 16, output_bits: 16, limit_bits: 29 }, 64).unwrap();
    // From e^−9 to e^9, within 2^−14 of each.
    assert_eq!(wide(Function::Exp), None);
    assert!(Series::of(table(Function::Abs, 16), 64).is_err());
    assert!(Series::of(table(Function::Elu { alpha: f32::NAN }, 16), 64).is_err());
    // 41 bits are more than the ring has.
    assert_eq!(Series::of(table(Function::Sigmoid, 16), 32).unwrap(), None);
}

#[test]
fn sizes_that_no_series_has_are_refused() {
    let right = Series::of(table(Function::Gelu, 16), 64).unwrap().unwrap();
    assert!(right.check(64).is_ok());
    for wrong in [
        Series { waves: 0, ..right },
        Series { waves: MAX_WAVES + 1, ..right },
        Series { argument_bits: 0, ..right },
        Series { argument_bits: 63, ..right },
        Series { wave_bits: 33, ..right },
        Series { circle_bits: 51, ..right },
        Series { result_bits: 2, ..right },
        Series { result_bits: 65, ..right },
        Series { result_bits: 65 - right.guard_bits(), ..right },
    ] {
        assert!(wrong.check(64).is_err(), "{wrong:?}");
    }
}
