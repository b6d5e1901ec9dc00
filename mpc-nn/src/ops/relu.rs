//! max(x, 0), element by element.

use mpc_protocols::relu::relu;
use mpc_protocols::sign::{self, SignParameters, SignShape};

use super::prelude::*;
use super::tensors::map;
use super::truncate::truncated;

impl GraphBuilder {
    /// max(x, 0) for each element.
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn relu(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        self.elementwise(name, input, Op::Relu)
    }
}

pub(super) struct Relu;

impl Operation for Relu {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.relu(node.name(), node.input(0))
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::comparisons(node.len() as u64)
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).mapv(|x| x.max(0.0))
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let shift = walk.need_undivided(node.inputs()[0])?.scale - walk.settings.fractional_bits;
        let parameters = walk.comparison(walk.graph.node(node.inputs()[0]), 0)?;
        Ok((Action::Relu { shift, parameters }, walk.single()))
    }
}

/// The ReLU truncates by itself.
pub(super) struct ReluStep {
    pub(super) shift: u32,
    pub(super) parameters: SignParameters,
}

impl Protocol for ReluStep {
    fn kind(&self) -> &'static str {
        "relu"
    }

    /// Only what its truncation brings into k bits.
    fn reads<R: Ring>(&self, _step: &Step, _operand: usize) -> u32 {
        self.parameters.bits() + self.shift
    }

    fn needs(&self, elements: usize) -> Needs {
        Needs::Comparison(SignShape { len: elements, parameters: self.parameters })
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        sign::traffic(SignShape { len: elements, parameters: self.parameters }, settings.parties)
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
        let Material::Comparison(mask) = material else { return Err(Failure::NoValue) };
        Ok(relu(run.party, run.values.operand(step, 0)?, self.shift, *mask).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(map(ideal.elements(0)?, |x| truncated(x, self.shift).max(0)))
    }
}
