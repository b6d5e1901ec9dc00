//! R_q = Z_q[X] / (X^4096 + 1) with q = p_1·p_2 of 100 bits, by residues.

use core::hint::black_box;

use mpc_ring::kernels::Ntt;
use mpc_shares::SecretVec;

/// Coefficients of a polynomial.
pub const COEFFICIENTS: usize = 4096;
/// Bytes of a polynomial in memory: two residues of each coefficient.
pub const POLYNOMIAL_BYTES: usize = 2 * 8 * COEFFICIENTS;
/// The primes whose product is the modulus of the ciphertexts, the largest of 50 bits that are 1 modulo 16,384.
pub const PRIMES: [u64; 2] = [1_125_899_906_826_241, 1_125_899_906_629_633];
/// A residue takes this many bits.
pub(crate) const RESIDUE_BITS: u32 = 50;

/// q.
pub(crate) const Q: u128 = PRIMES[0] as u128 * PRIMES[1] as u128;
const N: usize = COEFFICIENTS;

static NTT: [Ntt<N>; 2] = [Ntt::new(PRIMES[0]), Ntt::new(PRIMES[1])];

/// ⌊2^112 / p⌋ of both primes.
const RECIPROCALS: [u64; 2] = [((1 << 112) / PRIMES[0] as u128) as u64, ((1 << 112) / PRIMES[1] as u128) as u64];
/// The inverse of the first prime modulo the second, by Fermat.
const INVERSE: u64 = {
    let prime = PRIMES[1] as u128;
    let (mut base, mut exponent, mut result) = (PRIMES[0] as u128 % prime, PRIMES[1] - 2, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % prime;
        }
        base = base * base % prime;
        exponent >>= 1;
    }
    result as u64
};

/// `value` modulo prime `k`, for a value below 2^100, without a division: constant time.
pub(crate) fn reduce(k: usize, value: u128) -> u64 {
    let prime = PRIMES[k];
    // The quotient is at most 1 too small: what the shift cuts off is below 2^−11, and so is the error of the reciprocal.
    let quotient = (((value >> 38) * u128::from(RECIPROCALS[k])) >> 74) as u64;
    let rest = (value as u64).wrapping_sub(quotient.wrapping_mul(prime)).wrapping_sub(prime);
    rest.wrapping_add(prime & ((rest as i64 >> 63) as u64))
}

/// The value below q with these residues.
pub(crate) fn compose(residues: [u64; 2]) -> u128 {
    let difference = reduce(1, u128::from(residues[1] + 2 * PRIMES[1] - residues[0]));
    let factor = reduce(1, u128::from(difference) * u128::from(INVERSE));
    u128::from(residues[0]) + u128::from(PRIMES[0]) * u128::from(factor)
}

/// Residues of a value below q.
pub(crate) fn residues(value: u128) -> [u64; 2] {
    [reduce(0, value), reduce(1, value)]
}

/// Residues of a small signed value.
pub(crate) fn small_residues(value: i64) -> [u64; 2] {
    // The compiler does not learn that it is all ones or none, and so makes no branch of it.
    let negative = black_box(value >> 63);
    PRIMES.map(|prime| (value + (prime as i64 & negative)) as u64)
}

pub(crate) fn add(k: usize, left: u64, right: u64) -> u64 {
    let sum = (left + right).wrapping_sub(PRIMES[k]);
    sum.wrapping_add(PRIMES[k] & ((sum as i64 >> 63) as u64))
}

pub(crate) fn subtract(k: usize, left: u64, right: u64) -> u64 {
    let difference = left.wrapping_sub(right);
    difference.wrapping_add(PRIMES[k] & ((difference as i64 >> 63) as u64))
}

/// A polynomial by residues, as coefficients or as transforms. Zeroised on drop.
pub(crate) struct Poly(pub(crate) [SecretVec<u64>; 2]);

fn array(values: &[u64]) -> &[u64; N] {
    values.try_into().expect("a polynomial has all its coefficients")
}

fn array_mut(values: &mut [u64]) -> &mut [u64; N] {
    values.try_into().expect("a polynomial has all its coefficients")
}

impl Poly {
    pub(crate) fn zero() -> Self {
        Self([SecretVec::zeros(N), SecretVec::zeros(N)])
    }

    /// The polynomial of small signed coefficients.
    pub(crate) fn small(coefficients: impl Iterator<Item = i64>) -> Self {
        let mut poly = Self::zero();
        for (place, value) in coefficients.enumerate() {
            poly.set(place, small_residues(value));
        }
        poly
    }

    /// X^exponent.
    pub(crate) fn power(exponent: usize) -> Self {
        let mut poly = Self::zero();
        poly.set(exponent, [1; 2]);
        poly
    }

    pub(crate) fn get(&self, place: usize) -> [u64; 2] {
        [self.0[0][place], self.0[1][place]]
    }

    pub(crate) fn set(&mut self, place: usize, residues: [u64; 2]) {
        (self.0[0][place], self.0[1][place]) = (residues[0], residues[1]);
    }

    /// Whether every residue is below its prime.
    fn is_reduced(&self) -> bool {
        self.0.iter().zip(&NTT).all(|(part, ntt)| ntt.are_residues(&part[..]))
    }

    pub(crate) fn forward(mut self) -> Self {
        debug_assert!(self.is_reduced());
        self.0.iter_mut().zip(&NTT).for_each(|(part, ntt)| ntt.forward(array_mut(part)));
        self
    }

    pub(crate) fn inverse(mut self) -> Self {
        debug_assert!(self.is_reduced());
        self.0.iter_mut().zip(&NTT).for_each(|(part, ntt)| ntt.inverse(array_mut(part)));
        self
    }

    /// Adds a product, all three being transforms.
    pub(crate) fn multiply_accumulate(&mut self, left: &Self, right: &Self) {
        debug_assert!(self.is_reduced() && left.is_reduced() && right.is_reduced());
        for (k, ntt) in NTT.iter().enumerate() {
            ntt.multiply_accumulate(array_mut(&mut self.0[k]), array(&left.0[k]), array(&right.0[k]));
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for k in 0..2 {
            self.0[k].iter_mut().zip(&*other.0[k]).for_each(|(sum, &other)| *sum = add(k, *sum, other));
        }
    }
}

/// Transforms side by side, of which multiples are added to others. Zeroised on drop.
pub(crate) struct Transforms([SecretVec<u64>; 2]);

impl Transforms {
    /// So many that are zero.
    pub(crate) fn zeros(count: usize) -> Self {
        Self([SecretVec::zeros(count * N), SecretVec::zeros(count * N)])
    }

    pub(crate) fn len(&self) -> usize {
        self.0[0].len() / N
    }

    /// Adds a product to the one in this place.
    pub(crate) fn multiply_accumulate(&mut self, place: usize, left: &Poly, right: &Poly) {
        for (k, ntt) in NTT.iter().enumerate() {
            let sum = array_mut(&mut self.0[k][place * N..(place + 1) * N]);
            ntt.multiply_accumulate(sum, array(&left.0[k]), array(&right.0[k]));
        }
    }

    /// Adds a multiple of each of `terms` to each of these: `factors` has a row for each of these.
    pub(crate) fn add_multiples(&mut self, terms: &Self, factors: &[i64]) {
        for (k, ntt) in NTT.iter().enumerate() {
            ntt.add_multiples(self.0[k].as_chunks_mut().0, terms.0[k].as_chunks().0, factors);
        }
    }

    pub(crate) fn polys(&self) -> impl Iterator<Item = Poly> {
        let [first, second] = &self.0;
        first
            .chunks_exact(N)
            .zip(second.chunks_exact(N))
            .map(|(first, second)| Poly([first, second].map(SecretVec::copy_of)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Modulus;

    /// A walk over the values below q, and its edges: around the borders between two multiples of q over a modulus.
    pub(crate) fn values(modulus: Modulus) -> impl Iterator<Item = u128> {
        let half = modulus.unit() / 2;
        let edges = [0, 1, Q - 1, Q / 2, half, half + 1, half - 1, Q - half, Q - half - 1, u128::from(PRIMES[0])];
        let steps = (0u64..20_000).map(move |i| {
            let step = modulus.scale_up(modulus.reduce(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            (step + half + u128::from(i % 7) + Q - 3) % Q
        });
        edges.into_iter().chain(steps)
    }

    #[test]
    fn residues_and_values_are_the_same() {
        for value in values(Modulus::SMALLEST) {
            assert_eq!(residues(value), PRIMES.map(|prime| (value % u128::from(prime)) as u64));
            assert_eq!(compose(residues(value)), value);
        }
        assert_eq!(reduce(0, (1 << 100) - 1), (((1 << 100) - 1) % u128::from(PRIMES[0])) as u64);
    }
}
