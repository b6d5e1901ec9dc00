//! The largest elements along the last axis in falling order: ranked once, then their values and their indices.

use alloc::format;

use mpc_protocols::sign::SignParameters;
use mpc_protocols::sort;
use mpc_protocols::truncation::{self, LiftShape, truncate};
use ndarray::{ArrayView1, Axis};

use super::indexed;
use super::prelude::*;
use super::tensors::{from_elements, map};
use crate::plan::format::Index;

impl GraphBuilder {
    /// The `count` largest elements along the last axis in falling order, the first of equal ones in front, and their
    /// indices: [.., n] → [.., count] each. The index is only revealed, as an output.
    ///
    /// Adds three nodes: `{name}/rank`, `{name}/values`, `{name}/indices`.
    ///
    /// # Errors
    /// A `count` of 0 or beyond the last axis; names that are taken.
    pub fn top_k(&mut self, name: &str, input: NodeId, count: usize) -> Result<[NodeId; 2], GraphError> {
        let rank = self.rank(&format!("{name}/rank"), input, count)?;
        let values = self.ranked(&format!("{name}/values"), Op::RankedValue, rank, input)?;
        Ok([values, self.ranked(&format!("{name}/indices"), Op::RankedIndex, rank, input)?])
    }

    fn rank(&mut self, name: &str, input: NodeId, count: usize) -> Result<NodeId, GraphError> {
        let mut shape = self.shape_for(name, input)?.to_vec();
        let axis = shape.len() - 1;
        if count == 0 || count > shape[axis] {
            return Err(GraphError::Bounds { name: name.to_owned(), axis, shape });
        }
        shape[axis] = count;
        self.push(name, Op::Rank { count }, vec![input], shape)
    }

    fn ranked(&mut self, name: &str, op: Op, rank: NodeId, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, rank)?.to_vec();
        let node = self.node(rank);
        if !matches!(node.op(), Op::Rank { .. }) || node.inputs() != [input] {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: vec![] });
        }
        self.push(name, op, vec![rank, input], shape)
    }
}

/// The largest elements, each together with its index.
pub(super) struct Rank {
    pub(super) count: usize,
}

impl Operation for Rank {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.rank(node.name(), node.input(0), self.count)
    }

    /// A sorting network has less than one comparison of each element for each layer.
    fn work(&self, _node: &Node, input: &[usize]) -> Work {
        let levels = u64::from(input.last().map_or(1, |row| row.next_power_of_two()).ilog2());
        let elements = input.iter().product::<usize>() as u64;
        Work::comparisons(elements.saturating_mul(levels * (levels + 1) / 2))
    }

    fn compares_elements(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        ranked(x.input(0), x.shape(), |_, x| x)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (count, index, parameters) = indexed::plan(walk, node)?;
        let rows = walk.graph.node(node.inputs()[0]).len() / count;
        Ok((Action::Rank { count, rows, index_bits: index.bits, parameters }, Format::Ranked(index)))
    }
}

/// The values of a rank.
pub(super) struct RankedValue;

impl Operation for RankedValue {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.ranked(node.name(), Op::RankedValue, node.input(0), node.input(1))
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        ranked(x.input(1), x.shape(), |_, x| x)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let Index { bits: shift, .. } = index(walk, node)?;
        let bits = walk.bits(walk.graph.node(node.inputs()[1]), 0)?;
        let action = if shift == 0 { Action::Reshape } else { Action::WithoutIndex { shift, bits } };
        Ok((action, walk.single()))
    }
}

/// The indices of a rank.
pub(super) struct RankedIndex;

impl Operation for RankedIndex {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.ranked(node.name(), Op::RankedIndex, node.input(0), node.input(1))
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        ranked(x.input(1), x.shape(), |index, _| index as f32)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        Ok((Action::Reshape, Format::Index(index(walk, node)?)))
    }
}

/// The results of `of` on index and element of the largest elements along the last axis, the first of equal ones in
/// front.
fn ranked(input: &ArrayD<f32>, shape: &[usize], of: impl Fn(usize, f32) -> f32) -> ArrayD<f32> {
    let axis = input.ndim() - 1;
    let rank = |lane: ArrayView1<'_, f32>| {
        let mut places: Vec<usize> = (0..lane.len()).collect();
        // A sum with 0 makes equal of both zeros.
        places.sort_by(|&i, &j| (lane[j] + 0.0).total_cmp(&(lane[i] + 0.0)));
        places.truncate(shape[axis]);
        places.into_iter().map(|place| of(place, lane[place])).collect::<Vec<_>>()
    };
    from_elements(shape, input.lanes(Axis(axis)).into_iter().flat_map(rank).collect())
}

/// The index that a rank has below its values.
fn index<R: Ring>(walk: &Walk<'_, R>, node: &Node) -> Result<Index, PlanError> {
    match walk.format(node.inputs()[0]) {
        Format::Ranked(index) => Ok(index),
        Format::Number(_) | Format::Index(_) => Err(unsupported(node, "what it takes is not ranked")),
    }
}

pub(super) struct RankStep {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) index_bits: u32,
    pub(super) parameters: SignParameters,
}

impl RankStep {
    /// For each position along the last axis, its elements with their index.
    fn candidates<R: Ring>(&self, x: &ArithmeticShares<R>, party: usize) -> Result<Vec<ArithmeticShares<R>>, Failure> {
        indexed::candidates(x, self.count, self.index_bits, party, &[self.rows])
    }
}

impl Protocol for RankStep {
    fn kind(&self) -> &'static str {
        "sort"
    }

    /// Its values are compared with the index below them, and carried on as they are.
    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        self.width(step.width) - self.index_bits
    }

    fn width(&self, result: u32) -> u32 {
        result.max(self.parameters.bits())
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Comparisons(sort::shapes(self.count, self.rows, self.parameters))
    }

    fn online<R: Ring>(&self, _elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        sort::traffic(self.count, self.rows, self.parameters, settings.parties)
    }

    fn workspace(&self, operands: usize, _elements: usize) -> usize {
        4 * operands
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Comparisons(masks) = material else { return Err(Failure::NoValue) };
        let candidates = self.candidates(run.values.operand(step, 0)?, run.party.index())?;
        let sorted = sort::sort(run.party, candidates, masks).await?;
        // The first tensors of the sort, one behind the other along the last axis.
        let kept = step.shape.last().copied().unwrap_or_default().min(sorted.len());
        let row = |row: usize| sorted[..kept].iter().map(move |tensor| tensor.elements()[row]);
        Ok(ArithmeticShares::new(&step.shape, (0..self.rows).flat_map(row).collect())?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, step: &Step) -> Result<Vec<R>, Failure> {
        let candidates = self.candidates(ideal.operands.get(0)?, 0)?;
        let kept = step.shape.last().copied().unwrap_or_default();
        let row = |row: usize| {
            let mut elements: Vec<i128> = candidates.iter().map(|c| c.elements()[row].to_i128()).collect();
            elements.sort_unstable_by(|x, y| y.cmp(x));
            elements.into_iter().take(kept).map(R::from_i128)
        };
        Ok((0..self.rows).flat_map(row).collect())
    }
}

/// The values of a rank, which is truncated by the bits of its index.
pub(super) struct WithoutIndexStep {
    pub(super) shift: u32,
    pub(super) bits: u32,
}

impl Protocol for WithoutIndexStep {
    fn kind(&self) -> &'static str {
        "sort"
    }

    fn reads<R: Ring>(&self, _step: &Step, _operand: usize) -> u32 {
        self.bits + self.shift
    }

    fn needs(&self, elements: usize) -> Needs {
        Needs::Lift(LiftShape { len: elements, bits: self.bits })
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        truncation::traffic(LiftShape { len: elements, bits: self.bits }, settings.parties)
    }

    fn workspace(&self, operands: usize, elements: usize) -> usize {
        opening(operands, elements)
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Lift(mask) = material else { return Err(Failure::NoValue) };
        Ok(truncate(run.party, run.values.operand(step, 0)?, self.shift, mask).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(map(ideal.elements(0)?, |x| x >> self.shift))
    }
}
