//! Bit slicing against a bit-by-bit oracle.

use mpc_ring::Ring;
use mpc_ring::bitslice::{from_planes, to_planes, transpose64};
use mpc_ring::packing::words_for;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn check<R: Ring>(len: usize, width: u32, seed: u64) {
    let mut elements = vec![R::ZERO; len];
    R::fill_random(&mut elements, &mut ChaCha8Rng::seed_from_u64(seed));
    let words = words_for(len);
    let mut planes = vec![u64::MAX; width as usize * words];
    to_planes(&elements, width, &mut planes);
    for plane in 0..width {
        for position in 0..words * 64 {
            let expected = elements.get(position).map_or(0, |element| element.to_u128() >> plane & 1);
            let word = planes[plane as usize * words + position / 64];
            assert_eq!(u128::from(word >> (position % 64) & 1), expected, "plane {plane}, element {position}");
        }
    }
    // Padding bits must not matter.
    if !len.is_multiple_of(64) {
        planes.chunks_mut(words).for_each(|plane| plane[words - 1] |= u64::MAX << (len % 64));
    }
    let mut back = vec![!R::ZERO; len];
    from_planes(&planes, width, &mut back);
    assert!(back.iter().zip(&elements).all(|(&a, &b)| a == b & R::low_mask(width)), "{width} planes of {len}");
}

proptest! {
    #[test]
    fn planes_equal_the_oracle(len in 0usize..200, width in 0u32..=128, seed: u64) {
        check::<u32>(len, width.min(32), seed);
        check::<u64>(len, width.min(64), seed);
        check::<u128>(len, width, seed);
    }

    #[test]
    fn a_transposed_block_has_its_bits_exchanged(rows in prop::collection::vec(any::<u64>(), 64)) {
        let mut block: [u64; 64] = rows.clone().try_into().unwrap();
        transpose64(&mut block);
        for (i, j) in (0..64).flat_map(|i| (0..64).map(move |j| (i, j))) {
            prop_assert_eq!(block[i] >> j & 1, rows[j] >> i & 1);
        }
        transpose64(&mut block);
        prop_assert_eq!(&block[..], &rows[..]);
    }
}

#[test]
fn every_width_of_the_largest_ring() {
    (0..=128).for_each(|width| check::<u128>(65, width, 5));
}

#[test]
#[should_panic(expected = "words for 3 planes of 65 bits")]
fn planes_of_the_wrong_length() {
    to_planes(&[0u64; 65], 3, &mut [0; 5]);
}
