//! `mpc store`.

use std::path::PathBuf;

use crate::table::table;
use clap::Args;
use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::{PlanDigest, Store};

use crate::failure::Failure;
use crate::keys::KeyArguments;
use crate::output::print;

/// Lists prepared inferences, or removes those of a plan that is not used any more.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// The folder of prepared inferences.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// Removes the batches of this plan, or `all`.
    #[arg(long, value_name = "PLAN")]
    remove: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &StoreArguments) -> Result<(), Failure> {
    let identity = arguments.key.endpoint()?.identity;
    let store = Store::open(&arguments.folder, FileKey::new(identity.derive_key("store")))?;
    let mut rows = table(&["batch", "plan", "ready", "prepared"], 2);
    for batch in store.batches()? {
        let described = store.describe(batch);
        let plan = described.as_ref().map_or_else(|_| "unreadable".to_owned(), |one| PlanDigest(one.plan).to_string());
        if arguments.remove.as_ref().is_some_and(|remove| *remove == plan || remove == "all") {
            store.discard(batch)?;
            continue;
        }
        let ready = store.ready(batch).map_or(0, |ready| ready.len());
        let prepared = described.map_or_else(|_| "?".to_owned(), |one| one.count.to_string());
        rows.add_row([batch.to_string(), plan.get(..16).unwrap_or(&plan).to_owned(), ready.to_string(), prepared]);
    }
    print(&format!("{rows}\n"))
}
