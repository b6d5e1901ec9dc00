//! `mpc query`.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{ConnectArguments, InputArguments, OutputArguments, PublicModelArguments};
use crate::failure::Failure;
use crate::outcome::query;
use crate::store_argument::{STORE, StoreArgument};

/// Runs a model privately on inputs of one's own, and writes the result.
///
/// For a model with one input each file is an inference, one after the other in one session; for a model with several, all
/// files are those of one inference (NAME=FILE). A tensor of more samples than the model takes at a time is several. With --store the correlations were made by `mpc prepare`, and no dealer
/// takes part. Of a model that was packed with --no-dealer there is none: the two parties make them.
#[derive(Debug, Args)]
pub struct QueryArguments {
    #[command(flatten)]
    model: PublicModelArguments,
    /// The inputs: tensors (.npy, .npz) or images (PNG, JPEG), which are resized.
    #[arg(required = true, value_name = "[NAME=]FILE")]
    input: Vec<OsString>,
    #[command(flatten)]
    connect: ConnectArguments,
    /// The store of prepared inferences, a folder or a database.
    #[arg(long, value_name = STORE)]
    store: Option<StoreArgument>,
    #[command(flatten)]
    inputs: InputArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Runs the command.
pub fn run(arguments: &QueryArguments) -> Result<(), Failure> {
    let model = arguments.model.read()?;
    let client = arguments.connect.client()?;
    let inputs = arguments.inputs.read(&model, &arguments.input)?;
    query(&client, &model, &inputs, arguments.store.as_ref(), &arguments.output)
}
