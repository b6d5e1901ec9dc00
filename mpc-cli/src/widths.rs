//! Calibrations: the bounds of a network's values, from a file or as they come with the network.

use std::fs;
use std::path::Path;

use mpc_models::{Model, read_file};
use mpc_nn::{Calibration, Graph};

use crate::failure::Failure;
use crate::run::error::InputError;

/// The word for the calibration that comes with a network.
pub const CALIBRATED: &str = "calibrated";

/// The largest file of a calibration.
const MAX_FILE: usize = 1 << 24;

/// The graph of a network with the bounds that `--widths` names, if it names any.
///
/// # Errors
/// A file that cannot be read or is of another network; a network without a calibration of its own.
pub fn bounded(widths: Option<&Path>, model: &Path, graph: Graph) -> Result<Graph, InputError> {
    let Some(file) = widths else { return Ok(graph) };
    let wrong = |reason: String| InputError::Named(format!("--widths {}: {reason}", file.display()));
    let bytes = if file == Path::new(CALIBRATED) {
        let name = model.to_string_lossy();
        let known = Model::by_name(&name).ok().and_then(Model::bundled_calibration);
        let missing = || wrong(format!("no calibration comes with `{name}`; make one with `mpc check --calibrate`"));
        known.ok_or_else(missing)?.to_vec()
    } else {
        read_file(file, MAX_FILE)?.to_vec()
    };
    let calibration: Calibration = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    graph.with_bounds(&calibration).map_err(|error| wrong(error.to_string()))
}

/// Writes a calibration.
///
/// # Errors
/// A file that cannot be written.
pub fn write(file: &Path, calibration: &Calibration) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Own(format!("{}: {error}", file.display()));
    let text = serde_json::to_string_pretty(calibration).map_err(|error| failed(&error))?;
    fs::write(file, text + "\n").map_err(|error| failed(&error))
}

/// A bound in a table, and whether it comes from a calibration.
pub fn bound(bound: Option<f64>, is_calibrated: bool) -> String {
    let origin = if is_calibrated { ", calibrated" } else { "" };
    bound.map(|bound| format!("{bound}{origin}")).unwrap_or_default()
}
