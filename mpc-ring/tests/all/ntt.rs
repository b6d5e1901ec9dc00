//! Number-theoretic transforms: the naive negacyclic product, on every backend.

use mpc_ring::Backend;
use mpc_ring::kernels::Ntt;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const PRIMES: [u64; 2] = [1_125_899_906_826_241, 1_125_899_906_629_633];
static SMALL: [Ntt<64>; 2] = [Ntt::new(PRIMES[0]), Ntt::new(PRIMES[1])];
static EVEN: Ntt<128> = Ntt::new(PRIMES[1]);
static LARGE: [Ntt<4096>; 2] = [Ntt::new(PRIMES[0]), Ntt::new(PRIMES[1])];
static LARGEST: Ntt<8192> = Ntt::new(PRIMES[0]);

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

/// The product of `left` and the sparse polynomial with the terms `right`, modulo X^N + 1.
fn naive<const N: usize>(prime: u64, left: &[u64; N], right: &[(usize, u64)]) -> Box<[u64; N]> {
    let mut product = Box::new([0; N]);
    for &(shift, factor) in right.iter().filter(|(_, factor)| *factor != 0) {
        for (i, &value) in left.iter().enumerate() {
            let term = (u128::from(value) * u128::from(factor) % u128::from(prime)) as u64;
            let term = if i + shift < N || term == 0 { term } else { prime - term };
            let sum = &mut product[(i + shift) % N];
            *sum = (*sum + term) % prime;
        }
    }
    product
}

fn terms<const N: usize>(values: &[u64; N]) -> Vec<(usize, u64)> {
    values.iter().copied().enumerate().collect()
}

/// `start` plus the product, through transforms.
fn transformed<const N: usize>(
    ntt: &Ntt<N>,
    backend: Backend,
    factors: [&[u64; N]; 2],
    start: &[u64; N],
) -> Box<[u64; N]> {
    let [mut left, mut right, mut sum] = [factors[0], factors[1], start].map(|values| Box::new(*values));
    for values in [&mut left, &mut right, &mut sum] {
        ntt.forward_with(backend, values);
    }
    ntt.multiply_accumulate_with(backend, &mut sum, &left, &right);
    ntt.inverse_with(backend, &mut sum);
    sum
}

fn check<const N: usize>(ntt: &Ntt<N>, left: &[u64; N], right: &[u64; N], start: &[u64; N]) {
    let mut expected = naive(ntt.prime(), left, &terms(right));
    for (expected, start) in expected.iter_mut().zip(start) {
        *expected = (*expected + start) % ntt.prime();
    }
    for backend in backends() {
        assert!(transformed(ntt, backend, [left, right], start) == expected, "{backend:?}, {N} coefficients");
    }
}

fn random<const N: usize>(prime: u64, seed: u64) -> Box<[u64; N]> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    Box::new(core::array::from_fn(|_| generator.next_u64() % prime))
}

/// Residues at the edges, and others.
fn coefficients(prime: u64) -> impl Strategy<Value = [u64; 64]> {
    let one = prop_oneof![Just(0), Just(1), Just(prime - 1), Just(prime / 2), Just(prime / 2 + 1), 0..prime];
    proptest::collection::vec(one, 64).prop_map(|values| values.try_into().unwrap())
}

proptest! {
    #[test]
    fn products_are_the_naive_ones_at_the_edges(
        which in 0usize..2,
        (left, right, start) in (coefficients(PRIMES[1]), coefficients(PRIMES[1]), coefficients(PRIMES[1])),
    ) {
        check(&SMALL[which], &left, &right, &start);
    }
}

#[test]
fn products_of_full_size_are_the_naive_ones() {
    for ntt in &LARGE {
        check(ntt, &random(ntt.prime(), 1), &random(ntt.prime(), 2), &random(ntt.prime(), 3));
    }
    let prime = EVEN.prime();
    check(&EVEN, &random(prime, 1), &random(prime, 2), &random(prime, 3));
}

#[test]
fn the_largest_residues_and_the_largest_size_overflow_nothing() {
    let last = LARGE[0].prime() - 1;
    for (left, right) in [(last, last), (last, 0), (last / 2, last), (last / 2 + 1, last / 2)] {
        // A constant polynomial times a constant one: coefficient j is c·d·(2·(j + 1) − N).
        let product = u128::from(left) * u128::from(right);
        let modulus = i128::from(last) + 1;
        let product = (product % modulus as u128) as i128;
        let expected: [u64; 4096] =
            core::array::from_fn(|j| (product * (2 * (j as i128 + 1) - 4096)).rem_euclid(modulus) as u64);
        for backend in backends() {
            let actual = transformed(&LARGE[0], backend, [&[left; 4096], &[right; 4096]], &[0; 4096]);
            assert!(*actual == expected, "{backend:?}");
        }
    }
    let mut sparse = [0; 8192];
    for (place, value) in [(0, 1), (1, LARGEST.prime() - 1), (4095, 77), (4096, LARGEST.prime() / 2), (8191, 5)] {
        sparse[place] = value;
    }
    check(&LARGEST, &random(LARGEST.prime(), 4), &sparse, &random(LARGEST.prime(), 5));
}

#[test]
fn every_backend_has_the_same_order_and_the_inverse_is_one() {
    let values = random(LARGE[1].prime(), 6);
    let mut expected = values.clone();
    LARGE[1].forward_with(Backend::Portable, &mut expected);
    for backend in backends() {
        let mut actual = values.clone();
        LARGE[1].forward_with(backend, &mut actual);
        assert!(actual == expected, "{backend:?}");
        LARGE[1].inverse_with(backend, &mut actual);
        assert!(actual == values, "{backend:?}");
    }
}

#[test]
fn the_order_is_part_of_the_format() {
    // The transform of X has the roots themselves: powers of the first one, bit-reversed and transposed.
    let ntt = &SMALL[0];
    let mut roots = [0; 64];
    roots[1] = 1;
    ntt.forward(&mut roots);
    let root = 794_727_264_928_040;
    for (place, value) in roots.into_iter().enumerate() {
        let index = 8 * (place % 8) + place / 8;
        let exponent = 2 * (index.reverse_bits() >> (usize::BITS - 6)) + 1;
        let power = (0..exponent).fold(1, |power, _| power * root % u128::from(ntt.prime()));
        assert_eq!(u128::from(value), power, "place {place}");
    }
}

#[test]
fn residues_are_below_the_prime() {
    let prime = LARGEST.prime();
    assert!(LARGEST.are_residues(&[0, prime - 1]));
    for wrong in [prime, 1 << 63, u64::MAX, (1 << 63) + prime - 1] {
        assert!(!LARGEST.are_residues(&[0, wrong, 0]));
    }
}

#[test]
fn only_primes_of_50_bits_with_a_root_are_taken() {
    for wrong in [PRIMES[0] - 2, 562_949_953_421_313 * 2 - 1, (1 << 49) + 1, 12_289, 1_125_899_906_826_241 + 128] {
        assert!(std::panic::catch_unwind(|| Ntt::<64>::new(wrong)).is_err(), "{wrong}");
    }
}

/// Multiples by factors up to 2^49, of up to more terms than there are between reductions, for an even and an odd number
/// of sums.
#[test]
fn sums_of_multiples_are_those_of_plain_arithmetic() {
    let ntt = &LARGE[1];
    let prime = i128::from(ntt.prime());
    let half = 1 << 49;
    let factor = |seed: usize| [half, -half, 0, 1, -1, 12_345_678_901, -(1 << 47), half - 1][seed % 8];
    for (sums, terms) in [(1, 1), (2, 3), (3, 10), (4, 11), (5, 33), (2, 0), (0, 2)] {
        let values: Vec<_> = (0..terms).map(|term| random(ntt.prime(), 10 + term as u64)).collect();
        let values: Vec<_> = values.iter().map(|term| **term).collect();
        let start: Vec<_> = (0..sums).map(|sum| *random(ntt.prime(), 90 + sum as u64)).collect();
        let factors: Vec<_> = (0..sums * terms).map(|place| factor(3 * place + terms)).collect();
        let expected = |sum: usize, place: usize| {
            let products =
                (0..terms).map(|term| i128::from(values[term][place]) * i128::from(factors[sum * terms + term]));
            (i128::from(start[sum][place]) + products.sum::<i128>()).rem_euclid(prime) as u64
        };
        for backend in backends() {
            let mut found = start.clone();
            ntt.add_multiples_with(backend, &mut found, &values, &factors);
            for (sum, found) in found.iter().enumerate() {
                assert!(
                    (0..4096).all(|place| found[place] == expected(sum, place)),
                    "{backend:?}: {sum} of {sums}, {terms}"
                );
            }
        }
    }
}
