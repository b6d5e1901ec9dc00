//! The results of chains, as polynomials in public bits whose monomials were dealt: at the end, the borrow of a subtraction.

use alloc::vec;

use mpc_ring::kernels::vectorized;
use zeroize::Zeroize;

use super::chain::{Factor, Level, Placed};
use super::monomials::{DealtMonomials, LANES, Monomials, PART, lanes};

/// A polynomial's coefficients, by set.
type Coefficients = [[u64; LANES]];

/// Calls `evaluate` with the monomials of up to [`PART`] words at a time, the first word, and room for coefficients.
pub(super) fn by_parts(
    dealt: &DealtMonomials,
    level: &Level,
    mut evaluate: impl FnMut(&Monomials, usize, &mut Coefficients),
) {
    let words = dealt.words();
    let mut coefficients = vec![[0u64; LANES]; level.subsets()];
    let mut monomials = Monomials::zeros(words.min(PART), level);
    for from in (0..words).step_by(PART) {
        if words - from < monomials.words() {
            monomials = Monomials::zeros(words - from, level);
        }
        monomials.read(dealt, from);
        evaluate(&monomials, from, &mut coefficients);
    }
    coefficients.as_flattened_mut().zeroize();
}

/// This party's shares of lt and, but for the lowest one, of eq of each chain, as planes: from all opened lt_i ⊕ ρ_i, then
/// eq_j ⊕ σ_j. Of the last level they are the borrow t = ⊕_i lt_i·Π_{j>i} eq_j.
pub(super) fn results(opened: &[u64], dealt: &DealtMonomials, level: &Level, first: bool, results: &mut [u64]) {
    let words = dealt.words();
    by_parts(dealt, level, |monomials, from, coefficients| {
        vectorized(|| {
            for block in 0..monomials.words().div_ceil(LANES) {
                let at = from + block * LANES;
                let len = LANES.min(words - at);
                let opened = |plane: usize| lanes(&opened[plane * words + at..][..len]);
                let dealt = |factor: Factor| lanes(monomials.block(factor, block));
                for (index, &placed) in level.chains.iter().enumerate() {
                    let mut put = |plane: usize, value: [u64; LANES]| {
                        results[plane * words + at..][..len].copy_from_slice(&value[..len]);
                    };
                    let equal = |place: usize| opened(level.less + placed.equal + place);
                    let less = |part: usize| opened(placed.less + part);
                    put(index, less_of_chain(placed, &dealt, less, equal, first, coefficients));
                    if index > 0 {
                        put(level.chains.len() + index - 1, all_equal(placed, &dealt, equal, first, coefficients));
                    }
                }
            }
        });
    });
}

/// lt = ⊕_i lt_i·Π_{j>i} eq_j of a chain.
#[inline(always)]
fn less_of_chain(
    placed: Placed,
    dealt: &impl Fn(Factor) -> [u64; LANES],
    less: impl Fn(usize) -> [u64; LANES],
    equal: impl Fn(usize) -> [u64; LANES],
    first: bool,
    coefficients: &mut Coefficients,
) -> [u64; LANES] {
    let mut total = [0; LANES];
    for part in 0..placed.chain.less {
        let (above, sets) = (placed.chain.above(part), placed.chain.sets_above(part) + 1);
        let less_opened = less(part);
        // The factor lt_i = less ⊕ ρ_i, times each monomial in the σ of the parts above.
        coefficients[0] = dealt(placed.less_factor(part, 0));
        if first {
            coefficients[0].iter_mut().zip(less_opened).for_each(|(x, y)| *x ^= y);
        }
        for (set, coefficient) in coefficients.iter_mut().enumerate().take(sets).skip(1) {
            let monomial = dealt(placed.equal_factor(set << above));
            let product = dealt(placed.less_factor(part, set));
            *coefficient = core::array::from_fn(|i| (less_opened[i] & monomial[i]) ^ product[i]);
        }
        let sum = evaluate(&mut coefficients[..sets], |variable| equal(above + variable));
        total.iter_mut().zip(sum).for_each(|(x, y)| *x ^= y);
    }
    total
}

/// eq = Π_j eq_j of a chain, from its opened eq_j ⊕ σ_j.
#[inline(always)]
pub(super) fn all_equal(
    placed: Placed,
    dealt: &impl Fn(Factor) -> [u64; LANES],
    equal: impl Fn(usize) -> [u64; LANES],
    first: bool,
    coefficients: &mut Coefficients,
) -> [u64; LANES] {
    let sets = 1 << placed.chain.equal;
    coefficients[0] = [if first { u64::MAX } else { 0 }; LANES];
    for (set, coefficient) in coefficients.iter_mut().enumerate().take(sets).skip(1) {
        *coefficient = dealt(placed.equal_factor(set));
    }
    evaluate(&mut coefficients[..sets], equal)
}

/// Σ_S coefficient_S·Π_{j∉S} v_j over subsets S of the variables, folding the highest variable first.
#[inline(always)]
pub(super) fn evaluate(coefficients: &mut Coefficients, value: impl Fn(usize) -> [u64; LANES]) -> [u64; LANES] {
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
