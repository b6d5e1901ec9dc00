//! Why a private inference ended without a result.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use mpc_protocols::ProtocolError;
use mpc_ring::RangeError;
use mpc_transport::{RecordingError, TransportError};

use crate::clear::EvaluateError;
use crate::encoding::EncodingError;
use crate::ops::values::Failure;
use crate::plan::Step;

/// A private inference ended without a result; nothing partial is given out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// A step failed.
    #[error("step `{step}`: {source}")]
    Step {
        /// The step's name in the plan.
        step: String,
        /// The cause.
        source: ProtocolError,
    },
    /// The link between a party and the dealer failed.
    #[error("step `{step}`, on the link to {peer}: {source}")]
    Link {
        /// The step's name in the plan.
        step: String,
        /// The other end.
        peer: String,
        /// The cause.
        source: Box<TransportError>,
    },
    /// An input does not fit the graph.
    #[error(transparent)]
    Input(#[from] EvaluateError),
    /// A number does not fit the fixed point.
    #[error("`{tensor}`: {source}; use fewer fractional bits or rescale the model")]
    Range {
        /// The tensor.
        tensor: String,
        /// The reason.
        source: RangeError,
    },
    /// An input is outside the range that the plan was made for.
    #[error("input `{input}`, element {index}: its magnitude is not below {bound}, which the plan was made for")]
    Bound {
        /// The input.
        input: String,
        /// The first such element, in row-major order.
        index: usize,
        /// 2^{k−2−f}.
        bound: f64,
    },
    /// A value that is computed of these inputs alone is outside the range that the plan was made for.
    #[error(
        "these inputs make the output of `{node}` reach {bound}, but private values must stay below that in magnitude; take a \
         larger k, or give smaller inputs"
    )]
    Reach {
        /// The node.
        node: String,
        /// 2^{k−2−f}, or the node's own bound.
        bound: f64,
    },
    /// Values that are computed of these inputs alone, and compared with each other, lie too far apart.
    #[error(
        "these inputs make `{node}` compare values that differ by {bound} or more, but private values must differ by less; take a \
         larger k, or give smaller inputs"
    )]
    Spread {
        /// The node that compares them.
        node: String,
        /// 2^{k−2−f}.
        bound: f64,
    },
    /// A result that no run within the plan's range has: some value inside the network left it.
    #[error(
        "output `{output}`, element {index}: its magnitude is not below {bound}, which the plan was made for, so nothing \
         of the result can be trusted; take a larger k, normalise the inputs or rescale the weights"
    )]
    OutputBound {
        /// The output.
        output: String,
        /// The first such element, in row-major order.
        index: usize,
        /// 2^{k−2−f}.
        bound: f64,
    },
    /// An index that no run without a fault gives: some value inside the network left the plan's range, or a party did not
    /// follow the protocol.
    #[error(
        "output `{output}`, element {index}: the revealed index is none of the {count} that there are, so nothing of the \
         result can be trusted; take a larger k, normalise the inputs or rescale the weights, and ask the other parties \
         whether they use the weights of this model"
    )]
    IndexRange {
        /// The output.
        output: String,
        /// The first such element, in row-major order.
        index: usize,
        /// The number of indices.
        count: u64,
    },
    /// The model owner gave no weights, or not those of the plan's graph.
    #[error("the model owner has no tensor `{tensor}` with {expected} elements; load the weights of this model")]
    Weights {
        /// The tensor.
        tensor: String,
        /// Its number of elements.
        expected: usize,
    },
    /// Kept or received bytes are not what they should be, or of another plan.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The weights or inputs that were given do not fit this party's role in the plan.
    #[error("{reason}")]
    Role {
        /// The part that does not fit, and what would.
        reason: &'static str,
    },
    /// Not as many shares of the outputs as parties.
    #[error("there are {found} shares of the outputs, and one from each of {expected} parties is needed")]
    ShareCount {
        /// The number of parties.
        expected: usize,
        /// The number of shares.
        found: usize,
    },
    /// A party's share of the outputs is missing, another's is there twice.
    #[error("there is no share of the outputs from party {party}; one from each party is needed")]
    MissingShare {
        /// The first party without one.
        party: usize,
    },
    /// A value that a step takes was never made: plan and execution differ.
    #[error("step `{step}` takes a value that is not there: plan and execution differ")]
    NoValue {
        /// The step's name in the plan.
        step: String,
    },
}

impl InferenceError {
    /// The place of the inference that a dealer was found to have dealt wrongly, if that is the cause.
    #[must_use]
    pub fn wrongly_dealt(&self) -> Option<u32> {
        match self {
            Self::Step { source: ProtocolError::WronglyDealt { place }, .. } => Some(*place),
            _ => None,
        }
    }

    /// A failure of what a party does in `step` over its link to the dealer.
    pub(crate) fn over_dealer_link(step: &str, source: ProtocolError) -> Self {
        let step = step.into();
        match source {
            ProtocolError::Transport(source) | ProtocolError::LinkToDealer { source } => {
                Self::Link { step, peer: "the dealer".into(), source: source.into() }
            }
            source => Self::Step { step, source },
        }
    }

    /// A failure of what a party does in `step` over its link for correlations to the other of two.
    pub(crate) fn over_preparing_link(step: &str, source: ProtocolError) -> Self {
        let step = step.into();
        match source {
            ProtocolError::Transport(source) => {
                Self::Link { step, peer: "the other party, for correlations".into(), source: source.into() }
            }
            source => Self::Step { step, source },
        }
    }

    /// A failure of what was recorded of the dealer's link.
    pub(crate) fn recording(step: &str, source: RecordingError) -> Self {
        Self::over_dealer_link(step, TransportError::Recording { source }.into())
    }

    /// A failure of what the dealer does in `step` over its link to a party.
    pub(crate) fn over_party_link(step: &str, source: ProtocolError) -> Self {
        let step = step.into();
        match source {
            ProtocolError::DealerLink { party, source } => {
                Self::Link { step, peer: format!("party {party}"), source: source.into() }
            }
            source => Self::Step { step, source },
        }
    }
}

impl Failure {
    /// The failure of this step.
    pub(crate) fn in_step(self, step: &Step) -> InferenceError {
        let step = step.name.clone();
        match self {
            Self::NoValue => InferenceError::NoValue { step },
            Self::Protocol(source) => InferenceError::Step { step, source },
        }
    }
}
