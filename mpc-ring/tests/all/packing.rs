//! Bit packing against a bit-by-bit oracle.

use mpc_ring::Ring;
use mpc_ring::packing::{pack, pack_words, packed_len, unpack, unpack_words, words_for};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn bit(bytes: &[u8], position: usize) -> u128 {
    u128::from(bytes[position / 8] >> (position % 8) & 1)
}

fn check<R: Ring>(len: usize, bits: u32, seed: u64) {
    let mut elements = vec![R::ZERO; len];
    R::fill_random(&mut elements, &mut ChaCha8Rng::seed_from_u64(seed));
    let mut bytes = vec![0xff; packed_len(len, bits)];
    pack(&elements, bits, &mut bytes);
    for (index, element) in elements.iter().enumerate() {
        let start = index * bits as usize;
        let packed = (0..bits).fold(0, |sum, b| sum | bit(&bytes, start + b as usize) << b);
        assert_eq!(packed, (*element & R::low_mask(bits)).to_u128(), "{bits} bits, element {index} of {len}");
    }
    assert!((len * bits as usize..bytes.len() * 8).all(|unused| bit(&bytes, unused) == 0));
    // Unused bits must not matter.
    if let (Some(last), used @ 1..) = (bytes.last_mut(), len * bits as usize % 8) {
        *last |= 0xff << used;
    }
    let mut unpacked = vec![!R::ZERO; len];
    unpack(&bytes, bits, &mut unpacked);
    assert!(unpacked.iter().zip(&elements).all(|(&a, &b)| a == b & R::low_mask(bits)), "{bits} bits, {len} elements");
}

fn check_every_width<R: Ring>(len: usize, seed: u64) {
    (1..=R::BITS).for_each(|bits| check::<R>(len, bits, seed));
}

proptest! {
    #[test]
    fn every_width_equals_the_oracle(len in 0usize..70, seed: u64) {
        check_every_width::<u32>(len, seed);
        check_every_width::<u64>(len, seed);
        check_every_width::<u128>(len, seed);
    }

    #[test]
    fn words_come_back(words in prop::collection::vec(any::<u64>(), 0..5), spare in 0usize..64) {
        let bits = (words.len() * 64).saturating_sub(spare);
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        pack_words(&words, bits, &mut bytes);
        for position in 0..bytes.len() * 8 {
            let expected = if position < bits { words[position / 64] >> (position % 64) & 1 } else { 0 };
            prop_assert_eq!(bit(&bytes, position), u128::from(expected));
        }
        if let (Some(last), used @ 1..) = (bytes.last_mut(), bits % 8) {
            *last |= 0xff << used;
        }
        let mut read = vec![u64::MAX; words.len()];
        unpack_words(&bytes, bits, &mut read);
        for position in 0..read.len() * 64 {
            let expected = position < bits && words[position / 64] >> (position % 64) & 1 == 1;
            prop_assert_eq!(read[position / 64] >> (position % 64) & 1 == 1, expected);
        }
    }
}

#[test]
fn lengths() {
    assert_eq!((packed_len(0, 7), packed_len(3, 3), packed_len(8, 3), packed_len(5, 40)), (0, 2, 3, 25));
    assert_eq!((words_for(0), words_for(1), words_for(64), words_for(65)), (0, 1, 1, 2));
}

#[test]
#[should_panic(expected = "overflows")]
fn a_packed_length_that_overflows() {
    let _ = packed_len(usize::MAX / 2, 3);
}

#[test]
#[should_panic(expected = "bytes for 2 elements of 9 bits")]
fn a_buffer_of_the_wrong_length() {
    pack(&[1u64, 2], 9, &mut [0; 2]);
}

#[test]
#[should_panic(expected = "between 1 and 32 bits")]
fn more_bits_than_the_ring_has() {
    unpack::<u32>(&[0; 5], 33, &mut [0]);
}
