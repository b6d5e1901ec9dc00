//! Leaves of three bits, from XOR shares of r's bits and their products, at the leaves of the public c.
//!
//! Of a bit of r, lt_s = ¬c_s·r_s and eq_s = ¬c_s ⊕ r_s. So the leaf's are polynomials in the public ¬c_s, whose monomials are
//! products of the r_s: lt = ⊕_s ¬c_s·r_s·Π_{j>s} (¬c_j ⊕ r_j), and eq = Π_j (¬c_j ⊕ r_j).

use mpc_ring::kernels::{Work, vectorized_whole};
use mpc_ring::{Ring, bitslice};
use mpc_shares::SecretVec;

use super::borrow::{Evaluated, all_equal, by_parts, evaluate};
use super::chain::{Factor, Level, Placed};
use super::monomials::{DealtMonomials, LANES, PART, lanes};
use super::parameters::SignParameters;

/// Elements whose bits are taken at a time.
const ELEMENTS: usize = 64 * PART;

/// This party's shares of lt_i (L planes) and of eq_j for j ≥ 1 (L−1 planes), into `planes`.
pub(super) fn read_bits<R: Ring>(
    dealt: &DealtMonomials,
    opened: &[R],
    parameters: SignParameters,
    first: bool,
    planes: &mut [u64],
) {
    let level = Level::new(parameters.variant().leaf_chains(parameters.bits()));
    by_parts(dealt, &level, planes, |evaluated| {
        let mut bits = SecretVec::zeros(level.equal * evaluated.monomials.words());
        let elements = &opened[64 * evaluated.from..];
        bitslice::to_planes(&elements[..elements.len().min(ELEMENTS)], level.equal as u32, &mut bits);
        vectorized_whole(AtLeaves { evaluated, bits: &bits, level: &level, first });
    });
}

struct AtLeaves<'a, 'p> {
    evaluated: Evaluated<'a, 'p>,
    /// The bits of c, as planes.
    bits: &'a [u64],
    level: &'a Level,
    first: bool,
}

impl Work for AtLeaves<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { mut evaluated, bits, level, first } = self;
        let monomials = evaluated.monomials;
        for block in 0..monomials.words().div_ceil(LANES) {
            let at = block * LANES;
            let len = LANES.min(monomials.words() - at);
            let bit = |place: usize| lanes(&bits[place * monomials.words() + at..][..len]).map(|word| !word);
            let dealt = |factor: Factor| lanes(monomials.block(factor, block));
            for (leaf, &placed) in level.chains.iter().enumerate() {
                let bit = |place: usize| bit(placed.equal + place);
                let value = less_of_bits(placed, &dealt, bit, evaluated.coefficients);
                evaluated.put(leaf, at, len, value);
                if leaf > 0 {
                    let value = all_equal(placed, &dealt, bit, first, evaluated.coefficients);
                    evaluated.put(level.chains.len() + leaf - 1, at, len, value);
                }
            }
        }
    }
}

/// lt of a leaf, from its ¬c_s.
#[inline(always)]
fn less_of_bits(
    placed: Placed,
    dealt: &impl Fn(Factor) -> [u64; LANES],
    bit: impl Fn(usize) -> [u64; LANES],
    coefficients: &mut [[u64; LANES]],
) -> [u64; LANES] {
    let mut total = [0; LANES];
    for place in 0..placed.chain.equal {
        let sets = 1 << (placed.chain.equal - 1 - place);
        for (set, coefficient) in coefficients.iter_mut().enumerate().take(sets) {
            *coefficient = dealt(placed.equal_factor((set << 1 | 1) << place));
        }
        let sum = evaluate(&mut coefficients[..sets], |variable| bit(place + 1 + variable));
        let own = bit(place);
        total.iter_mut().zip(sum.iter().zip(own)).for_each(|(total, (sum, own))| *total ^= sum & own);
    }
    total
}

/// The masks whose k−1 low bits are given as planes, and whose top bit is the lowest one of what `masks` has.
pub(super) fn masks_of_planes<R: Ring>(planes: &[u64], bits: u32, masks: &mut [R]) {
    let mut low = SecretVec::zeros(masks.len());
    bitslice::from_planes(planes, bits - 1, &mut low);
    for (mask, low) in masks.iter_mut().zip(low.iter()) {
        *mask = (*mask & R::ONE) << (bits - 1) | *low;
    }
}
