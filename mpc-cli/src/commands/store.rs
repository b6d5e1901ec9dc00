//! `mpc store`.

use std::path::PathBuf;

use crate::table::table;
use clap::Args;
use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::{Owner, PlanDigest, Store};

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
    /// Removes the batches of this plan, this batch, or `all`.
    #[arg(long, value_name = "PLAN|BATCH")]
    remove: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &StoreArguments) -> Result<(), Failure> {
    let identity = arguments.key.endpoint()?.identity;
    let key = FileKey::new(identity.derive_key("store"));
    // A server's folder of one data owner has the name of its fingerprint.
    let data_owner = arguments.folder.file_name().and_then(|name| name.to_str()?.parse::<Owner>().ok());
    let store = match data_owner {
        Some(owner) => Store::of_data_owner(&arguments.folder, key, owner)?,
        None => Store::open(&arguments.folder, key)?,
    };
    let mut rows = table(&["batch", "plan", "ready", "prepared"], 2);
    for batch in store.batches()? {
        let described = store.describe(batch);
        let plan = described.as_ref().map_or_else(|_| "unreadable".to_owned(), |one| PlanDigest(one.plan).to_string());
        if arguments.remove.as_ref().is_some_and(|remove| [&*plan, &batch.to_string(), "all"].contains(&&**remove)) {
            store.discard(batch)?;
            continue;
        }
        let ready = store.ready(batch).map_or(0, |ready| ready.len());
        let prepared = described.map_or_else(|_| "?".to_owned(), |one| one.count.to_string());
        rows.add_row([batch.to_string(), plan.get(..16).unwrap_or(&plan).to_owned(), ready.to_string(), prepared]);
    }
    print(&format!("{rows}\n"))
}
