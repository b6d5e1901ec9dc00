//! The size of a comparison.

use alloc::vec::Vec;

use mpc_ot::comparison;
use serde::{Deserialize, Serialize};

pub use comparison::Variant;

use super::chain::Level;

/// Where in its number a comparison's variant begins.
const VARIANT: u32 = 1 << 8;

/// k: the number of bits in which a value is compared; |y| < 2^{k−2} must hold. And whether rounds or bytes are saved.
///
/// As a number it is k, and 256 more where bytes are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SignParameters {
    bits: u32,
    variant: Variant,
}

impl SignParameters {
    /// The smallest k.
    pub const MIN_BITS: u32 = comparison::MIN_BITS;
    /// The largest k.
    pub const MAX_BITS: u32 = comparison::MAX_BITS;

    /// Of a k that was checked.
    pub(super) const fn of_bits(bits: u32) -> Self {
        Self { bits, variant: Variant::FewRounds }
    }

    /// The same k in another variant.
    #[must_use]
    pub const fn with_variant(self, variant: Variant) -> Self {
        Self { variant, ..self }
    }

    /// k and the variant, where a number has both.
    pub(super) fn of_number(number: u32) -> (u32, Variant) {
        match number.checked_sub(VARIANT) {
            Some(bits) => (bits, Variant::FewBytes),
            None => (number, Variant::FewRounds),
        }
    }

    /// k.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The variant.
    #[must_use]
    pub fn variant(self) -> Variant {
        self.variant
    }

    /// L: the number of leaves.
    #[must_use]
    pub fn leaves(self) -> usize {
        self.variant.leaves(self.bits)
    }

    /// The rounds of a comparison: c, the bits of each level, and β.
    #[must_use]
    pub fn rounds(self) -> u64 {
        2 + self.levels().len() as u64
    }

    /// The number of bits opened besides c and β: of every level each lt_i, and each eq_j but the lowest part's.
    #[must_use]
    pub fn bits_opened(self) -> usize {
        self.levels().iter().map(Level::opened).sum()
    }

    /// The levels of chains between the leaves and the borrow.
    pub(super) fn levels(self) -> Vec<Level> {
        self.variant.levels(self.bits).into_iter().map(Level::new).collect()
    }

    /// The bits of the leaves, where their products are dealt and not tables.
    pub(super) fn leaf_bits(self) -> Option<Level> {
        (self.variant == Variant::FewBytes).then(|| Level::new(self.variant.leaf_chains(self.bits)))
    }

    /// The fields of a mask with what is read of its leaves.
    pub(crate) fn mask_fields(self) -> usize {
        match self.variant {
            Variant::FewRounds => 3,
            Variant::FewBytes => 4,
        }
    }

    /// The fields of a threshold: of each level ρ, σ and their products; and d, in XOR and in the ring.
    pub(crate) fn threshold_fields(self) -> usize {
        3 * self.variant.levels(self.bits).len() + 2
    }

    /// The words that the leaf tables of `len` masks take.
    pub(super) fn table_words(self, len: usize) -> usize {
        len.div_ceil(2) * self.leaves()
    }
}

impl From<SignParameters> for u32 {
    fn from(parameters: SignParameters) -> u32 {
        match parameters.variant {
            Variant::FewRounds => parameters.bits,
            Variant::FewBytes => VARIANT + parameters.bits,
        }
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
