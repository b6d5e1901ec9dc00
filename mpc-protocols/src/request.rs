//! What a plan asks of the dealer, in public: kinds and sizes of correlations.

use mpc_ring::{Ring, packing};
use mpc_transport::Traffic;
use serde::{Deserialize, Serialize};

use crate::Bilinear;
use crate::sign::SignParameters;

/// The dealer's corrections travel in frames of at most this many bytes.
pub const CORRECTION_FRAME_BYTES: usize = 1 << 18;

/// One correlation of a plan: its kind and its size, never its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Request {
    /// The corrections that the last party receives: bytes of each field, in order.
    pub(crate) fn corrections<R: Ring>(&self) -> alloc::vec::Vec<usize> {
        let full = |len: usize| len * R::BYTES;
        let planes = |count: usize, len: usize| count * packing::words_for(len) * 8;
        // More bits than the ring has are refused when they are dealt and drawn.
        let top = |len: usize, bits: u32| packing::packed_len(len, R::BITS.saturating_sub(bits));
        match *self {
            Self::Beaver(map) => [full(map.output_len())].into(),
            Self::Square { len } => [full(len)].into(),
            Self::WeightMask { .. } => [].into(),
            Self::FixedWeights { map, .. } => [full(map.output_len())].into(),
            Self::BitTriples { width, len } => [planes(width as usize, len)].into(),
            Self::DaBits { len } => [full(len)].into(),
            Self::EdaBits { len } => [planes(R::BITS as usize, len)].into(),
            Self::Lift { len, bits } => [full(len), top(len, bits)].into(),
            Self::Sign { len, parameters } => parameters.corrections::<R>(len).into(),
            Self::Relu { len, parameters } => {
                let mut fields = alloc::vec::Vec::from(parameters.corrections::<R>(len));
                fields.extend([top(len, parameters.bits()), full(len), top(len, parameters.bits())]);
                fields
            }
        }
    }

    /// What the last party receives from the dealer for this correlation in ring `R`, apart from its seed; the others
    /// receive nothing but their seed.
    #[must_use]
    pub fn traffic<R: Ring>(&self) -> Traffic {
        let mut traffic = Traffic::default();
        for bytes in self.corrections::<R>() {
            traffic.payload_received += bytes as u64;
            traffic.frames_received += bytes.div_ceil(CORRECTION_FRAME_BYTES) as u64;
        }
        traffic
    }
}
