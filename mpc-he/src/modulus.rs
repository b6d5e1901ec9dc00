//! The moduli 2^50 to 2^64 of shares, masks and products within q.

use crate::HeError;
use crate::ring::Q;

/// ⌊2^163 / q⌋, of 64 bits.
const RECIPROCAL: u64 = {
    let (mut quotient, mut rest, mut bit) = ((1u128 << 127) / Q, (1u128 << 127) % Q, 127);
    while bit < 163 {
        rest *= 2;
        quotient = 2 * quotient + (rest >= Q) as u128;
        rest -= if rest >= Q { Q } else { 0 };
        bit += 1;
    }
    quotient as u64
};
/// The bits of q, which a weight and a product share.
const Q_BITS: u32 = 100;
/// ε of a mask that the ciphertext chose takes this many bits.
pub(crate) const CHOSEN_BITS: u32 = 52;

/// The power of two that a layer's shares, masks and products are modulo: of 50 to 64 bits. The weights have the other bits of q:
/// 50 with a product of 50 bits, 36 with one of 64. Their noise in units of the last place is the same then; that of the hint's
/// rounding grows from 2^58 on, as a hint has at most 64 bits.
///
/// ```
/// use mpc_he::Modulus;
/// let modulus = Modulus::holding(57).expect("up to 64 bits");
/// assert_eq!((modulus.bits(), modulus.weight_bits()), (57, 43));
/// assert_eq!(Modulus::holding(30), Some(Modulus::SMALLEST));
/// assert_eq!(Modulus::holding(65), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modulus {
    bits: u32,
}

impl Modulus {
    /// 2^50, with which a ciphertext chooses its mask: 52 bits an element travel instead of 100. With a larger modulus fewer values
    /// of q stand for each mask, and the masks of a model's inputs together would be further than 2^−40 from uniform.
    pub const SMALLEST: Self = Self { bits: 50 };

    /// The smallest modulus that holds numbers of `bits` bits.
    #[must_use]
    pub fn holding(bits: u32) -> Option<Self> {
        (bits <= u64::BITS).then(|| Self { bits: bits.max(Self::SMALLEST.bits) })
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The bits that a weight has at most, with the sign.
    #[must_use]
    pub fn weight_bits(self) -> u32 {
        Q_BITS - self.bits
    }

    /// The modulus that hints are rounded to.
    pub(crate) fn of_hints(self) -> Self {
        Self { bits: (self.bits + 2).min(u64::BITS) }
    }

    /// q over the modulus, rounded down.
    pub(crate) fn unit(self) -> u128 {
        Q >> self.bits
    }

    pub(crate) fn reduce(self, value: u64) -> u64 {
        value & (u64::MAX >> (u64::BITS - self.bits))
    }

    /// The number from −2^(bits − 1) on that is `value` modulo 2^bits.
    pub(crate) fn signed(self, value: u64) -> i64 {
        let unused = u64::BITS - self.bits;
        ((value << unused) as i64) >> unused
    }

    /// Whether a number has more than `bits` bits with the sign.
    pub(crate) fn is_beyond(self, value: u64, bits: u32) -> bool {
        self.reduce(value.wrapping_add(1 << (bits - 1))) >> bits != 0
    }

    /// ⌊value·2^bits / q⌉ for a value up to q, modulo 2^bits, up to an error of 2^(bits − 63).
    pub(crate) fn scale_down(self, value: u128) -> u64 {
        self.reduce(scale_down(value, self.bits) as u64)
    }

    /// value·q / 2^bits, rounded; at most q.
    pub(crate) fn scale_up(self, value: u64) -> u128 {
        scale_up(value, self.bits)
    }

    /// The most that a hint's coefficient is changed by its rounding.
    pub(crate) fn hint_error(self) -> u128 {
        (Q >> (self.of_hints().bits + 1)) + (Q >> 63) + 1
    }

    /// # Errors
    /// [`HeError::Unsupported`] if weights have no or more bits.
    pub(crate) fn check_weight_bits(self, bits: u32) -> Result<(), HeError> {
        let fits = (1..=self.weight_bits()).contains(&bits);
        fits.then_some(()).ok_or(HeError::Unsupported { reason: "weights and products have at most 100 bits together" })
    }
}

/// value·2^bits / q, rounded up to an error of 2^(bits − 63); at most 2^bits.
fn scale_down(value: u128, bits: u32) -> u128 {
    let shift = 127 - bits;
    ((value >> 36) * u128::from(RECIPROCAL) + (1 << (shift - 1))) >> shift
}

fn scale_up(value: u64, bits: u32) -> u128 {
    let value = u128::from(value);
    value * (Q >> bits) + ((value * (Q & ((1 << bits) - 1)) + (1 << (bits - 1))) >> bits)
}

/// The A of 50 bits and the small ε with value ≡ A·q/2^50 + ε modulo q: every value has one such pair, with ε + 2^51 of 52
/// bits.
pub(crate) fn split(value: u128) -> (u64, i64) {
    const BITS: u32 = Modulus::SMALLEST.bits;
    const HALF: i64 = (Q >> (BITS + 1)) as i64;
    let guess = scale_down(value, BITS) as u64;
    let rest = |a: u64| (value as i128 - scale_up(a, BITS) as i128) as i64;
    // The guess is wrong by one where the rest is next to a half: in constant time, one more or one less.
    let first = rest(guess);
    let above = ((HALF - first) >> 63) as u64 & 1;
    let below = ((first + HALF) >> 63) as u64 & 1;
    let a = guess.wrapping_add(above).wrapping_sub(below);
    (Modulus::SMALLEST.reduce(a), rest(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::tests::values;

    fn moduli() -> impl Iterator<Item = Modulus> {
        (50..=64).map(|bits| Modulus::holding(bits).unwrap())
    }

    #[test]
    fn every_value_is_a_multiple_and_52_bits() {
        for value in values(Modulus::SMALLEST) {
            let (a, epsilon) = split(value);
            assert!(a < 1 << 50 && (0..1 << 52).contains(&(epsilon + (1 << 51))), "{value}");
            let back = (Modulus::SMALLEST.scale_up(a) as i128 + i128::from(epsilon)).rem_euclid(Q as i128);
            assert_eq!(back as u128, value);
            assert!(epsilon.unsigned_abs() <= (Q >> 51) as u64 + 1, "{value}");
        }
    }

    #[test]
    fn a_hint_is_rounded_by_at_most_half_a_step() {
        for modulus in moduli() {
            for value in values(modulus) {
                let rounded = modulus.of_hints().scale_down(value);
                let back = modulus.of_hints().scale_up(rounded);
                let error = back.abs_diff(value);
                assert!(error.min(Q - error) <= modulus.hint_error(), "{value}");
            }
        }
    }

    #[test]
    fn scaling_up_and_down_is_the_same_value_up_to_what_is_said() {
        for modulus in moduli() {
            let tolerated = ((1u128 << modulus.bits()) >> 63) as u64;
            for value in values(modulus) {
                let down = modulus.scale_down(value);
                let again = modulus.scale_down(modulus.scale_up(down));
                let error = modulus.signed(again.wrapping_sub(down)).unsigned_abs();
                assert!(error <= tolerated, "{modulus:?}: {value}");
            }
        }
    }

    #[test]
    fn numbers_keep_their_sign_and_bits() {
        for modulus in moduli() {
            for value in [0, 1, -1, 7, -8, (1 << 35) - 1, -(1 << 35)] {
                let reduced = modulus.reduce(value as u64);
                assert_eq!(modulus.signed(reduced), value);
                let bits = if value < 0 { 65 - (!value).leading_zeros() } else { 65 - value.leading_zeros() };
                assert!(!modulus.is_beyond(reduced, bits) && modulus.is_beyond(reduced, bits.max(2) - 1) == (bits > 1));
            }
        }
    }
}
