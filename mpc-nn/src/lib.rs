#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod encoding;
mod error;
pub mod execute;
#[cfg(feature = "std")]
pub mod file;
pub mod graph;
pub mod ideal;
#[cfg(feature = "std")]
pub mod in_process;
mod local;
mod network;
pub mod outside;
pub mod plain;
pub mod plan;
pub mod recording;
pub mod session;
mod values;
pub mod weights;

pub use encoding::{ENCODING_VERSION, EncodingError};
pub use error::InferenceError;
pub use execute::{Inference, Inputs, Model, ModelSource, Observer, Outputs, Prepared, Preprocessing};
pub use graph::{
    Channels, ConvolutionOptions, Graph, GraphBuilder, GraphError, GraphLimits, Node, NodeId, Op, Parameter,
    ParameterKind, Pool,
};
pub use network::{Encoding, Network, NetworkInput, NetworkOutput};
pub use outside::{InputShare, ModelShare, OutputShare};
pub use plain::{EvaluateError, evaluate, evaluate_with};
pub use plan::{Owner, Plan, PlanError, Recipients, Roles, Settings, Step, WeightKnowledge};
pub use recording::Recording;
pub use session::{DealerSession, NoDealer, Online, PartySession, Preparation, SessionOptions};
pub use weights::{Weights, WeightsError};
