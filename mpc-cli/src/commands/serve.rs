//! `mpc serve`.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use mpc_nn::GraphLimits;
use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::at_rest::packed_model::is_private;
use mpc_service::at_rest::private_file::{DiskError, check_private, create_private_folder, try_place};
use mpc_service::web::{HttpLimits, Origin, Tokens, TokensError, WebKey, WebSettings};
use mpc_service::{
    Contacts, Holdings, ModelShares, PrivateModel, PublicModel, Recipient, RevealTo, Server, ServiceError, SessionId,
};
use mpc_transport::tls::Identity;
use ndarray::ArrayD;

use crate::admin::AdminArguments;
use crate::arguments::{LimitArguments, ListenArguments, listen};
use crate::failure::Failure;
use crate::keys::{KeyArguments, MAX_TOKENS_FILE, certificates, page_certificate, peer, peers, read_text};
use crate::output::{print, write_output};
use crate::store_argument::{STORE, StoreArgument};

/// Serves data owners as a computing party.
///
/// With the private part of a model as its owner, party 0; with the public part as a server that holds nothing and helps to
/// compute (--party 1 and on, for models of three parties and more); with --shares as one that holds shares of models, which
/// their owners leave with `mpc deposit`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The packed model: its private part at its owner, its public part at others.
    #[arg(value_name = "MODEL", required_unless_present = "shares", conflicts_with = "shares")]
    model: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// Those who may ask for inferences.
    #[arg(long, required = true, value_delimiter = ',', value_name = "FILE.crt")]
    allow: Vec<PathBuf>,
    /// The dealer and the certificate that it must have; its machines, if it has several, are in the same order at all
    /// participants; of a model that was packed with --no-dealer there is none.
    #[arg(long, value_name = "HOST:PORT=FILE.crt")]
    dealer: Option<String>,
    /// The index of this party.
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    party: usize,
    /// Where there are several servers: each of them, in the order of their parties, this one included. One with several
    /// machines has several addresses, with commas between; *.DOMAIN:PORT and HOST:FROM-TO are those that it may advertise.
    #[arg(long, value_name = "HOST:PORT=FILE.crt")]
    server: Vec<String>,
    /// Where other participants call this machine, if its organisation has several: they have this address of it, or allow it.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// The store of prepared inferences, a folder or a database; without it none can be prepared.
    #[arg(long, value_name = STORE)]
    store: Option<StoreArgument>,
    /// The folder for results that the model's terms reveal to its owner: a file for each output of each inference, named
    /// SESSION-INFERENCE-OUTPUT.npy.
    #[arg(long, value_name = "FOLDER", conflicts_with = "shares")]
    results: Option<PathBuf>,
    /// The folder of shares of models.
    #[arg(long, value_name = "FOLDER")]
    shares: Option<PathBuf>,
    /// Those who may leave shares of models.
    #[arg(long, value_delimiter = ',', requires = "shares", value_name = "FILE.crt")]
    model_owner: Vec<PathBuf>,
    /// Prepared inferences that are kept for one organisation.
    #[arg(long, default_value_t = 10_000, value_name = "N", help_heading = "Limits")]
    max_stored: u32,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    web: WebArguments,
    #[command(flatten)]
    admin: AdminArguments,
    /// Not ready where a data owner has fewer prepared inferences here.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Operation")]
    min_prepared: u64,
}

/// Pages in browsers as data owners.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pages in browsers")]
struct WebArguments {
    /// Serves pages, too, at this address: over HTTPS with --web-cert, else over HTTP, for a proxy with TLS before it.
    #[arg(long, requires_all = ["shares", "origin", "tokens"], value_name = "ADDRESS:PORT")]
    web: Option<SocketAddr>,
    /// The certificate of --web and those that vouch for it, as an authority that browsers trust gives them (PEM; ECDSA or RSA).
    /// This and its key are read again when they are replaced; a new one that cannot be used is logged, and the old one stays.
    #[arg(long, requires_all = ["web", "web_key"], value_name = "FILE.pem")]
    web_cert: Option<PathBuf>,
    /// The key of --web-cert (PEM, not encrypted), for its owner alone.
    #[arg(long, requires = "web_cert", value_name = "FILE.pem")]
    web_key: Option<PathBuf>,
    /// Where pages reach this machine, if it has another address than its server: they stay with the machine that they began with.
    #[arg(long, requires = "web", value_name = "https://HOST:PORT")]
    web_advertise: Option<Origin>,
    /// The origins of the pages that may use this server.
    #[arg(long, value_delimiter = ',', requires = "web", value_name = "https://HOST")]
    origin: Vec<Origin>,
    /// A file of a line for each bearer token: NAME TOKEN, and, if wanted, INFERENCES-A-MINUTE (12 without).
    #[arg(long, requires = "web", value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Connections of pages at a time.
    #[arg(long, default_value_t = 64, value_name = "N")]
    max_page_connections: usize,
}

impl WebArguments {
    /// Reads what pages are served with, if they are.
    fn settings(&self) -> Result<Option<(SocketAddr, WebSettings)>, Failure> {
        let (Some(address), Some(file)) = (self.web, &self.tokens) else { return Ok(None) };
        check_private(file).map_err(|error| Failure::Usage(error.to_string()))?;
        let in_tokens = |error: TokensError| Failure::Usage(format!("{}: {error}", file.display()));
        let tokens = Tokens::parse(&read_text(file, MAX_TOKENS_FILE)?).map_err(in_tokens)?;
        let limits = HttpLimits { connections: self.max_page_connections, ..HttpLimits::default() };
        let certificate = page_certificate(self.web_cert.as_deref(), self.web_key.as_deref())?;
        let (origins, url) = (self.origin.clone(), self.web_advertise.as_ref().map(Origin::to_string));
        Ok(Some((address, WebSettings { origins, tokens, limits, url, certificate })))
    }
}

/// Listens for pages.
fn listen_for_pages(address: SocketAddr, settings: &WebSettings, identity: &Identity) -> Result<TcpListener, Failure> {
    let (listener, address) = listen(address)?;
    let is_plain = settings.certificate.is_none();
    if is_plain && !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "pages and their tokens come in the clear here: give --web-cert, or have a proxy with TLS before it"
        );
    }
    let scheme = if is_plain { "" } else { "https://" };
    print(&format!("pages at {scheme}{address}\npages seal to {}\n", WebKey::of(identity)))?;
    Ok(listener)
}

/// Runs the command.
pub fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let endpoint = arguments.key.endpoint()?;
    let pages = arguments.web.settings()?;
    let limits = arguments.limits.limits(arguments.max_stored);
    let holdings = match (&arguments.model, &arguments.shares) {
        (Some(model), _) => holdings(model, &limits.graph)?,
        (None, Some(folder)) => {
            let key = FileKey::new(endpoint.identity.derive_key("model shares"));
            Holdings::Shares(ModelShares::open(folder, key, limits.graph)?)
        }
        (None, None) => return Err(Failure::Usage("a MODEL is needed, or --shares".to_owned())),
    };
    let contacts = Contacts {
        servers: peers("server", &arguments.server)?,
        data_owners: certificates(&arguments.allow)?,
        model_owners: certificates(&arguments.model_owner)?,
        dealer: arguments.dealer.as_deref().map(|text| peer("dealer", text)).transpose()?,
    };
    let is_told = matches!(&holdings, Holdings::Own(model) if model.public.terms.reveal_to != RevealTo::DataOwner);
    let identity = Arc::clone(&endpoint.identity);
    let stores = arguments.store.as_ref().map(StoreArgument::open).transpose()?;
    let mut server = Server::new(endpoint, arguments.party, holdings, contacts, stores, limits)?;
    if let Some(address) = &arguments.advertise {
        server = server.with_address(address)?;
    }
    match &arguments.results {
        Some(folder) if is_told => server = server.with_recipient(Box::new(Results::open(folder)?)),
        None if is_told => return Err(ServiceError::NoRecipient.into()),
        Some(_) => return Err(Failure::Usage("--results: the model's terms reveal nothing to this side".to_owned())),
        None => {}
    }
    let (listener, stop) = arguments.listen.start()?;
    arguments.admin.start(server.status(), arguments.min_prepared)?;
    match pages {
        Some((address, settings)) => {
            let pages = listen_for_pages(address, &settings, &identity)?;
            smol::block_on(server.run_with_pages(listener, (settings, pages), stop))?;
        }
        None => smol::block_on(server.run(listener, stop))?,
    }
    Ok(())
}

fn holdings(model: &Path, limits: &GraphLimits) -> Result<Holdings, Failure> {
    if is_private(model)? {
        return Ok(Holdings::Own(Box::new(PrivateModel::read(model)?)));
    }
    Ok(Holdings::Public(Box::new(PublicModel::read_within(model, limits)?)))
}

/// A folder of results that are revealed to the model owner.
#[derive(Debug)]
struct Results {
    folder: PathBuf,
}

impl Results {
    /// A folder, made if it is not there, that can be written to.
    fn open(folder: &Path) -> Result<Self, Failure> {
        create_private_folder(folder).map_err(|error| Failure::Own(format!("{}: {error}", folder.display())))?;
        try_place(&folder.join("result.npy"))?;
        Ok(Self { folder: folder.to_owned() })
    }
}

impl Recipient for Results {
    fn take(&self, session: SessionId, inference: u32, outputs: &[ArrayD<f64>]) -> Result<(), DiskError> {
        let session: String = session.iter().map(|byte| format!("{byte:02x}")).collect();
        for (place, output) in outputs.iter().enumerate() {
            let path = self.folder.join(format!("{session}-{inference:06}-{place}.npy"));
            write_output(&path, output, output.shape())?;
            tracing::info!(path = %path.display(), "has a result");
        }
        Ok(())
    }
}
