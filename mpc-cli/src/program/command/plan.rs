//! `mpc plan`.

use std::path::{Path, PathBuf};

use clap::Args;
use mpc_cli::cost::Cost;
use mpc_cli::estimate::{Estimate, Net};
use mpc_ring::in_ring;
use mpc_service::PublicModel;
use serde::Serialize;

use super::super::arguments::{TermsArguments, is_onnx};
use super::super::failure::Failure;
use super::super::{json, print};

/// Prints what an inference costs: bytes and rounds of every layer, exactly, and estimated times. Nothing is sent.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// An ONNX file, the name of a network with weights, or the public part of a packed model, which has terms of its own.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    terms: TermsArguments,
    /// The shape of an input whose sizes an ONNX file leaves open; without it they are 1.
    #[arg(long, value_name = "NAME=1x3x32x32")]
    shape: Vec<String>,
    /// Links to estimate times for: loopback, lan (1 Gb/s, 0.5 ms one way), wan (100 Mb/s, 40 ms one way).
    #[arg(long, value_delimiter = ',', default_value = "loopback,lan,wan", value_name = "LINK")]
    net: Vec<Net>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    cost: Cost,
    estimates: Vec<Estimate>,
}

/// Runs the command.
pub fn run(arguments: &PlanArguments) -> Result<(), Failure> {
    let model = open(&arguments.model, &arguments.terms, &arguments.shape)?;
    let name = arguments.model.display().to_string();
    let report = in_ring!(model.terms.ring, R => {
        let plan = model.plan::<R>()?;
        let estimates = arguments.net.iter().map(|&net| Estimate::new(net, &plan)).collect();
        Report { cost: Cost::new(&name, &plan), estimates }
    });
    print(&if arguments.json { json(&report) } else { report.cost.text_with(&report.estimates) })
}

/// The public part of a model on the given terms, or a packed one.
fn open(model: &Path, terms: &TermsArguments, shapes: &[String]) -> Result<PublicModel, Failure> {
    if is_onnx(model) || !model.exists() {
        return Ok(terms.pack(model, shapes)?.public);
    }
    Ok(PublicModel::read(model)?)
}
