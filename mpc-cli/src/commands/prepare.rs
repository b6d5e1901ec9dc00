//! `mpc prepare`.

use clap::Args;
use mpc_ring::in_ring;
use mpc_service::at_rest::prepared::MAX_BATCH;

use crate::arguments::{ConnectArguments, PublicModelArguments};
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
    #[command(flatten)]
    model: PublicModelArguments,
    #[command(flatten)]
    connect: ConnectArguments,
    /// How many inferences.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BATCH)))]
    count: u32,
    /// Audits the dealer: so many of the inferences are drawn once all are there, destroyed, and dealt again.
    ///
    /// The dealer commits to the seeds of all N before it deals, the parties draw Q of them together, and each compares what it
    /// was sent with what follows from their seeds. A dealer that deals one of N wrongly is found out with probability Q/N: the
    /// command then names it, keeps nothing and ends with code 3. N - Q inferences are left. It finds wrong
    /// correlations, not a dealer that works together with somebody.
    #[arg(long, value_name = "Q", default_value_t = 0, hide_default_value = true)]
    audit: u32,
    /// The store of prepared inferences, a folder or a database.
    #[arg(long, value_name = STORE)]
    store: StoreArgument,
}

/// Runs the command.
pub fn run(arguments: &PrepareArguments) -> Result<(), Failure> {
    let &PrepareArguments { count, audit, .. } = arguments;
    let model = arguments.model.read()?;
    let client = arguments.connect.client()?;
    disclose(&model);
    let store = arguments.store.own(&client.endpoint.identity)?;
    let mut bars = in_ring!(model.terms.ring, R => SessionProgress::new(&model.plan::<R>()?, count));
    let batch = smol::block_on(client.prepare_audited(&model, (count, audit), &*store, &mut bars))?;
    drop(bars);
    let audited = match audit {
        0 => String::new(),
        _ => format!("; {audit} were audited: the dealer had dealt them rightly"),
    };
    print(&format!("batch {batch}: {} inferences are ready in {}{audited}\n", count - audit, arguments.store))
}
