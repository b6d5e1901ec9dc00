//! `mpc inspect`.

use std::path::PathBuf;

use crate::inspect::{InspectError, Inspection, input_shapes, named_shapes};
use clap::Args;
use mpc_onnx::OnnxFile;

use crate::failure::Failure;
use crate::output::{json, print};
use crate::widths::bounded;

/// Lists the inputs, outputs, operators and parameters of an ONNX file, and what a private run would cost.
///
/// A network that cannot run privately is refused with all reasons at once: every node by name and operator.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The file.
    #[arg(value_name = "FILE.onnx")]
    model: PathBuf,
    /// The shape of an input whose sizes the file leaves open; without it they are 1.
    #[arg(long, value_name = "NAME=1x3x32x32")]
    shape: Vec<String>,
    /// The number of computing parties, 2 to 8.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    parties: u8,
    /// The bounds of values, as for `run`.
    #[arg(long, value_name = "FILE.json")]
    widths: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &InspectArguments) -> Result<(), Failure> {
    let file = OnnxFile::open(&arguments.model)?;
    let mut network = file.import(&input_shapes(&named_shapes(&arguments.shape)?)).map_err(InspectError::from)?;
    network.graph = bounded(arguments.widths.as_deref(), &arguments.model, network.graph)?;
    let inspection = Inspection::new(&file, &network, arguments.parties.into())?;
    print(&if arguments.json { json(&inspection) } else { inspection.text() })
}
