//! Parties in one process, linked by bounded queues of messages.

mod pipe;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::network::Network;
use crate::pair::Pair;
use crate::transfer::{Channel, Incoming, Outgoing};
use crate::{DEFAULT_POLL, Link, Peer, TcpSettings, TransportError};
use pipe::{Pipe, Refused};

/// One end of an in-memory network; made by [`memory_network`].
///
/// Behaves like [`TcpTransport`](crate::TcpTransport): the same limits, deadlines and errors. Each link holds a few
/// messages; a sender beyond that waits. Dropping an end closes its links: peers still receive what was sent before.
///
/// Futures may run on any executor or thread. A wait polls before it sleeps, which blocks its thread for up to the
/// polling time, so run each party on a thread of its own, or [`set_poll`](Network::set_poll) to zero.
pub type MemoryTransport = Network<Pipes>;

/// One end of an in-memory link.
pub type MemoryLink = Pair<Pipes>;

/// The queues between two ends, as one of them sees them.
#[derive(Debug)]
pub struct Pipes {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
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
    let settings = TcpSettings { deadline, ..TcpSettings::default() };
    let row = || (0..parties).map(|_| Arc::new(Pipe::default())).collect::<Vec<_>>();
    // pipes[i][j] leads from party i to party j.
    let pipes: Vec<_> = (0..parties).map(|_| row()).collect();
    let link = |party: usize, peer: usize| {
        let [outgoing, incoming] = [&pipes[party][peer], &pipes[peer][party]].map(Arc::clone);
        (peer != party).then(|| Pair::over(Pipes { outgoing, incoming }, &settings))
    };
    let end = |party| Network::new(party, (0..parties).map(|peer| link(party, peer)).collect(), settings);
    (0..parties).map(end).collect()
}

/// The two ends of a link in one process. Each wait, to send or to receive, lasts at most `deadline`.
///
/// ```
/// use std::time::Duration;
/// use mpc_transport::{Connection, memory_link};
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

/// As [`memory_link`], with waits that poll for `poll` before they sleep.
pub fn memory_link_with(deadline: Duration, poll: Duration) -> (Link, Link) {
    let [forth, back] = [Arc::new(Pipe::default()), Arc::new(Pipe::default())];
    let link = |outgoing: &Arc<Pipe>, incoming: &Arc<Pipe>| {
        let pipes = Pipes { outgoing: Arc::clone(outgoing), incoming: Arc::clone(incoming) };
        Link::new(Pair::over(pipes, &TcpSettings { deadline, poll, ..TcpSettings::default() }))
    };
    (link(&forth, &back), link(&back, &forth))
}

impl Channel for Pipes {
    /// Messages pass whole.
    fn put(&mut self, peer: Peer, frame: &mut Outgoing<'_>, _: usize) -> Result<bool, TransportError> {
        match self.outgoing.put(frame.message) {
            Ok(()) => frame.set_written(),
            Err(Refused::Full) => return Ok(false),
            Err(Refused::Closed) => return Err(TransportError::Closed { peer }),
        }
        Ok(true)
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn take(&mut self, peer: Peer, frame: &mut Incoming<'_>) -> Result<bool, TransportError> {
        let taken = self.incoming.take().map_err(|_| TransportError::Closed { peer })?;
        let Some(message) = taken else { return Ok(false) };
        if let Some(buffer) = frame.set_read(peer, message)? {
            self.incoming.recycle(buffer);
        }
        Ok(true)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.outgoing.poll_room(cx)
    }

    fn poll_message(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.incoming.poll_message(cx)
    }

    fn end(&mut self) {
        self.outgoing.close();
        self.incoming.close();
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.end();
    }
}
