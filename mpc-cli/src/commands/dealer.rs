//! `mpc dealer`.

use std::path::PathBuf;

use clap::Args;
use mpc_service::Dealer;

use crate::admin::AdminArguments;
use crate::arguments::{LimitArguments, ListenArguments};
use crate::failure::Failure;
use crate::keys::{KeyArguments, certificates};

/// Deals random correlations to parties. Sees neither models nor data, and keeps nothing.
///
/// The dealer knows every mask, so it must belong to somebody who works together with none of the parties, and run where
/// none of them can read what it sends to the others.
#[derive(Debug, Args)]
pub struct DealerArguments {
    #[command(flatten)]
    listen: ListenArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// Those whom it deals to.
    #[arg(long, required = true, value_delimiter = ',', value_name = "FILE.crt")]
    allow: Vec<PathBuf>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    admin: AdminArguments,
}

/// Runs the command.
pub fn run(arguments: &DealerArguments) -> Result<(), Failure> {
    let dealer = Dealer::new(arguments.key.endpoint()?, certificates(&arguments.allow)?, arguments.limits.limits(0))?;
    let (listener, stop) = arguments.listen.start()?;
    arguments.admin.start(dealer.status(), 0)?;
    Ok(smol::block_on(dealer.run(listener, stop))?)
}
