//! The output on stdout, and in files.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;

use mpc_models::arrays::write_npy;
use mpc_service::PublicModel;
use mpc_service::at_rest::private_file::{DiskError, write_private};
use ndarray::ArrayD;
use serde::Serialize;

use crate::failure::Failure;

/// A text in which a terminal finds nothing to obey but lines: names in files of others are part of what is said.
pub fn shown(text: &str) -> String {
    let is_obeyed = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    text.chars().map(|character| if is_obeyed(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

/// Writes to stdout; whoever reads it may have seen enough, as `head` does.
pub fn print(text: &str) -> Result<(), Failure> {
    let text = shown(text);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_text_and_nothing_to_obey() {
        assert_eq!(shown("a table:\n\t│ ×1 │\n"), "a table:\n\t│ ×1 │\n");
        assert_eq!(shown("node `\u{1b}]0;x\u{7}\u{9b}2J\r`"), "node `\u{fffd}]0;x\u{fffd}\u{fffd}2J\u{fffd}`");
    }
}
