//! The faults that layers and messages can have.

use mpc_ring::ShapeError;
use thiserror::Error;

/// A layer that cannot be encrypted, or a message that is not valid. No variant carries a secret value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeError {
    /// The extents do not make a convolution.
    #[error("the layer's shape is not valid: {0}")]
    Shape(#[from] ShapeError),
    /// The layer is outside what this crate encrypts.
    #[error("the layer cannot be encrypted: {reason}")]
    Unsupported {
        /// The fault.
        reason: &'static str,
    },
    /// One row of the padded input does not fit a polynomial.
    #[error("one position of the kernel reads {needed} coefficients, a polynomial has {available}: split the image")]
    TooWide {
        /// The coefficients under one row of output.
        needed: usize,
        /// The coefficients of a polynomial.
        available: usize,
    },
    /// A slice does not have as many elements as the layer needs.
    #[error("the layer has {expected} {what}, {actual} were given")]
    Elements {
        /// Which elements.
        what: &'static str,
        /// The number that the layer has.
        expected: usize,
        /// The number that was given.
        actual: usize,
    },
    /// A weight is larger than the bound for which the noise was proved.
    #[error("weight {index} has more than {bits} bits with the sign: scale the weights")]
    Weight {
        /// The position of the weight.
        index: usize,
        /// The bits that were declared, with the sign.
        bits: u32,
    },
    /// The noise may be larger than the layer tolerates.
    #[error(
        "weights of {weight_bits} bits make noise of up to {units} units, the layer tolerates {tolerated}: \
         it needs a truncation by at least {needed_shift} bits, or smaller weights"
    )]
    Noise {
        /// The bits of a weight, with the sign.
        weight_bits: u32,
        /// The bound on the noise, in units of the last place.
        units: u64,
        /// The noise that the layer tolerates.
        tolerated: u64,
        /// The truncation after which the noise is at most a quarter of a unit.
        needed_shift: u32,
    },
    /// A message does not have the length that the layout gives it.
    #[error("the {what} has {actual} bytes instead of {expected}")]
    Length {
        /// Which message.
        what: &'static str,
        /// Its exact length.
        expected: usize,
        /// The length that came.
        actual: usize,
    },
    /// A coefficient of a message is not below its prime.
    #[error("coefficient {index} of the {what} is not below its prime")]
    Residue {
        /// Which message.
        what: &'static str,
        /// The position of the coefficient.
        index: usize,
    },
    /// Unused bits of a message are set.
    #[error("unused bits at the end of the {what} are set")]
    Padding {
        /// Which message.
        what: &'static str,
    },
    /// A layer was encrypted before under the same secret, or one after it was.
    #[error("layer {layer} was to be encrypted, at least {next} is due: encrypt each layer once, in order")]
    Order {
        /// The layer's number.
        layer: u32,
        /// The smallest number that may come.
        next: u32,
    },
}
