//! Connections to named peers, each opened for one purpose.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity, SecureLink, SecureTransport};
use smol::Timer;
use smol::future::or;

use crate::error::ServiceError;
use crate::names::{Names, SessionId, shown};
use crate::wire::message::{self, DealRequest, Opening};

/// Work whose code is generated in this crate, and not in every program that awaits it.
pub type Boxed<'a, O> = Pin<Box<dyn Future<Output = O> + Send + 'a>>;

/// Somebody to connect to: where, and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `host:port`.
    pub address: String,
    /// The certificate that it must have.
    pub certificate: Certificate,
}

impl Peer {
    /// How it is named in messages.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.certificate)
    }
}

/// The identity of this side, and how it waits.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its key and certificate.
    pub identity: Arc<Identity>,
    /// How its connections wait.
    pub settings: TcpSettings,
}

impl Endpoint {
    /// Connects to a peer and asks for something, which must be granted.
    ///
    /// # Errors
    /// [`ServiceError::Connect`], [`ServiceError::Link`], [`ServiceError::Refused`].
    pub(crate) async fn open(&self, peer: &Peer, opening: &Opening) -> Result<SecureLink, ServiceError> {
        let name = peer.name();
        let link = SecureLink::connect(&peer.address, &self.identity, &peer.certificate, &self.settings);
        let until = self.settings.connect_deadline;
        let link = or(link, tell_of_absence(&name, &peer.address, until)).await;
        let mut link = link.map_err(|source| ServiceError::connect(&name, source))?;
        tracing::debug!(peer = name, "connected");
        tell_of_silence(&mut link);
        message::open(&mut link, opening, &name).await?;
        Ok(link)
    }

    /// Asks the dealer for a session's correlations, unless one of `links`, by party of `names`, is lost before: those who
    /// wait for the dealer here and there wait for each other in truth.
    pub(crate) async fn call_dealer(
        &self,
        dealer: &Peer,
        request: DealRequest,
        links: &mut [Option<SecureLink>],
        names: &Names,
    ) -> Result<SecureLink, ServiceError> {
        unless_lost(links, names, self.open(dealer, &Opening::Deal(Box::new(request)))).await
    }

    /// Opens the link over which two parties make correlations, from the second to the first of them, unless one of `links` is
    /// lost before, as for [`call_dealer`](Self::call_dealer).
    pub(crate) async fn call_pair(
        &self,
        first: &Peer,
        session: SessionId,
        links: &mut [Option<SecureLink>],
        names: &Names,
    ) -> Result<SecureLink, ServiceError> {
        unless_lost(links, names, self.open(first, &Opening::Pair { session, party: 1 })).await
    }

    /// A network of the two parties from the link that the other one is at the end of.
    pub(crate) fn pair(&self, party: usize, link: SecureLink, names: Names) -> SecureTransport {
        let mut links = vec![None, None];
        links[1 - party.min(1)] = Some(link);
        self.network(party, links, names)
    }

    /// A network of all parties of a session from connections to each of them; none for this party itself.
    pub(crate) fn network(&self, party: usize, links: Vec<Option<SecureLink>>, names: Names) -> SecureTransport {
        let mut network = SecureTransport::new(party, links, self.settings);
        network.on_silence(SILENCE, move |party, silent| {
            warn_of_silence(names.0.get(party).map_or("?", String::as_str), silent);
        });
        network
    }
}

/// How long a peer may be silent before this side says that it waits for it.
const SILENCE: Duration = Duration::from_secs(5);

/// Has it said that a link waits for its other end.
pub(crate) fn tell_of_silence(link: &mut SecureLink) {
    let name = shown(link.peer());
    link.on_silence(SILENCE, move |silent| warn_of_silence(&name, silent));
}

/// Says now and then who cannot be reached, where, and until when it is tried; has no end.
async fn tell_of_absence<O>(peer: &str, address: &str, until: Duration) -> O {
    let began = Instant::now();
    loop {
        Timer::after(SILENCE).await;
        let [seconds, gives_up_after] = [began.elapsed(), until].map(|time| time.as_secs());
        tracing::warn!(peer, address, seconds, gives_up_after, "cannot reach this participant yet");
    }
}

fn warn_of_silence(peer: &str, silent: Duration) {
    tracing::warn!(peer, seconds = silent.as_secs(), "still waits for this participant");
}

/// How often the links to those who wait are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// How long the cause may come after its effect.
const GRACE: Duration = Duration::from_millis(500);

/// Runs `work`, unless one of `links`, by party of `names`, is lost before: nobody waits for a session that cannot be.
async fn unless_lost<O>(
    links: &mut [Option<SecureLink>],
    names: &Names,
    work: impl Future<Output = Result<O, ServiceError>>,
) -> Result<O, ServiceError> {
    let lost = async {
        loop {
            Timer::after(WATCH_PAUSE).await;
            let is_lost = |link: &mut Option<SecureLink>| link.as_mut().is_some_and(SecureLink::is_lost);
            if let Some(party) = links.iter_mut().position(is_lost) {
                // Who is gone may have failed for what this side finds out a moment later, and can say better.
                Timer::after(GRACE).await;
                let peer = names.0.get(party).cloned().unwrap_or_else(|| format!("participant {party}"));
                return Err(ServiceError::Lost { peer });
            }
        }
    };
    or(work, lost).await
}

/// The value of a future if it is there in time, and the error `late` otherwise.
pub(crate) async fn within<O>(
    limit: Duration,
    late: ServiceError,
    work: impl Future<Output = Result<O, ServiceError>>,
) -> Result<O, ServiceError> {
    let too_late = async {
        Timer::after(limit).await;
        Err(late)
    };
    or(work, too_late).await
}
