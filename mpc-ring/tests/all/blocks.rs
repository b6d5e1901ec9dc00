//! Every backend's linear steps on blocks are the plain ones.

use mpc_ring::Backend;
use mpc_ring::kernels::{Cipher, children_with, low_planes_with, orthomorphism_with, xor_at_with};
use proptest::prelude::*;

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn sigma(x: u128) -> u128 {
    let (low, high) = (x as u64, (x >> 64) as u64);
    u128::from(high ^ low) << 64 | u128::from(high)
}

/// Around the borders of vectors.
fn blocks() -> impl Strategy<Value = Vec<u128>> {
    prop::collection::vec(any::<u128>(), 0..70)
}

proptest! {
    #[test]
    fn images_are_of_the_tweaked_blocks(blocks in blocks(), offset in any::<u128>(), step in any::<u64>()) {
        let tweaked = |(i, x): (usize, &u128)| sigma(x ^ offset ^ u128::from((i as u64).wrapping_mul(step)));
        let expected: Vec<_> = blocks.iter().enumerate().map(tweaked).collect();
        for backend in backends() {
            let mut images = vec![1; blocks.len()];
            orthomorphism_with(backend, &blocks, offset, step, &mut images);
            prop_assert_eq!(&images, &expected, "{:?}", backend);
        }
    }

    #[test]
    fn children_add_up_to_their_parent(nodes in blocks(), seed in any::<u128>()) {
        let ciphered: Vec<_> = (1..=nodes.len() as u128).map(|i| seed.wrapping_mul(i | 1)).collect();
        let lefts: Vec<_> = nodes.iter().zip(&ciphered).map(|(x, y)| sigma(*x) ^ y).collect();
        let rights: Vec<_> = nodes.iter().zip(&lefts).map(|(x, left)| x ^ left).collect();
        let sums = [&lefts, &rights].map(|nodes| nodes.iter().fold(0, |sum, x| sum ^ x));
        for backend in backends() {
            let (mut left, mut right) = (nodes.clone(), vec![1; nodes.len()]);
            prop_assert_eq!(children_with(backend, &mut left, &ciphered, &mut right), sums, "{:?}", backend);
            prop_assert_eq!((&left, &right), (&lefts, &rights), "{:?}", backend);
        }
    }

    #[test]
    fn one_place_changes(blocks in blocks(), keep in any::<u128>(), place in 0u64..80, value in any::<u128>()) {
        let mut expected: Vec<_> = blocks.iter().map(|x| x & keep).collect();
        if let Some(block) = expected.get_mut(place as usize) {
            *block ^= value;
        }
        for backend in backends() {
            let mut changed = blocks.clone();
            xor_at_with(backend, &mut changed, keep, place, value);
            prop_assert_eq!(&changed, &expected, "{:?}", backend);
        }
    }

    #[test]
    fn planes_have_the_lowest_bits(blocks in prop::collection::vec(any::<u128>(), 64), count in 0usize..=64) {
        let blocks: [u128; 64] = blocks.try_into().unwrap();
        for backend in backends() {
            let mut planes = vec![1; count];
            low_planes_with(backend, &blocks, &mut planes);
            for (bit, plane) in planes.into_iter().enumerate() {
                let lanes = (0..64).map(|lane| (blocks[lane] >> bit & 1) as u64 * (1 << lane));
                prop_assert_eq!(plane, lanes.sum::<u64>(), "{:?}, bit {}", backend, bit);
            }
        }
    }
}

#[test]
fn a_place_beyond_all_changes_nothing() {
    for backend in backends() {
        for place in [8, 9, 1 << 32, u64::MAX] {
            let mut blocks = [7; 8];
            xor_at_with(backend, &mut blocks, u128::MAX, place, 1);
            assert_eq!(blocks, [7; 8], "{backend:?}, {place}");
        }
    }
}

#[test]
fn the_cipher_is_the_standard_one() {
    // FIPS 197, appendix C.1: key 000102…0f, plaintext 00112233…ff.
    let key = u128::from_be_bytes(core::array::from_fn(|i| i as u8)).swap_bytes();
    let plain = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
    let expected = 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a_u128.to_be_bytes();
    #[cfg(target_arch = "x86_64")]
    if Backend::detect() != Backend::Portable && std::is_x86_feature_detected!("vaes") {
        assert!(Cipher::new(key).is_some(), "the machine has the instructions");
    }
    let Some(cipher) = Cipher::new(key) else { return };
    // Every way in which blocks are cut into vectors.
    for len in (0..150).chain([64 * 5]) {
        let mut blocks = vec![plain; len];
        cipher.encrypt(&mut blocks);
        assert_eq!(blocks, vec![expected; len]);
        let mut counters: Vec<_> = (0..len as u128).map(u128::to_le_bytes).collect();
        cipher.encrypt(&mut counters);
        for (place, &block) in counters.iter().enumerate() {
            let mut alone = [(place as u128).to_le_bytes()];
            cipher.encrypt(&mut alone);
            assert_eq!(alone, [block], "block {place} of {len}");
        }
    }
}
