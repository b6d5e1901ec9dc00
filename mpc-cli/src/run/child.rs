//! The process of one party or the dealer, started by `mpc run --transport tcp` or `tls`.

use std::io::{BufRead, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitCode, exit};
use std::thread;

use mpc_nn::Owner;
use mpc_transport::tls::{Certificate, Identity, SecureLink, SecureTransport};
use mpc_transport::{AnyTransport, TcpLink, TcpTransport};
use smol::future::try_zip;

use super::error::NodeError;
use super::event::{Event, Listening};
use super::memory::ending;
use super::orders::Orders;
use super::roles::{Maker, Secrets, emulated, emulated_link, run_dealer, run_party};

/// The exit code of a process whose starter is gone.
const ORPHANED: i32 = 3;

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
    let listening = Listening { parties: address(&listener)?, dealer: address(&dealer_listener)? };
    let (identity, orders) = introduce(Some(listening))?;
    let party = orders.party;
    let roles = orders.job.roles();
    let weights = orders.weights.as_ref().map(|source| source.read(&orders.job.graph)).transpose()?;
    let owns = |input| roles.input_owner(input) == Owner::Party(party);
    let samples = orders.inputs.as_ref().map(|source| source.read(owns)).transpose()?;
    let inputs = samples.map(|samples| samples.inferences).unwrap_or_default();
    let secrets = Secrets { weights: weights.as_ref(), inputs: &inputs };
    let job = &orders.job;
    job.start_threads().map_err(orders_error)?;
    smol::block_on(async {
        let certificates = orders.certificates()?;
        let (mesh, maker) = try_zip(
            network(&orders, &certificates, &identity, listener, &orders.parties),
            maker(&orders, &certificates, &identity, dealer_listener),
        )
        .await?;
        run_party(mesh, maker, job, secrets, &mut |event| emit(&event)).await
    })
}

/// This party's end of a network of all parties, which listen at `addresses`.
async fn network(
    orders: &Orders,
    trusted: &Option<Trusted>,
    identity: &Identity,
    listener: TcpListener,
    addresses: &[SocketAddr],
) -> Result<AnyTransport, NodeError> {
    let (job, settings) = (&orders.job, orders.job.tcp_settings());
    Ok(match trusted {
        Some(trusted) => {
            let nodes = trusted.nodes(addresses);
            emulated(SecureTransport::connect(orders.party, listener, &nodes, identity, settings).await?, job)
        }
        None => emulated(TcpTransport::connect(orders.party, listener, addresses, settings).await?, job),
    })
}

/// Where this party's correlations come from.
async fn maker(
    orders: &Orders,
    trusted: &Option<Trusted>,
    identity: &Identity,
    listener: TcpListener,
) -> Result<Maker, NodeError> {
    let (job, settings) = (&orders.job, orders.job.tcp_settings());
    if !job.has_dealer() {
        let network = network(orders, trusted, identity, listener, &orders.dealer_links).await?;
        return Ok(Maker::parties(network, || emit(&Event::Heard)));
    }
    Ok(Maker::Dealer(match trusted {
        Some(Trusted { dealer: Some(dealer), .. }) => {
            emulated_link(SecureLink::listen(listener, identity, dealer, settings).await?, job)
        }
        Some(_) => return Err(orders_error("there is no certificate of the dealer")),
        None => emulated_link(TcpLink::listen(listener, settings).await?, job),
    }))
}

fn dealer() -> Result<(), NodeError> {
    let (identity, orders) = introduce(None)?;
    orders.job.start_threads().map_err(orders_error)?;
    let settings = orders.job.tcp_settings();
    smol::block_on(async {
        let certificates = orders.certificates()?;
        let mut links = Vec::new();
        for (party, address) in orders.dealer_links.iter().copied().enumerate() {
            links.push(match &certificates {
                Some(certificates) => {
                    let (address, party) = (address.to_string(), &certificates.parties[party]);
                    let link = SecureLink::connect(&address, &identity, party, &settings).await?;
                    emulated_link(link, &orders.job)
                }
                None => emulated_link(TcpLink::connect(address, settings).await?, &orders.job),
            });
        }
        run_dealer(links, &orders.job).await
    })
}

/// Says who this process is, and receives its orders.
fn introduce(listening: Option<Listening>) -> Result<(Identity, Orders), NodeError> {
    let identity = Identity::generate("node", 1)?;
    emit(&Event::Ready { listening, certificate: identity.certificate_pem() });
    Ok((identity, receive_orders()?))
}

/// Whom to trust.
struct Trusted {
    parties: Vec<Certificate>,
    dealer: Option<Certificate>,
}

impl Orders {
    /// The certificates, if links are encrypted.
    fn certificates(&self) -> Result<Option<Trusted>, NodeError> {
        let Some(certificates) = &self.certificates else { return Ok(None) };
        let parties =
            certificates.parties.iter().map(|pem| Certificate::from_pem(pem)).collect::<Result<Vec<_>, _>>()?;
        if parties.len() != self.dealer_links.len() {
            return Err(orders_error("there is not one certificate for each party"));
        }
        let dealer = certificates.dealer.as_deref().map(Certificate::from_pem).transpose()?;
        Ok(Some(Trusted { parties, dealer }))
    }
}

impl Trusted {
    /// The parties' network.
    fn nodes(&self, addresses: &[SocketAddr]) -> Vec<(String, Certificate)> {
        addresses.iter().map(SocketAddr::to_string).zip(self.parties.iter().cloned()).collect()
    }
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
