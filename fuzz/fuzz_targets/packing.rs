//! Elements packed in some number of bits unpack to their lowest bits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_ring::{Ring, packing};

fn round_trip<R: Ring>(elements: &[R], bits: u32) {
    let mut bytes = vec![0xff; packing::packed_len(elements.len(), bits)];
    packing::pack(elements, bits, &mut bytes);
    let mut unpacked = vec![!R::ZERO; elements.len()];
    packing::unpack(&bytes, bits, &mut unpacked);
    assert!(unpacked.iter().zip(elements).all(|(&x, &y)| x == y & R::low_mask(bits)));
}

fuzz_target!(|input: (u32, Vec<u128>, usize)| {
    let (bits, elements, bit_count) = input;
    round_trip(&elements, bits % 128 + 1);
    round_trip(&elements.iter().map(|&x| x as u64).collect::<Vec<_>>(), bits % 64 + 1);
    round_trip(&elements.iter().map(|&x| x as u32).collect::<Vec<_>>(), bits % 32 + 1);

    let bit_count = bit_count % (elements.len() * 64 + 1);
    let words: Vec<u64> = elements.iter().map(|&x| x as u64).take(packing::words_for(bit_count)).collect();
    let mut bytes = vec![0xff; bit_count.div_ceil(8)];
    packing::pack_words(&words, bit_count, &mut bytes);
    let mut unpacked = vec![u64::MAX; words.len()];
    packing::unpack_words(&bytes, bit_count, &mut unpacked);
    let bit = |words: &[u64], i: usize| (words[i / 64] >> (i % 64)) & 1;
    assert!((0..words.len() * 64).all(|i| bit(&unpacked, i) == if i < bit_count { bit(&words, i) } else { 0 }));
});
