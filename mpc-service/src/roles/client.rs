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

use crate::at_rest::packed_model::PublicModel;
use crate::at_rest::prepared::{Store, StoreError};
use crate::at_rest::private_file::random;
use crate::error::{ServiceError, in_link};
use crate::names::{BatchId, PlanDigest, SessionId};
use crate::roles::agreed::{Agreed, check_dealer};
use crate::roles::report::{InferenceReport, Watch};
use crate::terms::Topology;
use crate::wire::link::{Boxed, Endpoint, Peer};
use crate::wire::message::{self, Opening, SessionRequest, Uses, Work};

/// The outputs of each inference, where they are revealed to this side.
pub type Revealed = Vec<Option<Vec<ArrayD<f64>>>>;

/// Where the correlations of inferences come from.
#[derive(Clone, Copy, Debug)]
pub enum Correlations<'a> {
    /// The dealer, now.
    Dealer,
    /// A store, in which they were prepared with the same servers and key.
    Store(&'a Store),
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
}

/// A data owner, and whom it works with.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's own identity, and how it waits.
    pub endpoint: Endpoint,
    /// The servers, by the index of their party.
    pub servers: Vec<Peer>,
    /// The dealer; not needed for prepared inferences. A data owner of an outsourced model never calls it, but agrees with the
    /// servers on which it is: a dealer that works together with one of them could read the inputs.
    pub dealer: Option<Peer>,
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

    /// Prepares `inferences` inferences: their correlations are dealt and stored here and at the servers.
    ///
    /// # Errors
    /// [`ServiceError`]; then nothing is stored.
    pub fn prepare<'a>(
        &'a self,
        model: &'a PublicModel,
        inferences: u32,
        store: &'a Store,
        watch: &'a mut dyn Watch,
    ) -> Boxed<'a, Result<BatchId, ServiceError>> {
        let work =
            async move { in_ring!(model.terms.ring, R => self.prepare_in::<R>(model, inferences, store, watch).await) };
        work.boxed()
    }
}

/// The common parts of queries and preparation.
impl Client {
    /// Checks whom a model is to be computed with, before anybody is called.
    fn check(&self, model: &PublicModel) -> Result<(), ServiceError> {
        check_servers(&self.servers, model)?;
        let others = self.servers.iter().map(|peer| &peer.certificate).chain([self.endpoint.identity.certificate()]);
        check_dealer(self.dealer.as_ref().map(|peer| &peer.certificate), others)
    }

    /// The facts that a new session is to agree on.
    fn agreed(&self, model: &PublicModel, work: Work, inferences: u32) -> Result<Agreed, ServiceError> {
        let session: SessionId = random().map_err(StoreError::from)?;
        let servers = self.servers.iter().map(|peer| peer.certificate.clone());
        let own = (model.terms.setting == Topology::Direct).then(|| self.endpoint.identity.certificate().clone());
        let dealer = match work {
            Work::Prepared(_) => None,
            _ => Some(self.dealer()?.certificate.clone()),
        };
        Ok(Agreed { session, work, inferences, parties: servers.chain(own).collect(), dealer })
    }

    fn dealer(&self) -> Result<&Peer, ServiceError> {
        self.dealer.as_ref().ok_or(ServiceError::NoDealer)
    }

    /// Asks the dealer for what the last party needs.
    async fn call_dealer<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        servers: &mut [Option<SecureLink>],
    ) -> Result<SecureLink, ServiceError> {
        let party = plan.settings().parties - 1;
        self.endpoint.call_dealer(self.dealer()?, agreed.deal_request(plan, party), servers, &agreed.names()).await
    }

    /// Asks every server for the session, and compares with each what it is to be.
    async fn call_servers<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        uses: Option<&Uses>,
    ) -> Result<Vec<SecureLink>, ServiceError> {
        let Agreed { session, work, inferences, .. } = *agreed;
        let request = SessionRequest { session, plan: PlanDigest(plan.digest()), work, inferences };
        let mut links = Vec::with_capacity(self.servers.len());
        for peer in &self.servers {
            let mut link = self.endpoint.open(peer, &Opening::Session(request)).await?;
            let shaken = handshake_link(&mut link, End::First, &agreed.agreement(plan)).await;
            shaken.map_err(in_link(&peer.name()))?;
            links.push(link);
        }
        if let Some(uses) = uses {
            for (peer, link) in self.servers.iter().zip(&mut links) {
                message::send(link, uses, &peer.name()).await?;
                message::await_grant(link, &peer.name()).await?;
            }
        }
        Ok(links)
    }
}

/// An error where as many servers are named as the terms of a model say otherwise.
pub(crate) fn check_servers(servers: &[Peer], model: &PublicModel) -> Result<(), ServiceError> {
    let (needed, named) = (model.terms.servers(), servers.len());
    if needed == named { Ok(()) } else { Err(ServiceError::Servers { needed, named }) }
}
