//! A bounded queue of messages, with one sender and one receiver.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use zeroize::Zeroize;

/// Messages that a pipe holds before its sender waits.
const CAPACITY: usize = 4;

/// Used buffers that a pipe keeps for the next messages.
const SPARES: usize = 2;

/// Largest buffer kept, in bytes.
const MAX_SPARE_BYTES: usize = 16 << 20;

/// Why a pipe did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// The other end is gone, and nothing of it is left to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

#[derive(Default)]
pub(super) struct Pipe {
    state: Mutex<State>,
}

// Messages hold shares and seeds.
impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    messages: VecDeque<Vec<u8>>,
    spares: Vec<Vec<u8>>,
    closed: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

impl Pipe {
    pub(super) fn put(&self, message: &[u8]) -> Result<(), Refused> {
        let mut buffer = self.buffer()?;
        if buffer.capacity() < message.len() {
            // What is in it stays nowhere when it grows.
            buffer.zeroize();
            buffer = Vec::with_capacity(message.len());
        }
        // Copied without the lock: only the receiver can change the queue meanwhile, and it only makes room.
        buffer.extend_from_slice(message);
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        state.messages.push_back(buffer);
        wake(state.receiver.take(), state);
        Ok(())
    }

    /// An empty buffer, if there is room for a message.
    fn buffer(&self) -> Result<Vec<u8>, Refused> {
        let mut state = self.lock();
        state.check_room()?;
        Ok(state.spares.pop().unwrap_or_default())
    }

    /// Takes back the buffer of a message that was copied out: fresh memory costs more than the copy.
    pub(super) fn recycle(&self, mut buffer: Vec<u8>) {
        let mut state = self.lock();
        if state.spares.len() < SPARES && buffer.capacity() <= MAX_SPARE_BYTES {
            buffer.clear();
            state.spares.push(buffer);
        } else {
            buffer.zeroize();
        }
    }

    pub(super) fn take(&self) -> Result<Option<Vec<u8>>, Closed> {
        let mut state = self.lock();
        match state.messages.pop_front() {
            Some(message) => {
                wake(state.sender.take(), state);
                Ok(Some(message))
            }
            None if state.closed => Err(Closed),
            None => Ok(None),
        }
    }

    /// Ready when `put` does not say `Full`.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.check_room() != Err(Refused::Full) {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when `take` has a message or an error.
    pub(super) fn poll_message(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.closed || !state.messages.is_empty() {
            return Poll::Ready(());
        }
        state.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wakers = [state.sender.take(), state.receiver.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// No code panics while it holds the lock, so a poisoned state is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Messages hold shares and seeds.
impl Drop for State {
    fn drop(&mut self) {
        self.messages.iter_mut().chain(&mut self.spares).for_each(Vec::zeroize);
    }
}

impl State {
    fn check_room(&self) -> Result<(), Refused> {
        match self.messages.len() {
            _ if self.closed => Err(Refused::Closed),
            CAPACITY.. => Err(Refused::Full),
            _ => Ok(()),
        }
    }
}

/// Wakes after the lock is released, so that the woken thread does not run into it.
fn wake(waker: Option<Waker>, state: MutexGuard<'_, State>) {
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
