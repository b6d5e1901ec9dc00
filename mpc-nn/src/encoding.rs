//! The beginning of everything that is stored or sent as bytes, and the reasons to refuse bytes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::SecretVec;

use crate::graph::GraphError;

/// The version of all these encodings. Bytes of another one are refused.
pub const ENCODING_VERSION: u16 = 2;

/// Why bytes are not what they should be. No message contains a secret.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// Too few bytes or too many.
    #[error("{what} has {found} bytes, and {expected} are expected: it was cut short or belongs to something else")]
    Length {
        /// The thing that is read.
        what: &'static str,
        /// The length that it must have.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// Bytes of something else.
    #[error("these bytes are no {what} of version {ENCODING_VERSION}: they were changed or are of another version")]
    Kind {
        /// The thing that is read.
        what: &'static str,
    },
    /// Bytes of another plan.
    #[error("{what} was made for plan {found}, this is plan {expected}: model, settings or roles differ")]
    OtherPlan {
        /// The thing that is read.
        what: &'static str,
        /// The digest of the plan.
        expected: String,
        /// The digest of the plan that it was made for.
        found: String,
    },
    /// Bytes of another party.
    #[error("{what} is that of party {found}, this is party {expected}")]
    OtherParty {
        /// The thing that is read.
        what: &'static str,
        /// The party.
        expected: usize,
        /// The party that it was made for.
        found: usize,
    },
    /// More than the reader takes.
    #[error(
        "{what} has {found} {unit}, and at most {limit} are taken; raise the limit for networks of others if you trust it"
    )]
    TooLarge {
        /// The thing that is read.
        what: &'static str,
        /// The things that are counted.
        unit: &'static str,
        /// The most that are taken.
        limit: u64,
        /// How many there are.
        found: u64,
    },
    /// Bytes that cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// The thing that is read.
        what: &'static str,
        /// The fault in it.
        reason: String,
    },
    /// A graph that no builder makes.
    #[error("the graph is not valid: {0}")]
    Graph(#[from] GraphError),
}

/// The thing that bytes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Graph,
    Settings,
    Model,
    ModelShare,
    InputShare,
    OutputShare,
    Recording,
}

impl Kind {
    /// Bytes of [`tag`](Self::tag).
    pub(crate) const TAG_BYTES: usize = 6;

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Graph => "the graph",
            Self::Settings => "the settings",
            Self::Model => "the loaded model",
            Self::ModelShare => "the share of the model",
            Self::InputShare => "the share of the inputs",
            Self::OutputShare => "the share of the outputs",
            Self::Recording => "the recording",
        }
    }

    pub(crate) fn malformed(self, reason: String) -> EncodingError {
        EncodingError::Malformed { what: self.what(), reason }
    }

    /// The first bytes of an encoding of this kind.
    pub(crate) fn tag(self) -> [u8; Self::TAG_BYTES] {
        let [low, high] = ENCODING_VERSION.to_le_bytes();
        [b'm', b'p', b'c', self as u8, low, high]
    }

    /// The bytes behind the tag.
    pub(crate) fn untag(self, bytes: &[u8]) -> Result<&[u8], EncodingError> {
        bytes.strip_prefix(&self.tag()).ok_or(EncodingError::Kind { what: self.what() })
    }
}

/// The bytes in front of a thing that belongs to one party and one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The digest of the plan.
    pub(crate) plan: [u8; 32],
    /// The party.
    pub(crate) party: usize,
}

impl Header {
    /// The bytes of a header with its tag.
    pub(crate) const BYTES: usize = Kind::TAG_BYTES + 1 + 32;

    pub(crate) fn to_bytes(self, kind: Kind) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..Kind::TAG_BYTES].copy_from_slice(&kind.tag());
        bytes[Kind::TAG_BYTES] = self.party as u8;
        bytes[Kind::TAG_BYTES + 1..].copy_from_slice(&self.plan);
        bytes
    }

    /// Checks that bytes begin with this header.
    pub(crate) fn check_bytes(self, kind: Kind, bytes: &[u8; Self::BYTES]) -> Result<(), EncodingError> {
        let (party, plan) = kind.untag(bytes)?.split_first().ok_or(EncodingError::Kind { what: kind.what() })?;
        let plan = plan.try_into().unwrap_or_default();
        Self { plan, party: usize::from(*party) }.check(kind, self)
    }

    /// Checks that this is the `expected` header.
    pub(crate) fn check(self, kind: Kind, expected: Self) -> Result<(), EncodingError> {
        let what = kind.what();
        if self.plan != expected.plan {
            return Err(EncodingError::OtherPlan { what, expected: hex(&expected.plan), found: hex(&self.plan) });
        }
        if self.party != expected.party {
            return Err(EncodingError::OtherParty { what, expected: expected.party, found: self.party });
        }
        Ok(())
    }

    /// The header and what follows it, in one allocation that is zeroised when dropped.
    pub(crate) fn encode(self, kind: Kind, payload: usize, write: impl FnOnce(&mut [u8])) -> SecretVec<u8> {
        let mut bytes = SecretVec::zeros(Self::BYTES + payload);
        bytes[..Self::BYTES].copy_from_slice(&self.to_bytes(kind));
        write(&mut bytes[Self::BYTES..]);
        bytes
    }

    /// The bytes after this header in bytes that are not trusted; there must be `payload` of them.
    pub(crate) fn decode(self, kind: Kind, payload: usize, bytes: &[u8]) -> Result<&[u8], EncodingError> {
        let expected = Self::BYTES + payload;
        let length = EncodingError::Length { what: kind.what(), expected: expected as u64, found: bytes.len() as u64 };
        let Some((header, rest)) = bytes.split_first_chunk() else { return Err(length) };
        self.check_bytes(kind, header)?;
        if bytes.len() == expected { Ok(rest) } else { Err(length) }
    }
}

/// Elements from their canonical bytes, of which there are enough.
pub(crate) fn read_elements<R: Ring>(bytes: &[u8], len: usize) -> SecretVec<R> {
    let mut elements = SecretVec::zeros(len);
    mpc_ring::read_all(&bytes[..len * R::BYTES], &mut elements);
    elements
}

/// Cuts `bytes` into parts of these lengths.
pub(crate) fn parts(mut bytes: &[u8], lengths: impl IntoIterator<Item = usize>) -> Vec<&[u8]> {
    let mut take = |length: usize| {
        let (part, rest) = bytes.split_at(length);
        bytes = rest;
        part
    };
    lengths.into_iter().map(&mut take).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
