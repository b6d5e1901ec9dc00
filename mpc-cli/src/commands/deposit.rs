//! `mpc deposit`.

use std::path::PathBuf;

use clap::Args;
use mpc_service::{Deposited, Depositor, PrivateModel};

use crate::failure::Failure;
use crate::keys::{KeyArguments, peers};
use crate::output::print;

/// Leaves a share of a model with each of the servers that are to compute it (`mpc serve --shares`).
///
/// All but one of the shares say nothing about the weights. The servers keep theirs, encrypted, and need the model owner no
/// more; the data owners need the public part. What the same owner has left before, with the same plan, is replaced once all
/// servers have the new shares; inferences that were prepared with it are refused from then on.
#[derive(Debug, Args)]
pub struct DepositArguments {
    /// The private part of a model that was packed with --outsourced.
    #[arg(value_name = "PRIVATE")]
    model: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// The servers and the certificates that they must have, in the order of their parties.
    #[arg(long, required = true, value_name = "HOST:PORT=FILE.crt")]
    connect: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &DepositArguments) -> Result<(), Failure> {
    let model = PrivateModel::read(&arguments.model)?;
    let servers = peers("connect", &arguments.connect)?;
    let depositor = Depositor { endpoint: arguments.key.endpoint()?, servers };
    let Deposited { plan, deposit } = smol::block_on(depositor.deposit(&model))?;
    let servers = depositor.servers.len();
    print(&format!("each of {servers} servers has its share, and uses it\nplan {plan}\nversion {deposit}\n"))
}
