//! The output on stdout, and in files.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;

use mpc_models::arrays::write_npy;
use mpc_service::PublicModel;
use mpc_service::at_rest::private_file::{DiskError, write_private};
use ndarray::ArrayD;
use serde::Serialize;

use crate::failure::Failure;

/// Writes to stdout; whoever reads it may have seen enough, as `head` does.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Own(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

/// Says on stderr who learns what, before anything is sent.
pub fn disclose(model: &PublicModel) {
    let text = model.terms.disclosure();
    // Nobody need read it.
    let _ = writeln!(stderr(), "{text}");
}

/// Writes an output as float32 .npy, readable by its owner alone, under its name once it is complete.
pub fn write_output(path: &Path, tensor: &ArrayD<f64>, shape: &[usize]) -> Result<(), DiskError> {
    let tensor = tensor.mapv(|value| value as f32);
    let shaped = tensor.to_shape(shape).map(|tensor| tensor.into_owned());
    // The model's own file may have shapes that the outputs do not fit: those of the outputs, then.
    write_private(path, &write_npy(&shaped.unwrap_or(tensor)))
}

/// A value as one JSON object.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("reports have only string keys, so they always encode") + "\n"
}
