//! A run between the services that are installed between organisations, all on this machine.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mpc_service::at_rest::private_file::write_private;
use mpc_service::web::WebKey;
use mpc_service::{Client, Depositor, PrivateModel, PublicModel, RevealTo, Topology};
use mpc_transport::tls::Identity;
use ndarray::ArrayD;

use super::arguments::{PreprocessingMode, RunArguments};
use super::subject::Subject;
use crate::failure::Failure;
use crate::keys::{KeyArguments, peer, peers};
use crate::outcome::query;
use crate::process::Process;
use crate::reserved::Reserved;

/// Runs a model with every participant on this machine: a process for each server and the dealer, keys made for the occasion,
/// TLS between them over loopback. To try things out: there is no privacy in it.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    check(arguments)?;
    let folder = tempfile::tempdir().map_err(|error| Failure::Own(format!("a folder for the keys: {error}")))?;
    let site =
        Site { folder: folder.path(), deadline: arguments.deadline, reveal_to: arguments.terms.reveal_to.into() };
    let (model, files) = arguments.pack()?;
    let inputs = inputs(arguments, &model.public, &files)?;
    let services = site.start_all(&model, None)?;
    let client = site.client("client", &services)?;
    query(&client, &model.public, &inputs, None, &arguments.output)
}

/// Refuses what services do not do.
fn check(arguments: &RunArguments) -> Result<(), Failure> {
    let RunArguments { batch, accuracy, input_owner, weights, preprocessing, pipeline, threads, .. } = arguments;
    let is_other = batch.is_some_and(|batch| batch != 1)
        || *accuracy
        || !input_owner.is_empty()
        || weights.is_some()
        || *preprocessing != PreprocessingMode::Streamed
        || *pipeline
        || threads.get() != 1
        || arguments.terms.link.0.is_some();
    if is_other {
        let reason = "--batch, --accuracy, --input-owner, --weights, --preprocessing, --pipeline, --threads and --link are \
                      for --transport memory, tcp and tls";
        return Err(Failure::Usage(reason.to_owned()));
    }
    if !arguments.input.is_empty() && (arguments.images.is_some() || arguments.first_image != 0) {
        let reason = "--images and --first-image are for the bundled samples here; all of --input runs";
        return Err(Failure::Usage(reason.to_owned()));
    }
    Ok(())
}

/// The inputs of each inference: of files, or the bundled samples.
fn inputs(arguments: &RunArguments, model: &PublicModel, files: &[OsString]) -> Result<Vec<Vec<ArrayD<f32>>>, Failure> {
    if !files.is_empty() {
        return arguments.pixels.read(model, files);
    }
    let missing = || Failure::Usage("--input is missing".to_owned());
    let samples = Subject::open(arguments, true)?.inputs.ok_or_else(missing)?.read(|_| true)?;
    Ok(samples.inferences.into_iter().map(|inputs| inputs.into_iter().flatten().collect()).collect())
}

/// A folder with everybody's keys and files.
pub(crate) struct Site<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) deadline: u64,
    pub(crate) reveal_to: RevealTo,
}

/// The flags of servers that serve pages in browsers, too.
pub(crate) struct PageFlags {
    /// The origin of the page.
    pub(crate) origin: String,
    /// The file of tokens.
    pub(crate) tokens: PathBuf,
}

/// The services of a model.
pub(crate) struct Services {
    /// By party.
    pub(crate) servers: Vec<Running>,
    /// The servers as others name them.
    connect: Vec<String>,
    /// The dealer, and how others name it; none where the parties make their own correlations.
    dealer: Option<(Running, String)>,
}

/// A service.
pub(crate) struct Running {
    /// At the end of its input it finishes what it does and stops; after the query there is nothing left to do.
    _process: Process,
    address: SocketAddr,
    /// Where it serves pages, and the key that they seal to, if it does.
    pub(crate) pages: Option<(SocketAddr, WebKey)>,
}

impl Site<'_> {
    /// Starts the dealer and the servers of a model with new keys, and leaves with these the shares that they are to hold.
    pub(crate) fn start_all(&self, model: &PrivateModel, pages: Option<&PageFlags>) -> Result<Services, Failure> {
        let terms = &model.public.terms;
        let names: Vec<String> = (0..terms.servers()).map(|party| format!("server{party}")).collect();
        for name in names.iter().map(String::as_str).chain(["owner", "client", "dealer"]) {
            self.keygen(name)?;
        }
        // A data owner that is no party does not call the dealer.
        let client = (terms.setting == Topology::Direct).then_some("client");
        let parties: Vec<_> = names.iter().map(String::as_str).chain(client).collect();
        let dealer =
            terms.has_dealer().then(|| self.start("dealer", "dealer", &self.allow(&parties), None)).transpose()?;
        let dealer = dealer.map(|dealer| {
            let named = self.peer("dealer", dealer.address);
            (dealer, named)
        });
        let dealer_named = dealer.as_ref().map(|(_, named)| &**named);
        let servers = self.serve(model, &names, dealer_named, pages)?;
        let connect = names.iter().zip(&servers).map(|(name, server)| self.peer(name, server.address)).collect();
        let services = Services { servers, connect, dealer };
        if terms.setting == Topology::Outsourced {
            let Client { endpoint, servers, .. } = self.client("owner", &services)?;
            smol::block_on(Depositor { endpoint, servers }.deposit(model))?;
        }
        Ok(services)
    }

    fn keygen(&self, name: &str) -> Result<(), Failure> {
        let failed = |source| Failure::Key { file: name.to_owned(), source };
        let identity = Identity::generate(name, 1).map_err(failed)?;
        write_private(&self.key(name), identity.key_pem().as_bytes())?;
        let path = self.certificate(name);
        fs::write(&path, identity.certificate_pem())
            .map_err(|error| Failure::Own(format!("{}: {error}", path.display())))
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// A service as others name it: its address and its certificate.
    fn peer(&self, name: &str, at: SocketAddr) -> String {
        format!("{at}={}", self.certificate(name).display())
    }

    fn allow(&self, names: &[&str]) -> Vec<String> {
        let paths: Vec<_> = names.iter().map(|name| self.certificate(name).display().to_string()).collect();
        vec!["--allow".to_owned(), paths.join(",")]
    }

    fn client(&self, name: &str, services: &Services) -> Result<Client, Failure> {
        let key = KeyArguments { key: self.key(name), certificate: None, deadline: self.deadline };
        let servers = peers("connect", &services.connect)?;
        let dealer = services.dealer.as_ref().map(|(_, named)| peer("dealer", named)).transpose()?;
        Ok(Client { endpoint: key.endpoint()?, servers, dealer, reveal_to: self.reveal_to, model_owner: None })
    }

    /// Starts the servers of a model.
    fn serve(
        &self,
        model: &PrivateModel,
        servers: &[String],
        dealer: Option<&str>,
        pages: Option<&PageFlags>,
    ) -> Result<Vec<Running>, Failure> {
        let [public, private] = ["net.public", "net.private"].map(|name| self.folder.join(name));
        model.write(&private)?;
        let written = fs::write(&public, model.public.to_bytes());
        written.map_err(|error| Failure::Own(format!("{}: {error}", public.display())))?;
        let failed = |error| Failure::Own(format!("no free port: {error}"));
        let reserved = servers.iter().map(|_| Reserved::new()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let ports: Vec<_> = reserved.iter().map(Reserved::address).collect();
        let named: Vec<_> = servers.iter().zip(&ports).map(|(name, &at)| self.peer(name, at)).collect();
        let mut running = Vec::new();
        for (party, name) in servers.iter().enumerate() {
            let mut flags = self.allow(&["client"]);
            flags.extend(dealer.into_iter().flat_map(|dealer| ["--dealer".to_owned(), dealer.to_owned()]));
            flags.extend(["--party".to_owned(), party.to_string()]);
            flags.extend(named.iter().flat_map(|peer| ["--server".to_owned(), peer.clone()]));
            if party == 0 && model.public.terms.reveal_to != RevealTo::DataOwner {
                flags.extend(["--results".to_owned(), self.folder.join("results").display().to_string()]);
            }
            match model.public.terms.setting {
                Topology::Direct => flags.push(if party == 0 { &private } else { &public }.display().to_string()),
                Topology::Outsourced => {
                    let shares = self.folder.join(format!("{name}.shares")).display().to_string();
                    let owner = self.certificate("owner").display().to_string();
                    flags.extend(["--shares".to_owned(), shares, "--model-owner".to_owned(), owner]);
                }
            }
            if let Some(PageFlags { origin, tokens }) = pages {
                let words = ["--web", "127.0.0.1:0", "--origin", origin, "--tokens"].map(str::to_owned);
                flags.extend(words.into_iter().chain([tokens.display().to_string()]));
            }
            running.push(self.start("serve", name, &flags, Some(ports[party]))?);
        }
        Ok(running)
    }

    /// Starts a service, and waits until it listens.
    fn start(&self, command: &str, name: &str, flags: &[String], at: Option<SocketAddr>) -> Result<Running, Failure> {
        let failed = |reason: String| Failure::Own(format!("cannot start {name}: {reason}"));
        let at = at.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (at_text, deadline) = (at.to_string(), self.deadline.to_string());
        let common = ["--listen", &at_text, "--deadline", &deadline, "--stop-with-input", "--log", "warn"];
        // The network is this side's own, and nobody else asks for sessions.
        let [network, memory] = [u32::MAX.to_string(), u64::MAX.to_string()];
        let own = ["--max-network", &network, "--max-memory", &memory, "--key"];
        let words = [command].into_iter().chain(flags.iter().map(String::as_str)).chain(common).chain(own);
        let words = words.map(OsString::from);
        let started = Process::start(words.chain([self.key(name).into_os_string()]));
        let (process, output) = started.map_err(|error| failed(error.to_string()))?;
        let mut output = BufReader::new(output);
        let mut next = |begin: &str| {
            let mut line = String::new();
            output.read_line(&mut line).map_err(|error| failed(error.to_string()))?;
            let rest = line.trim().strip_prefix(begin).map(str::to_owned);
            rest.ok_or_else(|| failed("it does not listen; see above".to_owned()))
        };
        let unreadable = || failed("it listens at no address".to_owned());
        let address = next("listening on ")?.parse().map_err(|_| unreadable())?;
        let pages = if flags.iter().any(|flag| flag == "--web") {
            let at = next("pages at ")?.parse().map_err(|_| unreadable())?;
            Some((at, next("pages seal to ")?.parse().map_err(|_| unreadable())?))
        } else {
            None
        };
        Ok(Running { _process: process, address, pages })
    }
}
