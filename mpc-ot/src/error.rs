//! The faults of an oblivious transfer.

use mpc_shares::ShareError;
use mpc_transport::TransportError;
use thiserror::Error;

/// An oblivious transfer could not be made. No variant carries a secret value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OtError {
    /// The peer sent bytes that are no point of the group, or the neutral one.
    #[error(
        "point {index} of the peer's message for the base OTs is not valid: the peer runs another program, or attacks"
    )]
    InvalidPoint {
        /// Its place in the message.
        index: usize,
    },
    /// The peer sent our own point back.
    #[error("point {index} of the peer's message for the base OTs is our own one: the messages are reflected")]
    ReflectedPoint {
        /// Its place in the message.
        index: usize,
    },
    /// A message has another length than the plan says.
    #[error("the message for {step} has {got} bytes and not {expected}: the parties have different plans")]
    MessageLength {
        /// The step of the protocol.
        step: &'static str,
        /// The planned length in bytes.
        expected: usize,
        /// The length that came.
        got: usize,
    },
    /// A parameter of the caller is outside what is supported.
    #[error("{parameter} = {value} is not supported: use {allowed}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// Its value.
        value: u64,
        /// The values that are allowed.
        allowed: &'static str,
    },
    /// Operands do not have the size that belongs to the transfers.
    #[error("{operand} has {got} and not {expected} as the random OTs ask for")]
    Size {
        /// The operand.
        operand: &'static str,
        /// The size that the transfers have.
        expected: usize,
        /// The size that was given.
        got: usize,
    },
    /// A session may not make more transfers.
    #[error("this session has made all the transfers that one session may: open a new one")]
    Exhausted,
    /// An earlier step failed or was dropped before its end.
    #[error("an earlier step of this session did not end: open a new one")]
    Interrupted,
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] ShareError),
    /// A message could not be sent or received.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Refuses a message of another length.
pub(crate) fn check_message(step: &'static str, message: &[u8], expected: usize) -> Result<(), OtError> {
    let got = message.len();
    if got == expected { Ok(()) } else { Err(OtError::MessageLength { step, expected, got }) }
}

/// Refuses an operand of another size.
pub(crate) fn check_size(operand: &'static str, got: usize, expected: usize) -> Result<(), OtError> {
    if got == expected { Ok(()) } else { Err(OtError::Size { operand, expected, got }) }
}
