//! Writes the calibrations that come with the networks, from inputs that they were trained on, which
//! `training/calibration.py` writes: `cargo run --release -p mpc-models --example calibrate FOLDER`.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use mpc_models::arrays::read_npy;
use mpc_models::{Model, read_file};
use mpc_nn::Calibration;
use ndarray::{ArrayD, Axis, Slice};

/// The largest file of inputs.
const MAX_FILE: usize = 1 << 28;

/// The samples of one evaluation.
const BATCH: usize = 32;

/// How large a network's values become for these inputs, the samples of each along axis 0, with one bit of margin.
///
/// # Errors
/// Inputs that the network does not take, and weights that cannot be read.
pub fn calibration(model: &Model, inputs: &[ArrayD<f32>]) -> Result<Calibration, Box<dyn Error>> {
    let mut calibration = Calibration::new(&model.graph(1)?, 1);
    let count = inputs.first().map_or(0, |input| input.len_of(Axis(0)));
    for first in (0..count).step_by(BATCH) {
        let last = (first + BATCH).min(count);
        let part = |input: &ArrayD<f32>| input.slice_axis(Axis(0), Slice::from(first..last)).to_owned();
        let graph = model.graph(last - first)?;
        let weights = model.default_weights(&graph)?;
        calibration.observe(&graph, &weights, &inputs.iter().map(part).collect::<Vec<_>>())?;
    }
    Ok(calibration)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("give the folder that training/calibration.py wrote")?;
    for model in Model::all().iter().filter(|model| model.bundled_weights().is_some()) {
        let read = |input: &mpc_models::ModelInput| -> Result<ArrayD<f32>, Box<dyn Error>> {
            let file = Path::new(&folder).join(format!("{}.{}.npy", model.name(), input.name));
            Ok(read_npy(&read_file(&file, MAX_FILE)?)?)
        };
        let inputs = model.inputs().iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("weights/{}.widths.json", model.name()));
        fs::write(&file, serde_json::to_string_pretty(&calibration(model, &inputs)?)? + "\n")?;
        println!("{}", file.display());
    }
    Ok(())
}
