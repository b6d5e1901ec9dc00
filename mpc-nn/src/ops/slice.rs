//! Each axis restricted to the positions `start`, `start + step`, … below `stop`.

use ndarray::Slice as Positions;

use super::prelude::*;
use super::tensors::view;

impl GraphBuilder {
    /// The positions `start`, `start + step`, … below `stop` of each axis.
    ///
    /// # Errors
    /// Another number of entries, positions outside the tensor; a name that is taken.
    pub fn slice(
        &mut self,
        name: &str,
        input: NodeId,
        start: &[usize],
        stop: &[usize],
        step: &[usize],
    ) -> Result<NodeId, GraphError> {
        let shape = kept(name, self.shape_for(name, input)?, start, stop, step)?;
        let op = Op::Slice { start: start.to_vec(), stop: stop.to_vec(), step: step.to_vec() };
        self.push(name, op, vec![input], shape)
    }
}

/// The number of positions that each axis keeps.
fn kept(
    name: &str,
    input: &[usize],
    start: &[usize],
    stop: &[usize],
    step: &[usize],
) -> Result<Vec<usize>, GraphError> {
    shape::same_rank(name, input, &[start, stop, step])?;
    let kept = |axis: usize| {
        let fits = start[axis] < stop[axis] && stop[axis] <= input[axis] && step[axis] > 0;
        fits.then(|| (stop[axis] - start[axis]).div_ceil(step[axis]))
    };
    (0..input.len()).map(|axis| kept(axis).ok_or_else(|| shape::bounds(name, axis, input))).collect()
}

pub(super) struct Slice<'a> {
    pub(super) start: &'a [usize],
    pub(super) stop: &'a [usize],
    pub(super) step: &'a [usize],
}

impl Slice<'_> {
    fn along(&self, axis: usize) -> Positions {
        Positions::from(self.start[axis]..self.stop[axis]).step_by(self.step[axis] as isize)
    }
}

impl Operation for Slice<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.slice(node.name(), node.input(0), self.start, self.stop, self.step)
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn takes_whole(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.input(0).slice_each_axis(|axis| self.along(axis.axis.index())).as_standard_layout().into_owned()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let [start, stop, step] = [self.start, self.stop, self.step].map(<[usize]>::to_vec);
        Ok((Action::Slice { start, stop, step }, walk.format(node.inputs()[0])))
    }
}

/// The step is the operation on shares.
impl Local for Slice<'_> {
    const KIND: &'static str = "slice";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        let all = view(x.get(0)?);
        let part = all.slice_each_axis(|axis| self.along(axis.axis.index()));
        Ok(ArithmeticShares::new(shape, part.iter().copied().collect())?)
    }
}
