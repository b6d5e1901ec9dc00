//! The width of each value: the low bits that its readers read.
//!
//! All that is computed on shares is computed modulo a power of two, and a step reads no bit of an operand above those that
//! it states ([`Step::reads`]). So from the last step to the first, a value has the width of its widest reader, and whatever is
//! dealt or opened to make it has no more. The ring stays the type of a share in memory.

use alloc::vec;

use mpc_protocols::Request;
use mpc_ring::Ring;

use super::step::{Action, MaskedWeight, Step};
use crate::graph::Graph;

/// Sets the width of every step's result and of every weight.
pub(super) fn assign<R: Ring>(graph: &Graph, steps: &mut [Step], weights: &mut [MaskedWeight]) {
    // Of each node's value the bits that the steps behind the one in hand read.
    let mut read = vec![0; graph.nodes().len()];
    for index in (0..steps.len()).rev() {
        let node = steps[index].node;
        // What nobody reads is computed all the same.
        set_width(steps, index, read[node.index()].max(1));
        read[node.index()] = 0;
        // Its input is opened by the first layer that has it, in the bits of the widest of all.
        if steps[index].is_branch {
            continue;
        }
        let step = &steps[index];
        if step.action.in_place() {
            read[node.index()] = step.reads::<R>(0);
            continue;
        }
        for (operand, input) in graph.node(node).inputs().iter().enumerate() {
            let read = &mut read[input.index()];
            *read = step.reads::<R>(operand).max(*read);
        }
    }
    for step in steps {
        if let Action::Linear { weight, .. } = step.action {
            weights[weight].width = weights[weight].width.max(step.width);
        }
    }
}

/// Sets the width of a step, and of all layers that have their input opened by it to the widest among them.
fn set_width(steps: &mut [Step], index: usize, width: u32) {
    let branches = steps[index].branches.clone();
    let width = branches.iter().map(|&branch| steps[branch].width).fold(width, u32::max);
    for step in branches.into_iter().chain([index]) {
        steps[step].width = width;
    }
}

impl MaskedWeight {
    /// The mask that it is opened under.
    pub(crate) fn request<R: Ring>(&self) -> Request {
        Request::WeightMask { len: self.len }.modulo::<R>(self.width)
    }

    /// The number of weights under the mask, and its width.
    pub(crate) fn mask(&self) -> (usize, u32) {
        (self.len, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Pool};
    use crate::plan::{Plan, Settings};

    /// Two layers of one input, a residual sum, a mean that is truncated in place, a maximum, an index and two outputs.
    fn graph() -> Graph {
        let mut b = GraphBuilder::new();
        let image = b.input("image", &[1, 4, 4, 4]).unwrap();
        let same = crate::ConvolutionOptions { padding: [1; 4], ..crate::ConvolutionOptions::new(4, [3, 3]) };
        let (left, right) = (b.convolution("left", image, same).unwrap(), b.convolution("right", image, same).unwrap());
        let (relu, product) = (b.relu("relu", left).unwrap(), b.multiply("product", right, image).unwrap());
        let sum = b.add("sum", relu, product).unwrap();
        let pooled = b.max_pool("pooled", sum, Pool::new([2, 2])).unwrap();
        let mean = b.mean("mean", pooled, &[2, 3]).unwrap();
        let flat = b.reshape("flat", mean, &[1, 4]).unwrap();
        let scores = b.linear("scores", flat, 4, true).unwrap();
        let [values, indices] = b.top_k("best", scores, 2).unwrap();
        b.finish(&[sum, values, indices]).unwrap()
    }

    fn check<R: Ring>(parties: usize) {
        let graph = graph();
        let plan =
            Plan::<R>::new(&graph, Settings { fractional_bits: 8, comparison_bits: 22, ..Settings::new(parties) });
        let (plan, mut made) = (plan.unwrap(), vec![0; graph.nodes().len()]);
        for step in plan.steps() {
            let node = graph.node(step.node);
            assert!((1..=R::BITS).contains(&step.width), "{}", step.name);
            if step.action.in_place() {
                assert!(step.reads::<R>(0) <= made[step.node.index()], "{}", step.name);
            } else {
                for (operand, input) in node.inputs().iter().enumerate() {
                    assert!(step.reads::<R>(operand) <= made[input.index()], "{} reads {}", step.name, operand);
                }
            }
            if let Action::Linear { weight, .. } = step.action {
                assert!(step.width <= plan.weights()[weight].width, "{}", step.name);
                assert!(step.branches.iter().all(|&branch| plan.steps()[branch].width == step.width), "{}", step.name);
            }
            made[step.node.index()] = step.width;
        }
        assert!(plan.steps().iter().any(|step| !step.branches.is_empty()));
        assert!(plan.steps().iter().any(|step| step.width < R::BITS));
    }

    #[test]
    fn nobody_reads_more_of_a_value_than_was_made() {
        check::<u32>(2);
        check::<u64>(3);
        check::<u128>(2);
    }
}
