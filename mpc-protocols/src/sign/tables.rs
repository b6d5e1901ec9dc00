//! One-time tables of the leaves of r, read at the leaves of the public c.

use mpc_ring::kernels::{TABLE_BLOCK, lookup};
use mpc_ring::{Ring, packing};
use zeroize::Zeroizing;

use super::parameters::{LEAF_BITS, SignParameters};
use crate::dealer::Secret;

/// Where the table's equality half begins.
const EQUAL_HALF: u32 = 1 << LEAF_BITS;

/// T_i[v] = (v < r_i, v = r_i) for every element and leaf, in the blocks that [`read_tables`] reads.
pub(super) fn leaf_tables<R: Ring>(mask: &[R], parameters: SignParameters) -> Secret<u64> {
    let low = low_bits_mask(parameters);
    let leaves = parameters.leaves();
    let mut tables = Secret::zeros(mask.len() * leaves);
    for (block, tables) in mask.chunks(TABLE_BLOCK).zip(tables.chunks_mut(TABLE_BLOCK * leaves)) {
        for (leaf, tables) in tables.chunks_exact_mut(block.len()).enumerate() {
            for (table, r) in tables.iter_mut().zip(block) {
                let value = leaf_of(r.low_u64() & low, leaf as u32);
                *table = ((1 << value) - 1) | (1 << (EQUAL_HALF + value));
            }
        }
    }
    tables
}

fn low_bits_mask(parameters: SignParameters) -> u64 {
    u64::low_mask(parameters.bits() - 2)
}

#[inline]
fn leaf_of(low: u64, leaf: u32) -> u32 {
    ((low >> (leaf * LEAF_BITS)) as u32) & (EQUAL_HALF - 1)
}

/// This party's shares of lt_i (L planes) and of eq_j for j ≥ 1 (L−1 planes), read at the public c into `planes`.
pub(super) fn read_tables<R: Ring>(tables: &[u64], opened: &[R], parameters: SignParameters, planes: &mut [u64]) {
    let (leaves, words) = (parameters.leaves(), packing::words_for(opened.len()));
    let low = low_bits_mask(parameters);
    let mut padded = Zeroizing::new([0; TABLE_BLOCK]);
    for (word, (block, entries)) in opened.chunks(TABLE_BLOCK).zip(tables.chunks(TABLE_BLOCK * leaves)).enumerate() {
        let mut indices = [0; TABLE_BLOCK];
        indices.iter_mut().zip(block).for_each(|(index, c)| *index = c.low_u64() & low);
        for (leaf, table) in entries.chunks_exact(block.len()).enumerate() {
            let table = table.first_chunk().unwrap_or_else(|| {
                padded[..table.len()].copy_from_slice(table);
                &padded
            });
            let [less, equal] = lookup(table, &indices, leaf as u32 * LEAF_BITS);
            planes[leaf * words + word] = less;
            if leaf > 0 {
                planes[(leaves + leaf - 1) * words + word] = equal;
            }
        }
    }
}

/// Bit `bit` of each element, 64 elements a word.
pub(super) fn bit_plane<R: Ring>(elements: &[R], bit: u32) -> Secret<u64> {
    let word = |block: &[R]| {
        let bits = block.iter().enumerate().map(|(i, &element)| ((element >> bit).low_u64() & 1) << i);
        bits.fold(0, |word, bit| word | bit)
    };
    elements.chunks(64).map(word).collect()
}
