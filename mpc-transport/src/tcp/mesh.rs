//! Builds the connections: each party dials those of smaller index and accepts those of greater index.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::greeting::{GREETING_BYTES, Greeting, Kind};
use crate::dial::{Pauses, Reception, Stream, Task, TimeLimit, join, open};
use crate::{Peer, TransportError, Wait};

/// How long a new connection has to send its greeting.
const GREETING_DEADLINE: Duration = Duration::from_secs(5);

type Connections = Vec<(usize, Stream)>;

/// The connection to each party, none for `party` itself.
pub(super) async fn connect(
    party: usize,
    listener: Option<TcpListener>,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<Vec<Option<Stream>>, TransportError> {
    let parties = addresses.len();
    if party >= parties {
        return Err(TransportError::NoSuchParty { party, parties });
    }
    let mesh = Mesh { party, parties, is_link: false, time: TimeLimit::new(limit) };
    let mut tasks: VecDeque<Task<'_, _>> = VecDeque::new();
    tasks.push_back(Box::pin(mesh.accept_all(listener)));
    for (peer, &address) in addresses.iter().enumerate().take(party) {
        tasks.push_back(Box::pin(async move { Ok(vec![(peer, mesh.dial(peer, address).await?)]) }));
    }
    let mut streams: Vec<_> = (0..parties).map(|_| None).collect();
    for (peer, stream) in join(tasks).await? {
        streams[peer] = Some(stream);
    }
    Ok(streams)
}

/// Connects to the other end of a link.
pub(super) async fn dial(address: SocketAddr, limit: Duration) -> Result<Stream, TransportError> {
    Mesh::link(1, limit).dial(0, address).await
}

/// Waits for the other end of a link to connect.
pub(super) async fn accept_one(listener: TcpListener, limit: Duration) -> Result<Stream, TransportError> {
    let accepted = Mesh::link(0, limit).accept_all(Some(listener)).await?;
    Ok(accepted.into_iter().map(|(_, stream)| stream).next().unwrap_or_else(|| unreachable!("one is awaited")))
}

#[derive(Clone, Copy)]
struct Mesh {
    party: usize,
    parties: usize,
    /// Whether it is a link between two, whose ends have numbers in greetings alone.
    is_link: bool,
    time: TimeLimit,
}

impl Mesh {
    /// The end of a link: whoever accepts greets as 0, whoever connects as 1.
    fn link(end: usize, limit: Duration) -> Self {
        Self { party: end, parties: 2, is_link: true, time: TimeLimit::new(limit) }
    }

    /// How the party of that index is named.
    fn peer(&self, party: usize) -> Peer {
        if self.is_link { Peer::OtherEnd } else { Peer::Party(party) }
    }

    fn greeting(&self, kind: Kind) -> Greeting {
        Greeting::new(self.party, self.parties, kind)
    }
}

/// The accepting side.
impl Mesh {
    async fn accept_all(&self, listener: Option<TcpListener>) -> Result<Connections, TransportError> {
        let mut arrivals = Arrivals { mesh: *self, connections: Vec::new(), refused: None };
        if arrivals.missing().is_none() {
            return Ok(arrivals.connections);
        }
        let failed = |error: io::Error| TransportError::Listen { reason: error.to_string() };
        let mut reception = Reception::new(listener).map_err(failed)?;
        while let Some(peer) = arrivals.missing() {
            let greeted = self.time.within(reception.next(|stream| Box::pin(greet(stream)))).await;
            if let Some((stream, hello)) = greeted.ok_or_else(|| arrivals.overdue(peer))? {
                arrivals.add(stream, &hello);
            }
        }
        Ok(arrivals.connections)
    }
}

async fn greet(stream: Stream) -> Option<(Stream, Greeting)> {
    TimeLimit::new(GREETING_DEADLINE).within(read_hello(stream)).await?
}

async fn read_hello(mut stream: Stream) -> Option<(Stream, Greeting)> {
    let hello = read_greeting(&mut stream).await.ok()?;
    (hello.kind == Kind::Hello).then_some((stream, hello))
}

/// The connections accepted so far.
struct Arrivals {
    mesh: Mesh,
    connections: Connections,
    /// The last party that was refused, and why.
    refused: Option<(usize, TransportError)>,
}

impl Arrivals {
    /// The first party that has yet to connect.
    fn missing(&self) -> Option<usize> {
        (0..self.mesh.parties).find(|&peer| self.is_expected(peer))
    }

    fn has(&self, peer: usize) -> bool {
        self.connections.iter().any(|&(party, _)| party == peer)
    }

    /// Whether `peer` may connect, and has not yet.
    fn is_expected(&self, peer: usize) -> bool {
        (self.mesh.party + 1..self.mesh.parties).contains(&peer) && !self.has(peer)
    }

    /// Answers `hello`, and keeps the connection if it is one we wait for.
    fn add(&mut self, stream: Stream, hello: &Greeting) {
        let peer = hello.party();
        let ours = self.mesh.greeting(Kind::Welcome);
        let checked = if self.is_expected(peer) { Some(hello.check(&ours, peer, self.mesh.peer(peer))) } else { None };
        if checked == Some(Ok(())) && stream.get_ref().set_nodelay(true).is_ok() && answer(&stream, &ours) {
            self.connections.push((peer, stream));
            return;
        }
        answer(&stream, &self.mesh.greeting(Kind::Refusal));
        if let Some(Err(error)) = checked {
            // Strangers can say anything: a difference is reported only if the party never comes.
            self.refused = Some((peer, error));
        }
    }

    fn overdue(&mut self, peer: usize) -> TransportError {
        let after = self.mesh.time.elapsed();
        match self.refused.take() {
            Some((refused, error)) if !self.has(refused) => error,
            _ => TransportError::Timeout { peer: self.mesh.peer(peer), after, waiting_for: Wait::Connection },
        }
    }
}

/// Writes `greeting` without waiting: a new connection has room for it.
fn answer(stream: &Stream, greeting: &Greeting) -> bool {
    let mut socket = stream.get_ref();
    matches!(socket.write(&greeting.encode()), Ok(GREETING_BYTES))
}

/// The dialling side.
impl Mesh {
    async fn dial(&self, peer: usize, address: SocketAddr) -> Result<Stream, TransportError> {
        let mut reason = String::new();
        let attempts = async {
            let mut pauses = Pauses::new();
            loop {
                "no answer".clone_into(&mut reason);
                match self.attempt(peer, address).await {
                    Ok(stream) => return Ok(stream),
                    Err(Attempt::Final(error)) => return Err(error),
                    Err(Attempt::Again(error)) => reason = error.to_string(),
                }
                pauses.wait().await;
            }
        };
        let outcome = self.time.within(attempts).await;
        outcome.unwrap_or_else(|| {
            Err(TransportError::Connect { peer: self.peer(peer), address: address.to_string(), reason })
        })
    }

    async fn attempt(&self, peer: usize, address: SocketAddr) -> Result<Stream, Attempt> {
        let mut stream = open(address).await?;
        let ours = self.greeting(Kind::Hello);
        stream.write_all(&ours.encode()).await?;
        let theirs = read_greeting(&mut stream).await?;
        theirs.check(&ours, peer, self.peer(peer)).map_err(Attempt::Final)?;
        match theirs.kind {
            Kind::Welcome => Ok(stream),
            _ => Err(io::Error::other("refused, as a party of this index is connected already").into()),
        }
    }
}

/// A failed attempt to connect.
enum Attempt {
    /// The peer may not be ready yet.
    Again(io::Error),
    /// The peer is there, and set up differently.
    Final(TransportError),
}

impl From<io::Error> for Attempt {
    fn from(error: io::Error) -> Self {
        Self::Again(error)
    }
}

async fn read_greeting(stream: &mut Stream) -> io::Result<Greeting> {
    let mut bytes = [0; GREETING_BYTES];
    stream.read_exact(&mut bytes).await?;
    Greeting::decode(&bytes).ok_or_else(|| io::Error::other("it is not a party of this protocol"))
}
