//! How large the noise of a layer can be.

use crate::ring::COEFFICIENTS;
use crate::{HeError, Layout};

/// The holder of the weights adds noise uniform in ±2^13 units to its share of every output.
pub const FLOODING_BITS: u32 = 13;

/// The variance of an error's coefficient, which bounds its moments as a Gaussian's would: 40 bits of variance 1/4.
const ERROR_VARIANCE: u128 = 10;
/// Standard deviations within which a sum stays but for a probability of 2·exp(−50) < 2^−70.
const DEVIATIONS: u128 = 10;

/// A bound on the difference between the sum of both shares and the exact product, in units of the last place, for all inputs
/// and the worst weights. It holds for each output but for a probability of 2^−69.
///
/// # Proof
/// With n = 4096, weights below W in size of which T meet an output's coefficient, and Δ = q/2^b for a modulus of b bits, the
/// noise before rounding is Σ e·w + e'·u − e_o·s − ρ·s + δ·w, divided by Δ, where ρ is the rounding of the hint and δ that of A·Δ.
/// - The coefficients of e, e' and e_o are sums of 40 independent values ±1/2: sub-Gaussian of variance 10. Given the ternary s
///   and u, the first three terms are sub-Gaussian of variance 10·(T·W² + 2n).
/// - |ρ| < q/2^(h + 1) + q/2^63 + 1 for a hint of h bits, and s is independent, of mean zero and at most 1 in size: sub-Gaussian
///   of variance n·ρ².
/// - |δ| ≤ 1/2 meets at most T weights: at most T·W/2, always.
///
/// Ten standard deviations of each of the two sums, and three roundings (two of shares, each off by 2^(b − 63) more), are the
/// bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseBound {
    weight_bits: u32,
    units: u64,
}

impl NoiseBound {
    pub(crate) fn of(layout: &Layout, weight_bits: u32) -> Result<Self, HeError> {
        let modulus = layout.modulus;
        modulus.check_weight_bits(weight_bits)?;
        let layer = &layout.layer;
        let weight = 1u128 << (weight_bits - 1);
        let terms = (layer.channels[0] * layer.taps()).saturating_mul(layout.channels[1]) as u128;
        if terms > 1 << 30 {
            return Err(HeError::Unsupported { reason: "an output is the sum of more than 2^30 products" });
        }
        let n = COEFFICIENTS as u128;
        let errors = (ERROR_VARIANCE * (terms * weight * weight + 2 * n)).isqrt() + 1;
        let rounding = modulus.hint_error();
        let hint = n.isqrt() * rounding;
        let sum = DEVIATIONS * (errors + hint) + terms * weight / 2;
        // Two shares of more than 60 bits are further off than the three units have room for.
        let roundings = 3 + ((1u128 << modulus.bits()) >> 60) as u64;
        Ok(Self { weight_bits, units: (sum / modulus.unit()) as u64 + roundings })
    }

    /// The noise of the encryption alone.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units
    }

    /// The noise of the encryption and the flooding that hides it from the holder of the mask.
    #[must_use]
    pub fn with_flooding(&self) -> u64 {
        self.units + (1 << FLOODING_BITS)
    }

    /// Checks that a layer whose output is truncated by `shift` bits is off by at most a quarter of a unit after it.
    ///
    /// # Errors
    /// [`HeError::Noise`], which names the shift that the layer needs.
    pub fn check(&self, shift: u32) -> Result<(), HeError> {
        let tolerated = 1u64.checked_shl(shift).unwrap_or(0) / 4;
        let units = self.with_flooding();
        // The first power of two that is no smaller, and two bits for the quarter.
        let needed_shift = u64::BITS - (units - 1).leading_zeros() + 2;
        if units <= tolerated {
            return Ok(());
        }
        Err(HeError::Noise { weight_bits: self.weight_bits, units, tolerated, needed_shift })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use mpc_shares::{Prg, Seed};
    use rand_core::Rng;

    use super::*;
    use crate::{Ciphertext, Encryption, Evaluation, Hint, Linear, Modulus, PublicSeed, Weights};

    /// A million outputs of layers with weights of the extremes: the bound holds, and is not far from what happens.
    #[test]
    fn the_noise_of_a_million_outputs_is_within_its_bound() {
        // Eight channels of output in a polynomial, and one.
        noise_of_half_a_million(Modulus::SMALLEST, 1, 8);
        noise_of_half_a_million(Modulus::SMALLEST, u64::MAX, 64);
    }

    #[test]
    fn the_noise_of_larger_moduli_is_within_its_bound() {
        noise_of_half_a_million(Modulus::holding(57).unwrap(), 1, 8);
        noise_of_half_a_million(Modulus::holding(64).unwrap(), u64::MAX, 64);
    }

    fn noise_of_half_a_million(modulus: Modulus, inferences: u64, polynomials: usize) {
        let (rows, inner, columns) = (64, 16, 256);
        let layer = Linear::left_product(rows, inner, columns).unwrap();
        let layout = Layout::search(&layer, modulus, inferences, false).unwrap();
        let bits = modulus.weight_bits();
        assert_eq!(layout.output_polynomials(), polynomials);
        let mut generator = Prg::new(Seed::from_bytes([4; 32]));
        let extremes = [modulus.reduce((1u64 << (bits - 1)).wrapping_neg()), (1 << (bits - 1)) - 1];
        let matrix: Vec<u64> = (0..rows * inner).map(|_| extremes[(generator.next_u32() % 2) as usize]).collect();
        let seed = PublicSeed::random(&mut generator);
        let (weights, hint) = Weights::new(&layout, &matrix, bits, &seed, 0, &mut generator).unwrap();
        let hint = Hint::from_bytes(&layout, &seed, 0, &hint).unwrap();
        let (mut worst, mut count) = (0, 0);
        while count < 500_000 {
            let (mut encryption, opening) = Encryption::begin(&seed, &mut generator);
            let encrypted = encryption.layer(&hint, None, &mut generator).unwrap();
            let message = Ciphertext::from_bytes(&layout, &encrypted.message).unwrap();
            let evaluation = Evaluation::from_bytes(&opening).unwrap();
            let share = evaluation.layer_without_flooding(&weights, &message).unwrap();
            for (place, sum) in share.iter().zip(&*encrypted.share).map(|(a, b)| a.wrapping_add(*b)).enumerate() {
                let masks = encrypted.mask[place % columns..].iter().step_by(columns);
                let weights = &matrix[place / columns * inner..][..inner];
                let exact = weights.iter().zip(masks).fold(0u64, |sum, (w, a)| sum.wrapping_add(w.wrapping_mul(*a)));
                worst = worst.max(modulus.signed(sum.wrapping_sub(exact)).unsigned_abs());
            }
            count += share.len();
        }
        let bound = layout.noise(bits).unwrap().units();
        assert!(worst <= bound && 16 * worst >= bound, "{worst} units, {bound} were proved");
    }
}
