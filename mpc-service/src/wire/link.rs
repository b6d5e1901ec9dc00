//! Connections to named peers, each opened for one purpose.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity, SecureLink, SecureTransport};
use smol::Timer;
use smol::future::or;

use crate::at_rest::private_file::random;
use crate::error::ServiceError;
use crate::names::{Names, Refusal, SessionId, shown};
use crate::wire::address::Addresses;
use crate::wire::message::{self, DealRequest, Opening};

/// Work whose code is generated in this crate, and not in every program that awaits it.
pub type Boxed<'a, O> = Pin<Box<dyn Future<Output = O> + Send + 'a>>;

/// Somebody to connect to: where, and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is called. All its machines have one certificate.
    pub addresses: Addresses,
    /// The certificate that it must have.
    pub certificate: Certificate,
}

impl Peer {
    /// How it is named in messages.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.certificate)
    }

    /// The machine of it that takes part in a session and is said to be at that address, if anything is said.
    ///
    /// # Errors
    /// [`ServiceError::Elsewhere`] where that is none of its addresses here; [`ServiceError::Unplaced`] where it has several
    /// and nothing is said.
    pub(crate) fn at(&self, said: Option<&str>) -> Result<Self, ServiceError> {
        let elsewhere = |said: &str| {
            // It comes from elsewhere, and goes into logs and terminals.
            let shown = said.chars().filter(|char| !char.is_control()).take(MAX_SHOWN).collect();
            ServiceError::Elsewhere { peer: self.name(), address: shown }
        };
        let addresses = match said {
            Some(said) => self.addresses.permitted(said).ok_or_else(|| elsewhere(said))?,
            None if self.addresses.called().len() == 1 => self.addresses.clone(),
            None => return Err(ServiceError::Unplaced { peer: self.name() }),
        };
        Ok(Self { addresses, certificate: self.certificate.clone() })
    }
}

/// The characters of an address that is not permitted, as they are shown.
const MAX_SHOWN: usize = 100;

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
        Ok(self.open_one(peer, opening).await?.0)
    }

    /// As [`open`](Self::open); also the address at which the peer has granted it. Where it has several, one after the other
    /// is asked until one has room.
    pub(crate) async fn open_one(&self, peer: &Peer, opening: &Opening) -> Result<(SecureLink, String), ServiceError> {
        let name = peer.name();
        let mut addresses: Vec<_> = peer.addresses.called().collect();
        let first = first_of(addresses.len(), opening)?;
        addresses.rotate_left(first);
        loop {
            let link = SecureLink::connect_first(&addresses, &self.identity, &peer.certificate, &self.settings);
            let all = addresses.join(",");
            let link = or(link, tell_of_absence(&name, &all, self.settings.connect_deadline)).await;
            let (place, mut link) = link.map_err(|source| ServiceError::connect(&name, source))?;
            let address = addresses.remove(place);
            tracing::debug!(peer = name, address, "connected");
            tell_of_silence(&mut link);
            match message::open(&mut link, opening, &name).await {
                Ok(()) => return Ok((link, address.to_owned())),
                Err(error) if !addresses.is_empty() && may_be_granted_elsewhere(&error) => {
                    tracing::warn!(peer = name, address, %error, "asks another machine");
                }
                Err(error) => return Err(error),
            }
        }
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

/// Which of so many addresses is called first. Machines of one server share its sessions by chance; those of one session
/// meet at one machine of the dealer.
fn first_of(count: usize, opening: &Opening) -> Result<usize, ServiceError> {
    let number = match opening {
        _ if count == 1 => 0,
        Opening::Deal(request) => u128::from_le_bytes(request.session),
        Opening::Session(_) => u128::from_le_bytes(random()?),
        _ => 0,
    };
    Ok((number % count.max(1) as u128) as usize)
}

/// Whether another machine may do what one does not.
fn may_be_granted_elsewhere(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Refused { refusal: Refusal::Busy, .. } | ServiceError::Link { .. })
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
