//! `mpc store`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mpc_service::{BatchId, Owner, PlanDigest, PreparedStore, Stores};
use serde::Serialize;

use crate::failure::Failure;
use crate::keys::{KeyArguments, certificate};
use crate::output::{json, print};
use crate::store_argument::{STORE, StoreArgument};
use crate::table::table;

/// Lists prepared inferences; removes those of a plan that is not used any more; destroys what a store that was restored from
/// a copy must not use again.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// The store of prepared inferences, a folder or a database.
    #[arg(value_name = STORE)]
    store: StoreArgument,
    #[command(flatten)]
    key: KeyArguments,
    /// At a server, the data owner whose batches are meant. A folder that has the name of its fingerprint needs no other
    /// word.
    #[arg(long, value_name = "FILE.crt")]
    data_owner: Option<PathBuf>,
    /// Removes the batches of this plan, this batch, or `all`.
    #[arg(long, value_name = "PLAN|BATCH")]
    remove: Option<String>,
    /// Destroys the inferences of this batch up to --until.
    #[arg(long, value_name = "BATCH", requires = "until", conflicts_with = "remove")]
    burn: Option<String>,
    /// The last inference to destroy.
    #[arg(long, value_name = "N", requires = "burn")]
    until: Option<u32>,
    /// Prints one JSON object on stdout, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// A batch as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    batch: String,
    /// Absent where it cannot be read.
    plan: Option<String>,
    prepared: Option<u32>,
    ready: usize,
    used: u32,
    burnt: u32,
    /// The largest place that is gone.
    gone: Option<u32>,
    age_seconds: u64,
}

#[derive(Debug, Serialize)]
struct Listing {
    ready: usize,
    batches: Vec<Row>,
}

/// Runs the command.
pub fn run(arguments: &StoreArguments) -> Result<(), Failure> {
    let store = arguments.open()?;
    if let (Some(batch), Some(until)) = (&arguments.burn, arguments.until) {
        let id: BatchId = batch.parse().map_err(|reason| Failure::Usage(format!("--burn {batch}: {reason}")))?;
        let burnt = store.burn(id, until)?;
        if !arguments.json {
            print(&format!(
                "batch {id}: {burnt} inferences were destroyed, and none up to {until} is used any more\n"
            ))?;
        }
    }
    let mut batches = Vec::new();
    for batch in store.batches()? {
        let row = row(&*store, batch);
        let is_meant = |remove: &String| {
            remove == "all" || *remove == row.batch || row.plan.as_ref().is_some_and(|plan| plan == remove)
        };
        match arguments.remove.as_ref().is_some_and(is_meant) {
            true => store.discard(batch)?,
            false => batches.push(row),
        }
    }
    batches.sort_by_key(|row| std::cmp::Reverse(row.age_seconds));
    let listing = Listing { ready: batches.iter().map(|row| row.ready).sum(), batches };
    print(&if arguments.json { json(&listing) } else { text(&listing) })
}

impl StoreArguments {
    fn open(&self) -> Result<Box<dyn PreparedStore>, Failure> {
        let identity = self.key.endpoint()?.identity;
        if let Some(owner) = &self.data_owner {
            return Ok(self.store.open()?.of_data_owner(Stores::key(&identity), Owner::from(&certificate(owner)?))?);
        }
        // A server's folder of one data owner has the name of its fingerprint.
        let of_server = self.store.folder().and_then(|folder| {
            let owner: Owner = folder.file_name()?.to_str()?.parse().ok()?;
            Some((folder.parent()?.to_owned(), owner))
        });
        Ok(match of_server {
            Some((folder, owner)) => Stores::Folder(folder).of_data_owner(Stores::key(&identity), owner)?,
            None => self.store.own(&identity)?,
        })
    }
}

fn row(store: &dyn PreparedStore, batch: BatchId) -> Row {
    let described = store.describe(batch).ok();
    let usage = store.usage(batch).ok();
    let age = usage.and_then(|usage| usage.prepared.elapsed().ok()).unwrap_or_default();
    Row {
        batch: batch.to_string(),
        plan: described.as_ref().map(|one| PlanDigest(one.plan).to_string()),
        prepared: described.map(|one| one.count),
        ready: store.ready(batch).map_or(0, |ready| ready.len()),
        used: usage.map_or(0, |usage| usage.used),
        burnt: usage.map_or(0, |usage| usage.burnt),
        gone: usage.and_then(|usage| usage.gone),
        age_seconds: age.as_secs(),
    }
}

fn text(listing: &Listing) -> String {
    let mut rows = table(&["batch", "plan", "ready", "used", "burnt", "prepared", "age"], 2);
    for row in &listing.batches {
        let plan = row.plan.as_deref().unwrap_or("unreadable");
        rows.add_row([
            row.batch.clone(),
            plan.get(..16).unwrap_or(plan).to_owned(),
            row.ready.to_string(),
            row.used.to_string(),
            row.burnt.to_string(),
            row.prepared.map_or_else(|| "?".to_owned(), |count| count.to_string()),
            age(Duration::from_secs(row.age_seconds)),
        ]);
    }
    format!("{rows}\n")
}

/// A time as people say it.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
