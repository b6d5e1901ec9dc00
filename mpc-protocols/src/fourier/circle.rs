//! Points on the unit circle, many at a time, from angles that may be secret: no branch and no index depends on them.
//!
//! All is IEEE 754 arithmetic in a fixed order, so that every machine has the same points.

use core::f64::consts::TAU;

use alloc::vec::Vec;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The points of a block.
pub(super) const POINTS: usize = 64;

/// 1.5·2^52: added to a number of magnitude below 2^51, it leaves the nearest integer in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// e^{2πi·2^j/2^w} for each bit j of an angle of w bits.
pub(super) struct Roots(Vec<[f64; 2]>);

impl Roots {
    pub(super) fn new(bits: u32) -> Self {
        let root = |bit: u32| {
            let angle = TAU * libm::exp2(f64::from(bit) - f64::from(bits));
            [libm::cos(angle), libm::sin(angle)]
        };
        Self((0..bits).map(root).collect())
    }
}

/// The product of two complex numbers: a point turned by the angle of another one on the circle.
#[inline(always)]
pub(super) fn turned([x, y]: [f64; 2], [c, s]: [f64; 2]) -> [f64; 2] {
    [x * c - y * s, x * s + y * c]
}

/// Up to [`POINTS`] points; zeroised on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Points {
    pub(super) cos: [f64; POINTS],
    pub(super) sin: [f64; POINTS],
}

impl Points {
    /// The points of angles in units of 2^−w of a turn, of which the low w bits count.
    #[inline(always)]
    pub(super) fn at(roots: &Roots, angles: impl Iterator<Item = u64>) -> Self {
        let mut whole = [0u64; POINTS];
        whole.iter_mut().zip(angles).for_each(|(place, angle)| *place = angle);
        let mut points = Self { cos: [1.0; POINTS], sin: [0.0; POINTS] };
        for (bit, &[c, s]) in roots.0.iter().enumerate() {
            for ((cos, sin), angle) in points.cos.iter_mut().zip(&mut points.sin).zip(&whole) {
                let is_set = one_or_zero(angle >> bit);
                [*cos, *sin] = turned([*cos, *sin], [1.0 + is_set * (c - 1.0), is_set * s]);
            }
        }
        whole.zeroize();
        points
    }

    /// Turns every point by the angle of its neighbour in `by`.
    #[inline(always)]
    pub(super) fn turn(&mut self, by: &Self) {
        let (cos, sin) = (self.cos.iter_mut(), self.sin.iter_mut());
        for (((cos, sin), &by_cos), &by_sin) in cos.zip(sin).zip(&by.cos).zip(&by.sin) {
            [*cos, *sin] = turned([*cos, *sin], [by_cos, by_sin]);
        }
    }
}

/// The lowest bit as a number, by its place in the exponent of 1.
#[inline(always)]
fn one_or_zero(bit: u64) -> f64 {
    f64::from_bits(0x3FF0_0000_0000_0000 & 0u64.wrapping_sub(bit & 1))
}

/// The nearest integer to a number of magnitude below 2^51.
#[inline(always)]
pub(super) fn rounded(x: f64) -> i64 {
    (x + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_their_powers_are_those_of_the_angles() {
        for bits in [1, 2, 5, 20, 40] {
            let roots = Roots::new(bits);
            let angles: Vec<u64> = (0..POINTS as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
            let first = Points::at(&roots, angles.iter().copied());
            let mut points = first.clone();
            for k in 1..=24u64 {
                for (i, angle) in angles.iter().enumerate() {
                    let whole = angle.wrapping_mul(k) & (u64::MAX >> (64 - bits));
                    let turn = TAU * whole as f64 / libm::exp2(bits.into());
                    let error = libm::hypot(points.cos[i] - libm::cos(turn), points.sin[i] - libm::sin(turn));
                    assert!(error < 1e-13, "{k}·{angle} of {bits} bits: {error}");
                }
                points.turn(&first);
            }
        }
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        for x in [0.0, 0.4, -0.4, 0.6, -0.6, 1.0, -1.0, 1e6 + 0.25, -1e6 - 0.75, 2e15, -2e15] {
            assert_eq!(rounded(x), libm::rint(x) as i64, "{x}");
        }
    }
}
