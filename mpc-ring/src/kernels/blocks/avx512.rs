//! Four blocks in a 512-bit vector, on x86-64 with AVX-512 F and DQ.

use core::arch::x86_64::*;

use super::{PLANE_BLOCKS, vectors};
use crate::kernels::avx512::is_available;

/// Blocks of a vector.
const LANES: usize = 4;
/// The lanes of the upper halves of blocks.
const UPPER: __mmask8 = 0b1010_1010;

#[target_feature(enable = "avx512f")]
fn load(from: &[u128; LANES]) -> __m512i {
    // SAFETY: 64 bytes are read from an array of 64 bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(values: __m512i, to: &mut [u128; LANES]) {
    // SAFETY: 64 bytes are written to an array of 64 bytes.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), values) }
}

#[target_feature(enable = "avx512f")]
fn broadcast(block: u128) -> __m512i {
    load(&[block; LANES])
}

/// The sum of the blocks of a vector.
#[target_feature(enable = "avx512f")]
fn sum(values: __m512i) -> u128 {
    let mut blocks = [0; LANES];
    store(values, &mut blocks);
    blocks.iter().fold(0, |sum, block| sum ^ block)
}

#[target_feature(enable = "avx512f")]
fn sigma(x: __m512i) -> __m512i {
    // The halves change places, and each upper half is added to what comes there.
    let swapped = _mm512_shuffle_epi32::<_MM_PERM_BADC>(x);
    _mm512_mask_xor_epi64(swapped, UPPER, swapped, x)
}

pub(super) fn orthomorphism(blocks: &[u128], offset: u128, step: u64, images: &mut [u128]) {
    assert!(is_available());
    // SAFETY: the instructions are available.
    let of_vectors = |blocks: &_, images: &mut _| unsafe { orthomorphism_of_vectors(blocks, offset, step, images) };
    vectors::orthomorphism(blocks, offset, step, images, of_vectors);
}

#[target_feature(enable = "avx512f,avx512dq")]
fn orthomorphism_of_vectors(blocks: &[[u128; LANES]], offset: u128, step: u64, images: &mut [[u128; LANES]]) {
    let mut tweaks = [0; LANES];
    tweaks.iter_mut().enumerate().for_each(|(lane, tweak)| *tweak = u128::from(step.wrapping_mul(lane as u64)));
    let (mut tweaks, steps) = (load(&tweaks), broadcast(u128::from(step.wrapping_mul(LANES as u64))));
    let offset = broadcast(offset);
    for (image, block) in images.iter_mut().zip(blocks) {
        store(sigma(_mm512_xor_si512(_mm512_xor_si512(load(block), offset), tweaks)), image);
        tweaks = _mm512_add_epi64(tweaks, steps);
    }
}

pub(super) fn children(left: &mut [u128], ciphered: &[u128], right: &mut [u128]) -> [u128; 2] {
    assert!(is_available());
    // SAFETY: the instructions are available.
    let of_vectors = |left: &mut _, ciphered: &_, right: &mut _| unsafe { children_of_vectors(left, ciphered, right) };
    vectors::children(left, ciphered, right, of_vectors)
}

#[target_feature(enable = "avx512f,avx512dq")]
fn children_of_vectors(
    left: &mut [[u128; LANES]],
    ciphered: &[[u128; LANES]],
    right: &mut [[u128; LANES]],
) -> [u128; 2] {
    let mut sums = [_mm512_setzero_si512(); 2];
    for ((left, ciphered), right) in left.iter_mut().zip(ciphered).zip(right) {
        let node = load(left);
        let hash = _mm512_xor_si512(sigma(node), load(ciphered));
        let other = _mm512_xor_si512(node, hash);
        store(hash, left);
        store(other, right);
        sums = [_mm512_xor_si512(sums[0], hash), _mm512_xor_si512(sums[1], other)];
    }
    [sum(sums[0]), sum(sums[1])]
}

pub(super) fn xor_at(blocks: &mut [u128], keep: u128, place: u64, value: u128) {
    assert!(is_available());
    // SAFETY: the instructions are available.
    let of_vectors = |blocks: &mut _| unsafe { xor_at_vectors(blocks, keep, place, value) };
    vectors::xor_at(blocks, keep, place, value, of_vectors);
}

#[target_feature(enable = "avx512f,avx512dq")]
fn xor_at_vectors(blocks: &mut [[u128; LANES]], keep: u128, place: u64, value: u128) {
    let (keep, value) = (broadcast(keep), broadcast(value));
    let (place, step) = (_mm512_set1_epi64(place as i64), _mm512_set1_epi64(LANES as i64));
    let mut indices = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    for block in blocks {
        let here = _mm512_cmpeq_epi64_mask(indices, place);
        let kept = _mm512_and_si512(load(block), keep);
        store(_mm512_mask_xor_epi64(kept, here, kept, value), block);
        indices = _mm512_add_epi64(indices, step);
    }
}

pub(super) fn low_planes(blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    assert!(is_available());
    // SAFETY: the instructions are available.
    unsafe { low_planes_of_vectors(blocks, planes) };
}

#[target_feature(enable = "avx512f,avx512dq")]
fn low_planes_of_vectors(blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    // The lower halves of eight blocks each.
    let mut halves = [even; PLANE_BLOCKS / 8];
    for (half, pair) in halves.iter_mut().zip(blocks.as_chunks::<LANES>().0.as_chunks::<2>().0) {
        *half = _mm512_permutex2var_epi64(load(&pair[0]), even, load(&pair[1]));
    }
    let mut bit = _mm512_set1_epi64(1);
    for plane in planes {
        let mut bytes = [0; PLANE_BLOCKS / 8];
        for (byte, half) in bytes.iter_mut().zip(halves) {
            *byte = _mm512_test_epi64_mask(half, bit);
        }
        *plane = u64::from_le_bytes(bytes);
        bit = _mm512_slli_epi64::<1>(bit);
    }
}
