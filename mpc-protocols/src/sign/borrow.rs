//! The borrow of a subtraction, as a polynomial in public bits whose monomials were dealt.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::kernels::vectorized;
use mpc_shares::SecretVec;
use zeroize::Zeroize;

use super::parameters::SignParameters;
use crate::correlation::AtRest;

impl SignParameters {
    /// Where Π_{j∈S} σ_j is: bit j−1 of the set's index stands for σ_j. The empty set has none.
    fn equal_factor(self, set: usize) -> Factor {
        let highest = set.ilog2() as usize;
        if set.is_power_of_two() { Factor::EqualBit(highest) } else { Factor::Product(set - highest - 2) }
    }

    /// Where ρ_i·Π_{j∈S} σ_j is: bit j−i−1 of the set's index stands for σ_j.
    fn less_factor(self, leaf: usize, set: usize) -> Factor {
        let before = self.subsets() - self.leaves() + self.less_offset(leaf) - leaf;
        if set == 0 { Factor::LessBit(leaf) } else { Factor::Product(before + set - 1) }
    }

    /// The two factors of each product, in the order in which the products are dealt: of σ only, then with each ρ_i.
    fn products(self) -> impl Iterator<Item = [Factor; 2]> {
        let of_equal = (1..self.subsets()).filter(|set| !set.is_power_of_two()).map(move |set| {
            let lowest = set & set.wrapping_neg();
            [self.equal_factor(lowest), self.equal_factor(set ^ lowest)]
        });
        let with_less = (0..self.leaves()).flat_map(move |leaf| {
            (1..self.subsets_above(leaf)).map(move |set| [Factor::LessBit(leaf), self.equal_factor(set << leaf)])
        });
        of_equal.chain(with_less)
    }
}

/// A random bit of the borrow's polynomial, or a dealt product of some.
#[derive(Clone, Copy)]
pub(super) enum Factor {
    /// ρ_i.
    LessBit(usize),
    /// σ_{j+1}.
    EqualBit(usize),
    /// A product, by its place in the order of dealing.
    Product(usize),
}

/// Words of a plane that are worked on together, so that the compiler can use vectors.
const LANES: usize = 8;

/// Words of a plane whose monomials are made or read at a time, so that they stay in the cache.
pub(super) const PART: usize = 8 * LANES;

/// One party's XOR shares of [`Monomials`], as they were made.
pub(super) struct DealtMonomials {
    pub(super) words: usize,
    pub(super) less_bits: AtRest<u64>,
    pub(super) equal_bits: AtRest<u64>,
    pub(super) products: AtRest<u64>,
}

/// The dealer's random bits, as planes.
pub(super) struct RandomBits {
    pub(super) words: usize,
    /// ρ_0 … ρ_{L−1}.
    pub(super) less_bits: SecretVec<u64>,
    /// σ_1 … σ_{L−1}.
    pub(super) equal_bits: SecretVec<u64>,
}

impl RandomBits {
    /// Room for the monomials of [`PART`] words.
    pub(super) fn monomials(&self, parameters: SignParameters) -> Monomials {
        Monomials::zeros(self.words.min(PART), parameters)
    }

    /// The products of all monomials of some words, of which the first is at place `from` of all products.
    pub(super) fn products(
        &self,
        from: usize,
        parameters: SignParameters,
        monomials: &mut Monomials,
        products: &mut [u64],
    ) {
        let count = parameters.dealt_products();
        let (first, words) = (from / count, products.len() / count);
        if words < monomials.words {
            *monomials = Monomials::zeros(words, parameters);
        }
        let all = [(&mut monomials.less_bits, &self.less_bits), (&mut monomials.equal_bits, &self.equal_bits)];
        for (part, planes) in all {
            for (part, plane) in part.chunks_exact_mut(words).zip(planes.chunks_exact(self.words)) {
                part.copy_from_slice(&plane[first..][..words]);
            }
        }
        vectorized(|| monomials.fill_products(parameters));
        products.copy_from_slice(&monomials.products);
    }
}

/// The random bits ρ_i, σ_j of some words and their products: either one party's XOR shares or the dealer's values.
pub(super) struct Monomials {
    words: usize,
    /// ρ_0 … ρ_{L−1}, as planes.
    less_bits: SecretVec<u64>,
    /// σ_1 … σ_{L−1}, as planes.
    equal_bits: SecretVec<u64>,
    /// In blocks of [`LANES`] words, the products in the order of [`SignParameters::products`]: all that a block needs is
    /// read in one stream.
    products: SecretVec<u64>,
}

impl Monomials {
    fn zeros(words: usize, parameters: SignParameters) -> Self {
        let planes = |count: usize| SecretVec::zeros(count * words);
        let (less_bits, equal_bits) = (planes(parameters.leaves()), planes(parameters.leaves() - 1));
        Self { words, less_bits, equal_bits, products: planes(parameters.dealt_products()) }
    }

    /// The shares of as many words as there is room for, from the word `from` on.
    fn read(&mut self, dealt: &DealtMonomials, from: usize) {
        let all = [(&mut self.less_bits, &dealt.less_bits), (&mut self.equal_bits, &dealt.equal_bits)];
        for (planes, dealt_planes) in all {
            for (index, plane) in planes.chunks_exact_mut(self.words).enumerate() {
                dealt_planes.read(index * dealt.words + from, plane);
            }
        }
        dealt.products.read(self.products.len() / self.words * from, &mut self.products);
    }

    /// A factor's words of a block.
    #[inline(always)]
    fn block(&self, factor: Factor, block: usize) -> &[u64] {
        let first = block * LANES;
        let len = LANES.min(self.words - first);
        match factor {
            Factor::LessBit(index) => &self.less_bits[index * self.words + first..][..len],
            Factor::EqualBit(index) => &self.equal_bits[index * self.words + first..][..len],
            Factor::Product(index) => {
                let count = self.products.len() / self.words;
                &self.products[first * count + index * len..][..len]
            }
        }
    }

    /// Multiplies the dealer's bits out.
    #[inline(always)]
    fn fill_products(&mut self, parameters: SignParameters) {
        let factors: Vec<_> = parameters.products().collect();
        for block in 0..self.words.div_ceil(LANES) {
            let first = block * LANES;
            for (index, &[x, y]) in factors.iter().enumerate() {
                let (x, y) = (lanes(self.block(x, block)), lanes(self.block(y, block)));
                let len = LANES.min(self.words - first);
                let product = &mut self.products[first * factors.len() + index * len..][..len];
                product.iter_mut().zip(x.iter().zip(y)).for_each(|(product, (x, y))| *product = x & y);
            }
        }
    }
}

/// This party's share of the borrow t = ⊕_i lt_i·Π_{j>i} eq_j, from the opened lt_i ⊕ ρ_i and eq_j ⊕ σ_j.
pub(super) fn borrow(
    opened: &[u64],
    dealt: &DealtMonomials,
    parameters: SignParameters,
    first: bool,
) -> SecretVec<u64> {
    let words = dealt.words;
    let mut coefficients = vec![[0u64; LANES]; parameters.subsets()];
    let mut borrow = SecretVec::zeros(words);
    let mut monomials = Monomials::zeros(words.min(PART), parameters);
    for (index, borrow) in borrow.chunks_mut(PART).enumerate() {
        if borrow.len() < monomials.words {
            monomials = Monomials::zeros(borrow.len(), parameters);
        }
        monomials.read(dealt, index * PART);
        let opened = |plane: usize, block: usize, len: usize| {
            lanes(&opened[plane * words + index * PART + block * LANES..][..len])
        };
        vectorized(|| evaluate_borrow(borrow, opened, &monomials, parameters, first, &mut coefficients));
    }
    coefficients.as_flattened_mut().zeroize();
    borrow
}

/// The borrow of some words. `opened` gives words of an opened plane, by the number of their block and of words.
#[inline(always)]
fn evaluate_borrow(
    borrow: &mut [u64],
    opened: impl Fn(usize, usize, usize) -> [u64; LANES],
    monomials: &Monomials,
    parameters: SignParameters,
    first: bool,
    coefficients: &mut [[u64; LANES]],
) {
    let leaves = parameters.leaves();
    for (block, borrow) in borrow.chunks_mut(LANES).enumerate() {
        let opened_lanes = |plane: usize| opened(plane, block, borrow.len());
        let dealt = |factor: Factor| lanes(monomials.block(factor, block));
        let mut total = [0; LANES];
        for leaf in 0..leaves {
            let sets = parameters.subsets_above(leaf);
            let less_opened = opened_lanes(leaf);
            // The factor lt_i = less ⊕ ρ_i, times each monomial in the σ of the leaves above.
            coefficients[0] = dealt(parameters.less_factor(leaf, 0));
            if first {
                coefficients[0].iter_mut().zip(less_opened).for_each(|(x, y)| *x ^= y);
            }
            for (set, coefficient) in coefficients.iter_mut().enumerate().take(sets).skip(1) {
                let monomial = dealt(parameters.equal_factor(set << leaf));
                let product = dealt(parameters.less_factor(leaf, set));
                *coefficient = core::array::from_fn(|i| (less_opened[i] & monomial[i]) ^ product[i]);
            }
            let sum = evaluate(&mut coefficients[..sets], |variable| opened_lanes(leaves + leaf + variable));
            total.iter_mut().zip(sum).for_each(|(x, y)| *x ^= y);
        }
        borrow.copy_from_slice(&total[..borrow.len()]);
    }
}

/// Up to [`LANES`] words, and zeros behind them.
#[inline(always)]
fn lanes(words: &[u64]) -> [u64; LANES] {
    match words.first_chunk() {
        Some(full) => *full,
        None => core::array::from_fn(|i| words.get(i).copied().unwrap_or(0)),
    }
}

/// Σ_S coefficient_S·Π_{j∉S} v_j over subsets S of the variables, folding the highest variable first.
#[inline(always)]
fn evaluate(coefficients: &mut [[u64; LANES]], value: impl Fn(usize) -> [u64; LANES]) -> [u64; LANES] {
    let mut half = coefficients.len() / 2;
    while half > 0 {
        let variable = value(half.trailing_zeros() as usize);
        let (without, with) = coefficients.split_at_mut(half);
        for (x, y) in without.iter_mut().zip(&with[..half]) {
            *x = core::array::from_fn(|i| (x[i] & variable[i]) ^ y[i]);
        }
        half /= 2;
    }
    coefficients[0]
}
