#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod clear;
mod decode;
pub mod delegation;
mod encoding;
mod error;
#[cfg(feature = "std")]
pub mod file;
pub mod graph;
pub mod ideal;
#[cfg(feature = "std")]
pub mod in_process;
#[cfg(all(debug_assertions, feature = "std", not(test)))]
#[doc(hidden)]
pub mod instances;
mod network;
mod ops;
pub mod plan;
pub mod recording;
pub mod run;
pub mod session;
mod values;
pub mod weights;

pub use clear::{EvaluateError, Ranges, evaluate, evaluate_with};
pub use decode::GraphLimits;
pub use delegation::{InputShare, ModelShare, OutputShare};
pub use encoding::{ENCODING_VERSION, EncodingError};
pub use error::InferenceError;
pub use graph::{
    Calibration, Channels, ConvolutionOptions, Graph, GraphBuilder, GraphError, Node, NodeId, Op, Parameter,
    ParameterKind, Pool,
};
pub use network::{Encoding, Network, NetworkInput, NetworkOutput, OneHot};
pub use plan::{
    Comparisons, Correlations, MAX_COMPARISON_BITS, Owner, Plan, PlanError, Preprocessing, Recipients, Roles, Settings,
    Step, Transfers, WeightKnowledge,
};
pub use recording::Recording;
pub use run::{Inference, Inputs, Model, ModelSource, Observer, Outputs, Prepared};
pub use session::{CorrelationMaker, DealerSession, NoDealer, Online, PartySession, Preparation, SessionOptions};
pub use values::range;
pub use weights::{Weights, WeightsError};
