//! Parties in one process, linked by bounded queues of messages.

mod pipe;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::drive::{DEFAULT_POLL, Flow, Patience, Step, Timed, drive, peers, pieces};
use crate::frame::{check_exact, check_limit};
use crate::{Link, MAX_FRAME_BYTES, Transport, TransportError, Wait};
use pipe::{Pipe, Refused};

/// One end of an in-memory network; made by [`memory_network`].
///
/// Behaves like [`TcpTransport`](crate::TcpTransport): the same limits, deadlines and errors. Each link holds a few
/// messages; a sender beyond that waits. Dropping an end closes its links: peers still receive what was sent before.
///
/// Futures may run on any executor or thread. A wait polls before it sleeps, which blocks its thread for up to the
/// polling time, so run each party on a thread of its own, or [`set_poll`](Self::set_poll) to zero.
#[derive(Debug)]
pub struct MemoryTransport {
    party: usize,
    /// By party index; none for this party itself.
    links: Vec<Option<Pipes>>,
    patience: Patience,
}

#[derive(Debug)]
struct Pipes {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    fault: Option<TransportError>,
}

/// The ends of a network of `parties` in one process, by party index. Each wait, to send or to receive, lasts at most
/// `deadline`.
///
/// ```
/// use std::time::Duration;
/// use mpc_transport::{Transport, memory_network};
///
/// let parties = memory_network(3, Duration::from_secs(5));
/// assert_eq!(parties[2].party(), 2);
/// assert_eq!(parties[2].parties(), 3);
/// ```
pub fn memory_network(parties: usize, deadline: Duration) -> Vec<MemoryTransport> {
    let row = || (0..parties).map(|_| Arc::new(Pipe::default())).collect::<Vec<_>>();
    // pipes[i][j] leads from party i to party j.
    let pipes: Vec<_> = (0..parties).map(|_| row()).collect();
    let link = |party: usize, peer: usize| {
        let [outgoing, incoming] = [&pipes[party][peer], &pipes[peer][party]].map(Arc::clone);
        (peer != party).then_some(Pipes { outgoing, incoming, fault: None })
    };
    let end = |party| MemoryTransport {
        party,
        links: (0..parties).map(|peer| link(party, peer)).collect(),
        patience: Patience { deadline, poll: DEFAULT_POLL, silence: None },
    };
    (0..parties).map(end).collect()
}

/// The two ends of a link in one process. Each wait, to send or to receive, lasts at most `deadline`.
///
/// ```
/// use std::time::Duration;
/// use mpc_transport::memory_link;
///
/// let (mut ours, mut theirs) = memory_link(Duration::from_secs(5));
/// let mut message = [0; 3];
/// smol::block_on(async {
///     ours.send(b"one").await?;
///     theirs.receive(&mut message).await
/// })?;
/// assert_eq!(&message, b"one");
/// # Ok::<(), mpc_transport::TransportError>(())
/// ```
pub fn memory_link(deadline: Duration) -> (Link, Link) {
    memory_link_with(deadline, DEFAULT_POLL)
}

/// As [`memory_link`], with waits that poll for `poll` before they sleep ([`MemoryTransport::set_poll`]).
pub fn memory_link_with(deadline: Duration, poll: Duration) -> (Link, Link) {
    let mut ends = memory_network(2, deadline).into_iter().map(|mut end| {
        end.set_poll(poll);
        Link::new(end)
    });
    ends.next().zip(ends.next()).unwrap_or_else(|| unreachable!("a network of two has two ends"))
}

impl MemoryTransport {
    /// Sets how long a wait polls before it sleeps ([`DEFAULT_POLL`]); zero to sleep at once.
    pub fn set_poll(&mut self, poll: Duration) {
        self.patience.poll = poll;
    }

    async fn run(&mut self, peer: usize, exchange: Exchange<'_>) -> Result<(), TransportError> {
        let no_such_party = TransportError::NoSuchParty { party: peer, parties: self.links.len() };
        let link = self.links.get_mut(peer).and_then(Option::as_mut).ok_or(no_such_party)?;
        drive(&mut [Timed::new(MemoryFlow { party: peer, link, exchange }, Instant::now())], &self.patience).await
    }
}

impl Transport for MemoryTransport {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        self.links.len()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        check_limit(to, message.len(), MAX_FRAME_BYTES)?;
        self.run(to, Exchange { outgoing: Some(message), incoming: Incoming::Nothing }).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        check_limit(from, message.len(), MAX_FRAME_BYTES)?;
        self.run(from, Exchange { outgoing: None, incoming: Incoming::Exact(message) }).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut message = Vec::new();
        let incoming = Incoming::Bounded { limit: limit.min(MAX_FRAME_BYTES), message: &mut message };
        self.run(from, Exchange { outgoing: None, incoming }).await?;
        Ok(message)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        let others = peers(self.party, self.links.len());
        let pieces = pieces(received, message.len(), others.clone().count())?;
        let now = Instant::now();
        let mut flows = Vec::with_capacity(pieces.len());
        for ((party, link), piece) in others.zip(self.links.iter_mut().flatten()).zip(pieces) {
            check_limit(party, message.len(), MAX_FRAME_BYTES)?;
            let exchange = Exchange { outgoing: Some(message), incoming: Incoming::Exact(piece) };
            flows.push(Timed::new(MemoryFlow { party, link, exchange }, now));
        }
        drive(&mut flows, &self.patience).await
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.links.iter().flatten().for_each(Pipes::close);
    }
}

impl Pipes {
    fn close(&self) {
        self.outgoing.close();
        self.incoming.close();
    }
}

/// The work that is left to do with one peer.
struct Exchange<'a> {
    outgoing: Option<&'a [u8]>,
    incoming: Incoming<'a>,
}

enum Incoming<'a> {
    Nothing,
    Exact(&'a mut [u8]),
    Bounded { limit: usize, message: &'a mut Vec<u8> },
}

impl Incoming<'_> {
    /// Stores the message, if it may be; a buffer that is no longer needed goes back to the pipe it came from.
    fn store(&mut self, party: usize, message: Vec<u8>, pipe: &Pipe) -> Result<(), TransportError> {
        match self {
            Self::Nothing => {}
            Self::Exact(buffer) => {
                check_exact(party, message.len(), buffer.len())?;
                buffer.copy_from_slice(&message);
                pipe.recycle(message);
            }
            Self::Bounded { limit, message: buffer } => {
                check_limit(party, message.len(), *limit)?;
                **buffer = message;
            }
        }
        *self = Self::Nothing;
        Ok(())
    }
}

struct MemoryFlow<'a> {
    party: usize,
    link: &'a mut Pipes,
    exchange: Exchange<'a>,
}

impl MemoryFlow<'_> {
    fn wants_message(&self) -> bool {
        !matches!(self.exchange.incoming, Incoming::Nothing)
    }

    fn advance_outgoing(&mut self) -> Result<bool, TransportError> {
        let Some(message) = self.exchange.outgoing else { return Ok(false) };
        match self.link.outgoing.put(message) {
            Ok(()) => self.exchange.outgoing = None,
            Err(Refused::Full) => return Ok(false),
            Err(Refused::Closed) => return Err(TransportError::Closed { party: self.party }),
        }
        Ok(true)
    }

    fn advance_incoming(&mut self) -> Result<bool, TransportError> {
        if !self.wants_message() {
            return Ok(false);
        }
        let taken = self.link.incoming.take().map_err(|_| TransportError::Closed { party: self.party })?;
        let Some(message) = taken else { return Ok(false) };
        self.exchange.incoming.store(self.party, message, &self.link.incoming)?;
        Ok(true)
    }
}

impl Flow for MemoryFlow<'_> {
    fn party(&self) -> usize {
        self.party
    }

    fn fault(&mut self) -> &mut Option<TransportError> {
        &mut self.link.fault
    }

    fn advance(&mut self) -> Result<Step, TransportError> {
        let sent = self.advance_outgoing()?;
        let received = self.advance_incoming()?;
        let done = self.exchange.outgoing.is_none() && !self.wants_message();
        Ok(match (done, sent || received) {
            (true, _) => Step::Done,
            (false, true) => Step::Moved,
            (false, false) => Step::Stuck,
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let room = self.exchange.outgoing.is_some() && self.link.outgoing.poll_room(cx).is_ready();
        let message = self.wants_message() && self.link.incoming.poll_message(cx).is_ready();
        if room || message { Poll::Ready(()) } else { Poll::Pending }
    }

    fn waits_for(&self) -> Wait {
        if self.wants_message() { Wait::Message } else { Wait::Delivery }
    }

    fn bytes(&self) -> u64 {
        // Messages pass whole.
        0
    }

    fn abort(&mut self) {
        self.link.close();
    }
}
