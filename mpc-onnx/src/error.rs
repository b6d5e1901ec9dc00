//! Why a file is not read, and why a network is not imported.

use std::fmt;

use mpc_nn::file::FileError;
use mpc_nn::{GraphError, WeightsError};

/// Why a file is not an ONNX model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A file that cannot be read or is too large.
    #[error(transparent)]
    File(#[from] FileError),
    /// Bytes that are not a complete model.
    #[error("not a complete ONNX model: {reason}; export it again")]
    Format {
        /// The fault.
        reason: String,
    },
    /// A model without a graph.
    #[error("the ONNX file has no graph; export the model again")]
    NoGraph,
}

/// Why a network cannot be imported: all reasons that were found, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportError {
    /// The reasons, in the order of the nodes.
    pub reasons: Vec<Reason>,
}

impl fmt::Display for ImportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reasons.as_slice() {
            [reason] => write!(formatter, "the network cannot be imported: {reason}"),
            reasons => {
                write!(formatter, "the network cannot be imported for {} reasons:", reasons.len())?;
                reasons.iter().try_for_each(|reason| write!(formatter, "\n  {reason}"))
            }
        }
    }
}

impl core::error::Error for ImportError {}

impl From<Reason> for ImportError {
    fn from(reason: Reason) -> Self {
        Self { reasons: [reason].into() }
    }
}

impl From<OnnxError> for ImportError {
    fn from(error: OnnxError) -> Self {
        Reason::File(error).into()
    }
}

/// One reason why a network cannot be imported. No message contains a weight.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file.
    #[error(transparent)]
    File(#[from] OnnxError),
    /// A version of the operators that is not known here.
    #[error("the model uses opset {found}, but opsets {first} to {last} are known; export it with one of these")]
    Opset {
        /// The file's opset, 0 if it names none.
        found: i64,
        /// The first known.
        first: i64,
        /// The last known.
        last: i64,
    },
    /// An operator that cannot be computed privately, or not with these operands.
    #[error("node `{node}` ({operator}) is not supported: {hint}")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// The advice on it.
        hint: String,
    },
    /// A node that contradicts its operator's definition.
    #[error("node `{node}` ({operator}) is not valid: {reason}; export the model again")]
    Invalid {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// The fault.
        reason: String,
    },
    /// A node whose tensors do not fit a graph.
    #[error("node `{node}` ({operator}): {source}")]
    Graph {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// The misfit.
        source: GraphError,
    },
    /// A constant that is NaN, infinite or too large where it is used.
    #[error(
        "node `{node}` ({operator}) uses a constant that is NaN, infinite or larger than {} in magnitude; \
         rescale the model",
        mpc_nn::weights::MAX_WEIGHT
    )]
    Range {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
    },
    /// A constant that cannot be read.
    #[error("constant `{name}`: {reason}")]
    Constant {
        /// The tensor.
        name: String,
        /// The fault.
        reason: String,
    },
    /// A value that no node, input or constant gives.
    #[error("`{reader}` reads `{name}`, which nothing gives; export the model again")]
    Missing {
        /// The value.
        name: String,
        /// The node that reads it, or "outputs".
        reader: String,
    },
    /// A value that two nodes, inputs or constants give.
    #[error("`{name}` is given twice; export the model again")]
    Duplicate {
        /// The value.
        name: String,
    },
    /// Nodes that wait for each other.
    #[error("node `{node}` depends on its own output; export the model again")]
    Cycle {
        /// A node of the cycle.
        node: String,
    },
    /// A shape that was given for something that is not an input.
    #[error("the model has no input `{name}`; its inputs are {inputs:?}")]
    UnknownInput {
        /// The name.
        name: String,
        /// The names of the inputs.
        inputs: Vec<String>,
    },
    /// An input of unknown or contradictory shape.
    #[error("input `{name}`: {reason}")]
    InputShape {
        /// The input.
        name: String,
        /// The fault.
        reason: String,
    },
    /// A model without private output.
    #[error("the outputs of the model depend on no input; there is nothing to compute")]
    NothingPrivate,
    /// More nodes or constants than a file of this size should need.
    #[error("node `{node}` needs too much memory: {reason}; use a smaller input or a simpler model")]
    Memory {
        /// The node.
        node: String,
        /// The reason.
        reason: String,
    },
    /// The finished graph or its weights.
    #[error("the imported graph: {0}")]
    Finish(GraphError),
    /// The weights of the finished graph.
    #[error("the imported weights: {0}")]
    Weights(#[from] WeightsError),
}

/// The problem with one node, without its name.
#[derive(Debug)]
pub(crate) enum Problem {
    Unsupported(String),
    Invalid(String),
    Graph(Box<GraphError>),
    Range,
    Memory(String),
    /// An input that is not there because its own node failed, which is reported already.
    Upstream,
    /// A constant that cannot be read.
    Constant(Box<Reason>),
    /// Reasons of an inlined subgraph.
    Many(Vec<Reason>),
}

impl From<GraphError> for Problem {
    fn from(error: GraphError) -> Self {
        Self::Graph(Box::new(error))
    }
}

impl Problem {
    pub(crate) fn reasons(self, node: &str, operator: &str) -> Vec<Reason> {
        let (node, operator) = (String::from(node), String::from(operator));
        let reason = match self {
            Self::Unsupported(hint) => Reason::Unsupported { node, operator, hint },
            Self::Invalid(reason) => Reason::Invalid { node, operator, reason },
            Self::Graph(source) => Reason::Graph { node, operator, source: *source },
            Self::Range => Reason::Range { node, operator },
            Self::Memory(reason) => Reason::Memory { node, reason },
            Self::Upstream => return Vec::new(),
            Self::Constant(reason) => *reason,
            Self::Many(reasons) => return reasons,
        };
        [reason].into()
    }
}

/// The result of a step of an import.
pub(crate) type Lowered<T> = Result<T, Problem>;

pub(crate) fn unsupported<T>(hint: impl Into<String>) -> Lowered<T> {
    Err(Problem::Unsupported(hint.into()))
}

pub(crate) fn invalid<T>(reason: impl Into<String>) -> Lowered<T> {
    Err(Problem::Invalid(reason.into()))
}
