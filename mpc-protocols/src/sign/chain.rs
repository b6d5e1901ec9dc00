//! The places of the random bits of chains, and of their products, among those of a level.

use alloc::vec::Vec;

use mpc_ot::comparison::Chain;

/// A random bit of a level, or a dealt product of some.
#[derive(Clone, Copy)]
pub(super) enum Factor {
    /// ρ_i.
    LessBit(usize),
    /// σ_j, counted from the first that there is.
    EqualBit(usize),
    /// A product, by its place in the order of dealing.
    Product(usize),
}

/// A chain, and where its bits and products begin among those of its level.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) chain: Chain,
    pub(super) less: usize,
    pub(super) equal: usize,
    product: usize,
}

impl Placed {
    /// Where Π_{j∈S} σ_j is: bit j of the set's index stands for the chain's j-th σ. The empty set has none.
    pub(super) fn equal_factor(self, set: usize) -> Factor {
        let highest = set.ilog2() as usize;
        if set.is_power_of_two() {
            Factor::EqualBit(self.equal + highest)
        } else {
            Factor::Product(self.product + set - highest - 2)
        }
    }

    /// Where ρ_i·Π_{j∈S} σ_j is: the lowest bit of the set's index stands for the lowest σ above ρ_i.
    pub(super) fn less_factor(self, part: usize, set: usize) -> Factor {
        let before = self.chain.products_of_equal() + self.chain.products_of_less(part);
        if set == 0 { Factor::LessBit(self.less + part) } else { Factor::Product(self.product + before + set - 1) }
    }

    /// The two factors of each product, in the order in which the products are dealt: of σ only, then with each ρ.
    fn products(self) -> impl Iterator<Item = [Factor; 2]> {
        let of_equal = (1..1 << self.chain.equal).filter(|set: &usize| !set.is_power_of_two()).map(move |set| {
            let lowest = set & set.wrapping_neg();
            [self.equal_factor(lowest), self.equal_factor(set ^ lowest)]
        });
        let with_less = (0..self.chain.less).flat_map(move |part| {
            let above = self.chain.above(part);
            (1..=self.chain.sets_above(part))
                .map(move |set| [self.less_factor(part, 0), self.equal_factor(set << above)])
        });
        of_equal.chain(with_less)
    }
}

/// Chains that are evaluated in one round.
pub(super) struct Level {
    pub(super) chains: Vec<Placed>,
    /// The number of ρ.
    pub(super) less: usize,
    /// The number of σ.
    pub(super) equal: usize,
    /// The number of products that are not random bits themselves.
    pub(super) products: usize,
}

impl Level {
    pub(super) fn new(chains: Vec<Chain>) -> Self {
        let mut level = Self { chains: Vec::with_capacity(chains.len()), less: 0, equal: 0, products: 0 };
        for chain in chains {
            level.chains.push(Placed { chain, less: level.less, equal: level.equal, product: level.products });
            level.less += chain.less;
            level.equal += chain.equal;
            level.products += chain.products();
        }
        level
    }

    /// The bits that are opened: every lt_i ⊕ ρ_i, then every eq_j ⊕ σ_j.
    pub(super) fn opened(&self) -> usize {
        self.less + self.equal
    }

    /// The results of its chains: every lt, then every eq but the lowest chain's.
    pub(super) fn results(&self) -> usize {
        2 * self.chains.len() - 1
    }

    /// The most subsets of the σ of a chain.
    pub(super) fn subsets(&self) -> usize {
        self.chains.iter().map(|placed| 1 << placed.chain.equal).max().unwrap_or(1)
    }

    /// The two factors of each product, in their order.
    pub(super) fn factors(&self) -> Vec<[Factor; 2]> {
        self.chains.iter().flat_map(|placed| placed.products()).collect()
    }
}
