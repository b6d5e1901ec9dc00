//! The size of a comparison.

use mpc_ot::comparison;
use serde::{Deserialize, Serialize};

pub(super) use comparison::MAX_LEAVES;

/// Bits of a leaf: a table of 2^5 entries fills half a word.
pub(super) const LEAF_BITS: u32 = comparison::LEAF_BITS as u32;

/// k: the number of bits in which a value is compared; |y| < 2^{k−2} must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SignParameters {
    pub(super) bits: u32,
}

impl SignParameters {
    /// The smallest k.
    pub const MIN_BITS: u32 = comparison::MIN_BITS;
    /// The largest k.
    pub const MAX_BITS: u32 = comparison::MAX_BITS;

    /// k.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// L: the number of leaves.
    #[must_use]
    pub fn leaves(self) -> usize {
        (self.bits - 2).div_ceil(LEAF_BITS) as usize
    }

    /// The number of bits opened in the second round: every lt_i, and every eq_j but the lowest leaf's.
    #[must_use]
    pub fn leaf_bits_opened(self) -> usize {
        2 * self.leaves() - 1
    }

    /// Subsets of {σ_1, …, σ_{L−1}}, the empty one included.
    pub(super) fn subsets(self) -> usize {
        1 << (self.leaves() - 1)
    }

    /// Subsets of {σ_j : j > i}, the empty one included.
    pub(super) fn subsets_above(self, leaf: usize) -> usize {
        1 << (self.leaves() - 1 - leaf)
    }

    /// Where the products of ρ_`leaf` begin among those of all leaves.
    pub(super) fn less_offset(self, leaf: usize) -> usize {
        (0..leaf).map(|i| self.subsets_above(i)).sum()
    }

    /// The number of products that are not random bits themselves.
    pub(super) fn dealt_products(self) -> usize {
        (self.subsets() - self.leaves()) + (self.less_offset(self.leaves()) - self.leaves())
    }

    /// The words that the leaf tables of `len` masks take.
    pub(super) fn table_words(self, len: usize) -> usize {
        len.div_ceil(2) * self.leaves()
    }
}

impl From<SignParameters> for u32 {
    fn from(parameters: SignParameters) -> u32 {
        parameters.bits
    }
}

/// The number of elements and the bits of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SignShape {
    /// The number of elements.
    pub len: usize,
    /// The bits of the comparison.
    pub parameters: SignParameters,
}
