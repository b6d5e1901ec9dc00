//! A plan's requests to the dealer, in public: kinds and sizes of correlations.

use alloc::boxed::Box;

use mpc_ring::Ring;
use serde::Serialize;

use crate::Bilinear;
use crate::fourier::Series;
use crate::lookup::Table;
use crate::sign::SignParameters;

/// One correlation of a plan: its kind and its size, never its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Request {
    /// [`BeaverTriple`](crate::beaver::BeaverTriple): shares of a, b and a ∗ b.
    Beaver(Bilinear),
    /// [`SquarePair`](crate::beaver::SquarePair): shares of a and a².
    Square {
        /// The number of elements.
        len: usize,
    },
    /// [`WeightMask`](crate::fixed_weights::WeightMask): shares of a mask that the dealer keeps for the life of a model.
    WeightMask {
        /// The number of weights.
        len: usize,
    },
    /// [`FixedWeightPair`](crate::fixed_weights::FixedWeightPair): shares of a and a ∗ b, b being a weight mask.
    FixedWeights {
        /// The index of the weight mask, in the order in which they were set up.
        mask: usize,
        /// The linear layer, weights on the right.
        map: Bilinear,
    },
    /// [`FixedWeightProduct`](crate::fixed_weights::FixedWeightProduct): shares of a ∗ b, a being that of the
    /// [`FixedWeights`](Self::FixedWeights) before, and b a weight mask.
    FixedWeightsSharedInput {
        /// The index of the weight mask, in the order in which they were set up.
        mask: usize,
        /// The linear layer, weights on the right.
        map: Bilinear,
    },
    /// [`BitTriples`](crate::binary::BitTriples): XOR shares of bits a, b and a·b.
    BitTriples {
        /// Bits of each value.
        width: u32,
        /// The number of values.
        len: usize,
    },
    /// [`DaBits`](crate::conversion::DaBits): random bits, shared both in XOR and in the ring.
    DaBits {
        /// The number of bits.
        len: usize,
    },
    /// [`EdaBits`](crate::conversion::EdaBits): random ring elements, shared both in the ring and as XOR shares of bits.
    EdaBits {
        /// The number of elements.
        len: usize,
    },
    /// [`LiftMask`](crate::truncation::LiftMask): a mask of `bits` bits, with its top bit.
    Lift {
        /// The number of elements.
        len: usize,
        /// Bits of the value that is lifted.
        bits: u32,
    },
    /// [`SignMask`](crate::sign::SignMask): for the sign as a ring element.
    Sign {
        /// The number of elements.
        len: usize,
        /// Bits of the comparison.
        parameters: SignParameters,
    },
    /// [`ReluMask`](crate::relu::ReluMask): for the truncating ReLU.
    Relu {
        /// The number of elements.
        len: usize,
        /// Bits of the comparison.
        parameters: SignParameters,
    },
    /// [`PiecewiseMask`](crate::piecewise::PiecewiseMask): for comparisons of each value with several public thresholds.
    Piecewise {
        /// The number of elements.
        len: usize,
        /// The number of thresholds.
        thresholds: usize,
        /// Bits of the comparison.
        parameters: SignParameters,
    },
    /// [`LookupMask`](crate::lookup::LookupMask): rotated tables of a smooth function.
    Lookup {
        /// The number of elements.
        len: usize,
        /// The function and its scales.
        table: Table,
    },
    /// [`SeriesMask`](crate::fourier::SeriesMask): the waves of a smooth function at a mask.
    Series {
        /// The number of elements.
        len: usize,
        /// The function and its sizes.
        series: Series,
    },
    /// [`GroupMask`](crate::maximum::GroupMask): for the largest value of each group.
    Group {
        /// The number of values of a group: 3 or 4.
        size: usize,
        /// The number of groups.
        len: usize,
        /// Bits of the comparisons.
        parameters: SignParameters,
    },
    /// Another correlation for results that are read modulo 2^`bits` only, so that nothing in it is wider than that takes.
    Modulo {
        /// The bits that are read.
        bits: u32,
        /// The correlation.
        of: Box<Request>,
    },
}

impl Request {
    /// The correlation for results that are read modulo 2^`bits` only; itself where these are all bits of `R`.
    #[must_use]
    pub fn modulo<R: Ring>(self, bits: u32) -> Self {
        if bits == R::BITS { self } else { self.in_bits(bits) }
    }

    pub(crate) fn in_bits(self, bits: u32) -> Self {
        Self::Modulo { bits, of: Box::new(self) }
    }
}
