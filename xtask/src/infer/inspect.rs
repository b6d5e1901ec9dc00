//! `cargo xtask inspect`: what is in an ONNX file, and what it would cost.

use std::process::ExitCode;

use clap::Args;
use mpc_models::onnx::{Dimension, InputShapes, OnnxFile, TensorInfo};
use mpc_nn::{Plan, Settings};
use mpc_transport::Traffic;
use serde::Serialize;

use super::error::{Failure, InputError};
use super::{json, print};
use mpc_cli::format::{bytes, count};
use mpc_cli::table::table;

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

#[derive(Serialize)]
struct Tensor {
    name: String,
    element_type: String,
    shape: String,
}

#[derive(Serialize)]
struct Report {
    producer: String,
    opset: i64,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    operators: std::collections::BTreeMap<String, usize>,
    parameters: usize,
    multiplications: u64,
    layers: usize,
    online_bytes_sent: u64,
    rounds: u64,
    setup_bytes_sent: u64,
    dealt_bytes: u64,
}

/// Runs the command.
pub fn run(arguments: &InspectArguments) -> ExitCode {
    match report(arguments) {
        Ok(report) => {
            print(&if arguments.json { json(&report) } else { text(&report, arguments.parties) });
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code().into()
        }
    }
}

fn report(arguments: &InspectArguments) -> Result<Report, Failure> {
    let file = OnnxFile::open(&arguments.file).map_err(InputError::from)?;
    let network = file.import(&shapes(&arguments.shape)?).map_err(InputError::from)?;
    let settings = Settings::new(arguments.parties.into());
    let plan = Plan::<u64>::new(&network.graph, settings).map_err(InputError::from)?;
    let largest = |traffic: &dyn Fn(usize) -> Traffic, part: fn(&Traffic) -> u64| {
        (0..settings.parties).map(|party| part(&traffic(party))).max().unwrap_or(0)
    };
    Ok(Report {
        producer: file.producer().to_owned(),
        opset: file.opset(),
        inputs: file.inputs().into_iter().map(tensor).collect(),
        outputs: file.outputs().into_iter().map(tensor).collect(),
        operators: file.operators(),
        parameters: file.parameter_count(),
        multiplications: network.graph.multiplications(),
        layers: network.graph.nodes().len(),
        online_bytes_sent: largest(&|party| plan.online(party), Traffic::bytes_sent),
        rounds: largest(&|party| plan.online(party), |traffic| traffic.rounds),
        setup_bytes_sent: largest(&|party| plan.setup(party), Traffic::bytes_sent),
        dealt_bytes: plan.preprocessing(settings.parties - 1).bytes_received(),
    })
}

fn shapes(named: &[String]) -> Result<InputShapes, InputError> {
    let mut shapes = InputShapes::new();
    for argument in named {
        let wrong = || InputError::Named(format!("--shape {argument} is not NAME=SIZExSIZE…, such as image=1x3x32x32"));
        let (name, sizes) = argument.rsplit_once('=').ok_or_else(wrong)?;
        let sizes: Vec<usize> =
            sizes.split('x').map(|size| size.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        shapes = shapes.with(name, &sizes);
    }
    Ok(shapes)
}

fn tensor(info: TensorInfo) -> Tensor {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Symbolic(name) if !name.is_empty() => name.clone(),
        _ => "?".to_owned(),
    };
    let shape =
        info.shape.map_or_else(|| "any".to_owned(), |shape| shape.iter().map(size).collect::<Vec<_>>().join("×"));
    Tensor { name: info.name, element_type: info.element_type, shape }
}

fn text(report: &Report, parties: u8) -> String {
    let mut tensors = table(&["", "name", "type", "shape"], 4);
    for (what, list) in [("input", &report.inputs), ("output", &report.outputs)] {
        for Tensor { name, element_type, shape } in list {
            tensors.add_row([what, name, element_type, shape]);
        }
    }
    let mut operators = table(&["operator", "nodes"], 1);
    for (operator, nodes) in &report.operators {
        operators.add_row([operator.clone(), nodes.to_string()]);
    }
    format!(
        "{}, opset {}\n\n{tensors}\n\n{operators}\n\n{} parameters, {} multiplications, {} layers after import\n\
         {parties} parties, one inference: {} sent by a party in {} rounds, {} dealt to the last party; once for the \
         model: {} sent by a party\n",
        if report.producer.is_empty() { "no producer named" } else { &report.producer },
        report.opset,
        count(report.parameters as u64),
        count(report.multiplications),
        report.layers,
        bytes(report.online_bytes_sent),
        report.rounds,
        bytes(report.dealt_bytes),
        bytes(report.setup_bytes_sent),
    )
}
