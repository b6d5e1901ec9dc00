//! Writes the calibrations that come with the networks, from all their bundled samples:
//! `cargo run --release -p mpc-models --example calibrate`.

use std::error::Error;
use std::{env, fs};

use mpc_models::Model;
use mpc_nn::Calibration;

/// The samples of one evaluation.
const BATCH: usize = 50;

/// The largest magnitudes of a network's values over all bundled samples, with one bit of margin.
///
/// # Errors
/// Samples or weights that cannot be read.
pub fn calibration(model: &Model) -> Result<Calibration, Box<dyn Error>> {
    let mut calibration = Calibration::new(&model.graph(1)?, 1);
    let count = model.sample_count()?;
    for first in (0..count).step_by(BATCH) {
        let last = (first + BATCH).min(count);
        let graph = model.graph(last - first)?;
        let weights = model.default_weights(&graph)?;
        calibration.observe(&graph, &weights, &model.samples(first..last)?.inputs)?;
    }
    Ok(calibration)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| "mpc-models/weights".to_owned());
    for model in Model::all().iter().filter(|model| model.bundled_weights().is_some()) {
        let file = format!("{folder}/{}.widths.json", model.name());
        fs::write(&file, serde_json::to_string_pretty(&calibration(model)?)? + "\n")?;
        println!("{file}");
    }
    Ok(())
}
