//! Running sums along an axis.

use ndarray::{ArrayViewMutD, Axis};

use super::prelude::*;
use super::tensors::{copy, view_mut};

impl GraphBuilder {
    /// For each element the sum of all in front of it along an axis, and of itself unless `exclusive`; of all behind it if
    /// `reverse`.
    ///
    /// # Errors
    /// An axis that is not there; a name that is taken.
    pub fn cumulative_sum(
        &mut self,
        name: &str,
        input: NodeId,
        axis: usize,
        exclusive: bool,
        reverse: bool,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?.to_vec();
        if axis >= shape.len() {
            return Err(shape::axis(name, axis, &shape));
        }
        self.push(name, Op::CumulativeSum { axis, exclusive, reverse }, vec![input], shape)
    }
}

/// The operation and its step.
pub(super) struct CumulativeSum {
    pub(super) axis: usize,
    pub(super) exclusive: bool,
    pub(super) reverse: bool,
}

impl CumulativeSum {
    /// Replaces each element by its running sum, in one pass.
    fn run<T: Copy + Default>(&self, mut tensor: ArrayViewMutD<'_, T>, add: impl Fn(T, T) -> T) {
        if self.reverse {
            tensor.invert_axis(Axis(self.axis));
        }
        for mut lane in tensor.lanes_mut(Axis(self.axis)) {
            let mut sum = T::default();
            for element in &mut lane {
                let next = add(sum, *element);
                *element = if self.exclusive { sum } else { next };
                sum = next;
            }
        }
    }
}

impl Operation for CumulativeSum {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.cumulative_sum(node.name(), node.input(0), self.axis, self.exclusive, self.reverse)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let mut sums = x.input(0).clone();
        self.run(sums.view_mut(), |x, y| x + y);
        sums
    }

    /// The sums are of the fixed point of their terms.
    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let Self { axis, exclusive, reverse } = *self;
        Ok((Action::CumulativeSum { axis, exclusive, reverse }, walk.number(node.inputs()[0])?.into()))
    }
}

impl Local for CumulativeSum {
    const KIND: &'static str = "sum";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, _shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let mut sums = copy(x.get(0)?);
        self.run(view_mut(&mut sums), R::wrapping_add);
        Ok(sums)
    }
}
