//! One-time tables of the leaves of r, read at the leaves of the public c.

use mpc_ring::kernels::{TABLE_BLOCK, lookup, vectorized};
use mpc_ring::{Ring, packing};
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
    let low = low_bits_mask(parameters);
    let leaves = parameters.leaves();
    vectorized(|| {
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
    });
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
    let words = packing::words_for(opened.len());
    let mut part = SecretVec::zeros(parameters.table_words(opened.len().min(BLOCK)));
    for (index, opened) in opened.chunks(BLOCK).enumerate() {
        let part = &mut part[..parameters.table_words(opened.len())];
        tables.read(index * parameters.table_words(BLOCK), part);
        read_part(part, opened, parameters, first, |plane, word, entries| {
            planes[plane * words + index * (BLOCK / TABLE_BLOCK) + word] = entries;
        });
    }
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
            indices.iter_mut().zip(block).for_each(|(index, c)| *index = ((c.low_u64() & low) >> shift) as u32);
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
    for (word, block) in words.iter_mut().zip(elements.chunks(64)) {
        let bits = block.iter().enumerate().map(|(i, &element)| ((element >> bit).low_u64() & 1) << i);
        *word = bits.fold(0, |word, bit| word | bit);
    }
}
