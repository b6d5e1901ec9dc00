//! Between strings of 128 bits and bit planes, 64 strings at a time.

use mpc_ring::bitslice::transpose64;
use mpc_ring::kernels::{low_planes, vectorized};
use mpc_shares::SecretVec;
use zeroize::{DefaultIsZeroes, Zeroize};

/// Transfers whose bits fill a word of a plane.
pub(crate) const BLOCK: usize = 64;

/// The strings whose 128 planes are given one after the other; a plane may have more words than there are blocks.
pub(crate) fn blocks_of_planes(planes: &[u64], blocks: &mut [u128]) {
    let width = planes.len() / 128;
    let mut halves = [[0; BLOCK]; 2];
    vectorized(|| {
        for (word, blocks) in blocks.chunks_exact_mut(BLOCK).enumerate() {
            for (half, planes) in halves.iter_mut().zip(planes.chunks_exact(BLOCK * width)) {
                for (row, plane) in half.iter_mut().zip(planes.chunks_exact(width)) {
                    *row = plane[word];
                }
                transpose64(half);
            }
            for (block, (&low, &high)) in blocks.iter_mut().zip(halves[0].iter().zip(&halves[1])) {
                *block = u128::from(low) | u128::from(high) << 64;
            }
        }
    });
    halves.zeroize();
}

/// Bit planes `from`.. of 64 strings: `store` gets each plane's number and its word.
#[inline]
pub(crate) fn planes_of_strings(strings: &[u128; BLOCK], bits: usize, mut store: impl FnMut(usize, u64)) {
    /// So many planes or fewer are picked bit by bit.
    const FEW: usize = 16;
    if bits <= FEW {
        let mut planes = [0; FEW];
        low_planes(strings, &mut planes[..bits]);
        planes[..bits].iter().enumerate().for_each(|(bit, &plane)| store(bit, plane));
        planes.zeroize();
        return;
    }
    let mut half = [0; BLOCK];
    for first in (0..bits).step_by(64) {
        vectorized(|| {
            half.iter_mut().zip(strings).for_each(|(row, x)| *row = (x >> first) as u64);
            transpose64(&mut half);
        });
        half.iter().take(bits - first).enumerate().for_each(|(bit, &word)| store(first + bit, word));
    }
    half.zeroize();
}

/// The pieces one after the other, in memory that never moves, so that no copy of a secret stays behind.
pub(crate) fn joined<'a, E: DefaultIsZeroes>(pieces: impl Iterator<Item = &'a [E]> + Clone) -> SecretVec<E> {
    let mut whole = SecretVec::zeros(pieces.clone().map(<[E]>::len).sum());
    let mut rest = &mut whole[..];
    for piece in pieces {
        let (start, end) = core::mem::take(&mut rest).split_at_mut(piece.len());
        start.copy_from_slice(piece);
        rest = end;
    }
    whole
}
