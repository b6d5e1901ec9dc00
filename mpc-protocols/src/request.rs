//! What a plan asks of the dealer, in public: kinds and sizes of correlations.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::{Ring, packing};
use mpc_transport::Traffic;
use serde::{Deserialize, Serialize};

use crate::Bilinear;
use crate::lookup::Table;
use crate::sign::SignParameters;

/// The dealer's corrections travel in frames of at most this many bytes.
pub const CORRECTION_FRAME_BYTES: usize = 1 << 16;

/// Elements of `bits` bits in a full frame: a multiple of 8, so that every frame begins at a byte.
pub(crate) fn frame_elements(bits: u32) -> usize {
    CORRECTION_FRAME_BYTES / bits.max(1) as usize * 8
}

/// One run of elements that the dealer fixed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The number of elements.
    pub(crate) len: usize,
    /// The bits that travel of each.
    pub(crate) bits: u32,
}

impl Field {
    /// What the last party receives of it.
    fn traffic(self) -> Traffic {
        let payload_received = packing::packed_len(self.len, self.bits) as u64;
        Traffic { payload_received, frames_received: self.frames() as u64, ..Traffic::default() }
    }

    /// The number of frames in which it travels.
    fn frames(self) -> usize {
        if self.bits == 0 { 0 } else { self.len.div_ceil(frame_elements(self.bits)) }
    }

    /// The bytes of each of these frames.
    fn frame_lengths(self) -> impl Iterator<Item = usize> {
        let whole = frame_elements(self.bits);
        let elements = move |frame: usize| (self.len - frame * whole).min(whole);
        (0..self.frames()).map(move |frame| packing::packed_len(elements(frame), self.bits))
    }
}

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
    /// [`FixedWeightProduct`](crate::fixed_weights::FixedWeightProduct): shares of a ∗ b, a being that of the
    /// [`FixedWeights`](Self::FixedWeights) before, and b a weight mask.
    FixedWeightsAgain {
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
}

impl Request {
    /// The corrections that the last party receives, field by field.
    fn corrections<R: Ring>(&self) -> Vec<Field> {
        let full = |len| Field { len, bits: R::BITS };
        let planes = |count: usize, len| Field { len: count * packing::words_for(len), bits: u64::BITS };
        // More bits than the ring has are refused when they are dealt and drawn.
        let top = |len, bits| Field { len, bits: R::BITS.saturating_sub(bits) };
        match *self {
            Self::Beaver(map) => vec![full(map.output_len())],
            Self::Square { len } => vec![full(len)],
            Self::WeightMask { .. } => vec![],
            Self::FixedWeights { map, .. } | Self::FixedWeightsAgain { map, .. } => vec![full(map.output_len())],
            Self::BitTriples { width, len } => vec![planes(width as usize, len)],
            Self::DaBits { len } => vec![full(len)],
            Self::EdaBits { len } => vec![planes(R::BITS as usize, len)],
            Self::Lift { len, bits } => vec![full(len), top(len, bits)],
            Self::Sign { len, parameters } => {
                let mut fields = Vec::from(parameters.mask_corrections::<R>(len));
                fields.extend(parameters.threshold_corrections::<R>(len));
                fields
            }
            Self::Relu { len, parameters } => {
                let mut fields = Self::Sign { len, parameters }.corrections::<R>();
                fields.extend([top(len, parameters.bits()), full(len), top(len, parameters.bits())]);
                fields
            }
            Self::Piecewise { len, thresholds, parameters } => {
                let mut fields = Vec::from(parameters.mask_corrections::<R>(len));
                fields.push(top(len, parameters.bits()));
                for _ in 0..thresholds {
                    fields.extend(parameters.threshold_corrections::<R>(len));
                    fields.extend([full(len), top(len, parameters.bits())]);
                }
                fields
            }
            // A table that cannot be is refused when it is dealt and drawn.
            Self::Lookup { len, table } => table.layout(R::BITS).map_or(vec![], |layout| {
                let tables = Field { len: len * layout.elements(), bits: layout.entry_bits };
                vec![tables, full(len), top(len, layout.result_bits)]
            }),
        }
    }

    /// What the last party receives from the dealer for this correlation in ring `R`, apart from its seed; the others
    /// receive nothing but their seed.
    #[must_use]
    pub fn traffic<R: Ring>(&self) -> Traffic {
        self.corrections::<R>().into_iter().map(Field::traffic).sum()
    }

    /// The lengths of the frames that [`traffic`](Self::traffic) counts, in the order in which they arrive.
    pub(crate) fn frame_lengths<R: Ring>(&self) -> impl Iterator<Item = usize> {
        self.corrections::<R>().into_iter().flat_map(Field::frame_lengths)
    }

    /// About how many bytes a party holds of this correlation in ring `R` from drawing it to its use: no less than it does.
    #[must_use]
    pub fn memory<R: Ring>(&self, is_last: bool) -> u64 {
        let unpacked = |field: &Field| (field.len * if field.bits == u64::BITS { 8 } else { R::BYTES }) as u64;
        let corrections = self.corrections::<R>();
        let drawn = match self {
            // Its tables, the first field, are as they travel, or a seed.
            Self::Lookup { .. } => {
                let tables =
                    corrections.first().filter(|_| is_last).map_or(0, |tables| tables.traffic().payload_received);
                tables + corrections.iter().skip(1).map(unpacked).sum::<u64>()
            }
            _ => corrections.iter().map(unpacked).sum(),
        };
        drawn + self.uniform_bytes::<R>()
    }

    /// About how many bytes the dealer holds at most while it deals this correlation, apart from the weight masks.
    #[must_use]
    pub fn dealer_memory<R: Ring>(&self) -> u64 {
        let scratch = match self {
            Self::Beaver(map) | Self::FixedWeights { map, .. } => map.scratch_len(),
            // With the a that is kept.
            Self::FixedWeightsAgain { map, .. } => map.scratch_len() + map.left_len(),
            _ => 0,
        };
        // What is kept to make the next field of it, and one copy to be corrected.
        2 * self.memory::<R>(false) + (scratch * R::BYTES + 2 * CORRECTION_FRAME_BYTES) as u64
    }

    /// What every party expands from its seed alone.
    fn uniform_bytes<R: Ring>(&self) -> u64 {
        let words = |planes: usize, len: usize| 8 * planes * packing::words_for(len);
        let bytes = match *self {
            Self::Beaver(map) => (map.left_len() + map.right_len()) * R::BYTES,
            Self::FixedWeights { map, .. } => map.left_len() * R::BYTES,
            Self::Square { len } | Self::WeightMask { len } | Self::EdaBits { len } | Self::Lookup { len, .. } => {
                len * R::BYTES
            }
            Self::BitTriples { width, len } => words(2 * width as usize, len),
            Self::DaBits { len } => words(1, len),
            Self::Lift { .. } | Self::FixedWeightsAgain { .. } => 0,
            Self::Sign { len, parameters } | Self::Relu { len, parameters } => words(2 * parameters.leaves(), len),
            Self::Piecewise { len, thresholds, parameters } => words(2 * parameters.leaves() * thresholds, len),
        };
        bytes as u64
    }
}
