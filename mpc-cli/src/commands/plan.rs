//! `mpc plan`.

use std::path::Path;

use clap::Args;
use mpc_nn::{Network, Plan};
use mpc_ring::{Ring, in_ring};
use mpc_service::{PublicModel, Terms};
use serde::Serialize;

use crate::arguments::{NetworkLimitArgument, is_onnx};
use crate::cost::Cost;
use crate::estimate::{Estimate, Net};
use crate::failure::Failure;
use crate::output::{json, print};
use crate::over_link::OverLink;
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
    #[command(flatten)]
    network: NetworkLimitArgument,
}

#[derive(Serialize)]
struct Report {
    /// The recipients of each result, by the terms.
    disclosure: String,
    #[serde(flatten)]
    cost: Cost,
    estimates: Vec<Estimate>,
    /// The times over the link that is named, of both variants of comparisons if it chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_link: Option<OverLink>,
}

impl Report {
    fn new<R: Ring>(
        arguments: &RunArguments,
        plan: &Plan<R>,
        terms: &Terms,
        nets: &[Net],
        has_terms: bool,
    ) -> Result<Self, Failure> {
        let estimates = nets.iter().map(|&net| Estimate::new(net, plan)).collect();
        // A packed model has its variant already.
        let chose = !has_terms && arguments.terms.choosing_by()?.is_some();
        let order = arguments.preprocessing_mode().order();
        let over_link = arguments.terms.link.0.map(|link| OverLink::new(plan, link, order, chose)).transpose()?;
        Ok(Self { disclosure: terms.disclosure(), cost: Cost::new(&arguments.name(), plan), estimates, over_link })
    }

    fn text(&self) -> String {
        let over_link = self.over_link.as_ref().map_or(String::new(), |over| format!("{}\n", over.text()));
        format!("{}\n{over_link}{}.\n", self.cost.text_with(&self.estimates), self.disclosure)
    }
}

/// The cost of an inference of a network that a program holds, as one JSON object: on the terms of the arguments, by the plan
/// of [`run_local`](crate::run::run_local) where it suits them, else by that of services.
///
/// # Errors
/// [`Failure`]
pub fn cost_json(arguments: &RunArguments, network: &Network) -> Result<String, Failure> {
    let terms = arguments.terms.terms();
    let nets = [Net::Loopback, Net::Lan, Net::Wan];
    if !arguments.terms.are_plain() {
        let model = arguments.terms.publish(network)?;
        let report = in_ring!(terms.ring, R => Report::new(arguments, &model.plan::<R>()?, &terms, &nets, false));
        return Ok(json(&report?));
    }
    let job = Job::new(arguments, network.graph.clone())?;
    let report = in_ring!(job.ring, R => Report::new(arguments, &job.plan::<R>()?, &terms, &nets, false));
    Ok(json(&report?))
}

/// Runs the command.
pub fn run(PlanArguments { run: arguments, net, network }: &PlanArguments) -> Result<(), Failure> {
    let has_terms = is_packed(arguments);
    let report = match packed(arguments, *network)? {
        Some(model) => {
            in_ring!(model.terms.ring, R => Report::new(arguments, &model.plan::<R>()?, &model.terms, net, has_terms))
        }
        None => {
            let job = Job::new(arguments, Subject::open(arguments, false)?.graph)?;
            let terms = arguments.terms.terms();
            in_ring!(job.ring, R => Report::new(arguments, &job.plan::<R>()?, &terms, net, false))
        }
    }?;
    print(&if arguments.output.json { json(&report) } else { report.text() })
}

/// Whether the model is a packed one.
fn is_packed(arguments: &RunArguments) -> bool {
    let model = Path::new(&arguments.model);
    !is_onnx(model) && model.is_file()
}

/// The public part of a packed model, or of one that services would serve.
fn packed(arguments: &RunArguments, network: NetworkLimitArgument) -> Result<Option<PublicModel>, Failure> {
    if is_packed(arguments) {
        if arguments.terms.widths.is_some() {
            return Err(Failure::Usage(
                "a packed model has its bounds already; give --widths to `mpc pack`".to_owned(),
            ));
        }
        return Ok(Some(PublicModel::read_within(Path::new(&arguments.model), &network.limits())?));
    }
    let is_served = arguments.transport == TransportKind::Services;
    is_served.then(|| Ok(arguments.pack()?.0.public)).transpose()
}
