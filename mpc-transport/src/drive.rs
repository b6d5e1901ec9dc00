//! Advances several transfers at once: poll for a while, then sleep, with a deadline for each peer.

use std::fmt;
use std::future::poll_fn;
use std::hint;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use smol::Timer;

use crate::{TransportError, Wait};

/// How long a wait polls before it sleeps, unless set otherwise: about what it costs to wake a sleeping thread.
pub const DEFAULT_POLL: Duration = Duration::from_micros(50);

/// The least rate that a peer must keep up, in bytes per second (64 KiB/s).
///
/// A wait for a frame lasts at most the deadline plus the time its bytes take at this rate, so that a peer which sends a
/// byte now and then cannot hold this party for ever.
pub const MIN_BYTES_PER_SECOND: u64 = 64 << 10;

/// The outcome of [`Flow::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything is transferred.
    Done,
    /// Something was transferred.
    Moved,
    /// Nothing could be.
    Stuck,
}

/// The transfers of one operation with one peer, none of which blocks.
pub(crate) trait Flow {
    /// The peer.
    fn party(&self) -> usize;

    /// Why the link to the peer cannot be used, if so.
    fn fault(&mut self) -> &mut Option<TransportError>;

    /// Transfers what can be at once.
    fn advance(&mut self) -> Result<Step, TransportError>;

    /// Has the task woken when `advance` may do more; ready if it may now.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The thing that the flow waits for.
    fn waits_for(&self) -> Wait;

    /// Bytes under way in both directions, as far as known.
    fn bytes(&self) -> u64;

    /// Lets the peer know that nothing follows.
    fn abort(&mut self);
}

/// How long to wait, and how.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Without any progress of a peer.
    pub(crate) deadline: Duration,
    /// Before sleeping.
    pub(crate) poll: Duration,
    /// The receiver of reports about silent peers.
    pub(crate) silence: Option<Silence>,
}

/// The receiver of reports about a peer that has made no progress. A report comes as often as `after` has passed.
#[derive(Clone)]
pub(crate) struct Silence {
    pub(crate) after: Duration,
    pub(crate) tell: Arc<dyn Fn(usize, Duration) + Send + Sync>,
}

impl fmt::Debug for Silence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Silence").field("after", &self.after).finish_non_exhaustive()
    }
}

impl Silence {
    /// Tells of those that have been silent for long enough.
    fn report<F: Flow>(&self, flows: &mut [Timed<F>]) {
        for timed in pending(flows) {
            let silent = timed.moved.elapsed();
            if silent >= self.after {
                (self.tell)(timed.flow.party(), silent);
            }
        }
    }
}

/// A flow, and when it last moved.
pub(crate) struct Timed<F> {
    flow: F,
    started: Instant,
    moved: Instant,
    /// The most that `Flow::bytes` has said.
    bytes: u64,
    done: bool,
}

impl<F: Flow> Timed<F> {
    pub(crate) fn new(flow: F, now: Instant) -> Self {
        Self { flow, started: now, moved: now, bytes: 0, done: false }
    }

    /// The instant at which the peer is too slow; none if that is beyond the clock.
    fn expiry(&self, patience: &Patience) -> Option<Instant> {
        let transfer = Duration::from_secs(self.bytes / MIN_BYTES_PER_SECOND);
        let idle = self.moved.checked_add(patience.deadline);
        let total = self.started.checked_add(patience.deadline.saturating_add(transfer));
        idle.into_iter().chain(total).min()
    }

    fn timeout(&self, now: Instant) -> TransportError {
        let after = now.duration_since(self.started);
        TransportError::Timeout { party: self.flow.party(), after, waiting_for: self.flow.waits_for() }
    }

    fn advance(&mut self) -> Result<Step, TransportError> {
        self.bytes = self.bytes.max(self.flow.bytes());
        let step = self.flow.advance()?;
        if step != Step::Stuck {
            self.moved = Instant::now();
        }
        if step == Step::Done {
            self.done = true;
            *self.flow.fault() = None;
        }
        Ok(step)
    }
}

/// Advances all `flows` until each is done.
///
/// A link is marked as interrupted while its flow is under way, so that neither a failure nor a dropped future leaves a
/// link that looks usable in the middle of a frame.
pub(crate) async fn drive<F: Flow>(flows: &mut [Timed<F>], patience: &Patience) -> Result<(), TransportError> {
    claim(flows)?;
    let result = advance_to_end(flows, patience).await;
    if result.is_err() {
        pending(flows).for_each(|timed| timed.flow.abort());
    }
    result
}

fn claim<F: Flow>(flows: &mut [Timed<F>]) -> Result<(), TransportError> {
    if let Some(fault) = flows.iter_mut().find_map(|timed| timed.flow.fault().clone()) {
        return Err(fault);
    }
    for timed in flows {
        let party = timed.flow.party();
        *timed.flow.fault() = Some(TransportError::Interrupted { party });
    }
    Ok(())
}

fn pending<F>(flows: &mut [Timed<F>]) -> impl Iterator<Item = &mut Timed<F>> {
    flows.iter_mut().filter(|timed| !timed.done)
}

async fn advance_to_end<F: Flow>(flows: &mut [Timed<F>], patience: &Patience) -> Result<(), TransportError> {
    let mut moved = Instant::now();
    while !poll(flows, patience, &mut moved)? {
        sleep(flows, patience).await;
    }
    Ok(())
}

/// Advances the flows until all are done (true), or none has moved for the polling time (false).
fn poll<F: Flow>(flows: &mut [Timed<F>], patience: &Patience, moved: &mut Instant) -> Result<bool, TransportError> {
    loop {
        match advance_each(flows)? {
            Step::Done => return Ok(true),
            Step::Moved => *moved = Instant::now(),
            Step::Stuck => {
                check_deadlines(flows, patience)?;
                if moved.elapsed() >= patience.poll {
                    return Ok(false);
                }
                pause();
            }
        }
    }
}

/// Lets another thread on this core run, as it may be the peer: where it has a core of its own, this costs half a
/// microsecond, and where it has not, to keep the core would be to wait for nothing.
fn pause() {
    hint::spin_loop();
    thread::yield_now();
}

fn advance_each<F: Flow>(flows: &mut [Timed<F>]) -> Result<Step, TransportError> {
    let mut overall = Step::Done;
    for timed in pending(flows) {
        match (timed.advance(), overall) {
            (Err(error), _) => {
                *timed.flow.fault() = Some(error.clone());
                return Err(error);
            }
            (Ok(Step::Moved), _) => overall = Step::Moved,
            (Ok(Step::Stuck), Step::Done) => overall = Step::Stuck,
            _ => {}
        }
    }
    Ok(overall)
}

/// Of the peers whose time is over, names the one that has not moved for longest.
fn check_deadlines<F: Flow>(flows: &mut [Timed<F>], patience: &Patience) -> Result<(), TransportError> {
    let now = Instant::now();
    let late = pending(flows).filter(|timed| timed.expiry(patience).is_some_and(|expiry| expiry <= now));
    let Some(slowest) = late.min_by_key(|timed| timed.moved) else { return Ok(()) };
    let error = slowest.timeout(now);
    *slowest.flow.fault() = Some(error.clone());
    Err(error)
}

/// Sleeps until a flow may advance, or a deadline has come.
async fn sleep<F: Flow>(flows: &mut [Timed<F>], patience: &Patience) {
    let expiry = pending(flows).filter_map(|timed| timed.expiry(patience)).min();
    let look = patience.silence.as_ref().and_then(|silence| Instant::now().checked_add(silence.after));
    let expiry = expiry.into_iter().chain(look).min();
    let mut timer = expiry.map_or_else(Timer::never, Timer::at);
    poll_fn(|cx| {
        let mut ready = Pin::new(&mut timer).poll(cx).map(|_| ());
        for timed in pending(flows) {
            if timed.flow.poll_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    })
    .await;
    if let Some(silence) = &patience.silence {
        silence.report(flows);
    }
}

/// The index of each peer of `party`, in order.
pub(crate) fn peers(party: usize, parties: usize) -> impl Iterator<Item = usize> + Clone {
    (0..parties).filter(move |&peer| peer != party)
}

/// Cuts `received` in pieces of `length` bytes, one for each of `count` peers.
///
/// # Errors
/// [`TransportError::BufferLength`] where they do not make up all of it.
pub(crate) fn pieces(mut received: &mut [u8], length: usize, count: usize) -> Result<Vec<&mut [u8]>, TransportError> {
    let (expected, got) = (length.saturating_mul(count), received.len());
    if expected != got {
        return Err(TransportError::BufferLength { expected, got });
    }
    let mut pieces = Vec::with_capacity(count);
    for _ in 0..count {
        let (piece, rest) = received.split_at_mut(length);
        pieces.push(piece);
        received = rest;
    }
    Ok(pieces)
}
