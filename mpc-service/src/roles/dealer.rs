//! The dealer as a service: it deals correlations to groups of parties, and sees neither models nor data.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpc_nn::{DealerSession, EncodingError, Graph, Plan};
use mpc_ring::{Ring, in_ring};
use mpc_transport::Link;
use mpc_transport::tls::Certificate;
use smol::future::FutureExt;

use crate::admin::{Metrics, Purpose, Status};
use crate::error::ServiceError;
use crate::names::{Refusal, Refused};
use crate::roles::agreed::{Agreed, check_audited, check_dealer};
use crate::wire::limits::{Capacity, Grant, Limits};
use crate::wire::link::{Boxed, Endpoint, within};
use crate::wire::listener;
use crate::wire::message::{self, DealRequest, MAX_OPENING_BYTES, Opening, Work};
use crate::wire::opening::{Caller, Service};
use crate::wire::rendezvous::{Rendezvous, Turned};

/// A dealer: whom it deals to, and how much.
///
/// # Security
/// It knows every mask that it deals, so it must work together with no party, and no party may be able to read the others'
/// links. It never takes part in an inference, learns nothing of models but their architecture and size, and keeps nothing:
/// the masks of a session are gone when it ends.
#[derive(Debug)]
pub struct Dealer {
    endpoint: Endpoint,
    allowed: Vec<Certificate>,
    capacity: Arc<Capacity>,
    rendezvous: Rendezvous<Waiting>,
    status: Status,
}

/// A party that waits for the others of its session.
#[derive(Debug)]
struct Waiting {
    caller: Caller,
    request: DealRequest,
}

impl Dealer {
    /// A dealer for those of the given certificates.
    ///
    /// # Errors
    /// [`ServiceError::DealerTakesPart`] where its own certificate is among them.
    pub fn new(endpoint: Endpoint, allowed: Vec<Certificate>, limits: Limits) -> Result<Self, ServiceError> {
        check_dealer(Some(endpoint.identity.certificate()), &allowed)?;
        // Less than a party waits for the dealer, so that it hears for whom it waited in truth.
        let rendezvous = Rendezvous::new(endpoint.settings.deadline * 3 / 4);
        let status = Status::new(Arc::clone(&endpoint.identity), None, Vec::new(), None);
        Ok(Self { endpoint, allowed, capacity: Capacity::new(limits), rendezvous, status })
    }

    /// Its state, for operators.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Deals until `stop` is complete, then finishes what runs.
    ///
    /// # Errors
    /// [`ServiceError::Listen`].
    pub async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        listener::run(Arc::new(self), listener, stop).await
    }

    /// Has a party wait for the others of its session; the last one to come has all dealt to.
    async fn arrive(&self, caller: Caller, request: DealRequest) -> Result<(), ServiceError> {
        let (session, party, parties) = (request.session, request.party as usize, request.settings.parties);
        let (turned, mut waiting) = match self.rendezvous.arrive(session, party, parties, Waiting { caller, request }) {
            Ok(None) => return Ok(()),
            Ok(Some(group)) => return self.serve_group(group).await,
            Err(turned) => turned,
        };
        let refused = match turned {
            Turned::Taken => (Refusal::Forbidden, format!("a party {party} of that session is here already")),
            Turned::Full => (Refusal::Busy, "too many parties wait here".to_owned()),
        };
        waiting.caller.refuse(refused).await;
        Ok(())
    }

    /// Deals to a group that is complete, or tells each of it why not.
    async fn serve_group(&self, mut group: Vec<Waiting>) -> Result<(), ServiceError> {
        let checked = check_group(&group);
        let ring = group.first().map(|first| first.request.ring).unwrap_or_default();
        if let Err(refused) = checked {
            refuse_all(&mut group, refused).await;
            return Ok(());
        }
        in_ring!(ring, R => self.deal::<R>(group).await)
    }

    async fn deal<R: Ring>(&self, mut group: Vec<Waiting>) -> Result<(), ServiceError> {
        let (plan, grants) = match self.grant::<R>(&group) {
            Ok(granted) => granted,
            Err(refused) => {
                refuse_all(&mut group, refused).await;
                return Ok(());
            }
        };
        for waiting in &mut group {
            message::accept(&mut waiting.caller.link, &waiting.caller.name).await?;
        }
        let first = group.first().map(|first| (first.request.work, first.request.inferences));
        let limit = first.map_or(Duration::ZERO, |(work, inferences)| self.capacity.limits().time_of(work, inferences));
        let metrics = self.status.metrics();
        let running = metrics.begin();
        let session = deal_session(&self.endpoint, metrics, &plan, group);
        let dealt = within(limit, ServiceError::too_long("the parties", limit), session).await;
        if let Some((work, _)) = first {
            metrics.ended(Purpose::Session(work), dealt.as_ref().map(|_| ()));
        }
        drop((grants, running));
        dealt
    }

    /// The plan of a group's session, and the room for it, which counts for each of the group.
    fn grant<R: Ring>(&self, group: &[Waiting]) -> Result<(Plan<R>, Vec<Grant>), Refused> {
        let [first, others @ ..] = group else { return Err((Refusal::Differs, "nobody is there".to_owned())) };
        let differs = |reason: String| (Refusal::Differs, reason);
        let graph = Graph::from_bytes(&first.request.graph, &self.capacity.limits().graph);
        let graph = graph.map_err(|error| match error {
            EncodingError::TooLarge { .. } => (Refusal::Limit, error.to_string()),
            error => differs(error.to_string()),
        })?;
        let plan = Plan::<R>::new(&graph, first.request.settings).map_err(|error| differs(error.to_string()))?;
        let inferences = first.request.inferences;
        if let Work::Prepare(preparation) = first.request.work {
            check_audited(preparation.audited, inferences, &plan)?;
        }
        let grant =
            self.capacity.grant(first.caller.certificate.fingerprint(), plan.dealer_memory_bytes(), inferences)?;
        let mut grants = vec![grant];
        for other in others {
            grants.push(self.capacity.join(other.caller.certificate.fingerprint())?);
        }
        Ok((plan, grants))
    }
}

async fn deal_session<R: Ring>(
    endpoint: &Endpoint,
    metrics: &Metrics,
    plan: &Plan<R>,
    group: Vec<Waiting>,
) -> Result<(), ServiceError> {
    let began = Instant::now();
    let Some(DealRequest { session, work, inferences, .. }) = group.first().map(|first| &first.request) else {
        return Ok(());
    };
    let agreed = Agreed {
        session: *session,
        work: *work,
        inferences: *inferences,
        parties: group.iter().map(|waiting| waiting.caller.certificate.clone()).collect(),
        dealer: Some(endpoint.identity.certificate().clone()),
        data_owner: None,
        page: None,
        deposit: None,
    };
    let links = group.into_iter().map(|waiting| Link::new(waiting.caller.link)).collect();
    let failed = agreed.in_session();
    let mut dealer = DealerSession::open(links, plan, agreed.options()?).await.map_err(&failed)?;
    let audited = if let Work::Prepare(preparation) = agreed.work { preparation.audited } else { 0 };
    let committed = if audited > 0 { Some(dealer.commit(agreed.inferences).await.map_err(&failed)?) } else { None };
    for inference in 0..agreed.inferences {
        let before = dealer.traffic();
        let dealt = match &committed {
            Some(seeds) => dealer.deal_committed(seeds, inference, &mut |_| ()).await,
            None => dealer.deal(&mut |_| ()).await,
        };
        dealt.map_err(&failed)?;
        metrics.dealt(dealer.traffic() - before);
    }
    if let Some(seeds) = committed {
        dealer.tell_seeds(seeds, audited).await.map_err(&failed)?;
    }
    let (parties, seconds) = (agreed.names().to_string(), began.elapsed().as_secs_f64());
    tracing::info!(parties, inferences = agreed.inferences, seconds, "dealt");
    Ok(())
}

/// Whether a group asks for one thing, and is one of different organisations.
fn check_group(group: &[Waiting]) -> Result<(), Refused> {
    let differs = |reason: &str| Err((Refusal::Differs, reason.to_owned()));
    let Some(first) = group.first() else { return differs("nobody is there") };
    let Waiting { request, .. } = first;
    if group.len() != request.settings.parties {
        return differs("the parties disagree on their number");
    }
    let certificates: BTreeSet<_> =
        group.iter().map(|waiting| *waiting.caller.certificate.fingerprint().as_bytes()).collect();
    if certificates.len() < group.len() {
        return differs("two parties have one certificate: each party needs a key of its own");
    }
    for other in group.iter().map(|waiting| &waiting.request) {
        if (other.work, other.inferences) != (request.work, request.inferences) {
            return differs("the parties disagree on what the session does");
        }
        if other.ring != request.ring || other.settings != request.settings {
            return differs("the parties disagree on ring, fixed point or roles");
        }
        if other.graph != request.graph {
            return differs("the parties disagree on the network");
        }
        if matches!(other.work, Work::Prepared(_)) {
            return differs("a session of prepared inferences needs no dealer");
        }
    }
    Ok(())
}

async fn refuse_all(group: &mut [Waiting], refused: Refused) {
    for waiting in group {
        waiting.caller.refuse(refused.clone()).await;
    }
}

impl Service for Dealer {
    type Request = DealRequest;

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn status(&self) -> &Status {
        &self.status
    }

    fn known(&self) -> Vec<Certificate> {
        self.allowed.clone()
    }

    fn longest_opening(&self) -> usize {
        MAX_OPENING_BYTES
    }

    fn sessions_per_peer(&self) -> usize {
        self.capacity.limits().sessions_per_peer
    }

    fn admit(&self, _: &Certificate, opening: Opening) -> Result<DealRequest, Refused> {
        let Opening::Deal(request) = opening else {
            return Err((Refusal::Forbidden, "this is a dealer: it only deals".to_owned()));
        };
        let (party, parties) = (request.party as usize, request.settings.parties);
        if party >= parties || parties > mpc_shares::MAX_PARTIES {
            return Err((Refusal::Differs, format!("there is no party {party} of {parties}")));
        }
        Ok(*request)
    }

    fn serve(self: Arc<Self>, caller: Caller, request: DealRequest) -> Boxed<'static, Result<(), ServiceError>> {
        async move { self.arrive(caller, request).await }.boxed()
    }

    fn awaits(&self) -> bool {
        self.rendezvous.has(None)
    }

    fn is_awaited(&self, opening: &Opening) -> bool {
        matches!(opening, Opening::Deal(request) if self.rendezvous.has(Some(request.session)))
    }

    fn sweep(&self) {
        for group in self.rendezvous.sweep() {
            let parties = group.values().next().map_or(0, |waiting| waiting.request.settings.parties);
            let is_missing = |party: &usize| !group.contains_key(party);
            let missing: Vec<_> = (0..parties).filter(is_missing).map(|party| format!("party {party}")).collect();
            let reason = format!("{} of the session did not come in time", missing.join(", "));
            let mut group: Vec<_> = group.into_values().collect();
            // A few bytes to each, which the sockets take in at once.
            smol::block_on(refuse_all(&mut group, (Refusal::Absent, reason)));
        }
    }
}
