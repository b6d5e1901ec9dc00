//! The way from the leaves of a mask to a borrow: chains of parts, in one level or two.
//!
//! Of a number's parts from the lowest on, each with lt_i (it is less than the other number's) and eq_i (it is equal), the number is
//! less where lt = ⊕_i lt_i·Π_{j>i} eq_j is 1, and equal where Π_j eq_j is. With every lt_i and eq_j opened under random bits ρ_i
//! and σ_j, both are polynomials in public bits, whose monomials are products of these random bits.

use alloc::vec;
use alloc::vec::Vec;

/// The two variants of comparisons: one saves rounds, the other bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Rounds: one-time tables of leaves of five bits, and one chain of all leaves.
    #[default]
    FewRounds,
    /// Bytes that are prepared: products of the bits of leaves of three, chains of some leaves, and one chain of these, which takes
    /// one round more where there are more than four leaves.
    FewBytes,
}

/// The most leaves of one chain where bytes are saved: of more, the products are more bytes than a round is worth.
const MOST_OF_A_CHAIN: usize = 4;

impl Variant {
    /// Bits of a leaf.
    #[must_use]
    pub const fn leaf_bits(self) -> usize {
        match self {
            Self::FewRounds => 5,
            Self::FewBytes => 3,
        }
    }

    /// L: the number of leaves below bit `bits` − 2.
    #[must_use]
    pub const fn leaves(self, bits: u32) -> usize {
        (bits as usize - 2).div_ceil(self.leaf_bits())
    }

    /// The chains of each level: those of leaves first, and where they are several, one of them. The lowest parts come first.
    #[must_use]
    pub fn levels(self, bits: u32) -> Vec<Vec<Chain>> {
        let leaves = self.leaves(bits);
        let count = match self {
            Self::FewBytes if leaves > MOST_OF_A_CHAIN => cheapest(leaves),
            _ => 1,
        };
        let mut levels = vec![chains(leaves, count)];
        if count > 1 {
            levels.push(chains(count, 1));
        }
        levels
    }

    /// The bits of each leaf as a chain of σ alone, where their products are what is made of a leaf: none where there are tables.
    #[must_use]
    pub fn leaf_chains(self, bits: u32) -> Vec<Chain> {
        let bits_of = |leaf: usize| (bits as usize - 2 - leaf * self.leaf_bits()).min(self.leaf_bits());
        match self {
            Self::FewRounds => Vec::new(),
            Self::FewBytes => (0..self.leaves(bits)).map(|leaf| Chain { less: 0, equal: bits_of(leaf) }).collect(),
        }
    }
}

/// The random bits of some parts, from the lowest on: ρ_i for each lt_i, and σ_j for each eq_j.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of ρ: that of the parts, or none where only products of σ are made.
    pub less: usize,
    /// The number of σ: that of the parts, or one less where the lowest part is the lowest of all, whose eq nobody asks for.
    pub equal: usize,
}

impl Chain {
    /// Products of two and more σ: they come first, by ascending set with bit j for the j-th σ.
    #[must_use]
    pub const fn products_of_equal(self) -> usize {
        (1 << self.equal) - 1 - self.equal
    }

    /// The place among the σ of the lowest above ρ_`part`.
    #[must_use]
    pub const fn above(self, part: usize) -> usize {
        part + 1 + self.equal - self.less
    }

    /// Sets of σ above ρ_`part` but the empty one: the products of ρ_`part` with them follow, part after part.
    #[must_use]
    pub const fn sets_above(self, part: usize) -> usize {
        (1 << (self.less - 1 - part)) - 1
    }

    /// Products of the ρ of the first `parts` parts.
    #[must_use]
    pub const fn products_of_less(self, parts: usize) -> usize {
        (1 << self.less) - (1 << (self.less - parts)) - parts
    }

    /// All products.
    #[must_use]
    pub const fn products(self) -> usize {
        self.products_of_equal() + self.products_of_less(self.less)
    }
}

/// Chains of about as many parts, of which the lower ones have more.
fn chains(parts: usize, count: usize) -> Vec<Chain> {
    let one = |index: usize| {
        let less = parts / count + usize::from(index < parts % count);
        Chain { less, equal: less - usize::from(index == 0) }
    };
    (0..count).map(one).collect()
}

/// The number of chains for which the fewest bits are dealt and sent by two parties together.
fn cheapest(leaves: usize) -> usize {
    let products = |parts, count| chains(parts, count).into_iter().map(Chain::products).sum::<usize>();
    let bits = |&count: &usize| products(leaves, count) + products(count, 1) + 2 * (2 * count - 1);
    (2..=leaves / 2).min_by_key(bits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Products of leaves, of chains and bits opened, by k.
    #[test]
    fn counts_are_those_of_the_design() {
        let products = |chains: &[Chain]| chains.iter().map(|chain| chain.products()).sum::<usize>();
        let counts = |variant: Variant, bits: u32| {
            let levels = variant.levels(bits);
            let opened = levels.iter().flatten().map(|chain| chain.less + chain.equal).sum::<usize>();
            let of_levels = levels.iter().map(|level| products(level)).sum::<usize>();
            (levels.iter().map(Vec::len).collect::<Vec<_>>(), products(&variant.leaf_chains(bits)), of_levels, opened)
        };
        assert_eq!(counts(Variant::FewRounds, 32), (vec![1], 0, 83, 11));
        assert_eq!(counts(Variant::FewRounds, 3), (vec![1], 0, 0, 1));
        assert_eq!(counts(Variant::FewBytes, 32), (vec![3, 1], 40, 36, 24));
        assert_eq!(counts(Variant::FewBytes, 24), (vec![3, 1], 28, 20, 20));
        assert_eq!(counts(Variant::FewBytes, 14), (vec![1], 16, 15, 7));
        assert_eq!(counts(Variant::FewBytes, 15), (vec![2, 1], 16, 8, 12));
        assert_eq!(counts(Variant::FewBytes, 47), (vec![5, 1], 60, 74, 38));
        assert_eq!(counts(Variant::FewBytes, 3), (vec![1], 0, 0, 1));
    }

    #[test]
    fn the_parts_of_a_level_are_the_chains_of_the_one_before() {
        for bits in super::super::MIN_BITS..=super::super::MAX_BITS {
            for variant in [Variant::FewRounds, Variant::FewBytes] {
                let mut parts = variant.leaves(bits);
                for level in variant.levels(bits) {
                    assert_eq!(level.iter().map(|chain| chain.less).sum::<usize>(), parts);
                    assert_eq!(level.iter().map(|chain| chain.equal).sum::<usize>(), parts - 1);
                    parts = level.len();
                }
                assert_eq!(parts, 1);
            }
            let bits_of_leaves = Variant::FewBytes.leaf_chains(bits).iter().map(|leaf| leaf.equal).sum::<usize>();
            assert_eq!(bits_of_leaves, bits as usize - 2);
        }
    }
}
