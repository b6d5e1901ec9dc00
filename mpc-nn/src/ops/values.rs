//! The values of a run so far, and what a step takes of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use mpc_protocols::ProtocolError;
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, ShareError};

use crate::graph::{Graph, NodeId};
use crate::plan::step::Step;

/// Why a step failed.
pub(crate) enum Failure {
    /// A value or a correlation that it takes is not there.
    NoValue,
    Protocol(ProtocolError),
}

impl From<ProtocolError> for Failure {
    fn from(source: ProtocolError) -> Self {
        Self::Protocol(source)
    }
}

impl From<ShareError> for Failure {
    fn from(source: ShareError) -> Self {
        Self::Protocol(source.into())
    }
}

/// The value of each node, from when it is made until its last reader is done.
pub(crate) struct Values<'a, R: Ring> {
    graph: &'a Graph,
    values: BTreeMap<NodeId, ArithmeticShares<R>>,
    /// Those of the run, for a way that others run beside.
    behind: Option<&'a Self>,
}

impl<'a, R: Ring> Values<'a, R> {
    pub(crate) fn new(graph: &'a Graph) -> Self {
        Self { graph, values: BTreeMap::new(), behind: None }
    }

    /// For one of several ways that run together: it reads these, has `values` to change in place, and keeps what it makes.
    pub(crate) fn beside<'b>(&'b self, values: BTreeMap<NodeId, ArithmeticShares<R>>) -> Values<'b, R> {
        Values { graph: self.graph, values, behind: Some(self) }
    }

    /// Takes in what such a way has made.
    pub(crate) fn take_in(&mut self, made: BTreeMap<NodeId, ArithmeticShares<R>>) {
        self.values.extend(made);
    }

    /// The values that such a way has made.
    pub(crate) fn into_made(self) -> BTreeMap<NodeId, ArithmeticShares<R>> {
        self.values
    }

    fn get(&self, node: NodeId) -> Option<&ArithmeticShares<R>> {
        self.values.get(&node).or_else(|| self.behind?.get(node))
    }

    /// The value of a step's input.
    pub(crate) fn operand(&self, step: &Step, at: usize) -> Result<&ArithmeticShares<R>, Failure> {
        self.get(self.graph.node(step.node).input(at)).ok_or(Failure::NoValue)
    }

    /// The values of all of a step's inputs.
    pub(crate) fn operands(&self, step: &Step) -> Result<Vec<&ArithmeticShares<R>>, Failure> {
        (0..self.graph.node(step.node).inputs().len()).map(|at| self.operand(step, at)).collect()
    }

    /// The value of a step's own node, for a step that changes it in place.
    pub(crate) fn take(&mut self, step: &Step) -> Result<ArithmeticShares<R>, Failure> {
        self.values.remove(&step.node).ok_or(Failure::NoValue)
    }

    /// Stores the value that a step gives.
    pub(crate) fn set(&mut self, step: &Step, value: ArithmeticShares<R>) {
        self.values.insert(step.node, value);
    }

    /// Drops the values that a step was the last to read.
    pub(crate) fn free(&mut self, step: &Step) {
        step.last_reads.iter().for_each(|node| drop(self.values.remove(node)));
    }
}

/// The operands of a step that sends no message.
pub(crate) struct Operands<'a, R: Ring> {
    /// The values of the inputs.
    pub(crate) values: Vec<&'a ArithmeticShares<R>>,
    /// The model's constants.
    pub(crate) constants: &'a [ArithmeticShares<R>],
    /// The party, of which one adds public numbers.
    pub(crate) party: usize,
}

impl<'a, R: Ring> Operands<'a, R> {
    pub(super) fn get(&self, at: usize) -> Result<&'a ArithmeticShares<R>, Failure> {
        self.values.get(at).copied().ok_or(Failure::NoValue)
    }

    pub(super) fn constant(&self, index: usize) -> Result<&'a ArithmeticShares<R>, Failure> {
        self.constants.get(index).ok_or(Failure::NoValue)
    }
}
