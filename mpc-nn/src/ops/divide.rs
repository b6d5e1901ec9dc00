//! The quotient of two secret tensors.

use alloc::boxed::Box;
use alloc::string::ToString;

use mpc_protocols::function::{Dividends, Function, FunctionPlan, FunctionShape};
use mpc_ring::FixedPoint;

use super::function::fewest_bits;
use super::multiply::by_blocks;
use super::prelude::*;
use super::truncate::truncated;

impl GraphBuilder {
    /// The quotient of two tensors. The second has the shape of the first, or fewer elements: then element j of it divides the
    /// j-th of equal blocks of the first, as if trailing axes of size 1 were repeated.
    ///
    /// Where no divisor is below 0, `positive` halves the cost. Division by 0 gives 0 privately.
    ///
    /// # Errors
    /// Shapes that do not fit together; a name that is taken.
    pub fn divide(
        &mut self,
        name: &str,
        dividend: NodeId,
        divisor: NodeId,
        positive: bool,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape_in_blocks(name, dividend, divisor)?;
        self.push(name, Op::Divide { positive }, vec![dividend, divisor], shape)
    }
}

pub(super) struct Divide {
    pub(super) positive: bool,
}

impl Operation for Divide {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.divide(node.name(), node.input(0), node.input(1), self.positive)
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        let len = node.len() as u64;
        Work { products: 2 * len, ..Work::comparisons(len) }
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        by_blocks(x, |x, y| x / y)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let (dividend, divisor) = (node.inputs()[0], node.inputs()[1]);
        walk.need_plain(dividend)?;
        let settings = walk.settings;
        let fractional_bits = settings.fractional_bits;
        let shift = walk.need_undivided(divisor)?.scale - fractional_bits;
        let function = if self.positive { Function::PositiveReciprocal } else { Function::Reciprocal };
        let len = walk.graph.node(divisor).len();
        // Divisors of both signs are compared in one bit more, if the ring has it, so that they may be as large as other values.
        let more = u32::from(!self.positive);
        let in_bits = |bits: u32, more: u32| {
            let dividends = Some(Dividends { len: node.len(), bits });
            let parameters = settings.comparison(bits + more).map_err(|error| error.to_string())?;
            let argument = None;
            walk.function(FunctionShape { function, len, fractional_bits, shift, parameters, argument, dividends })
        };
        let planned = |bits: u32| in_bits(bits, more).or_else(|_| in_bits(bits, 0));
        let default = planned(settings.comparison_bits).map_err(|reason| unsupported(node, &reason))?;
        let least = walk.bits(walk.graph.node(dividend), 0)?;
        let plan = fewest_bits(walk, node, divisor, least, &default, planned)?.unwrap_or(default);
        Ok((Action::Divide(plan), walk.single()))
    }
}

/// The quotient is truncated by its last product.
pub(super) struct DivideStep<'a>(pub(super) &'a FunctionPlan);

impl Protocol for DivideStep<'_> {
    fn kind(&self) -> &'static str {
        "quotient"
    }

    /// Of a dividend the bits of its product, of a divisor what its comparisons bring into k bits.
    fn reads<R: Ring>(&self, _step: &Step, operand: usize) -> u32 {
        let shape = self.0.shape();
        if operand == 0 { self.0.dividend_bits() } else { shape.parameters.bits() + shape.shift }
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Function(Box::new(self.0.clone()))
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
        let (x, y) = (run.values.operand(step, 0)?, run.values.operand(step, 1)?);
        Ok(self.0.divide(run.party, x, y, *material).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        let shape = self.0.shape();
        let fixed = FixedPoint::new(shape.fractional_bits);
        let (x, y) = (ideal.elements(0)?, ideal.elements(1)?);
        let block = x.len() / y.len();
        let unit = shape.unit();
        let divide = |(place, &x): (usize, &R)| {
            let divisor = truncated(y[place / block].to_i128(), shape.shift) as f64 * unit;
            fixed.encode(fixed.decode(x) / divisor).unwrap_or(R::ZERO)
        };
        Ok(x.iter().enumerate().map(divide).collect())
    }
}
