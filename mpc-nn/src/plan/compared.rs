//! How far apart values are that an inference compares: with each other, or with the thresholds of a function.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;

use super::{Action, Plan, Step};
use crate::clear::Ranges;
use crate::graph::{Graph, NodeId};

/// The operand of a node that is compared with thresholds, and the smallest and the largest value that is comparable with all of
/// them.
pub(super) type Argument = (NodeId, [f64; 2]);

/// The argument of each node that is compared with thresholds.
pub(super) fn arguments(graph: &Graph, steps: &[Step]) -> Vec<Option<Argument>> {
    let mut arguments = vec![None; graph.nodes().len()];
    for step in steps {
        let (function, operand) = match &step.action {
            Action::Function(function) => (function, 0),
            Action::Divide(function) => (function, 1),
            _ => continue,
        };
        let (low, high) = function.comparable();
        let argument = graph.node(step.node).inputs().get(operand);
        arguments[step.node.index()] = argument.map(|&argument| (argument, [low, high]));
    }
    arguments
}

impl<R: Ring> Plan<R> {
    /// The largest difference of values that a node compares, with each other or with the thresholds of its function, which must stay
    /// below 2^{k−2−f}. `None` for a node that compares none, and for a function whose argument is within reach of all thresholds.
    #[must_use]
    pub fn compared(&self, ranges: &Ranges, id: NodeId) -> Option<f64> {
        ranges.compared(&self.graph, id).or_else(|| {
            let (argument, [low, high]) = self.arguments[id.index()]?;
            let [least, most] = ranges.of(argument)?.map(f64::from);
            let beyond = (low - least).max(most - high);
            (beyond > 0.0).then_some(self.settings.bound() + beyond)
        })
    }
}

#[cfg(test)]
mod tests {
    use mpc_protocols::function::Function;
    use ndarray::ArrayD;

    use super::*;
    use crate::error::InferenceError;
    use crate::graph::GraphBuilder;
    use crate::plan::{Owner, Settings};
    use crate::run::check_inputs;

    fn check(function: Function, comparison_bits: u32, x: f32) -> Result<(), InferenceError> {
        let mut builder = GraphBuilder::new();
        let input = builder.input("x", &[1, 1]).unwrap();
        let y = builder.function("y", input, function).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let plan = Plan::<u64>::new(&graph, Settings { comparison_bits, ..Settings::new(2) }).unwrap();
        check_inputs(&plan, Owner::Party(1), &[ArrayD::from_elem(vec![1, 1], x)])
    }

    /// These values are below the bound, and a sigmoid of them was 0.5.
    #[test]
    fn an_argument_that_is_too_far_from_a_threshold_is_refused() {
        for (bits, bound, x) in [(32, 16_384.0, 16_380.0), (24, 64.0, 60.0)] {
            for x in [x, -x] {
                let refused = check(Function::Sigmoid, bits, x);
                assert!(matches!(refused, Err(InferenceError::Spread { bound: b, .. }) if b == bound), "{x}");
                check(Function::Sigmoid, bits, 0.8 * x).unwrap();
            }
        }
    }

    #[test]
    fn a_divisor_may_be_as_large_as_other_values() {
        for x in [16_383.0, -16_383.0] {
            check(Function::Reciprocal, 32, x).unwrap();
        }
    }
}
