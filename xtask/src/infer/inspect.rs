//! `cargo xtask inspect`: what is in an ONNX file, and what it would cost.

use std::process::ExitCode;

use clap::Args;
use mpc_cli::inspect::{Inspection, shapes};
use mpc_onnx::OnnxFile;

use super::error::{Failure, InputError};
use super::{json, print};

/// Lists the inputs, outputs, operators and parameters of an ONNX file, and what a private run would cost.
///
/// A network that cannot run privately is refused with all reasons at once: every node by name and operator.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Exit codes:
  0  the network can run privately
  2  it cannot, or the file cannot be read")]
pub struct InspectArguments {
    /// The file.
    #[arg(value_name = "FILE.onnx")]
    pub file: String,

    /// The shape of an input whose sizes the file leaves open; without it they are 1.
    #[arg(long, value_name = "NAME=1x3x32x32")]
    pub shape: Vec<String>,

    /// The number of parties, 2 to 8; the dealer comes on top.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    pub parties: u8,

    /// Prints one JSON object on stdout, and nothing else there.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(arguments: &InspectArguments) -> ExitCode {
    match inspect(arguments).map_err(Failure::from) {
        Ok(report) => {
            print(&if arguments.json { json(&report) } else { report.text() });
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code().into()
        }
    }
}

fn inspect(arguments: &InspectArguments) -> Result<Inspection, InputError> {
    let file = OnnxFile::open(&arguments.file)?;
    Ok(Inspection::new(&file, &shapes(&arguments.shape)?, arguments.parties.into())?)
}
