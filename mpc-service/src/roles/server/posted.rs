//! Sessions whose input share a page has posted: there is no connection to the data owner while they run.

use std::sync::Arc;

use mpc_nn::delegation::InputShare;
use mpc_nn::run::{Inputs, Outputs};
use mpc_nn::{Plan, Preprocessing};
use mpc_ring::{Ring, in_ring};
use mpc_shares::SecretVec;
use mpc_transport::tls::Identity;

use super::Server;
use super::session::{Links, Meeting};
use crate::admin::{Counting, Purpose};
use crate::at_rest::model_shares::Found;
use crate::at_rest::packed_model::PublicModel;
use crate::error::ServiceError;
use crate::names::{DepositId, PlanDigest};
use crate::roles::agreed::Agreed;
use crate::roles::report::InferenceReport;
use crate::roles::session::{Exchange, PartyRun};
use crate::terms::{Terms, Topology};
use crate::web::{Posted, Problem};
use crate::wire::limits::Grant;
use crate::wire::link::{Peer, within};
use crate::wire::message::{SessionRequest, Work};

/// How the data owner is named.
const PAGE: &str = "the page";

/// Runs a session by the plan that its request was measured with.
type Run = Box<
    dyn FnOnce(&Server, SessionRequest, &PublicModel, &Posted, Chosen) -> Result<SecretVec<u8>, ServiceError> + Send,
>;

/// The share of the model, and the machines of other servers that this one calls.
struct Chosen {
    found: Found,
    called: Vec<Peer>,
}

/// A model that pages bring inputs to.
pub(crate) struct PageModel {
    plan: PlanDigest,
    public: PublicModel,
    run: Run,
    /// The bytes of this server's share of the inputs.
    pub(crate) share_bytes: usize,
    memory: u64,
}

/// A session that is granted, with all that it needs.
pub(crate) struct Ready {
    plan: PlanDigest,
    public: PublicModel,
    run: Run,
    posted: Posted,
    chosen: Chosen,
    grant: Grant,
}

impl Server {
    /// The model of a plan.
    pub(crate) fn model_for_page(&self, plan: PlanDigest) -> Result<PageModel, Problem> {
        let public = self.public(plan)?;
        in_ring!(public.terms.ring, R => {
            let made = public.plan::<R>().map_err(|_| Problem::NoModel { plan })?;
            if PlanDigest(made.digest()) != plan || public.terms.setting != Topology::Outsourced {
                return Err(Problem::NoModel { plan });
            }
            let share_bytes = made.input_share_bytes(self.party);
            let memory = made.memory_bytes(self.party, Preprocessing::Ahead);
            Ok(PageModel { plan, public, run: run_by(made), share_bytes, memory })
        })
    }

    /// The shares of models of a plan that are here, and whether sessions use each already.
    pub(crate) fn deposits_for_page(&self, plan: PlanDigest) -> Result<Vec<(DepositId, bool)>, Problem> {
        let deposits = self.deposits(plan).map_err(|error| {
            tracing::error!(%error, "the shares of models cannot be listed");
            Problem::Internal
        })?;
        if deposits.is_empty() { Err(Problem::NoModel { plan }) } else { Ok(deposits) }
    }

    /// The fingerprint of the dealer's certificate; none where the servers make correlations themselves.
    pub(crate) fn dealer_for_page(&self, plan: PlanDigest) -> Result<Option<[u8; 32]>, Problem> {
        self.dealer_by(&self.public(plan)?.terms)
    }

    fn dealer_by(&self, terms: &Terms) -> Result<Option<[u8; 32]>, Problem> {
        if !terms.has_dealer() {
            return Ok(None);
        }
        let dealer = self.dealer().map_err(|error| {
            tracing::error!(%error, "a page asks for a model with a dealer");
            Problem::Internal
        })?;
        Ok(Some(*dealer.certificate.fingerprint().as_bytes()))
    }

    /// The identity that the key of a page's requests is derived from.
    pub(crate) fn identity_for_pages(&self) -> &Identity {
        &self.endpoint.identity
    }

    /// Where other servers call this machine, if its operator has said so.
    pub(crate) fn address_for_pages(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// The index of this party.
    pub(crate) fn party(&self) -> usize {
        self.party
    }

    /// Grants a session to what a page has posted, or says why not.
    pub(crate) fn ready_for_page(&self, model: PageModel, posted: Posted) -> Result<Ready, Problem> {
        if posted.dealer != self.dealer_by(&model.public.terms)? {
            return Err(Problem::Dealer);
        }
        let own = self.endpoint.identity.certificate().fingerprint();
        let grant = self.capacity.grant(own, model.memory, 1)?;
        let called = self.called(&posted.addresses).map_err(|error| Problem::of_session(&error))?;
        let chosen = Chosen { found: self.chosen(model.plan, posted.deposit)?, called };
        let PageModel { plan, public, run, .. } = model;
        Ok(Ready { plan, public, run, posted, chosen, grant })
    }

    /// Runs the inference, and seals this server's share of the result for the page.
    pub(crate) fn infer_for_page(&self, ready: Ready) -> Result<Vec<u8>, Problem> {
        let Ready { plan, public, run, posted, chosen, grant } = ready;
        let request = SessionRequest { session: posted.session, plan, work: Work::Live, inferences: 1 };
        let running = self.status.metrics().begin();
        let share = run(self, request, &public, &posted, chosen);
        self.status.metrics().ended(Purpose::Page, share.as_ref().map(|_| ()));
        drop((grant, running));
        let share = share.map_err(|error| {
            tracing::warn!(%error, "an inference for a page ended without success");
            Problem::of_session(&error)
        })?;
        tracing::info!("an inference for a page ended");
        posted.answer.seal(&share)
    }

    async fn infer_in<R: Ring>(
        &self,
        plan: &Plan<R>,
        request: SessionRequest,
        public: &PublicModel,
        posted: &Posted,
        Chosen { found, called }: Chosen,
    ) -> Result<SecretVec<u8>, ServiceError> {
        let share = InputShare::from_bytes(plan, self.party, posted.share());
        let share = share.map_err(|error| ServiceError::Arguments(error.to_string()))?;
        let agreed = self.agreed(None, request, public, Some(posted.deposit))?;
        let agreed = Agreed { page: Some(posted.servers), ..agreed };
        let at = Meeting { public, called, begun: Arc::clone(&self.begun) };
        let Links { parties, maker, .. } = self.connect(plan, &agreed, None, at, PAGE).await?;
        let network = self.endpoint.network(self.party, parties, agreed.names());
        let watch = &mut Counting(self.status.metrics());
        let run = PartyRun { plan, agreed: &agreed, party: self.party, network, watch };
        let mut exchange = OneShare { input: Some(share), output: None };
        let maker = maker.ok_or(ServiceError::NoDealer)?;
        run.live(maker, self.model(plan, Some(found))?, &mut exchange).await?;
        exchange.output.ok_or_else(|| ServiceError::Arguments("the plan leaves no share of its result".to_owned()))
    }
}

fn run_by<R: Ring>(plan: Plan<R>) -> Run {
    Box::new(move |server, request, public, posted, chosen| {
        let limit = server.capacity.limits().session_time;
        let run = server.infer_in(&plan, request, public, posted, chosen);
        smol::block_on(within(limit, ServiceError::too_long(PAGE, limit), run))
    })
}

/// The share that was posted, and then that of the result.
struct OneShare<R: Ring> {
    input: Option<InputShare<R>>,
    output: Option<SecretVec<u8>>,
}

impl<R: Ring> Exchange<R> for OneShare<R> {
    async fn inputs(&mut self, _: u32) -> Result<Inputs<'_, R>, ServiceError> {
        Ok(self.input.take().map_or_else(Inputs::none, Inputs::from))
    }

    async fn outputs(&mut self, outputs: Outputs<R>, _: InferenceReport) -> Result<(), ServiceError> {
        self.output = outputs.share.map(|share| share.to_bytes());
        Ok(())
    }
}
