//! Connections to named peers, each opened for one purpose.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity, SecureLink, SecureTransport};
use smol::Timer;
use smol::future::or;

use crate::error::ServiceError;
use crate::names::{Names, shown};
use crate::wire::message::{self, DealRequest, Opening};

/// Work whose code is generated in this crate, and not in every program that awaits it.
pub type Boxed<'a, O> = Pin<Box<dyn Future<Output = O> + Send + 'a>>;

/// The node of the side that connects, on a link between two.
pub(crate) const CALLER: usize = 0;
/// The node of the side that was connected to.
pub(crate) const CALLED: usize = 1;

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
    pub(crate) async fn open(&self, peer: &Peer, opening: &Opening) -> Result<SecureTransport, ServiceError> {
        let name = peer.name();
        let link = SecureLink::connect(&peer.address, &self.identity, &peer.certificate, &self.settings).await;
        let link = link.map_err(|source| ServiceError::connect(&name, source))?;
        tracing::debug!(peer = name, "connected");
        let mut link = SecureTransport::new(CALLER, vec![None, Some(link)], self.settings);
        tell_of_silence(&mut link, vec![String::new(), name.clone()]);
        message::open(&mut link, opening, &name).await?;
        Ok(link)
    }

    /// Asks the dealer for a session's correlations, unless one of `links`, by party of `names`, is lost before: those who
    /// wait for the dealer here and there wait for each other in truth.
    pub(crate) async fn call_dealer(
        &self,
        dealer: &Peer,
        request: DealRequest,
        links: &mut [Option<SecureTransport>],
        names: &Names,
    ) -> Result<SecureTransport, ServiceError> {
        unless_lost(links, names, self.open(dealer, &Opening::Deal(request))).await
    }

    /// A connection that a peer opened, as a network of two.
    pub(crate) fn called(&self, link: SecureLink) -> SecureTransport {
        let name = shown(link.peer());
        let mut link = SecureTransport::new(CALLED, vec![Some(link), None], self.settings);
        tell_of_silence(&mut link, vec![name]);
        link
    }

    /// A network of all parties of a session from connections to each of them; none for this party itself.
    pub(crate) fn network(&self, party: usize, links: Vec<Option<SecureTransport>>, names: Names) -> SecureTransport {
        let link = |transport: SecureTransport| transport.into_links().into_iter().flatten().next();
        let links = links.into_iter().map(|transport| transport.and_then(link)).collect();
        let mut network = SecureTransport::new(party, links, self.settings);
        tell_of_silence(&mut network, names.0);
        network
    }
}

/// How long a peer may be silent before this side says that it waits for it.
const SILENCE: Duration = Duration::from_secs(5);

/// Says whom a network waits for, by the names of its nodes.
fn tell_of_silence(network: &mut SecureTransport, names: Vec<String>) {
    network.on_silence(SILENCE, move |node, silent| {
        let peer = names.get(node).map_or("?", String::as_str);
        tracing::warn!(peer, seconds = silent.as_secs(), "still waits for this participant");
    });
}

/// How often the links to those who wait are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// How long the cause may come after its effect.
const GRACE: Duration = Duration::from_millis(500);

/// Runs `work`, unless one of `links`, by party of `names`, is lost before: nobody waits for a session that cannot be.
async fn unless_lost<O>(
    links: &mut [Option<SecureTransport>],
    names: &Names,
    work: impl Future<Output = Result<O, ServiceError>>,
) -> Result<O, ServiceError> {
    let lost = async {
        loop {
            Timer::after(WATCH_PAUSE).await;
            let is_lost = |link: &mut Option<SecureTransport>| link.as_mut().is_some_and(|link| link.lost().is_some());
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
