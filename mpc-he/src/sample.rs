//! Randomness: public polynomials from seeds, ternary secrets and binomial errors.

use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec, Seed};
use rand_core::Rng;

use crate::ring::{COEFFICIENTS, PRIMES, Poly, RESIDUE_BITS};

/// 32 public bytes that both parties expand to the same uniform polynomials. Fresh for each set of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicSeed([u8; Seed::BYTES]);

impl PublicSeed {
    /// The length in bytes.
    pub const BYTES: usize = Seed::BYTES;

    /// A seed that a party drew and sent.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A fresh seed.
    pub fn random(generator: &mut Prg) -> Self {
        let mut bytes = [0; Self::BYTES];
        generator.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes, to be sent to the other party.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The polynomials of one purpose: p of the model is number 0, layer l has number l + 1.
    pub(crate) fn stream(&self, number: u64) -> Prg {
        let mut seeds = Prg::new(Seed::from_bytes(self.0));
        (0..number).for_each(|_| drop(seeds.seed()));
        Prg::new(seeds.seed())
    }

    /// The model's polynomial p.
    pub(crate) fn model(&self) -> Poly {
        uniform(&mut self.stream(0))
    }

    /// The polynomials of layer `layer`.
    pub(crate) fn layer(&self, layer: u32) -> Prg {
        self.stream(u64::from(layer) + 1)
    }
}

/// A uniform polynomial from a public stream. A residue that is not below its prime is drawn again.
pub(crate) fn uniform(stream: &mut Prg) -> Poly {
    let mut poly = Poly::zero();
    for (part, prime) in poly.0.iter_mut().zip(PRIMES) {
        u64::fill_random(part, stream);
        for value in part.iter_mut() {
            *value >>= u64::BITS - RESIDUE_BITS;
            while *value >= prime {
                *value = stream.next_u64() >> (u64::BITS - RESIDUE_BITS);
            }
        }
    }
    poly
}

fn words(generator: &mut Prg) -> SecretVec<u64> {
    let mut words = SecretVec::zeros(COEFFICIENTS);
    u64::fill_random(&mut words, generator);
    words
}

/// Coefficients −1, 0 and 1, each with a probability of 1/3 up to 2^−64, in constant time.
pub(crate) fn ternary(generator: &mut Prg) -> Poly {
    let words = words(generator);
    Poly::small(words.iter().map(|&word| ((u128::from(word) * 3) >> 64) as i64 - 1))
}

/// Coefficients that are differences of two sums of 20 bits: of standard deviation 3.16 and at most 20, in constant time.
pub(crate) fn binomial(generator: &mut Prg) -> Poly {
    const BITS: u64 = (1 << 20) - 1;
    let words = words(generator);
    Poly::small(words.iter().map(|word| i64::from(ones(word & BITS)) - i64::from(ones((word >> 20) & BITS))))
}

/// The ones of 20 bits, without the tables that `count_ones` may use where there is no instruction.
fn ones(bits: u64) -> u32 {
    let pairs = bits - ((bits >> 1) & 0x5_5555);
    let fours = (pairs & 0x3_3333) + ((pairs >> 2) & 0x3_3333);
    let eights = (fours + (fours >> 4)) & 0xf_0f0f;
    ((eights + (eights >> 8) + (eights >> 16)) & 0x1f) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centred(poly: &Poly) -> alloc::vec::Vec<i64> {
        poly.0[0]
            .iter()
            .map(|&value| if value > PRIMES[0] / 2 { value as i64 - PRIMES[0] as i64 } else { value as i64 })
            .collect()
    }

    #[test]
    fn ones_are_counted() {
        (0..1 << 20).step_by(7).chain([(1 << 20) - 1]).for_each(|bits: u64| assert_eq!(ones(bits), bits.count_ones()));
    }

    #[test]
    fn secrets_and_errors_have_their_distributions() {
        let mut generator = Prg::new(Seed::from_bytes([3; 32]));
        let (mut counts, mut squares) = ([0i64; 3], 0);
        for _ in 0..25 {
            centred(&ternary(&mut generator)).into_iter().for_each(|value| counts[(value + 1) as usize] += 1);
            for value in centred(&binomial(&mut generator)) {
                assert!(value.abs() <= 20);
                squares += value * value;
            }
        }
        let total = 25 * COEFFICIENTS as i64;
        // Six standard deviations of each count and of the sum of squares.
        counts.iter().for_each(|count| assert!((count - total / 3).abs() < 910, "{counts:?}"));
        assert!((squares - 10 * total).abs() < 27_000, "{squares}");
    }

    #[test]
    fn public_polynomials_follow_from_the_seed() {
        let seed = PublicSeed::from_bytes([5; 32]);
        let first = uniform(&mut seed.layer(2));
        assert_eq!(*first.0[1], *uniform(&mut seed.layer(2)).0[1]);
        assert_ne!(*first.0[1], *uniform(&mut seed.layer(3)).0[1]);
        assert!(first.0.iter().zip(PRIMES).all(|(part, prime)| part.iter().all(|&value| value < prime)));
    }
}
