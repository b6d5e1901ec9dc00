//! The facts that every operation and every step states about itself.

use alloc::vec::Vec;

use mpc_protocols::maximum::Grouping;
use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;
use ndarray::ArrayD;

use super::needs::{Material, Needs};
use super::values::{Failure, Operands};
use crate::clear::node::Clear;
use crate::graph::{GraphBuilder, GraphError, Node, NodeId, ParameterKind};
use crate::plan::format::Format;
use crate::plan::settings::{PlanError, Settings};
use crate::plan::step::{Action, Step};
use crate::plan::walk::Walk;
use crate::run::context::{Ideal, Run};

/// An operation of a graph.
pub(crate) trait Operation {
    /// Adds a node of somebody else's graph again, by the builder's method, which checks it.
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError>;

    /// The part before the point in the names of its parameters, if that is not the node's name.
    fn tied(&self) -> Option<&str> {
        None
    }

    /// Its parameters and their shapes.
    fn parameters(&self, node: &Node) -> Vec<(ParameterKind, Vec<usize>)> {
        let _ = node;
        Vec::new()
    }

    /// How much there is to compute, for the limits of a graph from somebody else; `input` is the shape of the first input.
    fn work(&self, node: &Node, input: &[usize]) -> Work;

    /// Whether it compares elements of its first input with each other.
    fn compares_elements(&self) -> bool {
        false
    }

    /// Whether it takes numbers with fewer fractional bits than f, such as whole ones; others get them with f.
    fn takes_whole(&self) -> bool {
        false
    }

    /// The value in floating point.
    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32>;

    /// The action that carries it out, and the format of its value.
    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError>;
}

/// How much a node computes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Work {
    /// Multiplications by a weight.
    pub(crate) multiplications: u64,
    /// Products of two values.
    pub(crate) products: u64,
    /// Elements that are compared or go through a function.
    pub(crate) comparisons: u64,
}

impl Work {
    /// For an operation that only moves, adds or scales.
    pub(super) const LINEAR: Self = Self { multiplications: 0, products: 0, comparisons: 0 };

    pub(super) fn multiplications(multiplications: u64) -> Self {
        Self { multiplications, ..Self::LINEAR }
    }

    pub(super) fn products(products: u64) -> Self {
        Self { products, ..Self::LINEAR }
    }

    pub(super) fn comparisons(comparisons: u64) -> Self {
        Self { comparisons, ..Self::LINEAR }
    }
}

/// A step of a plan: its costs, which all are to be said, and how it runs.
pub(crate) trait Protocol {
    /// The kind of layer, for tables.
    fn kind(&self) -> &'static str;

    /// The correlations that it takes for `elements` elements of its result: planned and drawn by this alone.
    fn needs(&self, elements: usize) -> Needs;

    /// The low bits of an operand that `step.width` bits of the result are made of, whatever the bits above are; of the node's
    /// own value for a step that changes it in place.
    fn reads<R: Ring>(&self, step: &Step, operand: usize) -> u32;

    /// Whether it takes its node's own value, and no other.
    fn in_place(&self) -> bool {
        false
    }

    /// The bits that its correlations have for a result of which `result` bits are read.
    fn width(&self, result: u32) -> u32 {
        result
    }

    /// The traffic of party `party`, for a result of which `width` bits are read.
    fn online<R: Ring>(&self, elements: usize, width: u32, settings: &Settings, party: usize) -> Traffic;

    /// The elements that it works with besides its operands, its result and its correlations.
    fn workspace(&self, operands: usize, elements: usize) -> usize;

    /// One party's run. The result has the shape of the step.
    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure>;

    /// The elements that a run without errors of its own gives.
    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, step: &Step) -> Result<Vec<R>, Failure>;
}

/// The workspace of a step that opens its operand under a mask: the opened elements, twice, and their bits.
pub(super) fn opening(operands: usize, elements: usize) -> usize {
    4 * operands.max(elements)
}

/// The workspace of a tournament for each of its candidates: of pairs halves are compared, and of groups all differences.
pub(super) fn tournament_workspace(grouping: Grouping) -> usize {
    match grouping {
        Grouping::Two => 4,
        Grouping::Four => 6,
    }
}

/// A step that each party does on its shares alone: it is linear, so it needs no message and no correlation.
pub(crate) trait Local {
    /// The kind of layer, for tables.
    const KIND: &'static str;

    /// The bits by which an operand is shifted left before it is used. Nothing is ever shifted right here, so that no bit of
    /// the result comes from a higher one of an operand.
    fn shift(&self, operand: usize) -> u32 {
        let _ = operand;
        0
    }

    /// The result at one party, in `shape`.
    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure>;
}

impl<A: Local> Protocol for A {
    fn kind(&self) -> &'static str {
        A::KIND
    }

    fn reads<R: Ring>(&self, step: &Step, operand: usize) -> u32 {
        step.width.saturating_sub(self.shift(operand))
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Nothing
    }

    fn online<R: Ring>(&self, _elements: usize, _width: u32, _settings: &Settings, _party: usize) -> Traffic {
        Traffic::default()
    }

    fn workspace(&self, operands: usize, elements: usize) -> usize {
        2 * operands.max(elements)
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        _material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let values = run.values.operands(step)?;
        self.apply(&Operands { values, constants: run.constants, party: run.party.index() }, &step.shape)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, step: &Step) -> Result<Vec<R>, Failure> {
        Ok(self.apply(&ideal.operands, &step.shape)?.into_elements())
    }
}
