//! The dealer as a service: it deals correlations to groups of parties, and sees neither models nor data.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use mpc_nn::{DealerSession, Graph, Plan};
use mpc_ring::{Ring, in_ring};
use mpc_transport::Link;
use mpc_transport::tls::{Certificate, SecureLink, SecureTransport};
use smol::Async;
use smol::future::FutureExt;

use crate::error::ServiceError;
use crate::limits::{Capacity, Grant, Limits};
use crate::link::{Boxed, Endpoint, OPENING_DEADLINE, shown};
use crate::listener::{self, Service, within};
use crate::meeting::{Meeting, Turned};
use crate::message::{self, DealRequest, MAX_OPENING_BYTES, Opening, Refusal, Work};
use crate::session::Agreed;

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
    meeting: Meeting<Waiting>,
}

/// A party that waits for the others of its session.
#[derive(Debug)]
struct Waiting {
    link: SecureTransport,
    certificate: Certificate,
    request: DealRequest,
}

/// A request that is refused: why, for programs and for people.
type Refused = (Refusal, String);

impl Dealer {
    /// A dealer for those of the given certificates.
    #[must_use]
    pub fn new(endpoint: Endpoint, allowed: Vec<Certificate>, limits: Limits) -> Self {
        // Less than a party waits for the dealer, so that it hears for whom it waited in truth.
        let meeting = Meeting::new(endpoint.settings.deadline * 3 / 4);
        Self { endpoint, allowed, capacity: Capacity::new(limits), meeting }
    }

    /// Deals until `stop` is complete, then finishes what runs.
    ///
    /// # Errors
    /// [`ServiceError::Listen`].
    pub async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        listener::run(Arc::new(self), listener, stop).await
    }

    async fn receive(&self, stream: Async<TcpStream>) -> Result<(), ServiceError> {
        let link = SecureLink::accept(stream, &self.endpoint.identity, &self.allowed, OPENING_DEADLINE).await;
        let link = link.map_err(|source| ServiceError::connect("a caller", source))?;
        let certificate = link.peer().clone();
        let peer = shown(&certificate);
        let mut link = self.endpoint.called(link);
        let request = match message::receive(&mut link, MAX_OPENING_BYTES, &peer).await {
            Ok(Opening::Deal(request)) => request,
            Ok(_) => {
                message::refuse(&mut link, Refusal::Forbidden, "this is a dealer: it only deals", &peer).await;
                return Ok(());
            }
            Err(error) => {
                let (refusal, reason) = error.refusal();
                message::refuse(&mut link, refusal, &reason, &peer).await;
                return Err(error);
            }
        };
        let (party, parties) = (request.party as usize, request.settings.parties);
        if party >= parties || parties > mpc_shares::MAX_PARTIES {
            let reason = format!("there is no party {party} of {parties}");
            message::refuse(&mut link, Refusal::Differs, &reason, &peer).await;
            return Ok(());
        }
        match self.meeting.arrive(request.session, party, parties, Waiting { link, certificate, request }) {
            Ok(None) => Ok(()),
            Ok(Some(group)) => self.serve_group(group).await,
            Err((Turned::Taken, mut turned)) => {
                let reason = format!("a party {party} of that session is here already");
                message::refuse(&mut turned.link, Refusal::Forbidden, &reason, &peer).await;
                Ok(())
            }
            Err((Turned::Full, mut turned)) => {
                message::refuse(&mut turned.link, Refusal::Busy, "too many parties wait here", &peer).await;
                Ok(())
            }
        }
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
            message::accept(&mut waiting.link, &shown(&waiting.certificate)).await?;
        }
        let limit = self.capacity.limits().session_time;
        let dealt = within(limit, "the parties", deal_session(&self.endpoint, &plan, group)).await;
        drop(grants);
        dealt
    }

    /// The plan of a group's session, and the room for it, which counts for each of the group.
    fn grant<R: Ring>(&self, group: &[Waiting]) -> Result<(Plan<R>, Vec<Grant>), Refused> {
        let [first, others @ ..] = group else { return Err((Refusal::Differs, "nobody is there".to_owned())) };
        let differs = |reason: String| (Refusal::Differs, reason);
        let graph = Graph::from_bytes(&first.request.graph, &self.capacity.limits().graph);
        let graph = graph.map_err(|error| differs(error.to_string()))?;
        let plan = Plan::<R>::new(&graph, first.request.settings).map_err(|error| differs(error.to_string()))?;
        let inferences = first.request.inferences;
        let grant = self.capacity.grant(first.certificate.fingerprint(), plan.dealer_memory_bytes(), inferences)?;
        let mut grants = vec![grant];
        for other in others {
            grants.push(self.capacity.join(other.certificate.fingerprint())?);
        }
        Ok((plan, grants))
    }
}

async fn deal_session<R: Ring>(endpoint: &Endpoint, plan: &Plan<R>, group: Vec<Waiting>) -> Result<(), ServiceError> {
    let began = Instant::now();
    let Some(DealRequest { session, work, inferences, .. }) = group.first().map(|first| &first.request) else {
        return Ok(());
    };
    let agreed = Agreed {
        session: *session,
        work: *work,
        inferences: *inferences,
        parties: group.iter().map(|waiting| waiting.certificate.clone()).collect(),
        dealer: Some(endpoint.identity.certificate().clone()),
    };
    let links = group.into_iter().map(|waiting| Link::new(waiting.link)).collect();
    let failed = agreed.in_session();
    let mut dealer = DealerSession::open(links, plan, agreed.options()?).await.map_err(&failed)?;
    for _ in 0..agreed.inferences {
        dealer.deal(|_| ()).await.map_err(&failed)?;
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
    let certificates: BTreeSet<_> = group.iter().map(|waiting| *waiting.certificate.fingerprint().as_bytes()).collect();
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

async fn refuse_all(group: &mut [Waiting], (refusal, reason): Refused) {
    for waiting in group {
        let peer = shown(&waiting.certificate);
        message::refuse(&mut waiting.link, refusal, &reason, &peer).await;
    }
}

impl Service for Dealer {
    fn serve(self: Arc<Self>, stream: Async<TcpStream>) -> Boxed<'static, Result<(), ServiceError>> {
        async move { self.receive(stream).await }.boxed()
    }

    fn sweep(&self) {
        for group in self.meeting.sweep() {
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
