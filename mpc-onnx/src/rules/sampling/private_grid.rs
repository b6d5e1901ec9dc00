//! Values of an image at private places: sums of all of its elements, by weights of each axis that are 0 but next to the place.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::{Mode, Outside, Sampler};
use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::rounding::{self, Divisor};
use crate::value::{Tensor, Value, vector};

pub(super) fn grid_sample(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (x, grid) = (context.tensor_of(call.required(0)?)?, call.tensor(1)?);
    let (Some(&[batch, channels]), Some((&axes, points))) = (x.shape.first_chunk(), grid.shape.split_last()) else {
        return invalid("its input or grid has too few axes");
    };
    let sizes = x.shape[2..].to_vec();
    if axes != sizes.len() || axes == 0 || points.len() != axes + 1 || points[0] != batch {
        return invalid("its grid does not fit its input");
    }
    let sampler = Sampler::new(call)?;
    if sampler.mode == Mode::Cubic {
        return unsupported("its grid depends on the private input, and its mode is cubic; use linear");
    }
    let count = points[1..].iter().product();
    let flat = context.reshape(grid, &[batch, count, axes])?;
    let mut weights = Vec::new();
    for (axis, &size) in sizes.iter().enumerate() {
        // The last axis comes first in a place.
        let place = context.slice(&flat, 2, axes - 1 - axis, axes - axis)?;
        weights.push(sampler.weights(context, &place, size)?);
    }
    let last = axes - 1;
    // [batch, last axis, channels, other axes]
    let order: Vec<usize> = [0, 2 + last, 1].into_iter().chain(2..2 + last).collect();
    let image = context.transpose(&x, &order)?;
    let others: usize = channels * sizes[..last].iter().product::<usize>();
    let image = context.reshape(&image, &[batch, sizes[last], others])?;
    let mut sum = context.matrix_product(&weights[last], &image)?;
    for axis in (0..last).rev() {
        let before = channels * sizes[..axis].iter().product::<usize>();
        let terms = context.reshape(&sum, &[batch, count, before, sizes[axis]])?;
        let factors = context.reshape(&weights[axis], &[batch, count, 1, sizes[axis]])?;
        let terms = context.multiply(&terms, &factors)?;
        sum = context.sum(&terms, &[3])?;
    }
    let sum = context.reshape(&sum, &[batch, count, channels])?;
    let y = context.transpose(&sum, &[0, 2, 1])?;
    Ok([context.reshape(&y, &[&[batch, channels], &points[1..]].concat())?.into()].into())
}

impl Sampler {
    /// The weights of the positions of an axis for places from −1 to 1: [batch, places, 1] → [batch, places, size].
    fn weights(&self, context: &mut Context, place: &Tensor, size: usize) -> Lowered<Tensor> {
        let largest = size as f32 - 1.0;
        let reach = if self.aligns_corners { largest } else { size as f32 };
        let position = context.scale(place, reach / 2.0)?;
        let position = context.offset(&position, largest / 2.0)?;
        let position = self.inside(context, &position, size)?;
        // Without digits behind the last place, the differences below are exact.
        let position = context.rounded(&position, 0)?;
        match self.mode {
            Mode::Nearest => {
                // Each step up to the position counts; ties go up.
                let above = beyond(context, &position, 0.5, size + 1)?;
                let steps = context.function(&above, Function::Step)?;
                let (own, next) = (context.slice(&steps, 2, 0, size)?, context.slice(&steps, 2, 1, size + 1)?);
                context.subtract(&own, &next)
            }
            // max(0, 1 − |d|) is the second difference of max(0, d).
            _ => {
                let above = beyond(context, &position, 1.0, size + 2)?;
                let ramps = context.relu(&above)?;
                let mut part = |start: usize| context.slice(&ramps, 2, start, start + size);
                let (before, own, behind) = (part(0)?, part(1)?, part(2)?);
                let ends = context.add(&before, &behind)?;
                let middle = context.scale(&own, -2.0)?;
                context.add(&ends, &middle)
            }
        }
    }

    /// The position that one outside of the image stands for.
    fn inside(&self, context: &mut Context, position: &Tensor, size: usize) -> Lowered<Tensor> {
        let largest = size as f32 - 1.0;
        let position = match self.outside {
            Outside::Zeros => return Ok(position.clone()),
            _ if size == 1 => return context.scale(position, 0.0),
            Outside::Border => position.clone(),
            // Back and forth between the ends: span − |d mod 2·span − span| from the first.
            Outside::Reflection => {
                let (first, span) = if self.aligns_corners { (0.0, largest) } else { (-0.5, size as f32) };
                let distance = context.offset(position, -first)?;
                let period: ArrayD<f32> = arrays::scalar_like(2.0 * span);
                let rest = rounding::remainder(context, &distance, &Divisor::Constant(&period), false)?;
                let from_middle = context.offset(&rest, -span)?;
                let magnitude = context.function(&from_middle, Function::Abs)?;
                let opposite = context.scale(&magnitude, -1.0)?;
                context.offset(&opposite, span + first)?
            }
        };
        context.function(&position, Function::Clip { low: 0.0, high: largest })
    }
}

/// The distance of a position from each of `count` places: −first, 1 − first, …
fn beyond(context: &mut Context, position: &Tensor, first: f32, count: usize) -> Lowered<Tensor> {
    context.charge(count)?;
    let places = (0..count).map(|place| first - place as f32);
    context.offset_by(position, &vector(places.collect()))
}
