//! The same model in the clear: what private results are compared with, and whether fixed point can hold all values.

use std::time::{Duration, Instant};

use mpc_nn::{Plan, Ranges, Weights, evaluate_with};
use mpc_ring::Ring;
use ndarray::ArrayD;

use super::error::InputError;
use super::samples::Samples;

/// Every inference in the clear.
pub struct Plain {
    /// The outputs of each.
    pub outputs: Vec<Vec<ArrayD<f32>>>,
    /// How long evaluating them took on one thread, without the search for large values.
    pub time: Duration,
}

/// Evaluates every inference in the clear. `done` is called with the number of samples after each.
///
/// # Errors
/// Inputs that the network cannot take, and values on the way that private inference cannot hold: no run starts then.
pub fn plain_outputs(
    plan: &Plan<impl Ring>,
    weights: &Weights,
    samples: &Samples,
    mut done: impl FnMut(usize),
) -> Result<Plain, InputError> {
    let size = plan.graph().batch();
    let mut outputs = Vec::with_capacity(samples.inferences.len());
    let mut time = Duration::ZERO;
    for (inference, inputs) in samples.inferences.iter().enumerate() {
        let first = samples.first + inference * size;
        let name =
            || if size == 1 { format!("sample {first}") } else { format!("samples {first} to {}", first + size - 1) };
        let inputs: Vec<_> = inputs.iter().flatten().cloned().collect();
        outputs.push(checked_outputs(plan, weights, &inputs, name, &mut time)?);
        done((inference + 1) * size);
    }
    Ok(Plain { outputs, time })
}

/// The outputs of every inference in the clear for its inputs as private inference has them: in whole units of fixed point.
///
/// # Errors
/// As for [`plain_outputs`].
pub fn outputs_of_rounded(
    plan: &Plan<impl Ring>,
    weights: &Weights,
    samples: &Samples,
) -> Result<Vec<Vec<ArrayD<f32>>>, InputError> {
    let one = f64::from(plan.settings().fractional_bits).exp2();
    let rounded = |&value: &f32| ((f64::from(value) * one).round() / one) as f32;
    let evaluated = |inputs: &Vec<Option<ArrayD<f32>>>| {
        let inputs: Vec<_> = inputs.iter().flatten().map(|input| input.map(rounded)).collect();
        let outputs = evaluate_with(plan.graph(), weights, &inputs, |_, _| ());
        outputs.map_err(|error| InputError::Evaluate { samples: "rounded samples".to_owned(), error })
    };
    samples.inferences.iter().map(evaluated).collect()
}

fn checked_outputs(
    plan: &Plan<impl Ring>,
    weights: &Weights,
    inputs: &[ArrayD<f32>],
    name: impl Fn() -> String,
    time: &mut Duration,
) -> Result<Vec<ArrayD<f32>>, InputError> {
    let (mut exceeded, mut spread) = (None, None);
    let mut ranges = Ranges::default();
    let (began, mut searching) = (Instant::now(), Duration::ZERO);
    let outputs = evaluate_with(plan.graph(), weights, inputs, |id, values| {
        let search = Instant::now();
        let magnitude = ranges.add(id, values);
        if f64::from(magnitude) >= plan.bound(id) && exceeded.is_none() {
            exceeded = Some((id, magnitude));
        }
        let compared = plan.compared(&ranges, id).filter(|&compared| compared >= plan.settings().bound());
        spread = spread.or(compared.map(|compared| (id, compared)));
        searching += search.elapsed();
    });
    *time += began.elapsed().saturating_sub(searching);
    let outputs = outputs.map_err(|error| InputError::Evaluate { samples: name(), error })?;
    let layer = |id| plan.graph().node(id).name().to_owned();
    if let Some((id, magnitude)) = exceeded {
        return Err(InputError::Magnitude { samples: name(), layer: layer(id), magnitude, bound: plan.bound(id) });
    }
    if let Some((id, spread)) = spread {
        return Err(InputError::Spread { samples: name(), layer: layer(id), spread, bound: plan.settings().bound() });
    }
    Ok(outputs)
}

/// The class of the largest logit; of equal ones the last.
pub fn class<T: Copy + Into<f64>>(logits: &[T]) -> usize {
    let larger = |&a: &usize, &b: &usize| logits[a].into().total_cmp(&logits[b].into());
    (0..logits.len()).max_by(larger).unwrap_or(0)
}
