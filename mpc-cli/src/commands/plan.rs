//! `mpc plan`.

use std::path::Path;

use clap::Args;
use mpc_nn::{Network, Plan};
use mpc_ring::{Ring, in_ring};
use mpc_service::{PublicModel, Terms};
use serde::Serialize;

use crate::arguments::is_onnx;
use crate::cost::Cost;
use crate::estimate::{Estimate, Net};
use crate::failure::Failure;
use crate::output::{json, print};
use crate::run::job::Job;
use crate::run::subject::Subject;
use crate::run::{RunArguments, TransportKind};

/// Prints what an inference costs: bytes and rounds of every layer, exactly, and estimated times; and who learns what. Nothing is sent.
///
/// Takes the arguments of `mpc run`: what costs nothing has no effect. With `--transport services`, or with the public part of
/// a packed model, which has terms of its own, the data owner is the last party, as it is between organisations.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Links to estimate times for: loopback, lan (1 Gb/s, 0.5 ms one way), wan (100 Mb/s, 40 ms one way).
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "loopback,lan,wan",
        value_name = "LINK",
        help_heading = "Estimates"
    )]
    net: Vec<Net>,
}

#[derive(Serialize)]
struct Report {
    /// The recipients of each result, by the terms.
    disclosure: String,
    #[serde(flatten)]
    cost: Cost,
    estimates: Vec<Estimate>,
}

impl Report {
    fn new<R: Ring>(name: &str, plan: &Plan<R>, terms: &Terms, nets: &[Net]) -> Self {
        let estimates = nets.iter().map(|&net| Estimate::new(net, plan)).collect();
        Self { disclosure: terms.disclosure(), cost: Cost::new(name, plan), estimates }
    }
}

/// The cost of an inference of a network that a program holds, as one JSON object: on the terms of the arguments, by the plan
/// of [`run_local`](crate::run::run_local) where it suits them, else by that of services.
///
/// # Errors
/// [`Failure`]
pub fn cost_json(arguments: &RunArguments, network: &Network) -> Result<String, Failure> {
    let (name, terms) = (&*arguments.name(), arguments.terms.terms());
    let nets = [Net::Loopback, Net::Lan, Net::Wan];
    if !arguments.terms.are_plain() {
        let model = PublicModel::new(network, terms)?;
        let report = in_ring!(terms.ring, R => Report::new(name, &model.plan::<R>()?, &terms, &nets));
        return Ok(json(&report));
    }
    let job = Job::new(arguments, network.graph.clone())?;
    Ok(in_ring!(job.ring, R => json(&Report::new(name, &job.plan::<R>()?, &terms, &nets))))
}

/// Runs the command.
pub fn run(PlanArguments { run: arguments, net }: &PlanArguments) -> Result<(), Failure> {
    let name = &*arguments.name();
    let report = match packed(arguments)? {
        Some(model) => in_ring!(model.terms.ring, R => Report::new(name, &model.plan::<R>()?, &model.terms, net)),
        None => {
            let job = Job::new(arguments, Subject::open(arguments, false)?.graph)?;
            in_ring!(job.ring, R => Report::new(name, &job.plan::<R>()?, &arguments.terms.terms(), net))
        }
    };
    let text = || format!("{}\n{}.\n", report.cost.text_with(&report.estimates), report.disclosure);
    print(&if arguments.output.json { json(&report) } else { text() })
}

/// The public part of a packed model, or of one that services would serve.
fn packed(arguments: &RunArguments) -> Result<Option<PublicModel>, Failure> {
    let model = Path::new(&arguments.model);
    if !is_onnx(model) && model.is_file() {
        if arguments.terms.widths.is_some() {
            return Err(Failure::Usage(
                "a packed model has its bounds already; give --widths to `mpc pack`".to_owned(),
            ));
        }
        return Ok(Some(PublicModel::read(model)?));
    }
    let is_served = arguments.transport == TransportKind::Services;
    is_served.then(|| Ok(arguments.pack()?.public)).transpose()
}
