//! The largest whole number that is not above x, digit by digit.
//!
//! A digit is a sum of comparisons with public thresholds: the first one is the sign, the second one the highest two bits, each
//! further one four bits of what the digits before have left, so that no value is ever further from a threshold than a
//! comparison allows. How many bits there are is known to a plan alone, so a graph
//! has digits for the widest, and those for which nothing is left are zeros at no cost.

use alloc::format;

use mpc_protocols::function::{Function, FunctionShape};

use super::prelude::*;

/// The digits of a whole number of up to 26 bits.
pub(crate) const DIGITS: u32 = 8;
/// The bits of a digit.
const BITS: u32 = 4;

impl GraphBuilder {
    /// The largest whole number that is not above x, for each element: right for what x is in fixed point.
    ///
    /// Adds nodes of the names `{name}/digit0`, `{name}/rest0` and so on, and `{name}`.
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn floor(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let (mut rest, mut sum) = (input, None);
        for level in 0..DIGITS {
            let is_last = level + 1 == DIGITS;
            let digit = self.digit(&format!("{name}/digit{level}"), rest, level)?;
            sum = Some(match sum {
                None => digit,
                Some(sum) if is_last => self.add(name, sum, digit)?,
                Some(sum) => self.add(&format!("{name}/sum{level}"), sum, digit)?,
            });
            if !is_last {
                let negative = self.scale(&format!("{name}/negative{level}"), digit, -1.0)?;
                rest = self.add(&format!("{name}/rest{level}"), rest, negative)?;
            }
        }
        Ok(sum.unwrap_or(input))
    }

    fn digit(&mut self, name: &str, input: NodeId, level: u32) -> Result<NodeId, GraphError> {
        self.elementwise(name, input, Op::Digit { level })
    }
}

/// One digit of a whole number, in its place.
pub(super) struct Digit {
    pub(super) level: u32,
}

impl Operation for Digit {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.digit(node.name(), node.input(0), self.level)
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::comparisons((node.len() as u64).saturating_mul(1 << BITS))
    }

    /// All digits at once in the first one, which leaves nothing to the others.
    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).mapv(num_traits::Float::floor)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let input = node.inputs()[0];
        walk.lift(input);
        let (len, fractional_bits, parameters) = (node.len(), walk.settings.fractional_bits, walk.parameters);
        // A comparison truncates by itself, and takes a whole number for one however many parties round it.
        let shift = walk.need_undivided(input)?.scale - fractional_bits;
        // Values are below 2^whole.
        let whole = walk.settings.comparison_bits.saturating_sub(fractional_bits + 2);
        let top = whole.saturating_sub(2);
        if whole < 2 || top > (DIGITS - 2) * BITS {
            return Err(unsupported(node, "k leaves too few or too many bits before the point for a rounding"));
        }
        let (first, last, width) = match self.level {
            0 => (0, 0, whole),
            1 => (1, 3, top),
            level => match top.saturating_sub((level - 2).saturating_mul(BITS)) {
                0 => return Ok((Action::Scale { factor: 0 }, walk.single())),
                left => (1, (1 << left.min(BITS)) - 1, left - left.min(BITS)),
            },
        };
        let function = Function::Stairs { first, last, width: (1u64 << width) as f32 };
        let shape =
            FunctionShape { function, len, fractional_bits, shift, parameters, argument: None, dividends: None };
        let plan = walk.function(shape).map_err(|reason| unsupported(node, &reason))?;
        Ok((Action::Function(plan), walk.single()))
    }
}
