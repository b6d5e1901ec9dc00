//! The faults that shares can have.

use alloc::vec::Vec;
use thiserror::Error;

/// An operation on shares was given shares that do not fit together. No variant carries a secret value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The number of parties is not supported.
    #[error("{parties} parties are not supported: use {} to {}", crate::MIN_PARTIES, crate::MAX_PARTIES)]
    Parties {
        /// The number that was asked for.
        parties: usize,
    },
    /// A shape does not have as many elements as there are.
    #[error("shape {shape:?} does not hold {elements} elements")]
    Length {
        /// The shape that was given.
        shape: Vec<usize>,
        /// The number of elements that were given.
        elements: usize,
    },
    /// Two tensors of shares that must have one shape do not.
    #[error("shapes differ: {left:?} and {right:?}")]
    ShapesDiffer {
        /// The shape of the first operand.
        left: Vec<usize>,
        /// The shape of the second operand.
        right: Vec<usize>,
    },
    /// The width of a binary sharing is outside what the ring or the other operand has.
    #[error("a binary sharing of {width} bits does not fit: at most {limit} bits here")]
    Width {
        /// The width in bits.
        width: u32,
        /// The largest width allowed here.
        limit: u32,
    },
    /// An encoding of shares was not valid.
    #[error("malformed encoding of shares: {reason}")]
    Malformed {
        /// The fault.
        reason: &'static str,
    },
    /// An encoding of shares declares more elements than the receiver accepts.
    #[error("encoding declares {declared} elements, at most {limit} are accepted")]
    TooLarge {
        /// The number of elements declared.
        declared: u64,
        /// The largest number accepted.
        limit: u64,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {reason}")]
    Randomness {
        /// The system's reason.
        reason: alloc::string::String,
    },
}
