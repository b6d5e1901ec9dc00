//! A data owner's side: inferences, and their preparation ahead of time.

mod delegated;
mod prepared;
mod query;

use mpc_nn::Plan;
use mpc_ring::{Ring, in_ring};
use mpc_transport::tls::SecureLink;
use mpc_transport::{End, handshake_link};
use ndarray::ArrayD;
use smol::future::FutureExt;

use self::prepared::Chosen;
use crate::at_rest::packed_model::PublicModel;
use crate::at_rest::prepared::{PreparedStore, StoreError};
use crate::at_rest::private_file::random;
use crate::error::{ServiceError, in_link};
use crate::names::{BatchId, DepositId, Owner, PlanDigest, SessionId};
use crate::roles::agreed::{Agreed, check_dealer, check_parties};
use crate::roles::report::{InferenceReport, Watch};
use crate::roles::session::Maker;
use crate::terms::{RevealTo, Topology};
use crate::wire::address::MAX_ADDRESS_BYTES;
use crate::wire::link::{Boxed, Endpoint, Peer};
use crate::wire::message::{self, Choice, MAX_OFFER_BYTES, Offer, Opening, SessionRequest, Work};

/// The outputs of each inference, where they are revealed to this side.
pub type Revealed = Vec<Option<Vec<ArrayD<f64>>>>;

/// Where the correlations of inferences come from.
#[derive(Clone, Copy, Debug)]
pub enum Correlations<'a> {
    /// Made now, by the dealer, or by the two parties where the terms of the model say so.
    Live,
    /// A store, in which they were prepared with the same servers and key.
    Store(&'a dyn PreparedStore),
}

/// The inferences of a session at the data owner.
#[derive(Debug)]
pub struct Results {
    /// The outputs of each inference, in the order of the graph's; none where the data owner is not to learn them.
    pub outputs: Revealed,
    /// The work and the cost of each inference at this party; of a data owner outside, its traffic.
    pub reports: Vec<InferenceReport>,
    /// The prepared inferences that were used: their batch and their places.
    pub used: Option<(BatchId, Vec<u32>)>,
    /// The model, where it was left with the servers.
    pub deposit: Option<DepositId>,
}

/// A data owner, and whom it works with.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's own identity, and how it waits.
    pub endpoint: Endpoint,
    /// The servers, by the index of their party.
    pub servers: Vec<Peer>,
    /// The dealer; not needed for prepared inferences, and none where the parties make their own correlations. A data owner
    /// of an outsourced model never calls it, but agrees with the servers on which it is: a dealer that works together with
    /// one of them could read the inputs.
    pub dealer: Option<Peer>,
    /// The recipients of results to whom the data owner agrees: nothing is sent where the terms of a model name others.
    pub reveal_to: RevealTo,
    /// The owner of an outsourced model; needed where several have left one of the same plan with the servers.
    pub model_owner: Option<Owner>,
}

impl Client {
    /// Runs an inference for each of `inputs`, which are in the order of the graph's, in one session.
    ///
    /// Inputs are checked before anything is sent; a difference between the participants' settings ends it before any share
    /// is. `watch` sees what happens.
    ///
    /// # Security
    /// See [`Inference::run`](mpc_nn::Inference::run) for what parties learn. The model is loaded under masks of this session
    /// or of the batch, so two sessions share none. A prepared inference is gone from the store before anything of it is used.
    ///
    /// # Errors
    /// [`ServiceError`], whose [`kind`](ServiceError::kind) says whose fault it is.
    pub fn query<'a>(
        &'a self,
        model: &'a PublicModel,
        inputs: &'a [Vec<ArrayD<f32>>],
        correlations: Correlations<'a>,
        watch: &'a mut dyn Watch,
    ) -> Boxed<'a, Result<Results, ServiceError>> {
        let work = async move {
            in_ring!(model.terms.ring, R => self.query_in::<R>(model, inputs, correlations, watch).await)
        };
        work.boxed()
    }

    /// Prepares `inferences` inferences: their correlations are made and stored here and at the servers.
    ///
    /// # Errors
    /// [`ServiceError`]; then nothing is stored.
    pub fn prepare<'a>(
        &'a self,
        model: &'a PublicModel,
        inferences: u32,
        store: &'a dyn PreparedStore,
        watch: &'a mut dyn Watch,
    ) -> Boxed<'a, Result<BatchId, ServiceError>> {
        self.prepare_audited(model, (inferences, 0), store, watch)
    }

    /// As [`prepare`](Self::prepare), with an audit of the dealer: so many of the inferences are drawn when all are there, destroyed,
    /// and dealt again from seeds to which the dealer had committed. A dealer that deals one of N wrongly is found out with
    /// probability Q/N where Q of them are audited.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare); [`ServiceError::WronglyDealt`], or [`ServiceError::Refused`] with the same words of
    /// a server.
    pub fn prepare_audited<'a>(
        &'a self,
        model: &'a PublicModel,
        counts: (u32, u32),
        store: &'a dyn PreparedStore,
        watch: &'a mut dyn Watch,
    ) -> Boxed<'a, Result<BatchId, ServiceError>> {
        let work =
            async move { in_ring!(model.terms.ring, R => self.prepare_in::<R>(model, counts, store, watch).await) };
        work.boxed()
    }
}

/// The common parts of queries and preparation.
impl Client {
    /// Checks whom a model is to be computed with, before anybody is called.
    fn check(&self, model: &PublicModel) -> Result<(), ServiceError> {
        check_servers(&self.servers, model)?;
        let (terms, agreed) = (model.terms.reveal_to, self.reveal_to);
        if terms != agreed {
            return Err(ServiceError::Recipients { terms, agreed });
        }
        let others = self.servers.iter().map(|peer| &peer.certificate).chain([self.endpoint.identity.certificate()]);
        if model.terms.setting == Topology::Direct {
            check_parties(&others.clone().collect::<Vec<_>>())?;
        }
        if !model.terms.has_dealer() && self.dealer.is_some() {
            return Err(ServiceError::NeedlessDealer);
        }
        check_dealer(self.dealer.as_ref().map(|peer| &peer.certificate), others)
    }

    /// The facts that a new session is to agree on.
    fn agreed(&self, model: &PublicModel, work: Work, inferences: u32) -> Result<Agreed, ServiceError> {
        let session: SessionId = random().map_err(StoreError::from)?;
        let servers = self.servers.iter().map(|peer| peer.certificate.clone());
        let own = Some(self.endpoint.identity.certificate().clone());
        let (own, data_owner) = if model.terms.setting == Topology::Direct { (own, None) } else { (None, own) };
        let dealer = match work {
            Work::Prepared(_) => None,
            _ if !model.terms.has_dealer() => None,
            _ => Some(self.dealer()?.certificate.clone()),
        };
        let parties = servers.chain(own).collect();
        Ok(Agreed { session, work, inferences, parties, dealer, data_owner, page: None, deposit: None })
    }

    fn dealer(&self) -> Result<&Peer, ServiceError> {
        self.dealer.as_ref().ok_or(ServiceError::NoDealer)
    }

    /// Asks the dealer for what the last party needs, or opens the link over which the two parties make correlations, to the
    /// machine that is there.
    async fn call_maker<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        at: &[Option<String>],
        servers: &mut [Option<SecureLink>],
    ) -> Result<Maker, ServiceError> {
        let (party, names) = (plan.settings().parties - 1, agreed.names());
        match self.servers.first().filter(|_| plan.own().is_some()) {
            Some(first) => {
                let link = self
                    .endpoint
                    .call_pair(&first.at(at.first().and_then(Option::as_deref))?, agreed.session, servers, &names)
                    .await?;
                Ok(Maker::Parties(self.endpoint.pair(party, link, names)))
            }
            None => {
                let request = agreed.deal_request(plan, party);
                let link = self.endpoint.call_dealer(self.dealer()?, request, servers, &names).await?;
                Ok(Maker::Dealer(Box::new(link)))
            }
        }
    }

    /// Asks every server for the session, chooses the model where they have some, and compares with each what the session is
    /// to be.
    async fn call_servers<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &mut Agreed,
        prepared: Option<&Chosen<'_>>,
    ) -> Result<Called, ServiceError> {
        let Agreed { session, work, inferences, .. } = *agreed;
        let request = SessionRequest { session, plan: PlanDigest(plan.digest()), work, inferences };
        let mut called = Called::default();
        let mut offers = Vec::with_capacity(self.servers.len());
        for peer in &self.servers {
            let (mut link, place) = self.endpoint.open_one(peer, &Opening::Session(request)).await?;
            let offer: Offer = message::receive(&mut link, MAX_OFFER_BYTES, &peer.name()).await?;
            if let Some(chosen) = prepared {
                chosen.check_restored(offer.high, &peer.name())?;
            }
            offers.push(offer.deposits);
            called.links.push(link);
            let is_one_of_several = peer.addresses.called().len() > 1;
            let address = offer.address.filter(|address| address.len() <= MAX_ADDRESS_BYTES);
            called.at.push(address.or_else(|| is_one_of_several.then_some(place)));
        }
        let Called { links, at } = &mut called;
        agreed.deposit = match (prepared.and_then(|chosen| chosen.deposit), work) {
            (Some(deposit), Work::Prepared(batch)) if !common(&offers).contains(&deposit) => {
                return Err(ServiceError::Replaced { batch });
            }
            (Some(deposit), _) => Some(deposit),
            (None, _) => choose(&offers, self.model_owner)?,
        };
        // A single server has nobody to meet but this side.
        let servers = if at.len() > 1 { at.clone() } else { Vec::new() };
        let choice = Choice { deposit: agreed.deposit, servers };
        for (peer, link) in self.servers.iter().zip(&mut *links) {
            let name = peer.name();
            message::send(link, &choice, &name).await?;
            if choice.is_answered() {
                message::await_grant(link, &name).await?;
            }
            handshake_link(link, End::First, &agreed.agreement(plan)).await.map_err(in_link(&name))?;
        }
        if let Some(uses) = prepared.map(Chosen::uses).transpose()? {
            for (peer, link) in self.servers.iter().zip(&mut *links) {
                message::send(link, &uses, &peer.name()).await?;
                message::await_grant(link, &peer.name()).await?;
            }
        }
        Ok(called)
    }
}

/// The servers of a session that have granted it.
#[derive(Default)]
struct Called {
    links: Vec<SecureLink>,
    /// Where the machine of each is that takes part, as far as it is known.
    at: Vec<Option<String>>,
}

/// An error where as many servers are named as the terms of a model say otherwise, or one of them twice.
pub(crate) fn check_servers(servers: &[Peer], model: &PublicModel) -> Result<(), ServiceError> {
    let (needed, named) = (model.terms.servers(), servers.len());
    if needed != named {
        return Err(ServiceError::Servers { needed, named });
    }
    check_parties(&servers.iter().map(|peer| &peer.certificate).collect::<Vec<_>>())
}

/// The models of servers, with whether sessions of that server use them already.
pub(crate) type Deposits = Vec<(DepositId, bool)>;

/// The models that all servers have, and at least one uses already: so all had theirs when it was switched to.
pub(crate) fn common(offers: &[Deposits]) -> Vec<DepositId> {
    let [first, others @ ..] = offers else { return Vec::new() };
    let is_common = |id: &DepositId| others.iter().all(|offer| offer.iter().any(|(other, _)| other == id));
    let is_used = |id: &DepositId| offers.iter().flatten().any(|(other, is_used)| other == id && *is_used);
    first.iter().map(|(id, _)| *id).filter(|id| is_common(id) && is_used(id)).collect()
}

/// The model that a session uses; nothing where the servers compute with one of their own.
fn choose(offers: &[Deposits], owner: Option<Owner>) -> Result<Option<DepositId>, ServiceError> {
    if offers.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let candidates: Vec<_> =
        common(offers).into_iter().filter(|id| owner.is_none_or(|owner| id.owner == owner)).collect();
    let mut owners: Vec<_> = candidates.iter().map(|id| id.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    match (&owners[..], candidates.first()) {
        ([_], Some(deposit)) => Ok(Some(*deposit)),
        ([], _) | (_, None) => Err(ServiceError::NotDeposited { wanted: owner }),
        _ => Err(ServiceError::SeveralOwners { owners }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(owner: u8, version: u8) -> DepositId {
        DepositId { owner: Owner([owner; 32]), version: [version; 16] }
    }

    #[test]
    fn the_model_of_a_session_is_one_that_all_servers_have() {
        let (old, new) = (id(1, 1), id(1, 2));
        let both = vec![(old, true), (new, false)];
        // Left everywhere, used nowhere; then one server has switched, and then the other.
        assert_eq!(choose(&[both.clone(), both.clone()], None).unwrap(), Some(old));
        assert_eq!(choose(&[vec![(new, true)], both.clone()], None).unwrap(), Some(new));
        assert_eq!(choose(&[both.clone(), vec![(new, true)]], None).unwrap(), Some(new));
        assert_eq!(choose(&[vec![(new, true)], vec![(new, true)]], None).unwrap(), Some(new));
        // The second server has not got it.
        assert_eq!(choose(&[both, vec![(old, true)]], None).unwrap(), Some(old));
        assert_eq!(choose(&[Vec::new(), Vec::new()], None).unwrap(), None);
        for offers in [[vec![(old, true)], vec![(new, true)]], [vec![(old, true)], Vec::new()]] {
            assert!(matches!(choose(&offers, None), Err(ServiceError::NotDeposited { wanted: None })));
        }
    }

    #[test]
    fn the_owner_is_named_where_there_are_several() {
        let offer = vec![(id(1, 1), true), (id(2, 7), true)];
        let offers = [offer.clone(), offer];
        let several = choose(&offers, None);
        assert!(matches!(&several, Err(ServiceError::SeveralOwners { owners }) if owners.len() == 2), "{several:?}");
        assert_eq!(choose(&offers, Some(Owner([2; 32]))).unwrap(), Some(id(2, 7)));
        let missing = choose(&offers, Some(Owner([3; 32])));
        assert!(matches!(missing, Err(ServiceError::NotDeposited { wanted: Some(_) })));
    }
}
