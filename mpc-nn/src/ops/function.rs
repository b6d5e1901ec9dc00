//! A function of each element.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use mpc_protocols::function::{ArgumentShape, Function, FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;
use mpc_ring::FixedPoint;

use super::prelude::*;
use super::truncate::truncated;
use crate::plan::format::power_of_two;

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
        if let Some(planned) = self.of_squares(walk, node) {
            return Ok(planned);
        }
        let settings = walk.settings;
        // No value is beyond such limits.
        if let Function::Clip { low, high } = self.0
            && f64::from(-low).min(high.into()) >= settings.bound()
        {
            return Ok((Action::Reshape, walk.format(node.inputs()[0])));
        }
        let shift = walk.need_undivided(node.inputs()[0])?.scale - settings.fractional_bits;
        let in_bits = |bits: u32, finer: u32| {
            let parameters = settings.comparison(bits).map_err(|error| error.to_string())?;
            let unit = 1.0 / power_of_two(settings.fractional_bits);
            let own = ArgumentShape { unit, result_bits: settings.comparison_bits + finer };
            let (argument, fractional_bits) = ((finer > 0).then_some(own), settings.fractional_bits + finer);
            let (function, len, dividends) = (self.0, node.len(), None);
            walk.function(FunctionShape { function, len, fractional_bits, shift, parameters, argument, dividends })
        };
        // An argument of both signs is compared in one bit more, if the ring has it, so that it may be as large as other values.
        let more = u32::from(self.0 == Function::Reciprocal);
        let planned = |bits: u32, finer: u32| in_bits(bits + more, finer).or_else(|_| in_bits(bits, finer));
        let most = if self.0 == Function::ExpNonPositive { walk.finer_terms() } else { 0 };
        let finest = |finer| planned(settings.comparison_bits, finer).ok().map(|plan| (plan, finer));
        let (default, finer) = match (1..=most).rev().find_map(finest) {
            Some(found) => found,
            None => (planned(settings.comparison_bits, 0).map_err(|reason| unsupported(node, &reason))?, 0),
        };
        let planned = |bits: u32| planned(bits, finer);
        let plan = fewest_bits(walk, node, node.inputs()[0], 0, &default, planned)?.unwrap_or(default);
        let number = Number { scale: settings.fractional_bits + finer, divisor: 1.0 };
        Ok((Action::Function(plan), number.into()))
    }
}

impl Elementwise {
    /// A root of a mean of squares, whose argument no rounding has touched: it is compared in all bits that a comparison may
    /// have, so that it may be as small and as large as the squares of values are. Its result is finer in return.
    fn of_squares<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Option<(Action, Format)> {
        let is_root = matches!(self.0, Function::Sqrt | Function::Power { .. });
        let behind = squares_behind(walk, node.inputs()[0]).filter(|_| is_root)?;
        let Settings { fractional_bits, comparison_bits, .. } = walk.settings;
        let Number { scale, divisor } = walk.number(node.inputs()[0]).ok()?;
        let unit = |shift| power_of_two(shift) / power_of_two(scale) / divisor;
        let bits = |shift| SignParameters::MAX_BITS.min(R::BITS - shift);
        // A unit is the square of one of the values, or up to half of it, or larger where the bound of k bits needs that.
        let finest = scale.checked_sub(2 * fractional_bits)? + num_traits::Float::log2(divisor) as u32;
        let reaches = |&shift: &u32| power_of_two(bits(shift).saturating_sub(2)) * unit(shift) >= walk.settings.bound();
        let shift = (finest..R::BITS).find(reaches)?;
        let (parameters, unit) = (walk.settings.comparison(bits(shift)).ok()?, unit(shift));
        let planned = |finer| {
            let argument = Some(ArgumentShape { unit, result_bits: comparison_bits + finer });
            let fractional_bits = fractional_bits + finer;
            let (function, len, dividends) = (self.0, node.len(), None);
            walk.function(FunctionShape { function, len, fractional_bits, shift, parameters, argument, dividends })
        };
        let plan = (0..=walk.finer_result()).rev().find_map(|finer| planned(finer).ok())?;
        let (_, largest) = plan.range();
        let len = walk.graph.node(node.inputs()[0]).len();
        for id in behind {
            // A single square is as large as their sum at most.
            let times = walk.graph.node(id).len() as f64 / len as f64;
            walk.set_bound(id, largest * times);
        }
        let number = Number { scale: plan.shape().fractional_bits, divisor: 1.0 };
        Some((Action::Function(plan), number.into()))
    }
}

/// The plan with the fewest bits that is as right as `default`, for all that a calibration lets the argument and the result of a
/// node be, but not fewer bits than what is beside them needs.
pub(super) fn fewest_bits<R: Ring>(
    walk: &Walk<'_, R>,
    node: &Node,
    argument: NodeId,
    beside: u32,
    default: &FunctionPlan,
    planned: impl Fn(u32) -> Result<FunctionPlan, String>,
) -> Result<Option<FunctionPlan>, PlanError> {
    let argument = walk.graph.node(argument);
    let least = walk.bits(argument, 0)?.max(walk.bits(node, 0)?).max(beside);
    if least >= walk.settings.comparison_bits {
        return Ok(None);
    }
    let bound = argument.bound().unwrap_or(f64::INFINITY);
    let errors = default.error_bound(walk.settings.parties).ok();
    let is_enough = |plan: &FunctionPlan| {
        let (low, high) = plan.range();
        let own = plan.error_bound(walk.settings.parties).ok();
        let as_right = own.zip(errors).is_some_and(|(own, all)| own.is_within(&all));
        low <= -bound && bound <= high && as_right
    };
    Ok((least..walk.settings.comparison_bits).filter_map(|bits| planned(bits).ok()).find(is_enough))
}

/// The nodes from a mean or a sum of squares, or one and a constant, back to the squares; none if something else reads one, which is
/// in range up to the bound of all values alone.
fn squares_behind<R: Ring>(walk: &Walk<'_, R>, id: NodeId) -> Option<Vec<NodeId>> {
    let (mut id, mut behind, mut is_reduced, mut are_alone) = (id, vec![], false, true);
    loop {
        let node = walk.graph.node(id);
        are_alone &= walk.readers(id) == 1;
        match node.op() {
            Op::Square | Op::Multiply if is_reduced => {
                behind.push(id);
                return Some(if are_alone { behind } else { vec![] });
            }
            Op::Mean { .. } | Op::Sum { .. } => is_reduced = true,
            Op::Offset { .. } | Op::Reshape => (),
            _ => return None,
        }
        behind.push(id);
        id = node.inputs()[0];
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
        Ok(self.0.apply(run.party, run.values.operand(step, 0)?, *material).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        let shape = self.0.shape();
        let fixed = FixedPoint::new(shape.fractional_bits);
        let unit = shape.unit();
        let apply = |&x: &R| {
            let argument = truncated(x.to_i128(), shape.shift) as f64 * unit;
            fixed.encode(shape.function.evaluate(argument)).unwrap_or(R::ZERO)
        };
        Ok(ideal.elements(0)?.iter().map(apply).collect())
    }
}
