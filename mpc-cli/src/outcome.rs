//! The outcome of a query: files, tables and a report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cost::{Cost, Measured, measured_table};
use crate::format::{bytes, seconds};
use crate::table::table;
use mpc_models::tensors::write_whole;
use mpc_ring::in_ring;
use mpc_service::at_rest::private_file::try_place;
use mpc_service::{BatchId, Client, Correlations, InferenceReport, PublicModel, Results, Terms, Topology};
use ndarray::{ArrayD, Axis};
use serde::Serialize;

use crate::arguments::{OutputArguments, is_page};
use crate::failure::Failure;
use crate::output::{disclose, json, print, write_output};
use crate::parts::Parts;
use crate::run::joined;
use crate::session_progress::SessionProgress;
use crate::store_argument::StoreArgument;

/// The numbers of an output that are printed.
const SHOWN: usize = 10;

/// Runs a model with a client, and writes what comes of it.
pub fn query(
    client: &Client,
    model: &PublicModel,
    inputs: &[Vec<ArrayD<f32>>],
    store: Option<&StoreArgument>,
    output: &OutputArguments,
) -> Result<(), Failure> {
    disclose(model);
    if output.report.as_deref().is_some_and(is_page) {
        let reason = "--report FILE.html is for `mpc run` between threads or processes; of a query it is JSON";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let destinations = output.destinations(model)?;
    // A prepared inference is not spent on a result that has no place.
    destinations.values().chain(&output.report).try_for_each(|path| try_place(path))?;
    let store = store.map(|store| store.own(&client.endpoint.identity)).transpose()?;
    let correlations = store.as_deref().map_or(Correlations::Live, Correlations::Store);
    let count = inputs.len() as u32;
    let bars = in_ring!(model.terms.ring, R => SessionProgress::new(&model.plan::<R>()?, count));
    let mut parts = Parts::new(bars, model, &destinations, count)?;
    let results = smol::block_on(client.query(model, inputs, correlations, &mut parts));
    let results = results.map_err(|error| parts.failure(error.into()))?;
    parts.hide();
    let written = Outcome { client, model, results }.write(output, &destinations);
    written.map_err(|failure| parts.failure(failure))?;
    parts.remove()
}

/// A query that has ended well.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The client that asked.
    pub client: &'a Client,
    /// The model.
    pub model: &'a PublicModel,
    /// The results of the query.
    pub results: Results,
}

#[derive(Serialize)]
struct Report<'a> {
    plan: String,
    terms: Terms,
    servers: Vec<Who>,
    dealer: Option<Who>,
    prepared: Option<Prepared>,
    /// The version of an outsourced model, and its owner.
    deposit: Option<String>,
    planned: Cost,
    inferences: &'a [InferenceReport],
}

#[derive(Serialize)]
struct Who {
    name: String,
    address: String,
    fingerprint: String,
}

#[derive(Serialize)]
struct Prepared {
    batch: String,
    places: Vec<u32>,
}

impl From<&(BatchId, Vec<u32>)> for Prepared {
    fn from((batch, places): &(BatchId, Vec<u32>)) -> Self {
        Self { batch: batch.to_string(), places: places.clone() }
    }
}

impl Outcome<'_> {
    /// Writes files, then prints the result, then tables.
    fn write(&self, arguments: &OutputArguments, files: &BTreeMap<String, PathBuf>) -> Result<(), Failure> {
        let outputs = self.outputs()?;
        for (output, tensor) in self.model.outputs.iter().zip(&outputs) {
            if let Some(path) = files.get(&output.name) {
                write_output(path, tensor, &self.shape(output, tensor))?;
            }
        }
        if let Some(path) = &arguments.report {
            write_whole(path, self.json()?.as_bytes()).map_err(|error| Failure::Own(error.to_string()))?;
        }
        if arguments.json {
            return print(&self.json()?);
        }
        print(&self.result(&outputs, files))?;
        if arguments.quiet { Ok(()) } else { print(&self.tables()?) }
    }

    /// The planned and the measured figures, as one JSON object.
    ///
    /// # Errors
    /// [`Failure::Service`] where there is no plan.
    pub fn json(&self) -> Result<String, Failure> {
        Ok(json(&self.report()?))
    }

    /// Each output of all inferences, one after the other along the first axis; none where the result is not revealed here.
    ///
    /// # Errors
    /// [`Failure::Own`] where inferences have outputs of different shapes.
    pub fn outputs(&self) -> Result<Vec<ArrayD<f64>>, Failure> {
        let revealed: Vec<_> = self.results.outputs.iter().flatten().collect();
        joined(&revealed).map_err(|error| Failure::Own(format!("outputs of different shapes: {error}")))
    }

    /// The shape in which an output is written: that of the model's own file for one inference of a network that reveals all.
    fn shape(&self, output: &mpc_service::at_rest::packed_model::Tensor, tensor: &ArrayD<f64>) -> Vec<usize> {
        let elements: usize = output.shape.iter().product();
        if elements == tensor.len() && self.results.outputs.len() == 1 {
            return output.shape.clone();
        }
        tensor.shape().to_vec()
    }

    fn result(&self, outputs: &[ArrayD<f64>], files: &BTreeMap<String, PathBuf>) -> String {
        if outputs.is_empty() {
            return "done: by the model's terms the result is not revealed here\n".to_owned();
        }
        let mut text = String::new();
        for (output, tensor) in self.model.outputs.iter().zip(outputs) {
            let place = files.get(&output.name).map(|path| format!(", in {}", path.display())).unwrap_or_default();
            text += &format!("{}: shape {:?}{place}\n", output.name, tensor.shape());
            let rows = tensor.len_of(Axis(0)).min(SHOWN);
            for row in tensor.axis_iter(Axis(0)).take(rows) {
                let numbers: Vec<_> = row.iter().take(SHOWN).map(|value| format!("{value:.4}")).collect();
                let more = if row.len() > SHOWN { ", …" } else { "" };
                text += &format!("  {}{more}\n", numbers.join(", "));
            }
            if tensor.len_of(Axis(0)) > rows {
                text += "  …\n";
            }
        }
        text
    }

    fn report(&self) -> Result<Report<'_>, Failure> {
        let who = |peer: &mpc_service::Peer| Who {
            name: peer.certificate.name().to_owned(),
            address: peer.addresses.to_string(),
            fingerprint: peer.certificate.fingerprint().to_string(),
        };
        Ok(Report {
            plan: self.model.digest()?.to_string(),
            terms: self.model.terms,
            servers: self.client.servers.iter().map(who).collect(),
            dealer: self.client.dealer.as_ref().map(who),
            prepared: self.results.used.as_ref().map(Prepared::from),
            deposit: self.results.deposit.map(|id| id.to_string()),
            planned: in_ring!(self.model.terms.ring, R => Cost::new("query", &self.model.plan::<R>()?)),
            inferences: &self.results.reports,
        })
    }

    /// The planned figures, and the measured ones beside them.
    fn tables(&self) -> Result<String, Failure> {
        let reports = &self.results.reports;
        let Some(last) = reports.last() else { return Ok(String::new()) };
        let mut header = vec!["inference", "online", "waiting for correlations", "sent", "received", "rounds"];
        let Terms { setting, .. } = self.model.terms;
        let makes_correlations = !self.model.terms.has_dealer() && setting == Topology::Direct;
        if makes_correlations {
            header.push("sent and received for correlations");
        }
        let mut phases = table(&header, 1);
        for (index, report) in reports.iter().enumerate().take(SHOWN) {
            let [online, waiting] = [report.online_seconds, report.preprocessing_seconds].map(seconds);
            let [sent, received] = [report.online.bytes_sent(), report.online.bytes_received()].map(bytes);
            let mut row =
                vec![(index + 1).to_string(), online, waiting, sent, received, report.online.rounds.to_string()];
            if makes_correlations {
                row.push(bytes(report.preprocessing.bytes_sent() + report.preprocessing.bytes_received()));
            }
            phases.add_row(row);
        }
        let measured: Vec<_> = last
            .steps
            .iter()
            .map(|step| Measured { name: &step.name, seconds: step.seconds, traffic: step.measured })
            .collect();
        let steps = match measured.is_empty() {
            true => String::new(),
            false => in_ring!(self.model.terms.ring, R => {
                let plan = self.model.plan::<R>()?;
                format!("\nThe last inference, at this party, planned and measured:\n{}\n", measured_table(&plan, &measured))
            }),
        };
        Ok(format!("\n{phases}\n{steps}"))
    }
}
