//! The process of one party or the dealer, started by `cargo xtask infer --transport tcp`.

use std::io::{BufRead, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitCode, exit};
use std::thread;

use mpc_nn::Owner;
use mpc_transport::TcpTransport;
use smol::future::try_zip;

use super::error::NodeError;
use super::event::Event;
use super::memory::ending;
use super::orders::Orders;
use super::roles::{Secrets, run_dealer, run_party};

/// The exit code of a process whose starter is gone.
const ORPHANED: i32 = 3;

/// The dealer's node in its network with a party.
const DEALER_NODE: usize = 1;

/// A party's process.
pub fn run_party_process() -> ExitCode {
    end(party())
}

/// The dealer's process.
pub fn run_dealer_process() -> ExitCode {
    end(dealer())
}

fn end(outcome: Result<(), NodeError>) -> ExitCode {
    let code = if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    emit(&ending(outcome));
    code
}

fn party() -> Result<(), NodeError> {
    let (listener, dealer_listener) = (listen()?, listen()?);
    let address = |listener: &TcpListener| listener.local_addr().map_err(listen_error);
    emit(&Event::Listening { parties: address(&listener)?, dealer: address(&dealer_listener)? });
    let orders = receive_orders()?;
    let Orders { job, party, parties, dealer_links, weights, inputs } = &orders;
    let weights = weights.as_ref().map(|source| source.read(&job.graph)).transpose()?;
    let roles = job.roles();
    let samples = inputs
        .as_ref()
        .map(|source| source.read(|input| roles.input_owner(input) == Owner::Party(*party)))
        .transpose()?;
    let inputs = samples.map(|samples| samples.inferences).unwrap_or_default();
    let secrets = Secrets { weights: weights.as_ref(), inputs: &inputs };
    let settings = job.tcp_settings();
    smol::block_on(async {
        let own_link = dealer_links.get(*party).copied().ok_or_else(|| orders_error("too few addresses"))?;
        let link_addresses = [own_link, own_link];
        let mesh = TcpTransport::connect(*party, listener, parties, settings);
        let link = TcpTransport::connect(0, dealer_listener, &link_addresses, settings);
        let (mesh, link) = try_zip(mesh, link).await?;
        run_party(mesh, link, job, secrets, &mut |event| emit(&event)).await
    })
}

fn dealer() -> Result<(), NodeError> {
    let Orders { job, dealer_links, .. } = receive_orders()?;
    smol::block_on(async {
        let mut links = Vec::with_capacity(dealer_links.len());
        for address in dealer_links {
            links.push(TcpTransport::connect(DEALER_NODE, None, &[address, address], job.tcp_settings()).await?);
        }
        run_dealer(links, &job).await
    })
}

fn listen() -> Result<TcpListener, NodeError> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(listen_error)
}

fn listen_error(error: std::io::Error) -> NodeError {
    NodeError::Listen { reason: error.to_string() }
}

fn orders_error(reason: impl ToString) -> NodeError {
    NodeError::Orders { reason: reason.to_string() }
}

/// Reads the orders, and from then on ends this process as soon as its starter is gone.
fn receive_orders() -> Result<Orders, NodeError> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(orders_error)?;
    if line.is_empty() {
        exit(ORPHANED);
    }
    thread::spawn(|| {
        // Nothing more is ever sent: this returns when the other end is closed.
        let _ = stdin().lock().read_to_end(&mut Vec::new());
        exit(ORPHANED);
    });
    serde_json::from_str(&line).map_err(orders_error)
}

/// Writes an event as one line.
fn emit(event: &Event) {
    let mut line = serde_json::to_vec(event).expect("events have no maps, so they always encode");
    line.push(b'\n');
    let mut stdout = stdout().lock();
    if stdout.write_all(&line).and_then(|()| stdout.flush()).is_err() {
        exit(ORPHANED);
    }
}
