//! The makers of correlations, and the variants of comparisons.

use core::fmt;

use mpc_ot::Method;
use mpc_ot::ferret::ParameterSet;
use mpc_ot::softspoken::FieldBits;
use mpc_protocols::sign::Variant;
use serde::{Deserialize, Serialize};

/// The makers of correlations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Correlations {
    /// A dealer, who colludes with no party.
    #[default]
    Dealt,
    /// Two parties themselves, without a dealer.
    Own {
        /// How their oblivious transfers are extended.
        transfers: Transfers,
        /// The number of inferences that a model is expected to be loaded for: with more of them, more is sent when it is loaded
        /// and less in each.
        inferences: u32,
    },
}

/// How oblivious transfers are extended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transfers {
    /// Silently: under the assumption of learning parity with noise, 0.7 bits each, in the least time.
    #[default]
    Silent,
    /// By SoftSpoken with fields of eight bits: without that assumption, 15 bits each.
    SoftSpoken,
    /// Silently, with tables that are larger than most caches: 0.2 bits each.
    SilentFewBytes,
}

impl Transfers {
    /// As oblivious transfer has it.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Silent => Method::SILENT,
            Self::SilentFewBytes => Method::Silent(ParameterSet::B13),
            Self::SoftSpoken => Method::SoftSpoken(FieldBits::Eight),
        }
    }
}

impl fmt::Display for Correlations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dealt => formatter.write_str("dealt"),
            Self::Own { transfers, inferences } => {
                let name = match transfers {
                    Transfers::Silent => "silent",
                    Transfers::SilentFewBytes => "few-byte silent",
                    Transfers::SoftSpoken => "SoftSpoken",
                };
                write!(formatter, "made by the parties, {name} transfers, for {inferences} inference(s)")
            }
        }
    }
}

/// The variants of comparisons: those of ReLUs, poolings, maxima, functions and whatever else compares.
///
/// At k = 32 and modulo 2^48 a ReLU takes, in bits sent by each of two parties and bytes that are prepared:
///
/// | | rounds | bits online | dealt | made by two parties |
/// |---|---|---|---|---|
/// | few rounds | 3 | 44 | 56.5 bytes | 96.6 bytes |
/// | few bytes | 4 | 57 | 31.5 bytes | 55.4 bytes |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparisons {
    /// Rounds online, and the bytes of these: with a dealer, maxima of small tensors compare up to four elements at once
    /// ([`Tournament`](mpc_protocols::maximum::Tournament)).
    #[default]
    FewRounds,
    /// Bytes of correlations: nearly half of them, for one round more and some bits online.
    FewBytes,
}

impl Comparisons {
    /// As protocols have it.
    pub(super) fn variant(self) -> Variant {
        match self {
            Self::FewRounds => Variant::FewRounds,
            Self::FewBytes => Variant::FewBytes,
        }
    }

    /// The variant where no other is asked for: few rounds with a dealer, whose bytes are not sent between the parties, and few bytes
    /// without one, where they are. With silent transfers two parties then send the fewest bytes in all, at every k.
    #[must_use]
    pub fn for_makers(correlations: Correlations) -> Self {
        match correlations {
            Correlations::Dealt => Self::FewRounds,
            Correlations::Own { .. } => Self::FewBytes,
        }
    }
}

impl fmt::Display for Comparisons {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FewRounds => "few rounds",
            Self::FewBytes => "few bytes",
        })
    }
}
