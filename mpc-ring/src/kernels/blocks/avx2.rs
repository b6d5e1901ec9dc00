//! Two blocks in a 256-bit vector, on x86-64 with AVX2.

use core::arch::x86_64::*;

use super::{PLANE_BLOCKS, vectors};
use crate::kernels::avx2::is_available;

/// Blocks of a vector.
const LANES: usize = 2;

#[target_feature(enable = "avx2")]
fn load(from: &[u128; LANES]) -> __m256i {
    // SAFETY: 32 bytes are read from an array of 32 bytes.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(values: __m256i, to: &mut [u128; LANES]) {
    // SAFETY: 32 bytes are written to an array of 32 bytes.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), values) }
}

#[target_feature(enable = "avx2")]
fn broadcast(block: u128) -> __m256i {
    load(&[block; LANES])
}

/// The sum of the blocks of a vector.
#[target_feature(enable = "avx2")]
fn sum(values: __m256i) -> u128 {
    let mut blocks = [0; LANES];
    store(values, &mut blocks);
    blocks[0] ^ blocks[1]
}

#[target_feature(enable = "avx2")]
fn sigma(x: __m256i) -> __m256i {
    // The halves change places, and each upper half is added to what comes there.
    let swapped = _mm256_shuffle_epi32::<0b01_00_11_10>(x);
    let upper = _mm256_setr_epi64x(0, -1, 0, -1);
    _mm256_xor_si256(swapped, _mm256_and_si256(x, upper))
}

pub(super) fn orthomorphism(blocks: &[u128], offset: u128, step: u64, images: &mut [u128]) {
    assert!(is_available());
    // SAFETY: the instructions are available.
    let of_vectors = |blocks: &_, images: &mut _| unsafe { orthomorphism_of_vectors(blocks, offset, step, images) };
    vectors::orthomorphism(blocks, offset, step, images, of_vectors);
}

#[target_feature(enable = "avx2")]
fn orthomorphism_of_vectors(blocks: &[[u128; LANES]], offset: u128, step: u64, images: &mut [[u128; LANES]]) {
    let (mut tweaks, steps) = (load(&[0, u128::from(step)]), broadcast(u128::from(step.wrapping_mul(LANES as u64))));
    let offset = broadcast(offset);
    for (image, block) in images.iter_mut().zip(blocks) {
        store(sigma(_mm256_xor_si256(_mm256_xor_si256(load(block), offset), tweaks)), image);
        tweaks = _mm256_add_epi64(tweaks, steps);
    }
}

pub(super) fn children(left: &mut [u128], ciphered: &[u128], right: &mut [u128]) -> [u128; 2] {
    assert!(is_available());
    // SAFETY: the instructions are available.
    let of_vectors = |left: &mut _, ciphered: &_, right: &mut _| unsafe { children_of_vectors(left, ciphered, right) };
    vectors::children(left, ciphered, right, of_vectors)
}

#[target_feature(enable = "avx2")]
fn children_of_vectors(
    left: &mut [[u128; LANES]],
    ciphered: &[[u128; LANES]],
    right: &mut [[u128; LANES]],
) -> [u128; 2] {
    let mut sums = [_mm256_setzero_si256(); 2];
    for ((left, ciphered), right) in left.iter_mut().zip(ciphered).zip(right) {
        let node = load(left);
        let hash = _mm256_xor_si256(sigma(node), load(ciphered));
        let other = _mm256_xor_si256(node, hash);
        store(hash, left);
        store(other, right);
        sums = [_mm256_xor_si256(sums[0], hash), _mm256_xor_si256(sums[1], other)];
    }
    [sum(sums[0]), sum(sums[1])]
}

pub(super) fn xor_at(blocks: &mut [u128], keep: u128, place: u64, value: u128) {
    assert!(is_available());
    // SAFETY: the instructions are available.
    let of_vectors = |blocks: &mut _| unsafe { xor_at_vectors(blocks, keep, place, value) };
    vectors::xor_at(blocks, keep, place, value, of_vectors);
}

#[target_feature(enable = "avx2")]
fn xor_at_vectors(blocks: &mut [[u128; LANES]], keep: u128, place: u64, value: u128) {
    let (keep, value) = (broadcast(keep), broadcast(value));
    let (place, step) = (_mm256_set1_epi64x(place as i64), _mm256_set1_epi64x(LANES as i64));
    let mut indices = _mm256_setr_epi64x(0, 0, 1, 1);
    for block in blocks {
        let here = _mm256_cmpeq_epi64(indices, place);
        store(_mm256_xor_si256(_mm256_and_si256(load(block), keep), _mm256_and_si256(here, value)), block);
        indices = _mm256_add_epi64(indices, step);
    }
}

pub(super) fn low_planes(blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    assert!(is_available());
    // SAFETY: the instructions are available.
    unsafe { low_planes_of_vectors(blocks, planes) };
}

#[target_feature(enable = "avx2")]
fn low_planes_of_vectors(blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    let [low, high] = [0, 1].map(|half| &blocks.as_chunks::<32>().0[half]);
    for (byte, planes) in planes.chunks_mut(8).enumerate() {
        let mut halves = [bytes_of(low, byte), bytes_of(high, byte)];
        // Bits wander to the top of their byte, from where one instruction collects them: a byte's sum with itself is its double.
        for _ in planes.len()..8 {
            halves = halves.map(|half| _mm256_add_epi8(half, half));
        }
        for plane in planes.iter_mut().rev() {
            let [low, high] = halves.map(|half| u64::from(_mm256_movemask_epi8(half) as u32));
            *plane = low | high << 32;
            halves = halves.map(|half| _mm256_add_epi8(half, half));
        }
    }
}

/// A byte of the lower half of each block.
#[target_feature(enable = "avx2")]
fn bytes_of(blocks: &[u128; 32], byte: usize) -> __m256i {
    let down = _mm_cvtsi32_si128(8 * byte as i32);
    let (low, high) = blocks.split_at(16);
    let mut halves = [_mm256_setzero_si256(); 16];
    for (half, (low, high)) in halves.iter_mut().zip(low.iter().zip(high)) {
        *half = _mm256_srl_epi64(load(&[*low, *high]), down);
    }
    let mut bytes = [halves[0]; 8];
    for (bytes, [x, y]) in bytes.iter_mut().zip(halves.as_chunks().0) {
        *bytes = _mm256_unpacklo_epi8(*x, *y);
    }
    let mut pairs = [bytes[0]; 4];
    for (pair, [x, y]) in pairs.iter_mut().zip(bytes.as_chunks().0) {
        *pair = _mm256_unpacklo_epi16(*x, *y);
    }
    let fours = [_mm256_unpacklo_epi32(pairs[0], pairs[1]), _mm256_unpacklo_epi32(pairs[2], pairs[3])];
    _mm256_unpacklo_epi64(fours[0], fours[1])
}
