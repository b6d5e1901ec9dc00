//! One connection to one peer whose certificate is known.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, Error};
use smol::Async;

use super::error::bounded;
use super::pin::Pin;
use super::session::{Connection, Failure, Session};
use super::{Certificate, Identity, SecureError, configuration, mesh};
use crate::TcpSettings;
use crate::dial::{Pauses, Stream, TimeLimit, open};
use crate::pair::Pair;
use crate::transfer::ByteStream;

/// The accepting side's first words. TLS alone lets the connecting side believe that the connection stands before the
/// accepting side has seen its certificate.
const WELCOME: [u8; 8] = *b"MPC-LINK";

/// How long one of several addresses of a host has to answer.
const ATTEMPT: Duration = Duration::from_secs(5);

/// An encrypted connection (TLS 1.3) between two sides that know each other's [`Certificate`].
///
/// Both sides have checked that the other one holds the private key of a certificate that they were given, byte for
/// byte, and that it is valid now. Dropping a link closes it, and tells the peer so.
///
/// A [`SecureTransport`](super::SecureTransport) makes a network of several.
pub type SecureLink = Pair<SecureStream>;

/// The bytes of a [`SecureLink`].
pub struct SecureStream {
    session: Session,
    peer: Certificate,
}

impl Pair<SecureStream> {
    /// Connects to `address` (`host:port`, with an IP address in brackets if it has colons), where `peer` must answer.
    ///
    /// Tries again while nobody listens, until [`TcpSettings::connect_deadline`], which includes the handshake. Complete
    /// only when the peer has accepted this side's certificate.
    ///
    /// # Errors
    /// Within the deadline, [`SecureError::Connect`] where nobody listens and [`SecureError::Timeout`] where nobody
    /// completes the handshake. At once, any other [`SecureError`], in particular
    /// [`WrongCertificate`](SecureError::WrongCertificate), [`Refused`](SecureError::Refused),
    /// [`Certificate`](SecureError::Certificate) where either one is not valid now, and [`NotTls`](SecureError::NotTls).
    ///
    /// # Security
    /// Where the certificate is not `peer`'s, nothing was sent but this side's public key share; in particular not its
    /// certificate. There is no way back to an unencrypted connection, no older version, no resumed session.
    pub async fn connect(
        address: &str,
        identity: &Identity,
        peer: &Certificate,
        settings: &TcpSettings,
    ) -> Result<Self, SecureError> {
        Ok(Self::connect_first(&[address], identity, peer, settings).await?.1)
    }

    /// As [`connect`](Self::connect), to the first of several addresses that takes the connection, each of which may be
    /// `peer`'s; they are tried in turn. Also its place among them.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect), if it is so at all of them; at once for what another address cannot mend.
    pub async fn connect_first(
        addresses: &[&str],
        identity: &Identity,
        peer: &Certificate,
        settings: &TcpSettings,
    ) -> Result<(usize, Self), SecureError> {
        let time = TimeLimit::new(settings.connect_deadline);
        let all = bounded(&addresses.join(" or "));
        check_own(identity, &all)?;
        // A side whose own certificate has expired would only hang up.
        check_dates(peer, &all)?;
        let (mut from, mut tries) = (0, addresses.len());
        loop {
            let (place, stream) = dial(addresses, from, &time).await?;
            let name = bounded(addresses.get(place).unwrap_or(&""));
            match greet(stream, name, (identity, peer), time).await {
                Ok(stream) => return Ok((place, Self::over(stream, settings))),
                // Nobody is behind that one, or no more.
                Err(SecureError::Closed { .. } | SecureError::Io { .. }) if tries > 1 => {
                    (from, tries) = (place + 1, tries - 1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Completes a connection that a listener accepted, where the peer must be one of those `allowed`, within
    /// [`TcpSettings::connect_deadline`].
    ///
    /// Take each connection on a task of its own, so that one that says nothing does not hold up the others.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use mpc_transport::tls::{Identity, SecureLink};
    /// use mpc_transport::{Connection, TcpSettings};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (acme, clinic) = (Identity::generate("acme", 365)?, Identity::generate("clinic", 365)?);
    /// let listener = smol::Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
    /// let address = listener.get_ref().local_addr()?.to_string();
    /// let settings = TcpSettings::default();
    /// smol::block_on(async {
    ///     let accepted = async {
    ///         let (stream, _) = listener.accept().await?;
    ///         let allowed = [clinic.certificate().clone()];
    ///         Ok::<_, Box<dyn std::error::Error>>(SecureLink::accept(stream, &acme, &allowed, &settings).await?)
    ///     };
    ///     let connected = async { Ok(SecureLink::connect(&address, &clinic, acme.certificate(), &settings).await?) };
    ///     let (mut to_clinic, mut to_acme) = smol::future::try_zip(accepted, connected).await?;
    ///     assert_eq!(to_clinic.peer().name(), "clinic");
    ///
    ///     to_clinic.send(b"hello").await?;
    ///     assert_eq!(to_acme.receive_bounded(100).await?, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecureError`]; [`Refused`](SecureError::Refused) where the peer does not accept this side's certificate.
    ///
    /// # Security
    /// Nothing that the peer sends is passed on before its certificate is verified; what is read until then is bounded.
    /// This side's certificate is sent to whoever connects.
    pub async fn accept(
        stream: Async<TcpStream>,
        identity: &Identity,
        allowed: &[Certificate],
        settings: &TcpSettings,
    ) -> Result<Self, SecureError> {
        let address = stream.get_ref().peer_addr();
        let name = address.as_ref().map_or_else(|_| "a peer that is gone".to_owned(), SocketAddr::to_string);
        check_own(identity, &name)?;
        let (connection, pin) =
            configuration::server(identity, allowed).map_err(|error| setup_failed(&name, &error))?;
        let attempt = Attempt { name, pin, time: TimeLimit::new(settings.connect_deadline) };
        stream.get_ref().set_nodelay(true).map_err(|error| attempt.failed_io(&error))?;
        let session = Session::new(stream, Connection::Server(Box::new(connection)));
        let stream = attempt
            .complete(session, async |session| {
                session.shake_hands().await?;
                session.check_protocol()?;
                session.say(&WELCOME).await
            })
            .await?;
        Ok(Self::over(stream, settings))
    }

    /// Waits on `listener` until `peer` [connects](Self::connect). Others who connect are dropped.
    ///
    /// # Errors
    /// As for [`SecureTransport::connect`](super::SecureTransport::connect).
    pub async fn listen(
        listener: TcpListener,
        identity: &Identity,
        peer: &Certificate,
        settings: TcpSettings,
    ) -> Result<Self, SecureError> {
        mesh::accept_one(listener, identity, peer, &settings).await
    }

    /// The peer's certificate: one of those given.
    pub fn peer(&self) -> &Certificate {
        &self.wire.channel.peer
    }

    /// Whether the connection has failed or was ended by the peer, with nothing left to be read. Does not wait: for whoever
    /// waits for something else meanwhile.
    pub fn is_lost(&mut self) -> bool {
        self.wire.fault.is_some() || self.wire.channel.session.has_ended()
    }

    /// The peer's address; none if the connection is gone.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.wire.channel.session.socket().get_ref().peer_addr().ok()
    }
}

fn check_own(identity: &Identity, peer: &str) -> Result<(), SecureError> {
    check_dates(identity.certificate(), peer)
}

fn check_dates(certificate: &Certificate, peer: &str) -> Result<(), SecureError> {
    let checked = certificate.check_dates(SystemTime::now());
    checked.map_err(|error| SecureError::Certificate { peer: peer.to_owned(), error })
}

fn setup_failed(peer: &str, error: &Error) -> SecureError {
    SecureError::Handshake { peer: peer.to_owned(), reason: bounded(&error.to_string()) }
}

/// A link in the making.
struct Attempt {
    /// The peer, for messages.
    name: String,
    pin: Arc<Pin>,
    time: TimeLimit,
}

/// Connects to the first of several addresses that answers, beginning with the one at `from`; also its place.
async fn dial(addresses: &[&str], from: usize, time: &TimeLimit) -> Result<(usize, Stream), SecureError> {
    let mut reason = "no answer".to_owned();
    let dialled = async {
        let mut pauses = Pauses::new();
        loop {
            let mut unknown = None;
            let mut is_known = false;
            for place in (from..from + addresses.len()).map(|step| step % addresses.len()) {
                match connect_any(addresses[place]).await {
                    Ok(stream) => return Ok((place, stream)),
                    Err(Unconnected::UnknownHost(error)) => unknown = Some((place, bounded(&error.to_string()))),
                    Err(Unconnected::NoAnswer(error)) => {
                        is_known = true;
                        reason = bounded(&error.to_string());
                    }
                }
            }
            // It will not exist a moment later.
            if let Some(unknown) = unknown.filter(|_| !is_known) {
                return Err(unknown);
            }
            pauses.wait().await;
        }
    };
    let peer = || bounded(&addresses.join(" or "));
    match time.within(dialled).await {
        Some(Ok(dialled)) => Ok(dialled),
        Some(Err((place, reason))) => {
            Err(SecureError::UnknownHost { peer: addresses.get(place).map_or_else(peer, |one| bounded(one)), reason })
        }
        None => Err(SecureError::Connect { peer: peer(), reason }),
    }
}

/// Completes a connection that was opened, to one of this name who must be `peer`.
async fn greet(
    stream: Stream,
    name: String,
    (identity, peer): (&Identity, &Certificate),
    time: TimeLimit,
) -> Result<SecureStream, SecureError> {
    let (connection, pin) = configuration::client(identity, peer).map_err(|error| setup_failed(&name, &error))?;
    let session = Session::new(stream, Connection::Client(Box::new(connection)));
    let welcomed = async |session: &mut Session| {
        session.shake_hands().await?;
        session.check_protocol()?;
        let mut welcome = [0; WELCOME.len()];
        session.hear(&mut welcome).await?;
        if welcome == WELCOME { Ok(()) } else { Err(Error::General("it speaks another protocol".to_owned()).into()) }
    };
    Attempt { name, pin, time }.complete(session, welcomed).await
}

impl Attempt {
    async fn complete(
        &self,
        mut session: Session,
        handshake: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
    ) -> Result<SecureStream, SecureError> {
        match self.time.within(handshake(&mut session)).await {
            Some(Ok(())) => {}
            Some(Err(failure)) => {
                session.end();
                let error = self.failed(&failure, &session);
                if matches!(failure, Failure::Tls(_)) {
                    session.linger().await;
                }
                return Err(error);
            }
            None => {
                session.end();
                return Err(SecureError::Timeout { peer: self.name.clone(), after: self.time.elapsed() });
            }
        }
        let presented = session.peer_certificate().and_then(|der| self.pin.find(der)).cloned();
        let unverified = || setup_failed(&self.name, &Error::NoCertificatesPresented);
        Ok(SecureStream { peer: presented.ok_or_else(unverified)?, session })
    }

    fn failed(&self, failure: &Failure, session: &Session) -> SecureError {
        let peer = self.name.clone();
        match failure {
            Failure::Closed => SecureError::Closed { peer },
            Failure::Io(error) => self.failed_io(error),
            Failure::Tls(error) => self.pin.error(&peer).unwrap_or_else(|| match error {
                Error::InvalidMessage(_) if !session.heard() => SecureError::NotTls { peer },
                Error::AlertReceived(alert) => alerted(peer, *alert),
                error => setup_failed(&peer, error),
            }),
        }
    }

    fn failed_io(&self, error: &io::Error) -> SecureError {
        SecureError::Io { peer: self.name.clone(), reason: error.to_string() }
    }
}

/// The error that an alert of the peer means before a link stands.
fn alerted(peer: String, alert: AlertDescription) -> SecureError {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        UnknownCA, UnsupportedCertificate,
    };
    let reason = match alert {
        AccessDenied => "it is none of those allowed there",
        CertificateExpired => "it is not valid there at this time",
        CertificateRequired => "it received none",
        BadCertificate | CertificateRevoked | CertificateUnknown | UnknownCA | UnsupportedCertificate => {
            "it cannot be used there"
        }
        alert => return SecureError::Handshake { peer, reason: bounded(&format!("it reports {alert:?}")) },
    };
    SecureError::Refused { peer, reason }
}

/// Why there is no connection.
enum Unconnected {
    /// The host may answer later.
    NoAnswer(io::Error),
    /// No host has this name.
    UnknownHost(io::Error),
}

/// Connects to the first address of a host that answers.
async fn connect_any(address: &str) -> Result<Stream, Unconnected> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    let addresses = smol::net::resolve(address).await.map_err(|error| match is_temporary(&error) {
        true => Unconnected::NoAnswer(error),
        false => Unconnected::UnknownHost(error),
    })?;
    for address in addresses {
        match TimeLimit::new(ATTEMPT).within(open(address)).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = error,
            None => last = ErrorKind::TimedOut.into(),
        }
    }
    Err(Unconnected::NoAnswer(last))
}

/// Whether a name may be found later. The system's code for it is found in the text alone.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string().to_lowercase();
    ["temporary", "try again", "system error"].iter().any(|word| text.contains(word))
}

impl ByteStream for SecureStream {
    fn write(&mut self, header: &[u8], message: &[u8]) -> io::Result<usize> {
        Ok(self.session.write(header, message)?)
    }

    fn is_flushed(&self) -> bool {
        self.session.is_flushed()
    }

    fn read(&mut self, header: &mut [u8], message: &mut [u8]) -> io::Result<usize> {
        Ok(self.session.read(header, message)?)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.socket().poll_writable(cx).map(drop)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.socket().poll_readable(cx).map(drop)
    }

    fn end(&mut self) {
        self.session.end();
    }
}

impl fmt::Debug for SecureStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Drop for SecureStream {
    fn drop(&mut self) {
        self.session.end();
    }
}
