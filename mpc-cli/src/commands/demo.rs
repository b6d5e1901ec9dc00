//! `mpc demo`.

use std::net::SocketAddr;

use clap::Args;
use mpc_models::Model;
use mpc_nn::{Comparisons, Correlations, Transfers};
use mpc_service::at_rest::private_file::write_private;
use mpc_service::web::{Description, Place, serve_pages};
use mpc_service::{PrivateModel, RevealTo, Terms, Topology};

use crate::arguments::{InputArguments, listen};
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
/// Starts a dealer (with --no-dealer none), servers that hold shares of a network, and a page, all on this machine, and prints the
/// link to open. To try things out: whoever owns this machine sees everything.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The network: one of the bundled ones of digits, lenet, minionn, minionn-square or resnet32.
    #[arg(value_name = "NAME", default_value = "lenet")]
    model: String,
    /// The number of servers, 2 to 8; the dealer comes on top.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    parties: u8,
    /// No dealer: two servers make their correlations themselves. The answer takes longer.
    #[arg(long)]
    no_dealer: bool,
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
    let (listener, address) = listen(arguments.listen)?;
    let folder = tempfile::tempdir().map_err(|error| Failure::Own(format!("a folder for the keys: {error}")))?;
    let site = Site { folder: folder.path(), deadline: arguments.deadline, reveal_to: RevealTo::DataOwner };
    let token = token()?;
    let tokens = folder.path().join("tokens");
    write_private(&tokens, format!("demo {token} {PER_MINUTE}\n").as_bytes())?;
    let flags = PageFlags { origin: format!("http://{address}"), tokens };
    let services = site.start_all(&model, Some(&flags))?;
    let dealer = model.public.terms.has_dealer().then(|| certificate(&site.certificate("dealer"))).transpose()?;
    let dealer = dealer.map(|dealer| *dealer.fingerprint().as_bytes());
    let places = services.servers.iter().filter_map(place).collect();
    let usage = |error: mpc_service::web::DescriptionError| Failure::Usage(error.to_string());
    let model_part = Description::new(&model.public, places, dealer, None).map_err(usage)?;
    let picture = picture(&model.public, true, &InputArguments { mean: Vec::new(), deviation: Vec::new() })?;
    let title = "A digit that nobody sees".to_owned();
    let content = Content { title, model: model_part, picture, labels: Vec::new() };
    let files = Files::new(&content);
    let dealer = if dealer.is_some() { ", a dealer and" } else { " and" };
    print(&format!(
        "{} servers{dealer} a page run on this machine. Open\n\n  http://{address}/#{token}\n\nCtrl-C ends all.\n",
        services.servers.len()
    ))?;
    let stop = stop::requested(arguments.stop_with_input)?;
    let served = serve_pages(files.files, &files.policy, (listener, None), stop);
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
    let correlations = match arguments.no_dealer {
        true => Correlations::Own { transfers: Transfers::Silent, inferences: 1 },
        false => Correlations::Dealt,
    };
    let (parties, comparisons) = (arguments.parties, Comparisons::for_makers(correlations));
    let terms = Terms { setting: Topology::Outsourced, parties, correlations, comparisons, ..Terms::default() };
    Ok(PrivateModel::new(network, terms)?)
}

fn place(running: &Running) -> Option<Place> {
    let (address, key) = running.pages.as_ref()?;
    Some(Place { urls: vec![format!("http://{address}")], key: *key })
}

/// A token for this demonstration alone.
fn token() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Own(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
