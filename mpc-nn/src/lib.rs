#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod graph;
pub mod plain;
mod values;
pub mod weights;

pub use graph::{
    ConvolutionOptions, Graph, GraphBuilder, GraphError, Node, NodeId, Op, Parameter, ParameterKind, Pool,
};
pub use plain::{EvaluateError, evaluate, evaluate_with};
pub use weights::{Weights, WeightsError};
