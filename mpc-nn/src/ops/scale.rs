//! x·factor with a public factor.

use super::prelude::*;
use super::tensors::copy;
use crate::plan::format::{Index, Integers};

impl GraphBuilder {
    /// x·factor with a public factor.
    ///
    /// # Errors
    /// A factor that is not finite or larger than 2^15 in magnitude; a name that is taken.
    pub fn scale(&mut self, name: &str, input: NodeId, factor: f32) -> Result<NodeId, GraphError> {
        shape::check_coefficients(name, &[factor])?;
        self.elementwise(name, input, Op::Scale { factor })
    }
}

pub(super) struct Scale(pub(super) f32);

impl Operation for Scale {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.scale(node.name(), node.input(0), self.0)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0) * self.0
    }

    /// Of an index only the sign may change.
    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let input = node.inputs()[0];
        if let (Format::Index(index @ Index { origin, step, .. }), -1.0) = (walk.format(input), self.0) {
            return Ok((Action::Reshape, Format::Index(Index { origin: -origin, step: -step, ..index })));
        }
        let Integers { bits, integers } = walk.public_factors(input, &[f64::from(self.0)])?;
        Ok((Action::Scale { factor: integers[0] }, walk.number(input)?.finer(bits).into()))
    }
}

pub(super) struct ScaleStep(pub(super) i64);

impl Local for ScaleStep {
    const KIND: &'static str = "scale";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, _shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        Ok(copy(x.get(0)?).scale(R::from_i128(self.0.into())))
    }
}

/// The product of the node's value in place, for a divisor that is pending.
pub(super) struct RescaleStep(pub(super) i64);

impl Protocol for RescaleStep {
    fn kind(&self) -> &'static str {
        ScaleStep::KIND
    }

    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        step.width
    }

    fn in_place(&self) -> bool {
        true
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
        Ok(run.values.take(step)?.scale(R::from_i128(self.0.into())))
    }

    fn ideal<R: Ring>(&self, mut ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(ideal.take()?.scale(R::from_i128(self.0.into())).into_elements())
    }
}
