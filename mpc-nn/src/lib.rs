#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod graph;

pub use graph::{
    ConvolutionOptions, Graph, GraphBuilder, GraphError, Node, NodeId, Op, Parameter, ParameterKind, Pool,
};
