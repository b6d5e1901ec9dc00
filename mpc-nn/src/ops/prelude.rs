//! The names that every operation's file uses.

pub(super) use alloc::borrow::ToOwned;
pub(super) use alloc::vec;
pub(super) use alloc::vec::Vec;

pub(super) use mpc_ring::Ring;
pub(super) use mpc_shares::ArithmeticShares;
pub(super) use mpc_transport::Traffic;
pub(super) use ndarray::ArrayD;

pub(super) use super::needs::{Material, Needs};
pub(super) use super::operation::{Local, Operation, Protocol, Work, opening, tournament_workspace};
pub(super) use super::values::{Failure, Operands};
pub(super) use crate::clear::node::Clear;
pub(super) use crate::graph::{GraphBuilder, GraphError, Node, NodeId, Op, ParameterKind, shape};
pub(super) use crate::plan::format::{Format, Number};
pub(super) use crate::plan::settings::{PlanError, Settings};
pub(super) use crate::plan::step::{Action, Step};
pub(super) use crate::plan::walk::{Walk, unsupported};
pub(super) use crate::run::context::{Ideal, Run};
