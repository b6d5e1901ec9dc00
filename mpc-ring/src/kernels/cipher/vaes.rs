//! AES-128 (FIPS 197) by the instructions of x86-64 for vectors.

mod wide;

use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering};

use zeroize::Zeroize;

use super::Block;
use crate::Backend;

cpufeatures::new!(features_256, "aes", "avx2");
cpufeatures::new!(features_512, "aes", "avx2", "vaes", "avx512f", "avx512dq");

/// One before the first round, and one of each round.
const KEYS: usize = 11;
/// Blocks of a vector.
const LANES: usize = 2;
/// Vectors in flight: half of the registers, as many as hide the latency of a round.
const VECTORS: usize = 8;

/// Whether the machine has the instructions for vectors, which `cpufeatures` says only of those with 512 bits.
fn has_vaes() -> bool {
    const VAES: u32 = 1 << 9;
    /// 0 before the first call, then 1 for no and 2 for yes.
    static AVAILABLE: AtomicU8 = AtomicU8::new(0);
    match AVAILABLE.load(Ordering::Relaxed) {
        0 => {
            let available = __cpuid_count(7, 0).ecx & VAES == VAES;
            AVAILABLE.store(if available { 2 } else { 1 }, Ordering::Relaxed);
            available
        }
        known => known == 2,
    }
}

/// The round keys. Made only where the instructions are available.
pub(super) struct RoundKeys {
    keys: [u128; KEYS],
    /// Whether vectors have 512 bits.
    is_wide: bool,
}

impl RoundKeys {
    pub(super) fn new(key: u128) -> Option<Self> {
        let is_wide = match Backend::detect() {
            Backend::Avx512 | Backend::Amx if features_512::get() => true,
            Backend::Avx2 if features_256::get() && has_vaes() => false,
            _ => return None,
        };
        let mut keys = Self { keys: [key; KEYS], is_wide };
        // SAFETY: the instructions are available.
        unsafe { expand(&mut keys.keys) };
        Some(keys)
    }

    pub(super) fn encrypt(&self, blocks: &mut [Block]) {
        // SAFETY: round keys exist only where the instructions are available, those for 512 bits where they say so.
        unsafe { if self.is_wide { wide::encrypt(&self.keys, blocks) } else { encrypt(&self.keys, blocks) } }
    }

    pub(super) fn write_counters(&self, start: u128, blocks: &mut [Block]) {
        // SAFETY: the instructions are available where there are round keys.
        unsafe { write_counters(start, blocks) }
    }
}

impl Drop for RoundKeys {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

/// Makes the keys of the rounds from the first one (FIPS 197, section 5.2).
#[target_feature(enable = "aes,avx")]
fn expand(keys: &mut [u128; KEYS]) {
    const CONSTANTS: [i32; KEYS - 1] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];
    // The last word, its bytes turned by one, in all columns: so the rows that a round shifts are all the same.
    let turned = _mm_set1_epi32(0x0c0f_0e0d);
    let mut key = from_block(keys[0]);
    for (next, constant) in keys[1..].iter_mut().zip(CONSTANTS) {
        let substituted = _mm_aesenclast_si128(_mm_shuffle_epi8(key, turned), _mm_set1_epi32(constant));
        // Each word is added to all that follow it.
        let pairs = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
        key = _mm_xor_si128(_mm_xor_si128(pairs, _mm_slli_si128::<8>(pairs)), substituted);
        *next = to_block(key);
    }
}

#[target_feature(enable = "avx")]
fn from_block(block: u128) -> __m128i {
    _mm_set_epi64x((block >> 64) as i64, block as i64)
}

#[target_feature(enable = "avx")]
fn to_block(vector: __m128i) -> u128 {
    let mut block = 0u128;
    // SAFETY: 16 bytes are written to a block of 16 bytes.
    unsafe { _mm_storeu_si128(core::ptr::from_mut(&mut block).cast(), vector) };
    block
}

/// As [`write_counters`](super::write_counters).
#[target_feature(enable = "avx2")]
fn write_counters(start: u128, blocks: &mut [Block]) {
    const GROUP: usize = 8 * LANES;
    let sign = _mm256_set1_epi64x(i64::MIN);
    let (groups, rest) = blocks.as_chunks_mut::<GROUP>();
    let mut counter = start;
    for group in groups {
        let first = _mm256_broadcastsi128_si256(from_block(counter));
        for (place, vector) in group.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let place = (LANES * place) as i64;
            let sum = _mm256_add_epi64(first, _mm256_set_epi64x(0, place + 1, 0, place));
            // All ones where a lower half has come past zero, and moved from there to the upper half.
            let carry = _mm256_cmpgt_epi64(_mm256_xor_si256(first, sign), _mm256_xor_si256(sum, sign));
            let counters = _mm256_sub_epi64(sum, _mm256_slli_si256::<8>(carry));
            // SAFETY: 32 bytes are written to an array of 32 bytes.
            unsafe { _mm256_storeu_si256(vector.as_mut_ptr().cast(), counters) };
        }
        counter = counter.wrapping_add(GROUP as u128);
    }
    super::write_counters(counter, rest);
}

#[target_feature(enable = "vaes,avx2")]
fn encrypt(keys: &[u128; KEYS], blocks: &mut [Block]) {
    let mut both = [_mm256_setzero_si256(); KEYS];
    for (both, &key) in both.iter_mut().zip(keys) {
        *both = _mm256_broadcastsi128_si256(from_block(key));
    }
    let (vectors, last) = blocks.as_chunks_mut::<LANES>();
    let (groups, rest) = vectors.as_chunks_mut::<VECTORS>();
    for group in groups {
        encrypt_vectors(&both, group);
    }
    for vector in rest {
        encrypt_vectors(&both, core::array::from_mut(vector));
    }
    if let [last] = last {
        let mut vector = [[*last, [0; 16]]];
        encrypt_vectors(&both, &mut vector);
        *last = vector[0][0];
        vector.zeroize();
    }
}

#[inline]
#[target_feature(enable = "vaes,avx2")]
fn encrypt_vectors<const V: usize>(keys: &[__m256i; KEYS], blocks: &mut [[Block; LANES]; V]) {
    let mut state = [keys[0]; V];
    for (state, block) in state.iter_mut().zip(blocks.iter()) {
        // SAFETY: 32 bytes are read from an array of 32 bytes.
        *state = _mm256_xor_si256(*state, unsafe { _mm256_loadu_si256(block.as_ptr().cast()) });
    }
    for &key in &keys[1..KEYS - 1] {
        for state in &mut state {
            *state = _mm256_aesenc_epi128(*state, key);
        }
    }
    for (state, block) in state.into_iter().zip(blocks) {
        let state = _mm256_aesenclast_epi128(state, keys[KEYS - 1]);
        // SAFETY: 32 bytes are written to an array of 32 bytes.
        unsafe { _mm256_storeu_si256(block.as_mut_ptr().cast(), state) };
    }
}
