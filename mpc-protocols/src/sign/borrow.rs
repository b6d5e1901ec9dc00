//! The borrow of a subtraction, as a polynomial in public bits whose monomials were dealt.

use alloc::vec;
use alloc::vec::Vec;

use mpc_shares::SecretVec;
use zeroize::Zeroize;

use super::parameters::SignParameters;

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

/// The random bits ρ_i, σ_j and their products, as planes: either one party's XOR shares or the dealer's values.
pub(super) struct Monomials {
    pub(super) words: usize,
    /// ρ_0 … ρ_{L−1}.
    pub(super) less_bits: SecretVec<u64>,
    /// σ_1 … σ_{L−1}.
    pub(super) equal_bits: SecretVec<u64>,
    /// The products, in the order of [`SignParameters::products`].
    pub(super) products: SecretVec<u64>,
}

impl Monomials {
    fn plane(&self, factor: Factor) -> &[u64] {
        let (planes, index) = match factor {
            Factor::LessBit(index) => (&self.less_bits, index),
            Factor::EqualBit(index) => (&self.equal_bits, index),
            Factor::Product(index) => (&self.products, index),
        };
        &planes[index * self.words..][..self.words]
    }

    /// Multiplies the dealer's bits out.
    pub(super) fn fill_products(&mut self, parameters: SignParameters) {
        for (index, [x, y]) in parameters.products().enumerate() {
            let product: SecretVec<u64> = self.plane(x).iter().zip(self.plane(y)).map(|(&x, &y)| x & y).collect();
            self.products[index * self.words..][..self.words].copy_from_slice(&product);
        }
    }
}

/// Words of a plane that are worked on together, so that the compiler can use vectors.
const LANES: usize = 8;

/// This party's share of the borrow t = ⊕_i lt_i·Π_{j>i} eq_j, from the opened lt_i ⊕ ρ_i and eq_j ⊕ σ_j.
pub(super) fn borrow(opened: &[u64], monomials: &Monomials, parameters: SignParameters, first: bool) -> Vec<u64> {
    let (words, leaves) = (monomials.words, parameters.leaves());
    let opened_plane = |plane: usize| &opened[plane * words..][..words];
    let equal: Vec<&[u64]> =
        (1..parameters.subsets()).map(|set| monomials.plane(parameters.equal_factor(set))).collect();
    let mut coefficients = vec![[0u64; LANES]; parameters.subsets()];
    let mut borrow = vec![0; words];
    for leaf in 0..leaves {
        let sets = parameters.subsets_above(leaf);
        let less: Vec<&[u64]> = (0..sets).map(|set| monomials.plane(parameters.less_factor(leaf, set))).collect();
        for (lane, borrow) in borrow.chunks_mut(LANES).enumerate() {
            let used = lane * LANES..lane * LANES + borrow.len();
            let less_opened = lanes(&opened_plane(leaf)[used.clone()]);
            // The factor lt_i = less ⊕ ρ_i, times each monomial in the σ of the leaves above.
            coefficients[0] = lanes(&less[0][used.clone()]);
            if first {
                coefficients[0].iter_mut().zip(less_opened).for_each(|(x, y)| *x ^= y);
            }
            for set in 1..sets {
                let monomial = lanes(&equal[(set << leaf) - 1][used.clone()]);
                let product = lanes(&less[set][used.clone()]);
                coefficients[set] = core::array::from_fn(|i| (less_opened[i] & monomial[i]) ^ product[i]);
            }
            let sum = evaluate(&mut coefficients[..sets], |variable| {
                lanes(&opened_plane(leaves + leaf + variable)[used.clone()])
            });
            borrow.iter_mut().zip(sum).for_each(|(x, y)| *x ^= y);
        }
    }
    coefficients.as_flattened_mut().zeroize();
    borrow
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
