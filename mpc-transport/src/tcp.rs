//! Parties linked by TCP, each pair by one connection.

mod flow;
mod greeting;
mod mesh;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use smol::Async;

use crate::drive::{DEFAULT_POLL, Patience, Timed, drive, peers, pieces};
use crate::{Transport, TransportError};
use flow::{Incoming, Outgoing, TcpFlow};

/// How a [`TcpTransport`] waits and writes.
///
/// ```
/// use std::time::Duration;
/// use mpc_transport::TcpSettings;
///
/// let settings = TcpSettings { deadline: Duration::from_secs(5), ..TcpSettings::default() };
/// assert_eq!(settings.chunk_bytes, 32 << 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// How long a wait goes on without any progress of the peer; 30 s. The wait for a frame as a whole lasts at most this
    /// long plus the time its bytes take at [`MIN_BYTES_PER_SECOND`](crate::MIN_BYTES_PER_SECOND).
    pub deadline: Duration,
    /// How long all parties together have to connect; 30 s.
    pub connect_deadline: Duration,
    /// How long a wait polls before it sleeps; [`DEFAULT_POLL`]. Zero to sleep at once, which leaves the core to others
    /// and costs some tens of microseconds a round.
    pub poll: Duration,
    /// Bytes written to one peer before the others are served and what has arrived is read; 32 KiB.
    pub chunk_bytes: usize,
}

impl Default for TcpSettings {
    fn default() -> Self {
        let deadline = Duration::from_secs(30);
        Self { deadline, connect_deadline: deadline, poll: DEFAULT_POLL, chunk_bytes: 32 << 10 }
    }
}

/// One party's end of a network of TCP connections, one for each pair of parties.
///
/// Waits poll the sockets for [`TcpSettings::poll`], then sleep on the reactor of [`smol`]; the futures run on any
/// executor. As polling blocks its thread, run each party on a thread of its own, with `smol::block_on`.
///
/// A network of two nodes also links a dealer to a party.
///
/// # Security
/// Connections are neither encrypted nor authenticated: use loopback or links that are trusted or tunnelled.
#[derive(Debug)]
pub struct TcpTransport {
    party: usize,
    /// By party index; none for this party itself.
    links: Vec<Option<Link>>,
    patience: Patience,
    chunk_bytes: usize,
}

#[derive(Debug)]
struct Link {
    stream: Async<TcpStream>,
    fault: Option<TransportError>,
}

impl TcpTransport {
    /// Connects the party of index `party` to all others; complete when every one of its connections stands.
    ///
    /// `addresses` holds every node's address, by index. A party connects to those of a smaller index, trying again while
    /// they do not listen yet, and accepts those of a greater index on `listener`; the last party needs none. Each
    /// connection begins with a greeting of both sides. Connections that do not greet, or greet as somebody unexpected,
    /// are dropped and do not hold up the others.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use mpc_transport::{TcpSettings, TcpTransport, Transport};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addresses = [listener.local_addr()?, "127.0.0.1:0".parse()?];
    /// let dealer = std::thread::spawn(move || {
    ///     smol::block_on(async {
    ///         let mut party = TcpTransport::connect(1, None, &addresses, TcpSettings::default()).await?;
    ///         party.send(0, b"seed").await
    ///     })
    /// });
    /// let mut seed = [0; 4];
    /// smol::block_on(async {
    ///     let mut party = TcpTransport::connect(0, listener, &addresses, TcpSettings::default()).await?;
    ///     party.receive(1, &mut seed).await
    /// })?;
    /// assert_eq!(&seed, b"seed");
    /// # dealer.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Within [`TcpSettings::connect_deadline`]: [`Connect`](TransportError::Connect) where a party of smaller index
    /// cannot be reached or does not answer, [`Timeout`](TransportError::Timeout) where one of greater index does not come,
    /// [`HandshakeMismatch`](TransportError::HandshakeMismatch) where a peer has another version, number of parties or
    /// index, [`Listen`](TransportError::Listen) where the listener fails or is missing,
    /// [`NoSuchParty`](TransportError::NoSuchParty) where `party` has no address.
    pub async fn connect(
        party: usize,
        listener: impl Into<Option<TcpListener>>,
        addresses: &[SocketAddr],
        settings: TcpSettings,
    ) -> Result<Self, TransportError> {
        let streams = mesh::connect(party, listener.into(), addresses, settings.connect_deadline).await?;
        let link = |stream| Link { stream, fault: None };
        Ok(Self {
            party,
            links: streams.into_iter().map(|stream| stream.map(link)).collect(),
            patience: Patience { deadline: settings.deadline, poll: settings.poll },
            chunk_bytes: settings.chunk_bytes.max(1),
        })
    }

    async fn run(
        &mut self,
        peer: usize,
        outgoing: Option<Outgoing<'_>>,
        incoming: Option<Incoming<'_>>,
    ) -> Result<(), TransportError> {
        let no_such_party = TransportError::NoSuchParty { party: peer, parties: self.links.len() };
        let link = self.links.get_mut(peer).and_then(Option::as_mut).ok_or(no_such_party)?;
        let flow = TcpFlow { party: peer, link, outgoing, incoming, chunk_bytes: self.chunk_bytes };
        drive(&mut [Timed::new(flow, Instant::now())], &self.patience).await
    }
}

impl Transport for TcpTransport {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        self.links.len()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        let outgoing = Outgoing::new(to, message)?;
        self.run(to, Some(outgoing), None).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        let incoming = Incoming::exact(from, message)?;
        self.run(from, None, Some(incoming)).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut message = Vec::new();
        self.run(from, None, Some(Incoming::bounded(limit, &mut message))).await?;
        Ok(message)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        let others = peers(self.party, self.links.len());
        let pieces = pieces(received, message.len(), others.clone().count())?;
        let now = Instant::now();
        let mut flows = Vec::with_capacity(pieces.len());
        for ((party, link), piece) in others.zip(self.links.iter_mut().flatten()).zip(pieces) {
            let outgoing = Some(Outgoing::new(party, message)?);
            let incoming = Some(Incoming::exact(party, piece)?);
            flows.push(Timed::new(TcpFlow { party, link, outgoing, incoming, chunk_bytes: self.chunk_bytes }, now));
        }
        drive(&mut flows, &self.patience).await
    }
}

/// What a failed read or write says about the peer.
fn failure(party: usize, error: &io::Error) -> TransportError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
            TransportError::Closed { party }
        }
        _ => TransportError::Io { party, reason: error.to_string() },
    }
}
