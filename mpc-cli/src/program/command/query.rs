//! `mpc query`.

use std::path::PathBuf;

use clap::Args;
use mpc_ring::in_ring;
use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::{Client, Correlations, PublicModel, Store};

use super::super::arguments::{ConnectArguments, InputArguments};
use super::super::failure::Failure;
use super::super::outcome::{Outcome, OutputArguments};
use super::super::progress::Bars;

/// Runs a model privately on inputs of one's own, and writes the result.
///
/// For a model with one input each file is an inference, one after the other in one session; for a model with several, all
/// files are those of one inference (NAME=FILE). With --store the correlations were made by `mpc prepare`, and no dealer
/// takes part.
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// The public part of the model.
    #[arg(value_name = "PUBLIC")]
    model: PathBuf,
    /// The inputs: tensors (.npy, .npz) or images (PNG, JPEG), which are resized.
    #[arg(required = true, value_name = "[NAME=]FILE")]
    input: Vec<String>,
    #[command(flatten)]
    connect: ConnectArguments,
    /// The folder of prepared inferences.
    #[arg(long, value_name = "FOLDER")]
    store: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Runs the command.
pub fn run(arguments: &QueryArguments) -> Result<(), Failure> {
    let model = PublicModel::read(&arguments.model)?;
    let client = arguments.connect.client()?;
    query(&client, &model, &arguments.input, arguments.store.as_ref(), &arguments.inputs, &arguments.output)
}

/// Runs a model with a client, and writes what comes of it.
pub fn query(
    client: &Client,
    model: &PublicModel,
    files: &[String],
    store: Option<&PathBuf>,
    inputs: &InputArguments,
    output: &OutputArguments,
) -> Result<(), Failure> {
    let destinations = output.destinations(model)?;
    let inputs = inputs.read(model, files)?;
    let key = || FileKey::new(client.endpoint.identity.derive_key("store"));
    let store = store.map(|folder| Store::open(folder, key())).transpose()?;
    let correlations = store.as_ref().map_or(Correlations::Dealer, Correlations::Store);
    let count = inputs.len() as u32;
    let mut bars = in_ring!(model.terms.ring, R => Bars::new(&model.plan::<R>()?, count));
    let results = smol::block_on(client.query(model, &inputs, correlations, &mut bars))?;
    drop(bars);
    Outcome { client, model, results }.write(output, &destinations)
}
