//! The rotated tables, exhaustively: every mask and every argument of small intervals.

use alloc::vec;

use mpc_ring::Ring;

use super::{Polynomials, Rotation, Table};
use crate::function::Function;
use crate::function::samples::{Exhaustive, exhaust, smooth};

struct Small;

impl Exhaustive for Small {
    /// For every a and u: entry v holds p_j(δ) exactly, u lies in one of the two segments that p_j was fitted on, and p_j is
    /// as near to the function as is claimed.
    fn check<R: Ring>(function: Function, bits: u32) {
        let table = Table { function, input_bits: bits, output_bits: bits, limit_bits: 12 };
        let Polynomials { layout, coefficients, fit_error, rounding_error } = table.polynomials(R::BITS).unwrap();
        let (w, segment) = (layout.argument_bits(), layout.segment_bits);
        let last = u64::from(layout.multiplier) * layout.span;
        assert!(last < (1 << w) - (1 << segment), "a segment to spare");
        let in_ring = coefficients.iter().map(|c| c.map(R::from_i128)).collect();
        let rotation = Rotation::<R> { layout, coefficients: in_ring };
        let mut entries = vec![R::ZERO; layout.elements()];
        let mut before = entries.clone();
        let scale = libm::exp2(f64::from(bits + layout.guard_bits));
        for mask in 0..1u64 << w {
            // Bits of the mask above w are there and mean nothing.
            rotation.table(mask | 5 << w, &mut entries, &mut before);
            for u in 0..=last {
                let e = (u + mask) & u64::low_mask(w);
                let (v, epsilon) = ((e >> segment) as usize, e & u64::low_mask(segment));
                let public = R::from_u64(epsilon);
                let value = entries[3 * v]
                    .wrapping_add(public.wrapping_mul(entries[3 * v + 1]))
                    .wrapping_add(public.wrapping_mul(public).wrapping_mul(entries[3 * v + 2]));
                let delta = epsilon as i128 - (mask & u64::low_mask(segment)) as i128;
                let j = (v as u64).wrapping_sub(mask >> segment) & u64::low_mask(layout.index_bits);
                assert_eq!((j << segment) as i128 + delta, u.into(), "a = {mask}, u = {u}: segment {j}");
                let [c0, c1, c2] = coefficients[j as usize];
                let expected = c0 + c1 * delta + c2 * delta * delta;
                assert_eq!(value, R::from_i128(expected), "a = {mask}, u = {u}");
                if mask < 1 << segment {
                    let x = (layout.low as f64 + u as f64 / f64::from(layout.multiplier)) / libm::exp2(bits.into());
                    let exact = table.value(x);
                    let relative = if table.smooth().unwrap().relative { exact } else { 1.0 };
                    let limit = fit_error * relative + rounding_error * libm::exp2(-f64::from(bits)) + 1e-9;
                    let error = libm::fabs(expected as f64 / scale - exact);
                    assert!(error <= limit, "{function:?} of {x}: an error of {error}, not {limit}");
                    let most = libm::exp2(f64::from(layout.result_bits - 2 + layout.guard_bits));
                    assert!((expected as f64) < most && (expected as f64) > -most);
                }
            }
        }
    }
}

#[test]
fn every_mask_and_every_argument() {
    exhaust::<Small>();
}

/// As fine as in use: every entry's polynomial is within the bound, at many points.
#[test]
fn fits_are_within_their_bounds() {
    for function in smooth().into_iter().chain([Function::Exp]) {
        let table = Table { function, input_bits: 16, output_bits: 16, limit_bits: 30 };
        let Polynomials { layout, coefficients, fit_error, rounding_error } = table.polynomials(64).unwrap();
        let (smooth, scale) = (table.smooth().unwrap(), libm::exp2(f64::from(16 + layout.guard_bits)));
        let last = (u64::from(layout.multiplier) * layout.span) as f64;
        let width = libm::exp2(layout.segment_bits.into());
        for (j, [c0, c1, c2]) in coefficients.iter().enumerate() {
            for i in -99..=99 {
                let delta = width * f64::from(i) / 100.0;
                let u = width * j as f64 + delta;
                if !(0.0..=last).contains(&u) {
                    continue;
                }
                let x = (layout.low as f64 + u / f64::from(layout.multiplier)) / 65_536.0;
                let exact = table.value(x);
                let value = (*c0 as f64 + *c1 as f64 * delta + *c2 as f64 * delta * delta) / scale;
                let relative = if smooth.relative { libm::fabs(exact) } else { 1.0 };
                let limit = fit_error * relative + rounding_error / 65_536.0 + 1e-9;
                assert!(libm::fabs(value - exact) <= limit, "{function:?} of {x}: {value}, not {exact}");
            }
        }
    }
}

#[test]
fn what_no_table_can_do_is_refused() {
    let table = |function, input_bits, limit_bits| Table { function, input_bits, output_bits: 16, limit_bits };
    for refused in [
        table(Function::Abs, 16, 30),
        table(Function::Sigmoid, 0, 30),
        table(Function::Sigmoid, 31, 30),
        table(Function::Sigmoid, 16, 63),
        table(Function::Elu { alpha: f32::NAN }, 16, 30),
        table(Function::Elu { alpha: 1e30 }, 16, 30),
        table(Function::Celu { alpha: 0.0 }, 16, 30),
        table(Function::Celu { alpha: -1.0 }, 16, 30),
        table(Function::Power { exponent: f32::INFINITY }, 16, 30),
        table(Function::Exp, 16, 0),
    ] {
        assert!(refused.layout(64).is_err(), "{refused:?}");
    }
    assert!(table(Function::Sigmoid, 16, 30).layout(32).is_err());
    assert!(table(Function::Sigmoid, 16, 30).layout(0).is_err());
}
