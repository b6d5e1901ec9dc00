//! AES-128 (FIPS 197) by the instructions of x86-64 for vectors.

use core::arch::x86_64::*;

use zeroize::Zeroize;

use crate::Backend;

cpufeatures::new!(features, "aes", "vaes", "avx512f", "avx512dq");

/// One before the first round, and one of each round.
const KEYS: usize = 11;
/// Blocks of a vector.
const LANES: usize = 4;
/// Vectors in flight: with the keys they fit the 32 registers, and hide the latency of a round.
const VECTORS: usize = 16;

/// The round keys. Made only where the instructions are available.
pub(super) struct RoundKeys([u128; KEYS]);

impl RoundKeys {
    pub(super) fn new(key: u128) -> Option<Self> {
        let is_chosen = matches!(Backend::detect(), Backend::Avx512 | Backend::Amx);
        if !(is_chosen && features::get()) {
            return None;
        }
        let mut keys = Self([key; KEYS]);
        // SAFETY: the instructions are available.
        unsafe { expand(&mut keys.0) };
        Some(keys)
    }

    pub(super) fn encrypt(&self, blocks: &mut [u128]) {
        // SAFETY: round keys exist only where the instructions are available.
        unsafe { encrypt(&self.0, blocks) }
    }
}

impl Drop for RoundKeys {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Makes the keys of the rounds from the first one (FIPS 197, section 5.2).
#[target_feature(enable = "aes,avx512f")]
fn expand(keys: &mut [u128; KEYS]) {
    /// The key after `key` with a round's constant.
    #[target_feature(enable = "aes,avx512f")]
    fn next<const CONSTANT: i32>(key: u128) -> u128 {
        let assisted = _mm_aeskeygenassist_si128::<CONSTANT>(from_block(key));
        // Each word is added to all that follow it.
        let sums = key ^ key << 32 ^ key << 64 ^ key << 96;
        sums ^ to_block(_mm_shuffle_epi32::<0xff>(assisted))
    }
    keys[1] = next::<0x01>(keys[0]);
    keys[2] = next::<0x02>(keys[1]);
    keys[3] = next::<0x04>(keys[2]);
    keys[4] = next::<0x08>(keys[3]);
    keys[5] = next::<0x10>(keys[4]);
    keys[6] = next::<0x20>(keys[5]);
    keys[7] = next::<0x40>(keys[6]);
    keys[8] = next::<0x80>(keys[7]);
    keys[9] = next::<0x1b>(keys[8]);
    keys[10] = next::<0x36>(keys[9]);
}

#[target_feature(enable = "avx512f")]
fn from_block(block: u128) -> __m128i {
    _mm_set_epi64x((block >> 64) as i64, block as i64)
}

#[target_feature(enable = "avx512f")]
fn to_block(vector: __m128i) -> u128 {
    let mut block = 0u128;
    // SAFETY: 16 bytes are written to a block of 16 bytes.
    unsafe { _mm_storeu_si128(core::ptr::from_mut(&mut block).cast(), vector) };
    block
}

#[target_feature(enable = "vaes,avx512f")]
fn encrypt(keys: &[u128; KEYS], blocks: &mut [u128]) {
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
        let mut vector = [[0; LANES]];
        vector[0][..last.len()].copy_from_slice(last);
        encrypt_vectors(&wide, &mut vector);
        last.copy_from_slice(&vector[0][..last.len()]);
        vector.zeroize();
    }
}

#[inline]
#[target_feature(enable = "vaes,avx512f")]
fn encrypt_vectors<const V: usize>(keys: &[__m512i; KEYS], blocks: &mut [[u128; LANES]; V]) {
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
