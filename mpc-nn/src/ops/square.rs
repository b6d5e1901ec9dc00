//! x², element by element.

use mpc_protocols::{beaver, open};

use super::prelude::*;

impl GraphBuilder {
    /// x² for each element.
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn square(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        self.elementwise(name, input, Op::Square)
    }
}

pub(super) struct Square;

impl Operation for Square {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.square(node.name(), node.input(0))
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::products(node.len() as u64)
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).mapv(|x| x * x)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let Number { scale, .. } = walk.need_squared(node.inputs()[0])?;
        Ok((Action::Square, Number { scale: 2 * scale, divisor: 1.0 }.into()))
    }
}

pub(super) struct SquareStep;

impl Protocol for SquareStep {
    fn kind(&self) -> &'static str {
        "product"
    }

    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        step.width
    }

    fn needs(&self, elements: usize) -> Needs {
        Needs::Squares(elements)
    }

    fn online<R: Ring>(&self, elements: usize, width: u32, settings: &Settings, _party: usize) -> Traffic {
        open::traffic(elements, width, settings.parties)
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
        let Material::Squares(pair) = material else { return Err(Failure::NoValue) };
        Ok(beaver::square(run.party, run.values.operand(step, 0)?, pair).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(ideal.elements(0)?.iter().map(|x| x.wrapping_mul(*x)).collect())
    }
}
