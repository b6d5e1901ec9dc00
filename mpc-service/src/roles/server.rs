//! A computing party as a service: the model owner's server, one that holds nothing, or one that holds shares of models.

mod delegated;
mod deposit;
#[cfg(feature = "web")]
mod posted;
mod prepared;
mod session;

use std::fmt::Debug;
use std::net::TcpListener;
use std::sync::Arc;

use mpc_transport::tls::Certificate;
use ndarray::ArrayD;
use smol::future::FutureExt;

use crate::admin::Status;
use crate::at_rest::model_shares::ModelShares;
use crate::at_rest::packed_model::{PrivateModel, PublicModel};
use crate::at_rest::prepared::Stores;
use crate::at_rest::private_file::DiskError;
use crate::error::ServiceError;
use crate::names::{BatchId, PlanDigest, Refusal, Refused, SessionId};
use crate::roles::agreed::{check_dealer, check_parties};
use crate::terms::{MAX_PUBLIC_BYTES, RevealTo, Topology};
use crate::wire::address::one_address;
use crate::wire::limits::{Capacity, Limits};
use crate::wire::link::{Boxed, Endpoint, Peer};
use crate::wire::listener;
use crate::wire::message::{self, MAX_SHORT_BYTES, Opening, SessionRequest};
use crate::wire::opening::{Caller, Service};
use crate::wire::rendezvous::Rendezvous;

/// The place, behind those of the parties, where the link for correlations of two of them waits for its session.
const PAIR: usize = mpc_shares::MAX_PARTIES;

/// The models, or shares of models, that a server holds.
#[derive(Debug)]
pub enum Holdings {
    /// Its own model: it is party 0.
    Own(Box<PrivateModel>),
    /// The public part of somebody's model, which it helps to compute: it is neither party 0 nor the data owner.
    Public(Box<PublicModel>),
    /// Shares of models that their owners leave with it.
    Shares(ModelShares),
}

/// Whom a server works with.
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    /// All servers of a session by the index of their party; this one's own entry is not used.
    pub servers: Vec<Peer>,
    /// Those who may ask for sessions.
    pub data_owners: Vec<Certificate>,
    /// Those who may leave shares of models.
    pub model_owners: Vec<Certificate>,
    /// The dealer.
    pub dealer: Option<Peer>,
}

/// Takes what the terms of a model reveal to its owner.
pub trait Recipient: Debug + Send + Sync {
    /// Takes the outputs of an inference, counted from 0 in its session, in the order of the graph's.
    ///
    /// # Errors
    /// [`DiskError`], which ends the session.
    fn take(&self, session: SessionId, inference: u32, outputs: &[ArrayD<f64>]) -> Result<(), DiskError>;
}

/// Held by a session that has begun, until all others have joined it.
type Begun = Arc<()>;

/// A computing party that serves data owners.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    party: usize,
    holdings: Holdings,
    contacts: Contacts,
    /// A store for each data owner, if inferences may be prepared.
    stores: Option<Stores>,
    capacity: Arc<Capacity>,
    joining: Rendezvous<Caller>,
    /// Sessions that others have yet to join hold it, too.
    begun: Begun,
    /// Where this machine is called, if its operator has said so.
    address: Option<String>,
    /// Where results go that the terms reveal to this side.
    recipient: Option<Box<dyn Recipient>>,
    /// The digest of its own model.
    weights: Option<[u8; 32]>,
    status: Status,
}

impl Server {
    /// A server that is party `party`; `stores` is the place of prepared inferences.
    ///
    /// # Errors
    /// [`ServiceError::DealerTakesPart`], [`ServiceError::PartyTwice`]; [`ServiceError::Arguments`] where the party,
    /// the model's terms and the contacts do not fit.
    pub fn new(
        endpoint: Endpoint,
        party: usize,
        holdings: Holdings,
        contacts: Contacts,
        stores: Option<Stores>,
        limits: Limits,
    ) -> Result<Self, ServiceError> {
        let joining = Rendezvous::new(endpoint.settings.deadline);
        let capacity = Capacity::new(limits);
        let weights = match &holdings {
            Holdings::Own(model) => Some(model.digest()),
            _ => None,
        };
        let identity = Arc::clone(&endpoint.identity);
        let Contacts { data_owners, dealer, .. } = &contacts;
        let status = Status::new(identity, stores.clone(), data_owners.clone(), dealer.clone());
        let (begun, address, recipient) = (Begun::default(), None, None);
        let server = Self {
            status,
            weights,
            endpoint,
            party,
            holdings,
            contacts,
            stores,
            capacity,
            joining,
            begun,
            address,
            recipient,
        };
        server.check().map_err(ServiceError::Arguments)?;
        check_parties(&server.contacts.servers.iter().map(|peer| &peer.certificate).collect::<Vec<_>>())?;
        let dealer = server.contacts.dealer.as_ref().map(|peer| &peer.certificate);
        check_dealer(dealer, server.known().iter().chain([server.endpoint.identity.certificate()]))?;
        Ok(server)
    }

    /// The same server, which gives results to `recipient` where the terms of its model reveal them to it.
    #[must_use]
    pub fn with_recipient(self, recipient: Box<dyn Recipient>) -> Self {
        Self { recipient: Some(recipient), ..self }
    }

    /// The same server, as one machine of several of its organisation: others of its sessions call it at that address.
    ///
    /// # Errors
    /// [`ServiceError::Arguments`] where it is no address.
    pub fn with_address(self, address: &str) -> Result<Self, ServiceError> {
        let address = one_address(address).map_err(|error| ServiceError::Arguments(error.to_string()))?;
        Ok(Self { address: Some(address), ..self })
    }

    /// Its state, for operators.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Whether the terms reveal results to this side.
    fn is_told(&self) -> bool {
        matches!(&self.holdings, Holdings::Own(model) if model.public.terms.reveal_to != RevealTo::DataOwner)
    }

    fn check(&self) -> Result<(), String> {
        let party = self.party;
        let terms = match &self.holdings {
            Holdings::Own(model) if party == 0 => Some(model.public.terms),
            Holdings::Own(_) => return Err("the model owner's server is party 0".to_owned()),
            Holdings::Public(model) if party != 0 => Some(model.terms),
            Holdings::Public(_) => return Err("party 0 is the model owner: it needs the private part".to_owned()),
            Holdings::Shares(_) => None,
        };
        let Some(terms) = terms else { return Ok(()) };
        if !terms.has_dealer() && self.contacts.dealer.is_some() {
            return Err(ServiceError::NeedlessDealer.to_string());
        }
        if terms.setting != Topology::Direct {
            return Err("this model is for servers that hold shares of it: its owner sends them these".to_owned());
        }
        let (servers, named) = (terms.servers(), self.contacts.servers.len());
        if party >= servers {
            return Err(format!("party {party} of this model is no server: they are 0 to {}", servers - 1));
        }
        if servers > 1 && named != servers {
            return Err(format!("this model has {servers} servers, but {named} are named"));
        }
        Ok(())
    }

    /// Serves until `stop` is complete, then finishes what runs.
    ///
    /// # Errors
    /// [`ServiceError::Listen`]; [`ServiceError::NoRecipient`] where the terms reveal results to this side, and nobody here
    /// takes them.
    pub async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        if self.is_told() && self.recipient.is_none() {
            return Err(ServiceError::NoRecipient);
        }
        listener::run(Arc::new(self), listener, stop).await
    }

    /// Serves pages in browsers, too, which come over HTTP at `pages`.
    ///
    /// # Errors
    /// As for [`run`](Self::run); [`ServiceError::Arguments`] for a server that holds no shares of models.
    #[cfg(feature = "web")]
    pub async fn run_with_pages(
        self,
        listener: TcpListener,
        (settings, pages): (crate::web::WebSettings, TcpListener),
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServiceError> {
        if !matches!(self.holdings, Holdings::Shares(_)) {
            let reason = "pages are served where shares of models are held";
            return Err(ServiceError::Arguments(reason.to_owned()));
        }
        let server = Arc::new(self);
        let (open, closed) = smol::channel::bounded::<()>(1);
        let own = Arc::clone(&server);
        let served = std::thread::Builder::new().name("mpc pages".to_owned()).spawn(move || {
            let stopped = async {
                let _ = closed.recv().await;
            };
            smol::block_on(crate::web::serve(own, settings, pages, stopped))
        });
        let served = served.map_err(|error| ServiceError::Arguments(format!("no thread for pages: {error}")))?;
        let stop = async move {
            stop.await;
            drop(open);
        };
        let ran = listener::run(server, listener, stop).await;
        let pages = served.join().unwrap_or_else(|_| Err(ServiceError::Arguments("serving pages failed".to_owned())));
        ran.and(pages)
    }

    fn is_server(&self, party: u32, certificate: &Certificate) -> bool {
        let named = self.contacts.servers.get(party as usize);
        party as usize > self.party && named.is_some_and(|peer| peer.certificate == *certificate)
    }

    /// Whether somebody may open the link over which two parties make correlations: the second party of a model without a
    /// dealer. The session compares who it is.
    fn is_second(&self, party: u32, certificate: &Certificate) -> bool {
        let is_own = match &self.holdings {
            Holdings::Own(model) => !model.public.terms.has_dealer(),
            Holdings::Public(_) => false,
            Holdings::Shares(_) => true,
        };
        let is_known = self.contacts.data_owners.contains(certificate) || self.is_server(party, certificate);
        is_own && self.party == 0 && party == 1 && is_known
    }

    /// Leaves another party's connection for the session that it belongs to.
    async fn join(&self, mut caller: Caller, session: SessionId, place: usize) -> Result<(), ServiceError> {
        message::accept(&mut caller.link, &caller.name).await?;
        match self.joining.arrive(session, place, usize::MAX, caller) {
            Ok(_) => Ok(()),
            Err((_, Caller { name, .. })) => {
                Err(ServiceError::Arguments(format!("{name} joined a session twice, or too many wait")))
            }
        }
    }
}

/// The requests to a server.
#[derive(Debug)]
pub(crate) enum Request {
    /// By a data owner, a session.
    Session(SessionRequest),
    /// By another party, to take part in a session; with the place under which its connection waits.
    Join(SessionId, usize),
    /// By a model owner, to keep a share, with its version and the lengths of the public part and of the share.
    Deposit([u8; 16], usize, u64),
    /// By a model owner, to say which versions of its model are here.
    Deposited(PlanDigest),
    /// By a model owner, to use a version from now on.
    Switch(PlanDigest, [u8; 16]),
    /// By a data owner, to keep a batch of prepared inferences no longer.
    Drop(BatchId),
}

impl Service for Server {
    type Request = Request;

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn status(&self) -> &Status {
        &self.status
    }

    fn known(&self) -> Vec<Certificate> {
        let Contacts { servers, data_owners, model_owners, .. } = &self.contacts;
        let servers = servers.iter().map(|peer| &peer.certificate);
        servers.chain(data_owners).chain(model_owners).cloned().collect()
    }

    fn longest_opening(&self) -> usize {
        MAX_SHORT_BYTES
    }

    fn sessions_per_peer(&self) -> usize {
        self.capacity.limits().sessions_per_peer
    }

    fn admit(&self, caller: &Certificate, opening: Opening) -> Result<Request, Refused> {
        let Contacts { data_owners, model_owners, .. } = &self.contacts;
        match opening {
            Opening::Session(request) if data_owners.contains(caller) => Ok(Request::Session(request)),
            Opening::Drop(batch) if data_owners.contains(caller) => Ok(Request::Drop(batch)),
            Opening::Join { session, party } if self.is_server(party, caller) => {
                Ok(Request::Join(session, party as usize))
            }
            Opening::Pair { session, party } if self.is_second(party, caller) => Ok(Request::Join(session, PAIR)),
            Opening::Deposited(plan) if model_owners.contains(caller) => Ok(Request::Deposited(plan)),
            Opening::Switch { plan, version } if model_owners.contains(caller) => Ok(Request::Switch(plan, version)),
            Opening::Deposit { version, public, share } if model_owners.contains(caller) => {
                match usize::try_from(public) {
                    Ok(public) if public <= MAX_PUBLIC_BYTES => Ok(Request::Deposit(version, public, share)),
                    _ => Err((Refusal::Limit, "the public part is too large".to_owned())),
                }
            }
            _ => Err((Refusal::Forbidden, "that is not allowed to you here".to_owned())),
        }
    }

    fn serve(self: Arc<Self>, caller: Caller, request: Request) -> Boxed<'static, Result<(), ServiceError>> {
        let serving = async move {
            match request {
                Request::Session(request) => self.session(caller, request).await,
                Request::Join(session, place) => self.join(caller, session, place).await,
                Request::Drop(batch) => self.drop_batch(caller, batch).await,
                Request::Deposited(plan) => self.deposited(caller, plan).await,
                Request::Switch(plan, version) => self.switch(caller, plan, version).await,
                Request::Deposit(version, public, share) => self.deposit(caller, version, public, share).await,
            }
        };
        serving.boxed()
    }

    fn awaits(&self) -> bool {
        Arc::strong_count(&self.begun) > 1
    }

    fn is_awaited(&self, opening: &Opening) -> bool {
        matches!(opening, Opening::Join { .. } | Opening::Pair { .. })
    }

    fn sweep(&self) {
        self.joining.sweep();
    }
}
