//! `mpc prepare`.

use std::path::PathBuf;

use clap::Args;
use mpc_ring::in_ring;
use mpc_service::PublicModel;

use crate::arguments::ConnectArguments;
use crate::failure::Failure;
use crate::output::{disclose, print};
use crate::session_progress::SessionProgress;
use crate::store_argument::{STORE, StoreArgument};

/// Prepares inferences ahead of time: their correlations are made now, and stored here and at the servers, encrypted.
///
/// The dealer makes them, or the two parties of a model that was packed with --no-dealer. A query with --store then needs
/// neither. Each prepared inference is used once; what a crash or a failed query has
/// begun to use is gone.
#[derive(Debug, Args)]
pub struct PrepareArguments {
    /// The public part of the model.
    #[arg(value_name = "PUBLIC")]
    model: PathBuf,
    #[command(flatten)]
    connect: ConnectArguments,
    /// How many inferences.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The store of prepared inferences, a folder or a database.
    #[arg(long, value_name = STORE)]
    store: StoreArgument,
}

/// Runs the command.
pub fn run(arguments: &PrepareArguments) -> Result<(), Failure> {
    let model = PublicModel::read(&arguments.model)?;
    let client = arguments.connect.client()?;
    disclose(&model);
    let store = arguments.store.own(&client.endpoint.identity)?;
    let mut bars = in_ring!(model.terms.ring, R => SessionProgress::new(&model.plan::<R>()?, arguments.count));
    let batch = smol::block_on(client.prepare(&model, arguments.count, &*store, &mut bars))?;
    drop(bars);
    print(&format!("batch {batch}: {} inferences are ready in {}\n", arguments.count, arguments.store))
}
