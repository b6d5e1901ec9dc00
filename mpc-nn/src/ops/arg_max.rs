//! The index of the largest element along the last axis, the first of equal ones.

use mpc_protocols::maximum::{Grouping, Tournament, maximum_of};
use mpc_protocols::sign::SignParameters;
use ndarray::{ArrayView1, Axis};

use super::indexed;
use super::prelude::*;
use super::tensors::{from_elements, largest};

impl GraphBuilder {
    /// The index of the largest element along the last axis, the first of equal ones: [.., n] → [.., 1].
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn arg_max(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?;
        let shape = shape::reduce(name, shape, &[shape.len() - 1])?;
        self.push(name, Op::ArgMax, vec![input], shape)
    }
}

pub(super) struct ArgMax;

impl Operation for ArgMax {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.arg_max(node.name(), node.input(0))
    }

    fn work(&self, _node: &Node, input: &[usize]) -> Work {
        Work::comparisons(input.iter().product::<usize>() as u64)
    }

    fn compares_elements(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let lanes = x.input(0).lanes(Axis(x.shape().len() - 1));
        let first_largest = |lane: ArrayView1<'_, f32>| {
            let larger = |best: usize, index: usize| if lane[index] > lane[best] { index } else { best };
            (0..lane.len()).fold(0, larger) as f32
        };
        from_elements(x.shape(), lanes.into_iter().map(first_largest).collect())
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (count, index, parameters) = indexed::plan(walk, node)?;
        let grouping = walk.settings.grouping();
        Ok((Action::ArgMax { count, index_bits: index.bits, parameters, grouping }, Format::Index(index)))
    }
}

pub(super) struct ArgMaxStep {
    pub(super) count: usize,
    pub(super) index_bits: u32,
    pub(super) parameters: SignParameters,
    pub(super) grouping: Grouping,
}

impl ArgMaxStep {
    fn tournament(&self, len: usize) -> Tournament {
        let Self { count: candidates, parameters, grouping, .. } = *self;
        Tournament { candidates, len, parameters, grouping }
    }
}

impl Protocol for ArgMaxStep {
    fn kind(&self) -> &'static str {
        "arg max"
    }

    /// Values are compared with the index below them.
    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        self.width(step.width) - self.index_bits
    }

    fn width(&self, result: u32) -> u32 {
        result.max(self.parameters.bits())
    }

    fn needs(&self, elements: usize) -> Needs {
        Needs::Maximum(self.tournament(elements))
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        self.tournament(elements).traffic(settings.parties)
    }

    fn workspace(&self, operands: usize, _elements: usize) -> usize {
        tournament_workspace(self.grouping) * operands
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Maximum(masks) = material else { return Err(Failure::NoValue) };
        let (x, party) = (run.values.operand(step, 0)?, run.party.index());
        let candidates = indexed::candidates(x, self.count, self.index_bits, party, &step.shape)?;
        Ok(maximum_of(run.party, candidates, masks).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, step: &Step) -> Result<Vec<R>, Failure> {
        let x = ideal.operands.get(0)?;
        Ok(largest(&indexed::candidates(x, self.count, self.index_bits, 0, &step.shape)?))
    }
}
