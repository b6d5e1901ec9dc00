//! The results of chains, as polynomials in public bits whose monomials were dealt: at the end, the borrow of a subtraction.

use alloc::vec;

use mpc_ring::kernels::{Work, vectorized_whole};
use mpc_ring::threads;
use zeroize::Zeroize;

use super::chain::{Factor, Level, Placed};
use super::monomials::{DealtMonomials, LANES, Monomials, PART, lanes};
use super::tables::of_each_part;

/// A polynomial's coefficients, by set.
type Coefficients = [[u64; LANES]];

/// Some words of a level that are evaluated, up to [`PART`].
pub(super) struct Evaluated<'a, 'p> {
    pub(super) monomials: &'a Monomials,
    pub(super) coefficients: &'a mut Coefficients,
    /// The first word.
    pub(super) from: usize,
    /// The words of a part in every plane of the results, and where these words are among them.
    planes: &'a mut [&'p mut [u64]],
    place: usize,
}

impl Evaluated<'_, '_> {
    /// Writes words of a plane of the results, from a place on.
    #[inline(always)]
    pub(super) fn put(&mut self, plane: usize, at: usize, len: usize, value: [u64; LANES]) {
        self.planes[plane][self.place + at..][..len].copy_from_slice(&value[..len]);
    }
}

/// Calls `evaluate` for all words of a level, to fill planes of as many.
pub(super) fn by_parts(
    dealt: &DealtMonomials,
    level: &Level,
    planes: &mut [u64],
    evaluate: impl Fn(Evaluated<'_, '_>) + Sync,
) {
    let words = dealt.words();
    let part = threads::part_len(64 * words, 64 * PART) / 64;
    threads::for_each(of_each_part(planes, words, part).into_iter().enumerate(), |(index, mut planes)| {
        let mut coefficients = vec![[0u64; LANES]; level.subsets()];
        let begin = index * part;
        let end = words.min(begin + part);
        let mut monomials = Monomials::zeros((end - begin).min(PART), level);
        for from in (begin..end).step_by(PART) {
            if end - from < monomials.words() {
                monomials = Monomials::zeros(end - from, level);
            }
            monomials.read(dealt, from);
            let (coefficients, place) = (&mut coefficients[..], from - begin);
            evaluate(Evaluated { monomials: &monomials, coefficients, from, planes: &mut planes, place });
        }
        coefficients.as_flattened_mut().zeroize();
    });
}

/// This party's shares of lt and, but for the lowest one, of eq of each chain, as planes: from all opened lt_i ⊕ ρ_i, then
/// eq_j ⊕ σ_j. Of the last level they are the borrow t = ⊕_i lt_i·Π_{j>i} eq_j.
pub(super) fn results(opened: &[u64], dealt: &DealtMonomials, level: &Level, first: bool, results: &mut [u64]) {
    by_parts(dealt, level, results, |evaluated| {
        vectorized_whole(Results { evaluated, opened, words: dealt.words(), level, first });
    });
}

struct Results<'a, 'p> {
    evaluated: Evaluated<'a, 'p>,
    opened: &'a [u64],
    words: usize,
    level: &'a Level,
    first: bool,
}

impl Work for Results<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { mut evaluated, opened, words, level, first } = self;
        let (monomials, from) = (evaluated.monomials, evaluated.from);
        for block in 0..monomials.words().div_ceil(LANES) {
            let at = block * LANES;
            let len = LANES.min(monomials.words() - at);
            let opened = |plane: usize| lanes(&opened[plane * words + from + at..][..len]);
            let dealt = |factor: Factor| lanes(monomials.block(factor, block));
            for (index, &placed) in level.chains.iter().enumerate() {
                let equal = |place: usize| opened(level.less + placed.equal + place);
                let less = |part: usize| opened(placed.less + part);
                let value = less_of_chain(placed, &dealt, less, equal, first, evaluated.coefficients);
                evaluated.put(index, at, len, value);
                if index > 0 {
                    let value = all_equal(placed, &dealt, equal, first, evaluated.coefficients);
                    evaluated.put(level.chains.len() + index - 1, at, len, value);
                }
            }
        }
    }
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
