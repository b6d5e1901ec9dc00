//! The axioms of a commutative ring, its encodings and its signed reading, for every implementor of `Ring`.

use mpc_ring::{Ring, read_all, write_all};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use subtle::Choice;

fn check_axioms<R: Ring>(a: R, b: R, c: R) {
    assert_eq!(a.wrapping_add(b), b.wrapping_add(a));
    assert_eq!(a.wrapping_add(b).wrapping_add(c), a.wrapping_add(b.wrapping_add(c)));
    assert_eq!(a.wrapping_add(R::ZERO), a);
    assert_eq!(a.wrapping_add(a.wrapping_neg()), R::ZERO);
    assert_eq!(a.wrapping_sub(b), a.wrapping_add(b.wrapping_neg()));
    assert_eq!(a.wrapping_mul(b), b.wrapping_mul(a));
    assert_eq!(a.wrapping_mul(b).wrapping_mul(c), a.wrapping_mul(b.wrapping_mul(c)));
    assert_eq!(a.wrapping_mul(R::ONE), a);
    assert_eq!(a.wrapping_mul(b.wrapping_add(c)), a.wrapping_mul(b).wrapping_add(a.wrapping_mul(c)));
}

fn check_encodings<R: Ring>(a: R, b: R) {
    assert_eq!(R::from_u128(a.to_u128()), a);
    assert_eq!(R::from_i128(a.to_i128()), a);
    assert_eq!(R::from_u64(a.low_u64()).low_u64(), a.low_u64());
    assert_eq!(a.to_u128() >> (R::BITS - 1) == 1, a.to_i128() < 0);
    let mut bytes = vec![0; 2 * R::BYTES];
    write_all(&[a, b], &mut bytes);
    assert_eq!(bytes[..R::BYTES], a.to_u128().to_le_bytes()[..R::BYTES]);
    let mut read = [R::ZERO; 2];
    read_all(&bytes, &mut read);
    assert_eq!(read, [a, b]);
}

fn check_bits<R: Ring>(a: R, b: R, bits: u32) {
    assert_eq!(a.shift_right_signed(bits).to_i128(), a.to_i128() >> bits);
    let mask = R::low_mask(bits);
    assert_eq!(mask.to_u128(), (1 << bits) - 1);
    assert_eq!((a & mask) | (a & !mask), a);
    assert_eq!(R::low_mask(R::BITS), !R::ZERO);
    assert_eq!(bool::from(a.equals(b)), a == b);
    assert!(bool::from(a.equals(a)));
    assert_eq!(R::select(Choice::from(1), a, b), a);
    assert_eq!(R::select(Choice::from(0), a, b), b);
}

fn check_random<R: Ring>() {
    let (mut generator, mut again) = (ChaCha8Rng::seed_from_u64(3), ChaCha8Rng::seed_from_u64(3));
    let mut elements = vec![R::ZERO; 1000];
    R::fill_random(&mut elements, &mut generator);
    let ones = elements.iter().fold(!R::ZERO, |all, &element| all & element);
    let any = elements.iter().fold(R::ZERO, |any, &element| any | element);
    assert_eq!((ones, any), (R::ZERO, !R::ZERO));
    assert_eq!(R::random(&mut again), elements[0]);
}

macro_rules! test_ring {
    ($ring:ident) => {
        mod $ring {
            use super::*;

            proptest! {
                #[test]
                fn satisfies_the_axioms(a: $ring, b: $ring, c: $ring) {
                    check_axioms(a, b, c);
                }

                #[test]
                fn has_canonical_encodings(a: $ring, b: $ring) {
                    check_encodings(a, b);
                }

                #[test]
                fn works_on_bits(a: $ring, b: $ring, bits in 0..$ring::BITS) {
                    check_bits(a, b, bits);
                }
            }

            #[test]
            fn holds_at_the_edges() {
                let edges = [0, 1, 2, $ring::MAX, $ring::MAX / 2, $ring::MAX / 2 + 1];
                for (a, b, c) in edges.iter().flat_map(|&a| edges.map(|b| (a, b, a ^ b))) {
                    check_axioms(a, b, c);
                    check_encodings(a, b);
                }
            }

            #[test]
            fn random_elements_use_every_bit() {
                check_random::<$ring>();
            }
        }
    };
}

test_ring!(u32);
test_ring!(u64);
test_ring!(u128);
