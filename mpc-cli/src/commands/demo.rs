//! `mpc demo`.

use std::net::SocketAddr;

use clap::Args;
use mpc_models::Model;
use mpc_service::at_rest::private_file::write_private;
use mpc_service::web::{Description, Place, serve_pages};
use mpc_service::{Client, Depositor, PrivateModel, RevealTo, Terms, Topology, listen};
use mpc_transport::tls::Certificate;

use crate::arguments::InputArguments;
use crate::commands::page::picture;
use crate::failure::Failure;
use crate::keys::certificate;
use crate::output::print;
use crate::page::{Content, Files};
use crate::run::services::{PageFlags, Running, Site};
use crate::stop;

/// Inferences in a minute that the demonstration's token is good for.
const PER_MINUTE: u32 = 600;

/// Shows in a browser how servers recognise a digit that none of them sees.
///
/// Starts a dealer, servers that hold shares of a network, and a page, all on this machine, and prints the link to open. To try
/// things out: whoever owns this machine sees everything.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The network: one of the bundled ones of digits, lenet, minionn, minionn-square or resnet32.
    #[arg(value_name = "NAME", default_value = "lenet")]
    model: String,
    /// The number of servers, 2 to 8; the dealer comes on top.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    parties: u8,
    /// Where the page is served; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// How long another participant may make no progress.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    deadline: u64,
    /// Ends at the end of standard input, too: for a program that starts this one.
    #[arg(long, hide = true)]
    stop_with_input: bool,
}

/// Runs the command.
pub fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    if !arguments.listen.ip().is_loopback() {
        return Err(Failure::Usage("a demonstration is on loopback alone: --listen 127.0.0.1:PORT".to_owned()));
    }
    let model = packed(arguments)?;
    let listener = listen(arguments.listen)?;
    let address = listener.local_addr().map_err(|error| Failure::Own(error.to_string()))?;
    let folder = tempfile::tempdir().map_err(|error| Failure::Own(format!("a folder for the keys: {error}")))?;
    let site = Site { folder: folder.path(), deadline: arguments.deadline, reveal_to: RevealTo::DataOwner };
    let token = token()?;
    let tokens = folder.path().join("tokens");
    write_private(&tokens, format!("demo {token} {PER_MINUTE}\n").as_bytes())?;
    let flags = PageFlags { origin: format!("http://{address}"), tokens };
    let (running, dealer) = start(&site, &model, &flags)?;
    let places: Vec<_> = running.iter().skip(1).filter_map(place).collect();
    let urls: Vec<_> = places.iter().map(|place| place.url.clone()).collect();
    let usage = |error: mpc_service::web::DescriptionError| Failure::Usage(error.to_string());
    let model_part = Description::new(&model.public, places, *dealer.fingerprint().as_bytes(), None).map_err(usage)?;
    let picture = picture(&model.public, true, &InputArguments { mean: Vec::new(), deviation: Vec::new() })?;
    let title = "A digit that nobody sees".to_owned();
    let content = Content { title, model: model_part, picture, labels: Vec::new() };
    let files = Files::new(&content, &urls);
    print(&format!(
        "{} servers, a dealer and a page run on this machine. Open\n\n  http://{address}/#{token}\n\nCtrl-C ends all.\n",
        running.len() - 1
    ))?;
    let served = serve_pages(files.files, &files.policy, listener, stop::requested(arguments.stop_with_input)?);
    Ok(smol::block_on(served)?)
}

/// The network, as servers hold shares of it.
fn packed(arguments: &DemoArguments) -> Result<PrivateModel, Failure> {
    let usage = |reason: String| Failure::Usage(reason);
    let known = Model::by_name(&arguments.model).map_err(|error| usage(error.to_string()))?;
    let is_digits = known.classes() == 10 && known.bundled_weights().is_some();
    let weights = known.bundled_weights().filter(|_| is_digits);
    let weights = weights.ok_or_else(|| usage(format!("{} comes with no weights for digits", arguments.model)))?;
    let graph = known.graph(1).map_err(|error| usage(error.to_string()))?;
    let network = known.network(graph, weights).map_err(|error| usage(error.to_string()))?;
    let terms = Terms { setting: Topology::Outsourced, parties: arguments.parties, ..Terms::default() };
    Ok(PrivateModel::new(network, terms)?)
}

/// Starts the dealer and the servers, and leaves the shares of the model with these. The dealer is the first.
fn start(site: &Site<'_>, model: &PrivateModel, flags: &PageFlags) -> Result<(Vec<Running>, Certificate), Failure> {
    let servers: Vec<String> = (0..model.public.terms.servers()).map(|party| format!("server{party}")).collect();
    for name in servers.iter().map(String::as_str).chain(["owner", "client", "dealer"]) {
        site.keygen(name)?;
    }
    let parties: Vec<_> = servers.iter().map(String::as_str).collect();
    let dealer = site.start(&["dealer"], "dealer", &site.allow(&parties), None)?;
    let dealer_peer = format!("{}={}", dealer.address, site.certificate("dealer").display());
    let running = site.serve(model, &servers, Some(&dealer_peer), Some(flags))?;
    let connect = servers.iter().zip(&running);
    let connect: Vec<_> =
        connect.map(|(name, at)| format!("{}={}", at.address, site.certificate(name).display())).collect();
    let Client { endpoint, servers, .. } = site.client("owner", &connect, Some(&dealer_peer))?;
    smol::block_on(Depositor { endpoint, servers }.deposit(model))?;
    let certificate = certificate(&site.certificate("dealer"))?;
    Ok(([dealer].into_iter().chain(running).collect(), certificate))
}

fn place(running: &Running) -> Option<Place> {
    let (address, key) = running.pages.as_ref()?;
    Some(Place { url: format!("http://{address}"), key: *key })
}

/// A token for this demonstration alone.
fn token() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Own(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
