//! A session at a server: it is granted, the parties connect, and the server takes part.

use std::sync::Arc;
use std::time::Instant;

use mpc_nn::delegation::ModelShare;
use mpc_nn::run::ModelSource;
use mpc_nn::{Model, Plan};
use mpc_ring::{Ring, in_ring};
use mpc_transport::tls::{Certificate, SecureLink, SecureTransport};
use mpc_transport::{End, handshake_link};

use super::delegated::DataOwner;
use super::prepared::high;
use super::{Begun, Holdings, PAIR, Server};
use crate::admin::{Counting, Purpose};
use crate::at_rest::model_shares::Found;
use crate::at_rest::packed_model::{PackError, PublicModel};
use crate::at_rest::prepared::{Hold, PreparedStore, tidy};
use crate::error::{ServiceError, in_link};
use crate::names::{DepositId, Names, PlanDigest, Refusal, Refused, shown};
use crate::roles::agreed::Agreed;
use crate::roles::session::{Maker, PartyRun};
use crate::terms::Topology;
use crate::wire::link::{Peer, within};
use crate::wire::message::{self, Choice, MAX_SHORT_BYTES, Offer, Opening, SessionRequest, Work};
use crate::wire::opening::Caller;

/// The connections of a session at a server.
pub(super) struct Links {
    /// To the parties; none to this one itself.
    pub(super) parties: Vec<Option<SecureLink>>,
    /// To a data owner that is no party.
    control: Option<SecureLink>,
    /// To the maker of correlations, unless they are stored.
    pub(super) maker: Option<Maker>,
}

/// Where the servers of a session meet, until all are there.
pub(super) struct Meeting<'a> {
    pub(super) public: &'a PublicModel,
    /// Those that this one calls, by the index of their party.
    pub(super) called: Vec<Peer>,
    /// The session is one that others have yet to join.
    pub(super) begun: Begun,
}

/// A data owner's store, and what a session holds of it.
type Stored<'s> = (&'s dyn PreparedStore, Vec<Hold<'s>>);

/// Sessions.
impl Server {
    pub(super) async fn session(&self, mut caller: Caller, request: SessionRequest) -> Result<(), ServiceError> {
        let public = match self.public(request.plan) {
            Ok(public) => public,
            Err(refused) => {
                caller.refuse(refused).await;
                return Ok(());
            }
        };
        let limit = self.capacity.limits().time_of(request.work, request.inferences);
        let name = caller.name.clone();
        let run = async { in_ring!(public.terms.ring, R => self.session_in::<R>(caller, request, &public).await) };
        let ran = within(limit, ServiceError::too_long(&name, limit), run).await;
        // What was refused is counted as that.
        if !matches!(ran, Ok(false)) {
            self.status.metrics().ended(Purpose::Session(request.work), ran.as_ref().map(|_| ()));
        }
        ran.map(|_| ())
    }

    /// Whether the session took place; a request may be refused.
    async fn session_in<R: Ring>(
        &self,
        mut caller: Caller,
        request: SessionRequest,
        public: &PublicModel,
    ) -> Result<bool, ServiceError> {
        let began = Instant::now();
        let plan = public.plan::<R>()?;
        let decision = self.grant(&plan, &caller.certificate, request);
        let begun = Arc::clone(&self.begun);
        let Some((grant, store)) = caller.answer(decision).await? else { return Ok(false) };
        let _running = self.status.metrics().begin();
        let high = match (request.work, &store) {
            (Work::Prepared(batch), Some(store)) => high(&**store, batch)?,
            _ => None,
        };
        let offer = Offer { deposits: self.deposits(request.plan)?, high, address: self.address.clone() };
        message::send(&mut caller.link, &offer, &caller.name).await?;
        let choice: Choice = message::receive(&mut caller.link, MAX_SHORT_BYTES, &caller.name).await?;
        let deposit = choice.deposit;
        let chosen = self.follow(request.plan, &choice);
        let is_answered = choice.is_answered() || chosen.is_err();
        let chosen = if is_answered { caller.answer(chosen).await? } else { chosen.ok() };
        let Some((share, called)) = chosen else { return Ok(false) };
        let agreed = self.agreed(Some(&caller.certificate), request, public, deposit)?;
        // Whoever was set up otherwise learns here in what, before anybody waits for it.
        let shaken = handshake_link(&mut caller.link, End::Second, &agreed.agreement(&plan)).await;
        shaken.map_err(in_link(&caller.name))?;
        let stored = match (request.work, &store) {
            (Work::Prepared(batch), Some(store)) => {
                match self.hold(&mut caller, &**store, batch, &agreed, &plan).await? {
                    Some(holds) => Some((&**store, holds)),
                    None => return Ok(false),
                }
            }
            (_, store) => store.as_ref().map(|store| (&**store, Vec::new())),
        };
        let peer = caller.name.clone();
        let at = Meeting { public, called, begun };
        self.take_part(&plan, &agreed, caller.link, at, (share, stored)).await?;
        drop(grant);
        let (inferences, seconds) = (request.inferences, began.elapsed().as_secs_f64());
        tracing::info!(peer, work = ?request.work, inferences, seconds, "session ended");
        Ok(true)
    }

    /// The public part of the model that a session is for. A server with one model gives that one: the handshake then says
    /// in what the two differ.
    pub(super) fn public(&self, plan: PlanDigest) -> Result<PublicModel, Refused> {
        match &self.holdings {
            Holdings::Own(model) => Ok(model.public.clone()),
            Holdings::Public(model) => Ok((**model).clone()),
            Holdings::Shares(shares) => match shares.public(plan) {
                Ok(Some(public)) => Ok(public),
                Ok(None) => Err((Refusal::Differs, format!("there is no share of a model with plan {plan} here"))),
                Err(error) => Err(unreadable(&error)),
            },
        }
    }

    /// The facts that a session is to agree on; `client` is its data owner, of which a page has no certificate.
    pub(super) fn agreed(
        &self,
        client: Option<&Certificate>,
        request: SessionRequest,
        public: &PublicModel,
        deposit: Option<DepositId>,
    ) -> Result<Agreed, ServiceError> {
        let servers = &self.contacts.servers;
        let own = self.endpoint.identity.certificate();
        let missing = || ServiceError::Servers { needed: public.terms.servers(), named: servers.len() };
        let certificate = |party: usize| match servers.get(party) {
            _ if party == self.party => Ok(own.clone()),
            Some(peer) => Ok(peer.certificate.clone()),
            None => client.cloned().ok_or_else(missing),
        };
        let parties = (0..public.terms.parties()).map(certificate).collect::<Result<_, _>>()?;
        let dealer = match request.work {
            Work::Prepared(_) => None,
            _ if !public.terms.has_dealer() => None,
            _ => Some(self.dealer()?.certificate.clone()),
        };
        let SessionRequest { session, work, inferences, .. } = request;
        let data_owner = client.filter(|_| public.terms.setting == Topology::Outsourced).cloned();
        Ok(Agreed { session, work, inferences, parties, dealer, data_owner, page: None, deposit })
    }

    /// The models of a plan that have been left here.
    pub(super) fn deposits(&self, plan: PlanDigest) -> Result<Vec<(DepositId, bool)>, ServiceError> {
        match &self.holdings {
            Holdings::Shares(shares) => Ok(shares.deposits(plan)?),
            Holdings::Own(_) | Holdings::Public(_) => Ok(Vec::new()),
        }
    }

    /// The choice of a data owner: the share of the model, if it is one that was left here, and the machines of other servers
    /// that this side is to call.
    fn follow(&self, plan: PlanDigest, choice: &Choice) -> Result<(Option<Found>, Vec<Peer>), Refused> {
        let share = choice.deposit.map(|id| self.chosen(plan, id)).transpose()?;
        let called = self.called(&choice.servers).map_err(|error| error.refusal())?;
        Ok((share, called))
    }

    /// The servers of smaller index, which this side calls, each at the machine that takes part.
    pub(super) fn called(&self, said: &[Option<String>]) -> Result<Vec<Peer>, ServiceError> {
        let smaller = self.contacts.servers.iter().take(self.party).enumerate();
        smaller.map(|(party, peer)| peer.at(said.get(party).and_then(Option::as_deref))).collect()
    }

    /// The share of the model that a session is to use.
    pub(super) fn chosen(&self, plan: PlanDigest, id: DepositId) -> Result<Found, Refused> {
        let gone = || (Refusal::Replaced, format!("the model {id} is not here any more: its owner has replaced it"));
        let Holdings::Shares(shares) = &self.holdings else { return Err(gone()) };
        match shares.find(plan, id) {
            Ok(found) => found.ok_or_else(gone),
            Err(error) => Err(unreadable(&error)),
        }
    }

    pub(super) fn dealer(&self) -> Result<&Peer, ServiceError> {
        self.contacts.dealer.as_ref().ok_or(ServiceError::NoDealer)
    }

    /// Connects the parties, and takes part in their session; with stored inferences, those that it is to use.
    async fn take_part<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        link: SecureLink,
        at: Meeting<'_>,
        (share, stored): (Option<Found>, Option<Stored<'_>>),
    ) -> Result<(), ServiceError> {
        let client = agreed.client_name(at.public.terms.setting);
        let Links { parties, control, maker } = self.connect(plan, agreed, Some(link), at, &client).await?;
        let network = self.endpoint.network(self.party, parties, agreed.names());
        let watch = &mut Counting(self.status.metrics());
        let run = PartyRun { plan, agreed, party: self.party, network, watch };
        let mut exchange = DataOwner {
            plan,
            party: self.party,
            link: control,
            name: client,
            session: agreed.session,
            inference: 0,
            recipient: self.recipient.as_deref(),
        };
        let maker = maker.ok_or(ServiceError::NoDealer);
        match (agreed.work, stored) {
            (Work::Live, _) => run.live(maker?, self.model(plan, share)?, &mut exchange).await?,
            (Work::Prepare(batch), Some((store, _))) => {
                let (model, batch) = (self.model(plan, share)?, (batch, self.weights));
                let last_word = async |audited| exchange.last_word(audited).await;
                let prepared = run.prepare(maker?, model, batch, store, last_word).await;
                if let Err(error @ ServiceError::WronglyDealt { .. }) = &prepared {
                    exchange.refuse(error).await;
                }
                prepared?;
            }
            (Work::Prepared(batch), Some((store, holds))) => {
                let bytes = store.model(batch, plan.model_bytes())?;
                let model = Model::from_bytes(plan, self.party, &bytes).map_err(agreed.in_encoding())?;
                run.prepared(Arc::new(model), batch, holds, None, &mut exchange).await?;
                tidy(store, batch);
            }
            (Work::Prepare(_) | Work::Prepared(_), None) => {}
        }
        exchange.end().await
    }

    /// Connects this server with the other parties, and with the maker of correlations; there is no link to a data owner that is
    /// a page.
    pub(super) async fn connect<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        mut link: Option<SecureLink>,
        at: Meeting<'_>,
        client: &str,
    ) -> Result<Links, ServiceError> {
        // Whoever is called here and there has called when this ends.
        let Meeting { public, called, begun: _begun } = at;
        let mut parties: Vec<_> = (0..plan.settings().parties).map(|_| None).collect();
        self.connect_servers(agreed, public.terms.servers(), &called, &mut parties, (link.as_mut(), client)).await?;
        if agreed.deposit.is_some() {
            // Each has compared with the data owner; now with one another, which model and for whom.
            for (party, (certificate, link)) in agreed.parties.iter().zip(&mut parties).enumerate() {
                if let Some(link) = link {
                    let end = if party < self.party { End::First } else { End::Second };
                    let shaken = handshake_link(link, end, &agreed.agreement(plan)).await;
                    shaken.map_err(in_link(&shown(certificate)))?;
                }
            }
        }
        let mut links = Links { parties, control: None, maker: None };
        match public.terms.setting {
            Topology::Direct => links.parties[plan.settings().parties - 1] = link,
            Topology::Outsourced => links.control = link,
        }
        if matches!(agreed.work, Work::Prepared(_)) {
            return Ok(links);
        }
        // Those who wait for the dealer here and there wait for each other in truth.
        let mut watched: Vec<_> = links.parties.into_iter().chain([links.control]).collect();
        let mut names = agreed.names();
        names.0.push(client.to_owned());
        let maker = if plan.own().is_some() {
            Maker::Parties(self.pair(agreed, &called, &mut watched, &names).await?)
        } else {
            let request = agreed.deal_request(plan, self.party);
            let link = self.endpoint.call_dealer(self.dealer()?, request, &mut watched, &names).await?;
            Maker::Dealer(Box::new(link))
        };
        let control = watched.pop().flatten();
        Ok(Links { parties: watched, control, maker: Some(maker) })
    }

    /// The link over which two parties make correlations: the first waits for the second to call, as long as all others are there.
    async fn pair(
        &self,
        agreed: &Agreed,
        called: &[Peer],
        watched: &mut [Option<SecureLink>],
        names: &Names,
    ) -> Result<SecureTransport, ServiceError> {
        let of_two = agreed.names();
        let link = if self.party == 0 {
            let mut lost = None;
            let joined = self.joining.wait_for(agreed.session, PAIR, || {
                lost = watched.iter_mut().position(|link| link.as_mut().is_some_and(SecureLink::is_lost));
                lost.is_some()
            });
            let second = |place: usize| names.0.get(place).cloned().unwrap_or_default();
            match joined.filter(|caller| agreed.parties.get(1) == Some(&caller.certificate)) {
                Some(caller) => caller.link,
                None if lost.is_some() => return Err(ServiceError::Lost { peer: second(lost.unwrap_or_default()) }),
                None => return Err(ServiceError::NotJoined { peer: second(1) }),
            }
        } else {
            let missing = ServiceError::Servers { needed: 2, named: self.contacts.servers.len() };
            let first = called.first().ok_or(missing)?;
            self.endpoint.call_pair(first, agreed.session, watched, names).await?
        };
        Ok(self.endpoint.pair(self.party, link, of_two))
    }

    /// Calls the servers of smaller index, and waits for those of greater index to call, as long as the client is there: a
    /// page is not watched.
    async fn connect_servers(
        &self,
        agreed: &Agreed,
        servers: usize,
        called: &[Peer],
        links: &mut [Option<SecureLink>],
        (mut client, client_name): (Option<&mut SecureLink>, &str),
    ) -> Result<(), ServiceError> {
        for (party, link) in links.iter_mut().enumerate().take(servers) {
            let Some(peer) = self.contacts.servers.get(party).filter(|_| party != self.party) else { continue };
            if let Some(peer) = called.get(party) {
                let opening = Opening::Join { session: agreed.session, party: self.party as u32 };
                *link = Some(self.endpoint.open(peer, &opening).await?);
            } else {
                let mut is_lost = || client.as_mut().is_some_and(|client| client.is_lost());
                let joined = self.joining.wait_for(agreed.session, party, &mut is_lost);
                let missing = || match is_lost() {
                    true => ServiceError::Lost { peer: client_name.to_owned() },
                    false => ServiceError::NotJoined { peer: peer.name() },
                };
                *link = Some(joined.ok_or_else(missing)?.link);
            }
        }
        Ok(())
    }

    /// The weights, or the share of them, that this server has of the model.
    pub(super) fn model<R: Ring>(
        &self,
        plan: &Plan<R>,
        share: Option<Found>,
    ) -> Result<ModelSource<'_, R>, ServiceError> {
        match &self.holdings {
            Holdings::Own(model) => Ok(ModelSource::Own(&model.weights)),
            Holdings::Public(_) => Ok(ModelSource::Peer),
            Holdings::Shares(_) => {
                let missing =
                    || ServiceError::Arguments("a session with shares of a model, and none is chosen".to_owned());
                let bytes = share.ok_or_else(missing)?.read(plan.model_share_bytes(self.party))?;
                let share = ModelShare::from_bytes(plan, self.party, &bytes);
                Ok(ModelSource::Share(share.map_err(|error| ServiceError::Arguments(error.to_string()))?))
            }
        }
    }
}

/// A share that is here and cannot be read.
fn unreadable(error: &PackError) -> Refused {
    tracing::error!(%error, "a model share cannot be read");
    (Refusal::Internal, "the model share cannot be read here".to_owned())
}
