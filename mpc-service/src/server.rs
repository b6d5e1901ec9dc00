//! A computing party as a service: the model owner's server, one that holds nothing, or one that holds shares of models.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use mpc_nn::run::{Inputs, ModelSource, Outputs};
use mpc_nn::delegation::{InputShare, ModelShare};
use mpc_nn::{Model, Plan, Preprocessing};
use mpc_ring::{Ring, in_ring};
use mpc_shares::SecretVec;
use mpc_transport::tls::{Certificate, SecureLink, SecureTransport};
use mpc_transport::{Transport, handshake};
use smol::Async;
use smol::future::FutureExt;

use crate::error::{ServiceError, in_link};
use crate::limits::{Capacity, Grant, Limits};
use crate::link::{Boxed, CALLER, Endpoint, OPENING_DEADLINE, Peer, shown};
use crate::listener::{self, Service, within};
use crate::meeting::Meeting;
use crate::message::{self, MAX_SHORT_BYTES, Opening, Refusal, SessionId, SessionRequest, Uses, Work};
use crate::pack::{MAX_PUBLIC_BYTES, PlanDigest, PrivateModel, PublicModel};
use crate::report::InferenceReport;
use crate::session::{Agreed, Exchange, Seat};
use crate::shelf::Shelf;
use crate::store::{BatchId, Hold, Store, StoreError};
use crate::terms::Setting;
use crate::vault::VaultKey;

/// What a server has of models.
#[derive(Debug)]
pub enum Holdings {
    /// Its own model: it is party 0.
    Own(Box<PrivateModel>),
    /// The public part of somebody's model, which it helps to compute: it is neither party 0 nor the data owner.
    Public(Box<PublicModel>),
    /// Shares of models that their owners leave with it.
    Shares(Shelf),
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

/// A computing party that serves data owners.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    party: usize,
    holdings: Holdings,
    contacts: Contacts,
    /// A folder with a store for each data owner, if inferences may be prepared.
    stores: Option<PathBuf>,
    capacity: Arc<Capacity>,
    joining: Meeting<(SecureTransport, Certificate)>,
}

/// A request that is refused: why, for programs and for people.
type Refused = (Refusal, String);

impl Server {
    /// A server that is party `party`; `stores` is the folder of prepared inferences.
    ///
    /// # Errors
    /// [`ServiceError::Arguments`] where the party, the model's terms and the contacts do not fit.
    pub fn new(
        endpoint: Endpoint,
        party: usize,
        holdings: Holdings,
        contacts: Contacts,
        stores: Option<PathBuf>,
        limits: Limits,
    ) -> Result<Self, ServiceError> {
        let joining = Meeting::new(endpoint.settings.deadline);
        let capacity = Capacity::new(limits);
        let server = Self { endpoint, party, holdings, contacts, stores, capacity, joining };
        server.check().map_err(ServiceError::Arguments)?;
        Ok(server)
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
        if terms.setting != Setting::Direct {
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
    /// [`ServiceError::Listen`].
    pub async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        listener::run(Arc::new(self), listener, stop).await
    }

    /// Everybody who may connect at all.
    fn known(&self) -> Vec<Certificate> {
        let Contacts { servers, data_owners, model_owners, .. } = &self.contacts;
        let servers = servers.iter().map(|peer| &peer.certificate);
        servers.chain(data_owners).chain(model_owners).cloned().collect()
    }

    async fn receive(&self, stream: Async<TcpStream>) -> Result<(), ServiceError> {
        let link = SecureLink::accept(stream, &self.endpoint.identity, &self.known(), OPENING_DEADLINE).await;
        let link = link.map_err(|source| ServiceError::connect("a caller", source))?;
        let certificate = link.peer().clone();
        let peer = shown(&certificate);
        let mut link = self.endpoint.called(link);
        match message::receive(&mut link, MAX_SHORT_BYTES, &peer).await {
            Ok(Opening::Session(request)) if self.contacts.data_owners.contains(&certificate) => {
                self.session(link, certificate, request).await
            }
            Ok(Opening::Join { session, party }) if self.is_server(party, &certificate) => {
                self.join(link, certificate, session, party as usize).await
            }
            Ok(Opening::Deposit { public, share }) if self.contacts.model_owners.contains(&certificate) => {
                self.deposit(link, &peer, public, share).await
            }
            Ok(_) => {
                message::refuse(&mut link, Refusal::Forbidden, "that is not allowed to you here", &peer).await;
                Ok(())
            }
            Err(error) => {
                let (refusal, reason) = error.refusal();
                message::refuse(&mut link, refusal, &reason, &peer).await;
                Err(error)
            }
        }
    }

    fn is_server(&self, party: u32, certificate: &Certificate) -> bool {
        let named = self.contacts.servers.get(party as usize);
        party as usize > self.party && named.is_some_and(|peer| peer.certificate == *certificate)
    }

    /// Leaves a server's connection for the session that it belongs to.
    async fn join(
        &self,
        mut link: SecureTransport,
        certificate: Certificate,
        session: SessionId,
        party: usize,
    ) -> Result<(), ServiceError> {
        let peer = shown(&certificate);
        message::accept(&mut link, &peer).await?;
        match self.joining.arrive(session, party, usize::MAX, (link, certificate)) {
            Ok(_) => Ok(()),
            Err(_) => Err(ServiceError::Arguments(format!("{peer} joined a session twice, or too many wait"))),
        }
    }
}

/// Sessions.
impl Server {
    async fn session(
        &self,
        mut link: SecureTransport,
        client: Certificate,
        request: SessionRequest,
    ) -> Result<(), ServiceError> {
        let peer = shown(&client);
        let public = match self.public(request.plan) {
            Ok(public) => public,
            Err((refusal, reason)) => {
                message::refuse(&mut link, refusal, &reason, &peer).await;
                return Ok(());
            }
        };
        let limit = self.capacity.limits().session_time;
        let run =
            async { in_ring!(public.terms.ring, R => self.session_in::<R>(link, client, request, &public).await) };
        within(limit, &peer, run).await
    }

    async fn session_in<R: Ring>(
        &self,
        mut link: SecureTransport,
        client: Certificate,
        request: SessionRequest,
        public: &PublicModel,
    ) -> Result<(), ServiceError> {
        let peer = shown(&client);
        let began = Instant::now();
        let plan = public.plan::<R>()?;
        let granted = self.grant(&plan, &client, request);
        let (grant, store) = match granted {
            Ok(granted) => granted,
            Err((refusal, reason)) => {
                message::refuse(&mut link, refusal, &reason, &peer).await;
                return Ok(());
            }
        };
        message::accept(&mut link, &peer).await?;
        let agreed = self.agreed(&client, request, public)?;
        // Whoever was set up otherwise learns here in what, before anybody waits for it.
        handshake(&mut link, &agreed.agreement(&plan)).await.map_err(in_link(&peer))?;
        let result = self.take_part(&plan, &agreed, link, public, store.as_ref()).await;
        drop(grant);
        if result.is_ok() {
            let (inferences, seconds) = (request.inferences, began.elapsed().as_secs_f64());
            tracing::info!(peer, work = ?request.work, inferences, seconds, "session ended");
        }
        result
    }

    /// The public part of the model that a session is for. A server with one model gives that one: the handshake then says
    /// in what the two differ.
    fn public(&self, plan: PlanDigest) -> Result<PublicModel, Refused> {
        match &self.holdings {
            Holdings::Own(model) => Ok(model.public.clone()),
            Holdings::Public(model) => Ok((**model).clone()),
            Holdings::Shares(shelf) => match shelf.public(plan) {
                Ok(Some(public)) => Ok(public),
                Ok(None) => Err((Refusal::Differs, format!("there is no share of a model with plan {plan} here"))),
                Err(error) => {
                    tracing::error!(%error, "a model share cannot be read");
                    Err((Refusal::Internal, "the model share cannot be read here".to_owned()))
                }
            },
        }
    }

    /// Room for a session, and the store of the data owner where it needs one.
    fn grant<R: Ring>(
        &self,
        plan: &Plan<R>,
        client: &Certificate,
        request: SessionRequest,
    ) -> Result<(Grant, Option<Store>), Refused> {
        let fingerprint = client.fingerprint();
        let grant = self.capacity.grant(
            fingerprint,
            plan.memory_bytes(self.party, Preprocessing::Ahead),
            request.inferences,
        )?;
        if matches!(request.work, Work::Live) {
            return Ok((grant, None));
        }
        let internal = |error: StoreError| {
            tracing::error!(%error, "the store of prepared inferences cannot be used");
            (Refusal::Internal, "the store of prepared inferences cannot be used here".to_owned())
        };
        let unavailable =
            || (Refusal::Forbidden, "no inferences are prepared here: it was started without a store".into());
        let folder = self.stores.as_ref().ok_or_else(unavailable)?;
        let folder = folder.join(fingerprint.to_string().replace(':', ""));
        let key = VaultKey::new(self.endpoint.identity.derive_key("store"));
        let store = Store::open(folder, key).map_err(internal)?;
        if let Work::Prepare(_) = request.work {
            let stored = stored(&store).map_err(internal)?;
            let most = self.capacity.limits().stored;
            if stored.saturating_add(u64::from(request.inferences)) > u64::from(most) {
                let reason = format!("{stored} prepared inferences of yours are here, and {most} are the most");
                return Err((Refusal::Limit, reason));
            }
        }
        Ok((grant, Some(store)))
    }

    fn agreed(
        &self,
        client: &Certificate,
        request: SessionRequest,
        public: &PublicModel,
    ) -> Result<Agreed, ServiceError> {
        let servers = &self.contacts.servers;
        let own = self.endpoint.identity.certificate();
        let certificate = |party: usize| match servers.get(party) {
            _ if party == self.party => own.clone(),
            Some(peer) => peer.certificate.clone(),
            None => client.clone(),
        };
        let parties = (0..public.terms.parties()).map(certificate).collect();
        let dealer = match request.work {
            Work::Prepared(_) => None,
            _ => Some(self.dealer()?.certificate.clone()),
        };
        let SessionRequest { session, work, inferences, .. } = request;
        Ok(Agreed { session, work, inferences, parties, dealer })
    }

    fn dealer(&self) -> Result<&Peer, ServiceError> {
        self.contacts.dealer.as_ref().ok_or_else(ServiceError::missing_dealer)
    }

    /// Connects the parties, and takes part in their session.
    async fn take_part<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        mut link: SecureTransport,
        public: &PublicModel,
        store: Option<&Store>,
    ) -> Result<(), ServiceError> {
        let client = agreed.client_name(public.terms.setting);
        let holds = match (agreed.work, store) {
            (Work::Prepared(batch), Some(store)) => self.hold(&mut link, store, batch, agreed, plan, &client).await?,
            _ => Vec::new(),
        };
        let mut links: Vec<_> = (0..plan.settings().parties).map(|_| None).collect();
        self.connect_servers(agreed, public.terms.servers(), &mut links, (&mut link, &client)).await?;
        let (mut names, mut control) = (agreed.names(), None);
        match public.terms.setting {
            Setting::Direct => links[plan.settings().parties - 1] = Some(link),
            Setting::Outsourced => control = Some(link),
        }
        let mut dealer = None;
        if !matches!(agreed.work, Work::Prepared(_)) {
            // Those who wait for the dealer here and there wait for each other in truth.
            let mut watched: Vec<_> = links.into_iter().chain([control.take()]).collect();
            names.0.push(client.clone());
            let called = self.endpoint.call_dealer(self.dealer()?, plan, agreed, self.party, &mut watched, &names);
            dealer = Some(called.await?);
            control = watched.pop().flatten();
            links = watched;
        }
        let network = self.endpoint.network(self.party, links, agreed.names());
        let seat = Seat { plan, agreed, party: self.party, network, watch: &mut () };
        let mut exchange = Outside { plan, party: self.party, link: control, client };
        match (agreed.work, store) {
            (Work::Live, _) => {
                let dealer = dealer.ok_or_else(ServiceError::missing_dealer)?;
                seat.live(dealer, self.model(plan)?, &mut exchange).await?;
            }
            (Work::Prepare(batch), Some(store)) => {
                let dealer = dealer.ok_or_else(ServiceError::missing_dealer)?;
                seat.prepare(dealer, self.model(plan)?, batch, store).await?;
            }
            (Work::Prepared(batch), Some(store)) => {
                let bytes = store.model(batch, plan.model_bytes())?;
                let model = Model::from_bytes(plan, self.party, &bytes).map_err(agreed.in_encoding())?;
                seat.prepared(Arc::new(model), batch, holds, &mut exchange).await?;
                store.tidy(batch);
            }
            (_, None) => {}
        }
        exchange.end().await
    }

    /// Holds the prepared inferences that the data owner names.
    async fn hold<'s, R: Ring>(
        &self,
        link: &mut SecureTransport,
        store: &'s Store,
        batch: BatchId,
        agreed: &Agreed,
        plan: &Plan<R>,
        client: &str,
    ) -> Result<Vec<Hold<'s>>, ServiceError> {
        let uses: Uses = message::receive(link, MAX_USES_BYTES, client).await?;
        let held = hold_all(store, batch, &uses, agreed, plan, self.party);
        match held {
            Ok(holds) => message::accept(link, client).await.map(|()| holds),
            Err(reason) => {
                message::refuse(link, Refusal::Used, &reason, client).await;
                Err(ServiceError::Refused { peer: client.to_owned(), refusal: Refusal::Used, reason })
            }
        }
    }

    /// Calls the servers of smaller index, and waits for those of greater index to call, as long as the client is there.
    async fn connect_servers(
        &self,
        agreed: &Agreed,
        servers: usize,
        links: &mut [Option<SecureTransport>],
        (client, client_name): (&mut SecureTransport, &str),
    ) -> Result<(), ServiceError> {
        for (party, link) in links.iter_mut().enumerate().take(servers) {
            let Some(peer) = self.contacts.servers.get(party).filter(|_| party != self.party) else { continue };
            if party < self.party {
                let opening = Opening::Join { session: agreed.session, party: self.party as u32 };
                *link = Some(self.endpoint.open(peer, &opening).await?);
            } else {
                let joined = self.joining.wait_for(agreed.session, party, || client.lost().is_some());
                let missing = || match client.lost() {
                    Some(_) => ServiceError::Lost { peer: client_name.to_owned() },
                    None => ServiceError::NotJoined { peer: peer.name() },
                };
                *link = Some(joined.ok_or_else(missing)?.0);
            }
        }
        Ok(())
    }

    /// What this server has of the model.
    fn model<R: Ring>(&self, plan: &Plan<R>) -> Result<ModelSource<'_, R>, ServiceError> {
        match &self.holdings {
            Holdings::Own(model) => Ok(ModelSource::Own(&model.weights)),
            Holdings::Public(_) => Ok(ModelSource::Peer),
            Holdings::Shares(shelf) => {
                let digest = PlanDigest(plan.digest());
                let bytes = shelf.share(digest, plan.model_share_bytes(self.party))?;
                let missing = || ServiceError::Arguments(format!("the share of plan {digest} was removed"));
                let share = ModelShare::from_bytes(plan, self.party, &bytes.ok_or_else(missing)?);
                Ok(ModelSource::Share(share.map_err(|error| ServiceError::Arguments(error.to_string()))?))
            }
        }
    }
}

/// Deposits of model shares.
impl Server {
    async fn deposit(
        &self,
        mut link: SecureTransport,
        peer: &str,
        public: u64,
        share: u64,
    ) -> Result<(), ServiceError> {
        let Holdings::Shares(shelf) = &self.holdings else {
            message::refuse(&mut link, Refusal::Forbidden, "no shares of models are kept here", peer).await;
            return Ok(());
        };
        if public > MAX_PUBLIC_BYTES as u64 {
            message::refuse(&mut link, Refusal::Limit, "the public part is too large", peer).await;
            return Ok(());
        }
        message::accept(&mut link, peer).await?;
        let bytes = link.receive_bounded(CALLER, public as usize).await.map_err(in_link(peer))?;
        let kept = self.keep_share(&mut link, shelf, peer, &bytes, share).await;
        match kept {
            Ok(plan) => {
                tracing::info!(peer, %plan, "keeps a share of a model");
                message::accept(&mut link, peer).await
            }
            Err(error) => {
                let reason = match &error {
                    ServiceError::Pack(error) => error.to_string(),
                    ServiceError::Arguments(reason) => reason.clone(),
                    _ => error.refusal().1,
                };
                message::refuse(&mut link, Refusal::Differs, &reason, peer).await;
                Err(error)
            }
        }
    }

    async fn keep_share(
        &self,
        link: &mut SecureTransport,
        shelf: &Shelf,
        peer: &str,
        bytes: &[u8],
        announced: u64,
    ) -> Result<PlanDigest, ServiceError> {
        let public = PublicModel::from_bytes(bytes, peer, &self.capacity.limits().graph)?;
        in_ring!(public.terms.ring, R => {
            let plan = public.plan::<R>()?;
            if public.terms.setting != Setting::Outsourced || self.party >= public.terms.parties() {
                let reason = format!("this server is party {}: the terms of the model are for others", self.party);
                return Err(ServiceError::Arguments(reason));
            }
            let expected = plan.model_share_bytes(self.party);
            if announced != expected as u64 {
                let reason = format!("a share of {announced} bytes, where the plan says {expected}");
                return Err(ServiceError::Arguments(reason));
            }
            message::accept(link, peer).await?;
            let mut share = SecretVec::zeros(expected);
            link.receive(CALLER, &mut share).await.map_err(in_link(peer))?;
            ModelShare::from_bytes(&plan, self.party, &share)
                .map_err(|error| ServiceError::Arguments(error.to_string()))?;
            let digest = PlanDigest(plan.digest());
            shelf.keep(digest, bytes, &share)?;
            Ok(digest)
        })
    }
}

/// The longest list of prepared inferences, in bytes.
const MAX_USES_BYTES: usize = 1 << 20;

/// The prepared inferences of a store.
fn stored(store: &Store) -> Result<u64, StoreError> {
    let mut stored = 0;
    for batch in store.batches()? {
        stored += store.ready(batch).map_or(0, |ready| ready.len() as u64);
    }
    Ok(stored)
}

/// Holds all inferences that are named; why not, if one cannot be held.
fn hold_all<'s, R: Ring>(
    store: &'s Store,
    batch: BatchId,
    uses: &Uses,
    agreed: &Agreed,
    plan: &Plan<R>,
    party: usize,
) -> Result<Vec<Hold<'s>>, String> {
    let described = store.describe(batch).map_err(|error| match error {
        StoreError::UnknownBatch { .. } => error.to_string(),
        _ => "the batch cannot be read here".to_owned(),
    })?;
    if !agreed.suits(&described, party, plan) {
        return Err(format!("batch {batch} was prepared for another plan or other parties"));
    }
    if uses.indices.len() != agreed.inferences as usize {
        return Err(format!("{} places for {} inferences", uses.indices.len(), agreed.inferences));
    }
    let hold = |&index: &u32| match store.hold(batch, index) {
        Ok(Some(hold)) => Ok(hold),
        Ok(None) => Err(format!("inference {index} of batch {batch} is in use")),
        Err(StoreError::Used { .. }) => Err(format!("inference {index} of batch {batch} was used")),
        Err(_) => Err("the batch cannot be read here".to_owned()),
    };
    let held: Result<Vec<_>, _> = uses.indices.iter().map(hold).collect();
    held.inspect_err(|_| pass_over(store, batch, uses))
}

/// Destroys what a data owner named together with something that was used: it does so, too, and asks for none of it again.
fn pass_over(store: &Store, batch: BatchId, uses: &Uses) {
    for &index in &uses.indices {
        if let Ok(Some(hold)) = store.hold(batch, index)
            && let Err(error) = hold.claim()
        {
            tracing::warn!(%error, "a prepared inference that is passed over stays");
        }
    }
    store.tidy(batch);
}

/// The inputs and outputs of a data owner outside, if it is; else this server brings nothing in.
struct Outside<'a, R: Ring> {
    plan: &'a Plan<R>,
    party: usize,
    link: Option<SecureTransport>,
    client: String,
}

impl<R: Ring> Outside<'_, R> {
    /// Tells a data owner outside that all is done.
    async fn end(self) -> Result<(), ServiceError> {
        match self.link {
            Some(mut link) => message::accept(&mut link, &self.client).await,
            None => Ok(()),
        }
    }
}

impl<R: Ring> Exchange<R> for Outside<'_, R> {
    async fn inputs(&mut self, _: u32) -> Result<Inputs<'_, R>, ServiceError> {
        let Some(link) = &mut self.link else { return Ok(Inputs::none()) };
        let mut bytes = SecretVec::zeros(self.plan.input_share_bytes(self.party));
        link.receive(CALLER, &mut bytes).await.map_err(in_link(&self.client))?;
        let share = InputShare::from_bytes(self.plan, self.party, &bytes);
        Ok(share.map_err(|error| ServiceError::Arguments(error.to_string()))?.into())
    }

    async fn outputs(&mut self, outputs: Outputs<R>, report: InferenceReport) -> Result<(), ServiceError> {
        tracing::debug!(seconds = report.online_seconds, sent = report.online.bytes_sent(), "inference");
        match (&mut self.link, outputs.share) {
            (Some(link), Some(share)) => link.send(CALLER, &share.to_bytes()).await.map_err(in_link(&self.client)),
            _ => Ok(()),
        }
    }
}

impl Service for Server {
    fn serve(self: Arc<Self>, stream: Async<TcpStream>) -> Boxed<'static, Result<(), ServiceError>> {
        async move { self.receive(stream).await }.boxed()
    }

    fn sweep(&self) {
        self.joining.sweep();
    }
}
