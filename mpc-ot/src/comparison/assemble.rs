//! From the two halves to the fields in their order.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_ring::bitslice::transpose64;
use mpc_ring::packing::words_for;
use mpc_shares::SecretVec;
use zeroize::Zeroize;

use super::chain::{Chain, Variant};
use super::half::{Half, MadeHalf, Monomials};
use super::shape::ComparisonShape;
use super::{ComparisonMasks, LeafShares, LevelShares};
use crate::planes::joined;

/// Words of a block of products.
const LANES: usize = 8;
/// Elements of a block of tables.
const TABLE_BLOCK: usize = 64;

pub(super) fn assemble<R: Ring>(shape: ComparisonShape, halves: Vec<Half<R>>) -> ComparisonMasks<R> {
    let halves: Vec<_> = halves.into_iter().map(Half::finish).collect();
    let elements = |of: fn(&MadeHalf<R>) -> &SecretVec<R>| joined(halves.iter().map(|half| &of(half)[..]));
    let plane = |of: &dyn Fn(&MadeHalf<R>) -> &SecretVec<u64>| joined(halves.iter().map(|half| &of(half)[..]));
    let leaves = match shape.variant {
        Variant::FewRounds => LeafShares::Tables(tables(shape, &halves)),
        Variant::FewBytes => leaf_bits(shape, &halves),
    };
    let mut first = 0;
    let level = |chains: Vec<Chain>| {
        let from = first;
        first += chains.len();
        level(shape, &halves, &chains, from)
    };
    ComparisonMasks {
        mask: elements(|half| &half.mask),
        leaves,
        sign: plane(&|half| &half.bits[shape.k() - 2]),
        levels: shape.variant.levels(shape.bits).into_iter().map(level).collect(),
        flip: plane(&|half| &half.flipped.flip),
        flip_in_ring: elements(|half| &half.flipped.in_ring),
        top: elements(|half| &half.top),
        flipped_mask: elements(|half| &half.flipped.mask),
        flipped_top: elements(|half| &half.flipped.top),
    }
}

/// The chains of a level, of which the first is chain `first` of all.
fn level<R: Ring>(shape: ComparisonShape, halves: &[MadeHalf<R>], chains: &[Chain], first: usize) -> LevelShares {
    let plane = |index: usize, of: &dyn Fn(&Monomials) -> &SecretVec<u64>| {
        joined(halves.iter().map(|half| &of(&half.chains[first + index])[..]))
    };
    let (mut less, mut equal, mut products) = (Vec::new(), Vec::new(), Vec::new());
    for (index, chain) in chains.iter().enumerate() {
        less.extend((0..chain.less).map(|part| plane(index, &|monomials| &monomials.less[part])));
        equal.extend((0..chain.equal).map(|place| plane(index, &|monomials| &monomials.equal[1 << place])));
        let of_equal = (1..1usize << chain.equal).filter(|set| !set.is_power_of_two());
        products.extend(of_equal.map(|set| plane(index, &|monomials| &monomials.equal[set])));
        for part in 0..chain.less {
            let sets = 1..=chain.sets_above(part);
            products.extend(sets.map(|set| plane(index, &|monomials| &monomials.with_less[part][set])));
        }
    }
    let planes = |planes: &[SecretVec<u64>]| joined(planes.iter().map(|plane| &plane[..]));
    let products = in_blocks(&products, words_for(shape.len));
    LevelShares { less_bits: planes(&less), equal_bits: planes(&equal), products }
}

/// The bits of all leaves and their products.
fn leaf_bits<R: Ring>(shape: ComparisonShape, halves: &[MadeHalf<R>]) -> LeafShares {
    let plane = |leaf: usize, set: usize| joined(halves.iter().map(move |half| &half.leaves[leaf][set - 1][..]));
    let bits = joined((0..shape.k() - 2).flat_map(|bit| halves.iter().map(move |half| &half.bits[bit][..])));
    let leaves = shape.variant.leaf_chains(shape.bits).into_iter().enumerate();
    let products: Vec<_> = leaves
        .flat_map(|(leaf, chain)| (1..1usize << chain.equal).map(move |set| (leaf, set)))
        .filter(|(_, set)| !set.is_power_of_two())
        .map(|(leaf, set)| plane(leaf, set))
        .collect();
    LeafShares::Bits { bits, products: in_blocks(&products, words_for(shape.len)) }
}

/// Eight words of every product, then the next eight.
fn in_blocks(products: &[SecretVec<u64>], words: usize) -> SecretVec<u64> {
    let mut pieces = Vec::with_capacity(products.len() * words.div_ceil(LANES));
    for first in (0..words).step_by(LANES) {
        pieces.extend(products.iter().map(|product| &product[first..words.min(first + LANES)]));
    }
    joined(pieces.iter().copied())
}

/// The tables of all leaves become 32 bits an element.
fn tables<R: Ring>(shape: ComparisonShape, halves: &[MadeHalf<R>]) -> SecretVec<u64> {
    let mut tables = SecretVec::zeros(shape.len.div_ceil(2) * shape.leaves());
    let mut rows = [0; TABLE_BLOCK];
    let mut at = 0;
    for half in halves {
        let leaves: Vec<_> = half.leaves.iter().map(|products| table(products)).collect();
        let words = words_for(half.mask.len());
        for word in 0..words {
            let left = half.mask.len() - word * TABLE_BLOCK;
            let pairs = left.min(TABLE_BLOCK).div_ceil(2);
            for table in &leaves {
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

/// T[v] = (v < r_i) for all v but the last, as planes, from the products m_S of r_i's bits: r_i = u where H[u] = ⊕_{S ⊇ u} m_S is 1,
/// and T[v] = ⊕_{u>v} H[u].
fn table(products: &[SecretVec<u64>]) -> SecretVec<u64> {
    let words = products.first().map_or(0, |plane| plane.len());
    let mut planes = joined(products.iter().map(|plane| &plane[..]));
    let mut add = |to: usize, from: usize| {
        let (lower, upper) = planes.split_at_mut((from - 1) * words);
        let sums = lower[(to - 1) * words..].iter_mut().zip(&upper[..words]);
        sums.for_each(|(to, from)| *to ^= from);
    };
    let entries = products.len() + 1;
    for bit in (0..entries.ilog2()).map(|bit| 1 << bit) {
        (1..entries).filter(|set| set & bit == 0).for_each(|set| add(set, set | bit));
    }
    (1..entries - 1).rev().for_each(|entry| add(entry, entry + 1));
    planes
}
