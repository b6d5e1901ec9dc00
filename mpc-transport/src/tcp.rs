//! Parties linked by TCP, each pair by one connection.

mod greeting;
mod mesh;

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::task::{Context, Poll};
use std::time::Duration;

use smol::Async;

use crate::network::Network;
use crate::pair::Pair;
use crate::transfer::ByteStream;
use crate::{DEFAULT_POLL, TransportError};

/// How a [`Network`] or a [`Pair`] connects, waits and writes.
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
/// # Security
/// Connections are neither encrypted nor authenticated: use loopback or links that are trusted or tunnelled.
pub type TcpTransport = Network<Async<TcpStream>>;

impl Network<Async<TcpStream>> {
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
        let link = |stream: Option<_>| stream.map(|stream| Pair::over(stream, &settings));
        Ok(Self::new(party, streams.into_iter().map(link).collect(), settings))
    }
}

/// One end of a TCP connection between two.
///
/// # Security
/// As for [`TcpTransport`].
pub type TcpLink = Pair<Async<TcpStream>>;

impl Pair<Async<TcpStream>> {
    /// Connects to the other end, trying again while it does not [listen](Self::listen) yet.
    ///
    /// # Errors
    /// Within [`TcpSettings::connect_deadline`]: [`Connect`](TransportError::Connect) where it cannot be reached or does not
    /// answer, [`HandshakeMismatch`](TransportError::HandshakeMismatch) where it is set up differently.
    pub async fn connect(address: SocketAddr, settings: TcpSettings) -> Result<Self, TransportError> {
        Ok(Self::over(mesh::dial(address, settings.connect_deadline).await?, &settings))
    }

    /// Waits until the other end [connects](Self::connect). Connections that do not greet as it does are dropped.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use mpc_transport::{Connection, TcpLink, TcpSettings};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let dealer = std::thread::spawn(move || {
    ///     smol::block_on(async { TcpLink::connect(address, TcpSettings::default()).await?.send(b"seed").await })
    /// });
    /// let mut seed = [0; 4];
    /// smol::block_on(async { TcpLink::listen(listener, TcpSettings::default()).await?.receive(&mut seed).await })?;
    /// assert_eq!(&seed, b"seed");
    /// # dealer.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Within [`TcpSettings::connect_deadline`]: [`Timeout`](TransportError::Timeout) where it does not come,
    /// [`HandshakeMismatch`](TransportError::HandshakeMismatch) where it is set up differently,
    /// [`Listen`](TransportError::Listen) where the listener fails.
    pub async fn listen(listener: TcpListener, settings: TcpSettings) -> Result<Self, TransportError> {
        Ok(Self::over(mesh::accept_one(listener, settings.connect_deadline).await?, &settings))
    }
}

impl ByteStream for Async<TcpStream> {
    fn write(&mut self, header: &[u8], message: &[u8]) -> io::Result<usize> {
        let mut socket = self.get_ref();
        nonzero(match header.is_empty() {
            true => socket.write(message),
            false => socket.write_vectored(&[IoSlice::new(header), IoSlice::new(message)]),
        })
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn read(&mut self, header: &mut [u8], message: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.get_ref();
        nonzero(match header.is_empty() {
            true => socket.read(message),
            false => socket.read_vectored(&mut [IoSliceMut::new(header), IoSliceMut::new(message)]),
        })
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        Async::poll_writable(self, cx).map(drop)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        Async::poll_readable(self, cx).map(drop)
    }

    fn end(&mut self) {
        // The peer reads an end of stream instead of waiting; a socket that failed already has nothing to end.
        let _ = self.get_ref().shutdown(Shutdown::Write);
    }
}

/// No bytes where some were asked for: the stream has ended.
fn nonzero(transferred: io::Result<usize>) -> io::Result<usize> {
    match transferred {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        other => other,
    }
}
