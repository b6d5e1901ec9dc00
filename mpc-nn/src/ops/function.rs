//! A function of each element.

use alloc::string::ToString;

use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};
use mpc_ring::FixedPoint;

use super::prelude::*;
use super::truncate::truncated;

impl GraphBuilder {
    /// A function of each element.
    ///
    /// # Errors
    /// A parameter of the function that is NaN; a name that is taken.
    pub fn function(&mut self, name: &str, input: NodeId, function: Function) -> Result<NodeId, GraphError> {
        self.elementwise(name, input, Op::Function(function))
    }
}

pub(super) struct Elementwise(pub(super) Function);

impl Operation for Elementwise {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.function(node.name(), node.input(0), self.0)
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::comparisons(node.len() as u64)
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).mapv(|x| self.0.evaluate(f64::from(x)) as f32)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let fractional_bits = walk.settings.fractional_bits;
        let shift = walk.need_undivided(node.inputs()[0])?.scale - fractional_bits;
        let (function, len, parameters) = (self.0, node.len(), walk.parameters);
        let shape = FunctionShape { function, len, fractional_bits, shift, parameters };
        let plan = FunctionPlan::new::<R>(shape).map_err(|error| unsupported(node, &error.to_string()))?;
        Ok((Action::Function(plan), walk.single()))
    }
}

/// The function truncates by itself.
pub(super) struct FunctionStep<'a>(pub(super) &'a FunctionPlan);

impl Protocol for FunctionStep<'_> {
    fn kind(&self) -> &'static str {
        "function"
    }

    /// Only what its comparisons bring into k bits.
    fn reads<R: Ring>(&self, _step: &Step, _operand: usize) -> u32 {
        let shape = self.0.shape();
        shape.parameters.bits() + shape.shift
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Function(self.0.clone())
    }

    fn online<R: Ring>(&self, _elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        self.0.traffic(settings.parties)
    }

    fn workspace(&self, operands: usize, elements: usize) -> usize {
        16 * operands.max(elements)
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Function(material) = material else { return Err(Failure::NoValue) };
        Ok(self.0.apply(run.party, run.values.operand(step, 0)?, *material).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        let shape = self.0.shape();
        let fixed = FixedPoint::new(shape.fractional_bits);
        let apply = |&x: &R| {
            let argument = fixed.decode(R::from_i128(truncated(x.to_i128(), shape.shift)));
            fixed.encode(shape.function.evaluate(argument)).unwrap_or(R::ZERO)
        };
        Ok(ideal.elements(0)?.iter().map(apply).collect())
    }
}
