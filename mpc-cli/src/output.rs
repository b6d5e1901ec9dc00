//! The output on stdout.

use std::io::{ErrorKind, Write, stdout};

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

/// A value as one JSON object.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("reports have only string keys, so they always encode") + "\n"
}
