//! The failures of a protocol.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use mpc_shares::ShareError;
use mpc_transport::TransportError;
use thiserror::Error;

use crate::Request;

/// A protocol ended without a result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A message did not go through.
    // Not transparent, so that it is found as the cause.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The dealer's link to a party failed.
    #[error("on the dealer's link to party {party}: {source}")]
    DealerLink {
        /// The party that the link is to.
        party: usize,
        /// The cause.
        source: TransportError,
    },
    /// A party's link to the dealer failed.
    #[error("on the link to the dealer: {source}")]
    LinkToDealer {
        /// The cause.
        source: TransportError,
    },
    /// Shares do not fit together.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A correlation was asked for that the plan has not got at this place.
    #[error("the plan's next correlation is {planned:?}, but {asked:?} was asked for: plan and execution differ")]
    PlanDiffers {
        /// The next correlation of the plan.
        planned: Box<Request>,
        /// The correlation that the protocol asked for.
        asked: Box<Request>,
    },
    /// A correlation was asked for after the last one of the plan.
    #[error("correlations ran dry: {asked:?} was asked for after the last one of the plan")]
    RanDry {
        /// The correlation that the protocol asked for.
        asked: Box<Request>,
    },
    /// The run ended with correlations left over.
    #[error("{count} correlations of the plan were left over at the end of the run")]
    LeftOver {
        /// How many requests were never asked for.
        count: usize,
    },
    /// A protocol was given a correlation made for another size.
    #[error("{protocol}: the correlation is for {correlation} {unit}, the operand has {operand}")]
    WrongCorrelation {
        /// The protocol.
        protocol: &'static str,
        /// The things that are counted.
        unit: &'static str,
        /// The size that the correlation was dealt for.
        correlation: usize,
        /// The size of the operand.
        operand: usize,
    },
    /// A parameter is outside what a protocol supports.
    #[error("{protocol}: {parameter} = {value} is not supported: {allowed}")]
    Parameter {
        /// The protocol.
        protocol: &'static str,
        /// The parameter's name.
        parameter: &'static str,
        /// The value that was given.
        value: u64,
        /// The values that are supported.
        allowed: &'static str,
    },
    /// The dealer was asked for a correlation on a weight mask that was never set up.
    #[error("weight mask {mask} was not set up: {known} masks are known")]
    UnknownMask {
        /// The index asked for.
        mask: usize,
        /// How many masks there are.
        known: usize,
    },
    /// The parties' oblivious transfers failed.
    #[error(transparent)]
    ObliviousTransfer(mpc_ot::OtError),
    /// A linear layer cannot be encrypted, or a message of its encryption is wrong.
    #[error("a layer between two parties without a dealer{}: {source}", of_request(layer.as_deref()))]
    Encryption {
        /// The correlation, where the plan refuses it.
        layer: Option<Box<Request>>,
        /// The fault.
        source: mpc_he::HeError,
    },
    /// The parties cannot make a correlation of this kind without a dealer.
    #[error("two parties cannot make {request:?} without a dealer: add a dealer to the session")]
    NotMadeByParties {
        /// The correlation that was asked for.
        request: Box<Request>,
    },
    /// The dealer has dealt something else than its seed stands for.
    #[error(
        "the dealer has dealt wrongly: inference {place} of those that it committed to is not what follows from its seed"
    )]
    WronglyDealt {
        /// Which of the sessions that it committed to.
        place: u32,
    },
    /// A party departed from the draw of what is audited.
    #[error("party {party} departed from the joint draw of what is audited")]
    Draw {
        /// The party.
        party: usize,
    },
    /// The operand of a protocol has the wrong number of elements.
    #[error("{protocol}: expected {expected} elements, got {got}")]
    OperandLength {
        /// The protocol.
        protocol: &'static str,
        /// The number expected.
        expected: usize,
        /// The number given.
        got: usize,
    },
}

/// A request in brackets.
fn of_request(request: Option<&Request>) -> String {
    request.map_or(String::new(), |request| format!(" ({request:?})"))
}

/// Checks an operand's number of elements.
pub(crate) fn check_len(protocol: &'static str, expected: usize, got: usize) -> Result<(), ProtocolError> {
    if expected == got { Ok(()) } else { Err(ProtocolError::OperandLength { protocol, expected, got }) }
}

/// Checks the size that a correlation was dealt for.
pub(crate) fn check_correlation(
    protocol: &'static str,
    unit: &'static str,
    correlation: usize,
    operand: usize,
) -> Result<(), ProtocolError> {
    if correlation == operand {
        Ok(())
    } else {
        Err(ProtocolError::WrongCorrelation { protocol, unit, correlation, operand })
    }
}
