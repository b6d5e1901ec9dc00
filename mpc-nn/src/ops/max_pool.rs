//! The largest element of each window of an image; padding never wins.

use mpc_protocols::maximum::{Grouping, Tournament, maximum_of};
use mpc_protocols::sign::SignParameters;

use super::prelude::*;
use super::tensors::largest;
use super::windows::{self, over_windows};
use crate::graph::Pool;

impl GraphBuilder {
    /// The largest element of each window of [b, c, h, w].
    ///
    /// # Errors
    /// Another number of axes, windows that do not fit; a name that is taken.
    pub fn max_pool(&mut self, name: &str, input: NodeId, pool: Pool) -> Result<NodeId, GraphError> {
        let shape = windows::shape(name, self.shape_for(name, input)?, &pool)?;
        // A tournament has all elements of all windows at once.
        shape::check(name, &[&shape[..], &[pool.kernel[0] * pool.kernel[1]]].concat())?;
        self.push(name, Op::MaxPool(pool), vec![input], shape)
    }
}

pub(super) struct MaxPool<'a>(pub(super) &'a Pool);

impl Operation for MaxPool<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.max_pool(node.name(), node.input(0), *self.0)
    }

    fn work(&self, node: &Node, _input: &[usize]) -> Work {
        Work::comparisons((node.len() as u64).saturating_mul(self.0.area() as u64))
    }

    fn compares_elements(&self) -> bool {
        true
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        let maximum = |window: ndarray::ArrayView2<'_, f32>, _| window.fold(f32::NEG_INFINITY, |y, &x| y.max(x));
        over_windows(self.0, x.input(0), x.shape(), maximum)
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        walk.need_plain(node.inputs()[0])?;
        // What is compared is the difference of two values.
        let parameters = walk.comparison(walk.graph.node(node.inputs()[0]), 1)?;
        Ok((Action::MaxPool { pool: *self.0, parameters, grouping: walk.settings.grouping() }, walk.single()))
    }
}

/// A tournament of the elements of all windows.
pub(super) struct MaxPoolStep<'a> {
    pub(super) pool: &'a Pool,
    pub(super) parameters: SignParameters,
    pub(super) grouping: Grouping,
}

impl MaxPoolStep<'_> {
    fn tournament(&self, len: usize) -> Tournament {
        let Self { pool, parameters, grouping } = *self;
        Tournament { candidates: pool.area(), len, parameters, grouping }
    }
}

impl Protocol for MaxPoolStep<'_> {
    fn kind(&self) -> &'static str {
        "max pool"
    }

    /// Values are compared in k bits, and the largest is one of them.
    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        self.width(step.width)
    }

    fn width(&self, result: u32) -> u32 {
        result.max(self.parameters.bits())
    }

    fn needs(&self, elements: usize) -> Needs {
        Needs::Maximum(self.tournament(elements))
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        self.tournament(elements).traffic(settings.parties)
    }

    /// All candidates, which are compared with each other.
    fn workspace(&self, _operands: usize, elements: usize) -> usize {
        tournament_workspace(self.grouping) * self.pool.area() * elements
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Maximum(masks) = material else { return Err(Failure::NoValue) };
        let candidates = candidates(run.values.operand(step, 0)?, self.pool, &step.shape)?;
        Ok(maximum_of(run.party, candidates, masks).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, step: &Step) -> Result<Vec<R>, Failure> {
        Ok(largest(&candidates(ideal.operands.get(0)?, self.pool, &step.shape)?))
    }
}

/// For each position of a pooling window, the tensor of the elements at that position of every window. Where a window
/// hangs over the edge, its nearest element inside stands in, which leaves the maximum as it is.
fn candidates<R: Ring>(
    x: &ArithmeticShares<R>,
    pool: &Pool,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, Failure> {
    let size = [x.shape()[2], x.shape()[3]];
    let places = |axis: usize, position: usize| -> Vec<usize> {
        let place = |at: usize| {
            let mut inside = pool.window_along(axis, at, size[axis]);
            let place = at * pool.stride[axis] + position * pool.dilation[axis];
            let (len, first) = (inside.len(), inside.next().unwrap_or_default());
            place.saturating_sub(pool.padding[axis]).clamp(first, first + (len - 1) * pool.dilation[axis])
        };
        (0..shape[2 + axis]).map(place).collect()
    };
    let columns: Vec<_> = (0..pool.kernel[1]).map(|column| places(1, column)).collect();
    let candidate = |(rows, columns): (&Vec<usize>, &Vec<usize>)| {
        let mut elements = Vec::with_capacity(shape.iter().product());
        for plane in x.elements().chunks_exact(size[0] * size[1]) {
            for row in rows {
                let row = &plane[row * size[1]..][..size[1]];
                elements.extend(columns.iter().map(|&column| row[column]));
            }
        }
        Ok(ArithmeticShares::new(shape, elements)?)
    };
    let rows: Vec<_> = (0..pool.kernel[0]).map(|row| places(0, row)).collect();
    rows.iter().flat_map(|rows| columns.iter().map(move |columns| (rows, columns))).map(candidate).collect()
}
