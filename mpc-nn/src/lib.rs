#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod error;
pub mod execute;
pub mod graph;
pub mod ideal;
#[cfg(feature = "std")]
pub mod in_process;
mod local;
pub mod plain;
pub mod plan;
pub mod session;
mod values;
pub mod weights;

pub use error::InferenceError;
pub use execute::{Inference, Model, Observer, Preprocessing};
pub use graph::{
    Channels, ConvolutionOptions, Graph, GraphBuilder, GraphError, Node, NodeId, Op, Parameter, ParameterKind, Pool,
};
pub use plain::{EvaluateError, evaluate, evaluate_with};
pub use plan::{Plan, PlanError, Roles, Settings, Step, WeightKnowledge};
pub use session::{DealerSession, PartySession};
pub use weights::{Weights, WeightsError};
