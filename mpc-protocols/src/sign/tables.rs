//! One-time tables of the leaves of r, read at the leaves of the public c.

use alloc::vec::Vec;

use mpc_ring::kernels::{TABLE_BLOCK, Work, lookup, vectorized, vectorized_whole};
use mpc_ring::{Ring, packing, threads};
use mpc_shares::SecretVec;
use zeroize::Zeroizing;

use super::parameters::{SignParameters, Variant};
use crate::correlation::{AtRest, BLOCK};

/// Bits of a leaf: a table of 2^5 entries fills half a word.
const LEAF_BITS: u32 = Variant::FewRounds.leaf_bits() as u32;
/// The bits of a leaf.
const LEAF_MASK: u64 = (1 << LEAF_BITS) - 1;
/// Leaves whose indices one word of 32 bits has.
const LEAVES_OF_WORD: usize = (u32::BITS / LEAF_BITS) as usize;
const INDEX_WORDS: usize = Variant::FewRounds.leaves(SignParameters::MAX_BITS).div_ceil(LEAVES_OF_WORD);

/// T_i[v] = (v < r_i), of 32 bits, for every element and leaf, in the blocks that [`read_tables`] reads.
pub(super) fn leaf_tables<R: Ring>(mask: &[R], parameters: SignParameters, tables: &mut [u64]) {
    let (low, leaves) = (low_bits_mask(parameters), parameters.leaves());
    vectorized_whole(LeafTables { mask, low, leaves, tables });
}

struct LeafTables<'a, R> {
    mask: &'a [R],
    /// The bits that are in leaves.
    low: u64,
    leaves: usize,
    tables: &'a mut [u64],
}

impl<R: Ring> Work for LeafTables<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { mask, low, leaves, tables } = self;
        for (block, tables) in mask.chunks(TABLE_BLOCK).zip(tables.chunks_mut(TABLE_BLOCK / 2 * leaves)) {
            for (leaf, tables) in tables.chunks_exact_mut(block.len().div_ceil(2)).enumerate() {
                let table = |r: &R| (1 << (((r.low_u64() & low) >> (leaf as u32 * LEAF_BITS)) & LEAF_MASK)) - 1;
                let (pairs, rest) = block.as_chunks::<2>();
                for (pair, [even, odd]) in tables.iter_mut().zip(pairs) {
                    *pair = table(even) | (table(odd) << 32);
                }
                if let ([even], Some(pair)) = (rest, tables.last_mut()) {
                    *pair = table(even);
                }
            }
        }
    }
}

fn low_bits_mask(parameters: SignParameters) -> u64 {
    u64::low_mask(parameters.bits() - 2)
}

/// This party's shares of lt_i (L planes) and of eq_j for j ≥ 1 (L−1 planes), read at the public c into `planes`.
///
/// As v = r_i where v−1 < r_i but not v < r_i, eq_i = T_i[v−1] ⊕ T_i[v], with the public T_i[−1] = 1.
pub(super) fn read_tables<R: Ring>(
    tables: &AtRest<u64>,
    opened: &[R],
    parameters: SignParameters,
    first: bool,
    planes: &mut [u64],
) {
    let part = threads::part_len(opened.len(), BLOCK);
    let parts = of_each_part(planes, packing::words_for(opened.len()), part / TABLE_BLOCK);
    threads::for_each(parts.into_iter().zip(opened.chunks(part)).enumerate(), |(index, (mut planes, opened))| {
        let mut read = SecretVec::zeros(parameters.table_words(opened.len().min(BLOCK)));
        for (block, opened) in opened.chunks(BLOCK).enumerate() {
            let read = &mut read[..parameters.table_words(opened.len())];
            tables.read((index * part / BLOCK + block) * parameters.table_words(BLOCK), read);
            read_part(read, opened, parameters, first, |plane, word, entries| {
                planes[plane][block * (BLOCK / TABLE_BLOCK) + word] = entries;
            });
        }
    });
}

/// The planes' words of each part, where every plane has so many words and a part so many of them.
pub(super) fn of_each_part(planes: &mut [u64], words: usize, part: usize) -> Vec<Vec<&mut [u64]>> {
    let mut parts: Vec<_> = (0..words.div_ceil(part)).map(|_| Vec::new()).collect();
    for plane in planes.chunks_mut(words.max(1)) {
        parts.iter_mut().zip(plane.chunks_mut(part)).for_each(|(planes, plane)| planes.push(plane));
    }
    parts
}

/// As [`read_tables`], of some elements; `put` gets a plane's number, a word's, and the word.
fn read_part<R: Ring>(
    tables: &[u64],
    opened: &[R],
    parameters: SignParameters,
    first: bool,
    mut put: impl FnMut(usize, usize, u64),
) {
    let leaves = parameters.leaves();
    let low = low_bits_mask(parameters);
    let mut padded = Zeroizing::new([0; TABLE_BLOCK / 2]);
    let blocks = opened.chunks(TABLE_BLOCK).zip(tables.chunks(TABLE_BLOCK / 2 * leaves));
    for (word, (block, entries)) in blocks.enumerate() {
        let mut indices = [[0; TABLE_BLOCK]; INDEX_WORDS];
        for (part, indices) in indices.iter_mut().enumerate() {
            let shift = (part * LEAVES_OF_WORD) as u32 * LEAF_BITS;
            vectorized(|| indices.iter_mut().zip(block).for_each(|(i, c)| *i = ((c.low_u64() & low) >> shift) as u32));
        }
        for (leaf, table) in entries.chunks_exact(block.len().div_ceil(2)).enumerate() {
            let table = table.first_chunk().unwrap_or_else(|| {
                padded[..table.len()].copy_from_slice(table);
                &padded
            });
            let (part, place) = (leaf / LEAVES_OF_WORD, leaf % LEAVES_OF_WORD);
            let [less, less_before] = lookup(table, &indices[part], place as u32 * LEAF_BITS, first);
            put(leaf, word, less);
            if leaf > 0 {
                put(leaves + leaf - 1, word, less ^ less_before);
            }
        }
    }
}

/// Bit `bit` of as many elements as there are words for, 64 a word.
pub(crate) fn bit_plane<R: Ring>(elements: &[R], bit: u32, words: &mut [u64]) {
    vectorized(|| {
        for (word, block) in words.iter_mut().zip(elements.chunks(64)) {
            let bits = block.iter().enumerate().map(|(i, &element)| ((element >> bit).low_u64() & 1) << i);
            *word = bits.fold(0, |word, bit| word | bit);
        }
    });
}
