//! Between ring elements and bit planes: plane b holds bit b of 64 elements per word, so that one word operation works on
//! 64 elements.

use zeroize::Zeroize;

use crate::packing::words_for;
use crate::ring::Ring;

/// Transposes a 64 × 64 bit matrix: bit j of word i changes places with bit i of word j.
pub fn transpose64(block: &mut [u64; 64]) {
    swap_quadrants::<32>(block);
    swap_quadrants::<16>(block);
    swap_quadrants::<8>(block);
    swap_quadrants::<4>(block);
    swap_quadrants::<2>(block);
    swap_quadrants::<1>(block);
}

/// Splits `elements` into `width` planes of `words_for(elements.len())` words, one plane after the other: bit e % 64 of
/// word e / 64 of plane b is bit b of element e. Padding bits are zero.
///
/// ```
/// let mut planes = [0; 3];
/// mpc_ring::bitslice::to_planes(&[0b001u64, 0b101, 0b110], 3, &mut planes);
/// assert_eq!(planes, [0b011, 0b100, 0b110]);
/// ```
///
/// # Panics
/// If `width` exceeds ℓ or `planes.len() != width * words_for(elements.len())`.
pub fn to_planes<R: Ring>(elements: &[R], width: u32, planes: &mut [u64]) {
    let words = check::<R>(elements.len(), width, planes.len());
    let mut block = [0; 64];
    for (position, chunk) in elements.chunks(64).enumerate() {
        for first in (0..width).step_by(64) {
            block[chunk.len()..].fill(0);
            for (row, &element) in block.iter_mut().zip(chunk) {
                *row = (element >> first).low_u64();
            }
            transpose64(&mut block);
            let targets = planes[first as usize * words..].iter_mut().skip(position).step_by(words);
            for (target, &row) in targets.zip(&block[..64.min((width - first) as usize)]) {
                *target = row;
            }
        }
    }
    block.zeroize();
}

/// The elements whose planes [`to_planes`] wrote; their bits from `width` on are zero. Padding bits are ignored.
///
/// # Panics
/// If `width` exceeds ℓ or `planes.len() != width * words_for(elements.len())`.
pub fn from_planes<R: Ring>(planes: &[u64], width: u32, elements: &mut [R]) {
    let words = check::<R>(elements.len(), width, planes.len());
    elements.fill(R::ZERO);
    let mut block = [0; 64];
    for (position, chunk) in elements.chunks_mut(64).enumerate() {
        for first in (0..width).step_by(64) {
            let used = 64.min((width - first) as usize);
            block[used..].fill(0);
            let sources = planes[first as usize * words..].iter().skip(position).step_by(words);
            for (row, &source) in block[..used].iter_mut().zip(sources) {
                *row = source;
            }
            transpose64(&mut block);
            for (element, &row) in chunk.iter_mut().zip(&block) {
                *element = *element | R::from_u64(row) << first;
            }
        }
    }
    block.zeroize();
}

/// The number of words of a plane.
fn check<R: Ring>(count: usize, width: u32, len: usize) -> usize {
    assert!(width <= R::BITS, "at most {} planes", R::BITS);
    let words = words_for(count);
    assert_eq!(len, width as usize * words, "words for {width} planes of {count} bits");
    words
}

/// Swaps the off-diagonal S × S quadrants of every 2S × 2S block on the diagonal (Hacker's Delight, 7-3).
#[inline(always)]
fn swap_quadrants<const S: usize>(block: &mut [u64; 64]) {
    let mask = u64::MAX / ((1 << S) + 1);
    for rows in block.chunks_exact_mut(2 * S) {
        let (upper, lower) = rows.split_at_mut(S);
        for (a, b) in upper.iter_mut().zip(lower) {
            let difference = ((*a >> S) ^ *b) & mask;
            *a ^= difference << S;
            *b ^= difference;
        }
    }
}
