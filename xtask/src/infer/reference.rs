//! The same model in the clear: what private results are compared with, and whether fixed point can hold all values.

use mpc_nn::{Plan, Weights, evaluate_with};
use ndarray::ArrayD;

use super::error::InputError;
use super::roles::batch;
use super::samples::Samples;

/// The logits of every image in the clear. `done` is called with the number of images after each batch.
///
/// # Errors
/// Images that the model cannot take, and values on the way that private inference cannot hold: no run starts then.
pub fn plain_logits(
    plan: &Plan<u64>,
    weights: &Weights,
    samples: &Samples,
    mut done: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>, InputError> {
    let size = plan.graph().batch();
    let mut logits = Vec::with_capacity(samples.len());
    for start in (0..samples.len()).step_by(size) {
        let first = samples.first + start;
        let name =
            || if size == 1 { format!("image {first}") } else { format!("images {first} to {}", first + size - 1) };
        let images = batch(&samples.images, size, start / size);
        let output = checked_output(plan, weights, images, name)?;
        logits.extend(output.outer_iter().map(|row| row.iter().copied().collect::<Vec<_>>()));
        done(start + size);
    }
    Ok(logits)
}

fn checked_output(
    plan: &Plan<u64>,
    weights: &Weights,
    images: ArrayD<f32>,
    name: impl Fn() -> String,
) -> Result<ArrayD<f32>, InputError> {
    let bound = plan.settings().bound();
    let mut exceeded = None;
    let outputs = evaluate_with(plan.graph(), weights, &[images], |id, values| {
        let magnitude = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        if f64::from(magnitude) >= bound && exceeded.is_none() {
            exceeded = Some((id, magnitude));
        }
    });
    let mut outputs = outputs.map_err(|error| InputError::Evaluate { images: name(), error })?;
    if let Some((id, magnitude)) = exceeded {
        let layer = plan.graph().node(id).name().to_owned();
        return Err(InputError::Magnitude { images: name(), layer, magnitude, bound });
    }
    Ok(outputs.remove(0))
}

/// The class of the largest logit; of equal ones the last.
pub fn class<T: Copy + Into<f64>>(logits: &[T]) -> usize {
    let larger = |&a: &usize, &b: &usize| logits[a].into().total_cmp(&logits[b].into());
    (0..logits.len()).max_by(larger).unwrap_or(0)
}
