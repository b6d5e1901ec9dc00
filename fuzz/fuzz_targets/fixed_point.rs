//! A number either has a representation within half a unit in the last place, or is refused because it is out of range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_ring::{FixedPoint, Ring};

fn round_trip<R: Ring>(format: FixedPoint, value: f64) {
    let unit = 0.5f64.powi(format.fractional_bits() as i32);
    let limit = 2f64.powi(R::BITS as i32 - 1) * unit;
    match format.encode::<R>(value) {
        // Half a unit, or the rounding of an f64 where that is more.
        Ok(element) => assert!((format.decode(element) - value).abs() <= (unit / 2.0).max(value.abs() * f64::EPSILON)),
        Err(_) => assert!(!value.is_finite() || value.abs() >= limit - unit),
    }
}

fuzz_target!(|input: (u32, f64)| {
    let (fractional_bits, value) = input;
    let format = FixedPoint::new(fractional_bits % 128);
    round_trip::<u32>(format, value);
    round_trip::<u64>(format, value);
    round_trip::<u128>(format, value);
});
