//! The private labels of all held-out digits by a release, beside those in the clear.

use mpc_models::{Digits, Model};
use mpc_nn::{Calibration, Graph, Plan, Settings, Weights, evaluate, in_process};
use ndarray::{ArrayD, ArrayView1};

use crate::inference::Failure;

/// Digits of an inference.
const BATCH: usize = 25;
/// A logit may be off by less than this.
const LOGIT_ERROR: f64 = 0.02;

/// Classifies every digit with a network's bundled weights, with the bounds of its calibration where asked for: each label must be that
/// in the clear.
pub fn run(name: &str, parties: usize, is_calibrated: bool) -> Result<(), Failure> {
    let model = Model::by_name(name)?;
    let mut graph = model.graph(BATCH)?;
    if is_calibrated {
        let calibration: Calibration = serde_json::from_slice(model.bundled_calibration().ok_or("no calibration")?)?;
        graph = graph.with_bounds(&calibration)?;
    }
    let weights = model.load(model.bundled_weights().ok_or("no weights")?, &graph)?;
    let (digits, plan) = (Digits::bundled()?, Plan::<u64>::new(&graph, Settings::new(parties))?);
    let (mut agreeing, mut errors) = (0, Vec::new());
    for from in (0..digits.len()).step_by(BATCH) {
        let images = [digits.batch(from..from + BATCH)?];
        let (labels, error) = compare(&plan, &graph, &weights, &images)?;
        agreeing += labels;
        errors.push(error);
    }
    let largest_error = errors.into_iter().max_by(f64::total_cmp).unwrap_or(f64::INFINITY);
    let bounds = if is_calibrated { "calibrated" } else { "k = 32" };
    println!(
        "{name}, {parties} parties, {bounds}: {agreeing} of {} labels agree, largest logit error {largest_error:.4}",
        digits.len()
    );
    if agreeing == digits.len() && largest_error < LOGIT_ERROR {
        Ok(())
    } else {
        Err("private results are not those in the clear".into())
    }
}

/// The number of labels that agree, and the largest difference of two logits.
fn compare(
    plan: &Plan<u64>,
    graph: &Graph,
    weights: &Weights,
    images: &[ArrayD<f32>],
) -> Result<(usize, f64), Failure> {
    let private = in_process::infer(plan, weights, images)?.remove(0);
    let clear = evaluate(graph, weights, images)?.remove(0).mapv(f64::from);
    let differences = private.iter().zip(&clear).map(|(private, clear)| (private - clear).abs());
    // A difference that is no number is larger than any.
    let error = differences.max_by(f64::total_cmp).unwrap_or(f64::INFINITY);
    let pairs = private.rows().into_iter().zip(clear.rows());
    Ok((pairs.filter(|(private, clear)| label(*private) == label(*clear)).count(), error))
}

/// The class with the largest logit.
fn label(logits: ArrayView1<'_, f64>) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}
