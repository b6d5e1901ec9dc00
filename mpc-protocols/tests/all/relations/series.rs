//! The waves of a series at its masks.

use std::f64::consts::TAU;

use mpc_protocols::fourier::Series;
use mpc_protocols::function::Function;
use mpc_protocols::lookup::Table;
use mpc_ring::Ring;

/// The elements whose values of one wave lie side by side.
const BLOCK: usize = 64;

/// A sigmoid of 8 fractional bits, on [−10.5, 10.5].
pub(super) fn sigmoid() -> Series {
    let table = Table { function: Function::Sigmoid, input_bits: 8, output_bits: 8, limit_bits: 18 };
    Series::of(table, 32).unwrap().unwrap()
}

/// Under all masks the dealt waves add up to the function.
pub(super) fn add_up<R: Ring>(series: &Series, masks: &[R], dealt: &[R]) {
    let unit = f64::from(1u32 << series.table.output_bits);
    let above = R::BITS - series.entry_bits();
    // As signed numbers of the entries' bits, in units of the result.
    let number = |x: R| ((x << above).to_i128() >> above) as f64 / f64::from(1u32 << series.wave_bits);
    for (masks, dealt) in masks.chunks(BLOCK).zip(dealt.chunks(BLOCK * 2 * series.waves as usize)) {
        for (element, mask) in masks.iter().enumerate() {
            let waves: Vec<f64> = dealt.iter().skip(element).step_by(masks.len()).map(|&x| number(x)).collect();
            for u in (0..=100).map(|part| 5376 * part / 100) {
                let opened = mask.low_u64().wrapping_add(u) & u64::low_mask(series.argument_bits);
                let angle = TAU * opened as f64 / (1u64 << series.argument_bits) as f64;
                let of = |(k, wave): (usize, &[f64])| {
                    let (sin, cos) = ((k + 1) as f64 * angle).sin_cos();
                    cos * wave[0] + sin * wave[1]
                };
                let constant = series.constant as f64 / f64::from(1u32 << series.wave_bits);
                let value = constant + waves.chunks(2).enumerate().map(of).sum::<f64>();
                let exact = series.table.function.evaluate(u as f64 / 256.0 - 10.5) * unit;
                // A fit is within 2^−12 of the function, and rounding adds half a unit.
                assert!((value - exact).abs() < 1.0 + unit / 4096.0, "{value} instead of {exact}");
            }
        }
    }
}
