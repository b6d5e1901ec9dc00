//! From the two halves to the fields in their order.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_ring::bitslice::transpose64;
use mpc_ring::packing::words_for;
use mpc_shares::SecretVec;
use zeroize::Zeroize;

use super::ComparisonMasks;
use super::half::{Half, MadeHalf, Monomials};
use super::shape::ComparisonShape;
use crate::planes::joined;

/// Words of a block of products.
const LANES: usize = 8;
/// Elements of a block of tables.
const TABLE_BLOCK: usize = 64;

pub(super) fn assemble<R: Ring>(shape: ComparisonShape, halves: Vec<Half<R>>) -> ComparisonMasks<R> {
    let halves: Vec<_> = halves.into_iter().map(Half::finish).collect();
    let elements = |of: fn(&MadeHalf<R>) -> &SecretVec<R>| joined(halves.iter().map(|half| &of(half)[..]));
    let plane = |of: &dyn Fn(&MadeHalf<R>) -> &SecretVec<u64>| joined(halves.iter().map(|half| &of(half)[..]));
    let planes = |count: usize, of: fn(&Monomials, usize) -> &SecretVec<u64>| {
        joined((0..count).flat_map(|index| halves.iter().map(move |half| &of(&half.monomials, index)[..])))
    };
    let variables = shape.leaves() - 1;
    let of_equal = (1..1usize << variables).filter(|set| !set.is_power_of_two());
    let mut products: Vec<_> = of_equal.map(|set| plane(&|half| &half.monomials.equal[set])).collect();
    for leaf in 0..variables {
        let sets = 1..=shape.sets_above(leaf);
        products.extend(sets.map(|set| plane(&|half| &half.monomials.with_less[leaf][set])));
    }
    ComparisonMasks {
        mask: elements(|half| &half.mask),
        tables: tables(shape, &halves),
        sign: plane(&|half| &half.sign),
        less_bits: planes(variables + 1, |monomials, leaf| &monomials.less[leaf]),
        equal_bits: planes(variables, |monomials, j| &monomials.equal[1 << j]),
        flip: plane(&|half| &half.flipped.flip),
        products: in_blocks(&products, words_for(shape.len)),
        flip_in_ring: elements(|half| &half.flipped.in_ring),
        top: elements(|half| &half.top),
        flipped_mask: elements(|half| &half.flipped.mask),
        flipped_top: elements(|half| &half.flipped.top),
    }
}

/// Eight words of every product, then the next eight.
fn in_blocks(products: &[SecretVec<u64>], words: usize) -> SecretVec<u64> {
    let blocks = (0..words).step_by(LANES).map(|first| first..words.min(first + LANES));
    joined(blocks.flat_map(|block| products.iter().map(move |product| &product[block.clone()])))
}

/// The planes of the tables become 32 bits an element.
fn tables<R: Ring>(shape: ComparisonShape, halves: &[MadeHalf<R>]) -> SecretVec<u64> {
    let mut tables = SecretVec::zeros(shape.len.div_ceil(2) * shape.leaves());
    let mut rows = [0; TABLE_BLOCK];
    let mut at = 0;
    for half in halves {
        let words = half.sign.len();
        for word in 0..words {
            let left = half.mask.len() - word * TABLE_BLOCK;
            let pairs = left.min(TABLE_BLOCK).div_ceil(2);
            for table in &half.tables {
                rows.fill(0);
                rows.iter_mut().zip(table.chunks_exact(words)).for_each(|(row, plane)| *row = plane[word]);
                transpose64(&mut rows);
                for (pair, [even, odd]) in tables[at..at + pairs].iter_mut().zip(rows.as_chunks::<2>().0) {
                    *pair = even | odd << 32;
                }
                at += pairs;
            }
        }
    }
    rows.zeroize();
    tables
}
