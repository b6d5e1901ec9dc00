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

/// The calibration that `--widths` names.
///
/// # Errors
/// A file that cannot be read; a network without a calibration of its own.
pub fn calibration(file: &Path, model: &Path) -> Result<Calibration, InputError> {
    let wrong = |reason: String| wrong(file, &reason);
    let bytes = if file == Path::new(CALIBRATED) {
        let name = model.to_string_lossy();
        let known = Model::by_name(&name).ok().and_then(Model::bundled_calibration);
        let missing = || wrong(format!("no calibration comes with `{name}`; make one with `mpc check --calibrate`"));
        known.ok_or_else(missing)?.to_vec()
    } else {
        read_file(file, MAX_FILE)?.to_vec()
    };
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

/// The graph of a network with the bounds that `--widths` names, if it names any.
///
/// # Errors
/// As [`calibration`]; a calibration of another network.
pub fn bounded(widths: Option<&Path>, model: &Path, graph: Graph) -> Result<Graph, InputError> {
    let Some(file) = widths else { return Ok(graph) };
    with_bounds(graph, &calibration(file, model)?, file)
}

/// The graph of a network with the bounds of a calibration from that file.
///
/// # Errors
/// A calibration of another network.
pub fn with_bounds(graph: Graph, calibration: &Calibration, file: &Path) -> Result<Graph, InputError> {
    graph.with_bounds(calibration).map_err(|error| wrong(file, &error.to_string()))
}

fn wrong(file: &Path, reason: &str) -> InputError {
    InputError::Named(format!("--widths {}: {reason}", file.display()))
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
