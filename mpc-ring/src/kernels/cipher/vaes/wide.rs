//! Four blocks in a vector of 512 bits.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use super::{Block, KEYS, from_block};

/// Blocks of a vector.
const LANES: usize = 4;
/// Vectors in flight: with the keys they fit the 32 registers, and hide the latency of a round.
const VECTORS: usize = 16;

#[target_feature(enable = "vaes,avx512f")]
pub(super) fn encrypt(keys: &[u128; KEYS], blocks: &mut [Block]) {
    let mut wide = [_mm512_setzero_si512(); KEYS];
    for (wide, &key) in wide.iter_mut().zip(keys) {
        *wide = _mm512_broadcast_i32x4(from_block(key));
    }
    let (vectors, last) = blocks.as_chunks_mut::<LANES>();
    let (groups, rest) = vectors.as_chunks_mut::<VECTORS>();
    for group in groups {
        encrypt_vectors(&wide, group);
    }
    let (fours, rest) = rest.as_chunks_mut::<4>();
    for four in fours {
        encrypt_vectors(&wide, four);
    }
    for vector in rest {
        encrypt_vectors(&wide, core::array::from_mut(vector));
    }
    if !last.is_empty() {
        let mut vector = [[[0; 16]; LANES]];
        vector[0][..last.len()].copy_from_slice(last);
        encrypt_vectors(&wide, &mut vector);
        last.copy_from_slice(&vector[0][..last.len()]);
        vector.zeroize();
    }
}

#[inline]
#[target_feature(enable = "vaes,avx512f")]
fn encrypt_vectors<const V: usize>(keys: &[__m512i; KEYS], blocks: &mut [[Block; LANES]; V]) {
    let mut state = [keys[0]; V];
    for (state, block) in state.iter_mut().zip(blocks.iter()) {
        // SAFETY: 64 bytes are read from an array of 64 bytes.
        *state = _mm512_xor_si512(*state, unsafe { _mm512_loadu_si512(block.as_ptr().cast()) });
    }
    for &key in &keys[1..KEYS - 1] {
        for state in &mut state {
            *state = _mm512_aesenc_epi128(*state, key);
        }
    }
    for (state, block) in state.into_iter().zip(blocks) {
        let state = _mm512_aesenclast_epi128(state, keys[KEYS - 1]);
        // SAFETY: 64 bytes are written to an array of 64 bytes.
        unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), state) };
    }
}
