//! Advances several transfers at once: poll for a while, then sleep, with a deadline for each peer.

use std::fmt;
use std::future::poll_fn;
use std::hint;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use smol::Timer;

use crate::transfer::{Channel, Step, Transfer};
use crate::{Peer, TcpSettings, TransportError};

/// How long a wait polls before it sleeps, unless set otherwise: about what it costs to wake a sleeping thread.
pub const DEFAULT_POLL: Duration = Duration::from_micros(50);

/// The least rate that a peer must keep up, in bytes per second (64 KiB/s).
///
/// A wait for a frame lasts at most the deadline plus the time its bytes take at this rate, so that a peer which sends a
/// byte now and then cannot hold this party for ever.
pub const MIN_BYTES_PER_SECOND: u64 = 64 << 10;

/// How long to wait, and how; and how much to write at a time.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Without any progress of a peer.
    deadline: Duration,
    /// Before sleeping.
    pub(crate) poll: Duration,
    /// The receiver of reports about silent peers.
    pub(crate) silence: Option<Silence>,
    /// Bytes of a message that are written to one peer before the others are served.
    chunk_bytes: usize,
}

impl Patience {
    pub(crate) fn new(settings: &TcpSettings) -> Self {
        let chunk_bytes = settings.chunk_bytes.max(1);
        Self { deadline: settings.deadline, poll: settings.poll, silence: None, chunk_bytes }
    }
}

/// The receiver of reports about a peer that has made no progress. A report comes as often as `after` has passed.
#[derive(Clone)]
pub(crate) struct Silence {
    pub(crate) after: Duration,
    pub(crate) tell: Arc<dyn Fn(Peer, Duration) + Send + Sync>,
}

impl fmt::Debug for Silence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Silence").field("after", &self.after).finish_non_exhaustive()
    }
}

impl Silence {
    /// Tells of those that have been silent for long enough.
    fn report<C: Channel>(&self, transfers: &mut [Transfer<'_, C>]) {
        for transfer in pending(transfers) {
            let silent = transfer.moved.elapsed();
            if silent >= self.after {
                (self.tell)(transfer.peer, silent);
            }
        }
    }
}

impl<C: Channel> Transfer<'_, C> {
    /// The instant at which the peer is too slow; none if that is beyond the clock.
    fn expiry(&self, patience: &Patience) -> Option<Instant> {
        let transfer = Duration::from_secs(self.bytes / MIN_BYTES_PER_SECOND);
        let idle = self.moved.checked_add(patience.deadline);
        let total = self.started.checked_add(patience.deadline.saturating_add(transfer));
        idle.into_iter().chain(total).min()
    }

    fn timeout(&self, now: Instant) -> TransportError {
        let after = now.duration_since(self.started);
        TransportError::Timeout { peer: self.peer, after, waiting_for: self.waits_for() }
    }
}

/// Advances all `transfers` until each is done.
///
/// A link is marked as interrupted while its transfer is under way, so that neither a failure nor a dropped future leaves a
/// link that looks usable in the middle of a frame.
pub(crate) async fn complete<C: Channel>(
    transfers: &mut [Transfer<'_, C>],
    patience: &Patience,
) -> Result<(), TransportError> {
    claim(transfers)?;
    let result = advance_to_end(transfers, patience).await;
    if result.is_err() {
        pending(transfers).for_each(|transfer| transfer.abort());
    }
    result
}

fn claim<C: Channel>(transfers: &mut [Transfer<'_, C>]) -> Result<(), TransportError> {
    if let Some(fault) = transfers.iter_mut().find_map(|transfer| transfer.fault().clone()) {
        return Err(fault);
    }
    for transfer in transfers {
        *transfer.fault() = Some(TransportError::Interrupted { peer: transfer.peer });
    }
    Ok(())
}

fn pending<'s, 'a, C>(transfers: &'s mut [Transfer<'a, C>]) -> impl Iterator<Item = &'s mut Transfer<'a, C>> {
    transfers.iter_mut().filter(|transfer| !transfer.done)
}

async fn advance_to_end<C: Channel>(
    transfers: &mut [Transfer<'_, C>],
    patience: &Patience,
) -> Result<(), TransportError> {
    let mut moved = Instant::now();
    while !poll(transfers, patience, &mut moved)? {
        sleep(transfers, patience).await;
    }
    Ok(())
}

/// Advances the transfers until all are done (true), or none has moved for the polling time (false).
fn poll<C: Channel>(
    transfers: &mut [Transfer<'_, C>],
    patience: &Patience,
    moved: &mut Instant,
) -> Result<bool, TransportError> {
    loop {
        match advance_each(transfers, patience.chunk_bytes)? {
            Step::Done => return Ok(true),
            Step::Moved => *moved = Instant::now(),
            Step::Stuck => {
                check_deadlines(transfers, patience)?;
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

fn advance_each<C: Channel>(transfers: &mut [Transfer<'_, C>], chunk: usize) -> Result<Step, TransportError> {
    let mut overall = Step::Done;
    for transfer in pending(transfers) {
        match (transfer.advance(chunk), overall) {
            (Err(error), _) => {
                *transfer.fault() = Some(error.clone());
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
fn check_deadlines<C: Channel>(transfers: &mut [Transfer<'_, C>], patience: &Patience) -> Result<(), TransportError> {
    let now = Instant::now();
    let late = pending(transfers).filter(|transfer| transfer.expiry(patience).is_some_and(|expiry| expiry <= now));
    let Some(slowest) = late.min_by_key(|transfer| transfer.moved) else { return Ok(()) };
    let error = slowest.timeout(now);
    *slowest.fault() = Some(error.clone());
    Err(error)
}

/// Sleeps until a transfer may advance, or a deadline has come.
async fn sleep<C: Channel>(transfers: &mut [Transfer<'_, C>], patience: &Patience) {
    let expiry = pending(transfers).filter_map(|transfer| transfer.expiry(patience)).min();
    let look = patience.silence.as_ref().and_then(|silence| Instant::now().checked_add(silence.after));
    let expiry = expiry.into_iter().chain(look).min();
    let mut timer = expiry.map_or_else(Timer::never, Timer::at);
    poll_fn(|cx| {
        let mut ready = Pin::new(&mut timer).poll(cx).map(|_| ());
        for transfer in pending(transfers) {
            if transfer.poll_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    })
    .await;
    if let Some(silence) = &patience.silence {
        silence.report(transfers);
    }
}
