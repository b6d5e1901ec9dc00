//! Builds the connections: each party dials those of smaller index and accepts those of greater index.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use smol::future::or;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Timer};

use super::greeting::{GREETING_BYTES, Greeting, Kind};
use crate::dial::{Pauses, open};
use crate::{TransportError, Wait};

/// Connections that may be greeting at the same time; the oldest makes way for a new one.
const MAX_GREETING: usize = 64;

/// How long a new connection has to send its greeting.
const GREETING_DEADLINE: Duration = Duration::from_secs(5);

/// Pause after a failed accept, for instance while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

type Stream = Async<TcpStream>;
type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
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
    let started = Instant::now();
    let mesh = Mesh { party, parties, started, deadline: started.checked_add(limit) };
    let mut tasks: VecDeque<Task<'_, _>> = VecDeque::new();
    tasks.push_back(Box::pin(mesh.accept_all(listener)));
    for (peer, &address) in addresses.iter().enumerate().take(party) {
        tasks.push_back(Box::pin(mesh.dial(peer, address)));
    }
    let mut streams: Vec<_> = (0..parties).map(|_| None).collect();
    for (peer, stream) in join(tasks).await? {
        streams[peer] = Some(stream);
    }
    Ok(streams)
}

/// Runs all tasks at once, to the end of all or the first error.
async fn join(
    mut tasks: VecDeque<Task<'_, Result<Connections, TransportError>>>,
) -> Result<Connections, TransportError> {
    let mut connections = Vec::new();
    while !tasks.is_empty() {
        connections.extend(next(&mut tasks).await?);
    }
    Ok(connections)
}

/// The result of the task that ends first, which is removed; waits for ever if there is none.
async fn next<T>(tasks: &mut VecDeque<Task<'_, T>>) -> T {
    poll_fn(|cx| {
        for at in 0..tasks.len() {
            if let Poll::Ready(result) = tasks[at].as_mut().poll(cx) {
                drop(tasks.remove(at));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// What the acceptor waits for.
enum Event {
    Connected(Stream),
    Greeted(Option<(Stream, Greeting)>),
    Deadline,
}

#[derive(Clone, Copy)]
struct Mesh {
    party: usize,
    parties: usize,
    started: Instant,
    /// None if it is beyond the clock.
    deadline: Option<Instant>,
}

impl Mesh {
    fn timer(&self) -> Timer {
        self.deadline.map_or_else(Timer::never, Timer::at)
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
        let listener = listener.ok_or_else(|| failed(io::Error::other("no listener was given")))?;
        let listener = Async::new(listener).map_err(failed)?;
        let mut greeting = VecDeque::new();
        while let Some(peer) = arrivals.missing() {
            match self.event(&listener, &mut greeting).await {
                Event::Connected(stream) => enqueue(&mut greeting, stream),
                Event::Greeted(Some((stream, hello))) => arrivals.add(stream, &hello),
                Event::Greeted(None) => {}
                Event::Deadline => return Err(arrivals.overdue(peer)),
            }
        }
        Ok(arrivals.connections)
    }

    async fn event(
        &self,
        listener: &Async<TcpListener>,
        greeting: &mut VecDeque<Task<'static, Option<(Stream, Greeting)>>>,
    ) -> Event {
        let connected = async { Event::Connected(accept(listener).await) };
        let greeted = async { Event::Greeted(next(greeting).await) };
        let deadline = async {
            self.timer().await;
            Event::Deadline
        };
        or(greeted, or(connected, deadline)).await
    }
}

async fn accept(listener: &Async<TcpListener>) -> Stream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => drop(Timer::after(ACCEPT_PAUSE).await),
        }
    }
}

fn enqueue(greeting: &mut VecDeque<Task<'static, Option<(Stream, Greeting)>>>, stream: Stream) {
    if greeting.len() == MAX_GREETING {
        greeting.pop_front();
    }
    let expiry = async {
        Timer::after(GREETING_DEADLINE).await;
        None
    };
    greeting.push_back(Box::pin(or(read_hello(stream), expiry)));
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
        let checked = if self.is_expected(peer) { Some(hello.check(&ours, peer)) } else { None };
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
        let after = self.mesh.started.elapsed();
        match self.refused.take() {
            Some((refused, error)) if !self.has(refused) => error,
            _ => TransportError::Timeout { party: peer, after, waiting_for: Wait::Connection },
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
    async fn dial(&self, peer: usize, address: SocketAddr) -> Result<Connections, TransportError> {
        let mut reason = String::new();
        let attempts = async {
            let mut pauses = Pauses::new();
            loop {
                "no answer".clone_into(&mut reason);
                match self.attempt(peer, address).await {
                    Ok(stream) => return Some(Ok(vec![(peer, stream)])),
                    Err(Attempt::Final(error)) => return Some(Err(error)),
                    Err(Attempt::Again(error)) => reason = error.to_string(),
                }
                pauses.wait().await;
            }
        };
        let expiry = async {
            self.timer().await;
            None
        };
        let outcome = or(attempts, expiry).await;
        outcome.unwrap_or_else(|| Err(TransportError::Connect { party: peer, address: address.to_string(), reason }))
    }

    async fn attempt(&self, peer: usize, address: SocketAddr) -> Result<Stream, Attempt> {
        let mut stream = open(address).await?;
        let ours = self.greeting(Kind::Hello);
        stream.write_all(&ours.encode()).await?;
        let theirs = read_greeting(&mut stream).await?;
        theirs.check(&ours, peer).map_err(Attempt::Final)?;
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
