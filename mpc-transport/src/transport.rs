//! The interface that protocols see.

use alloc::vec::Vec;
use core::future::Future;

use crate::TransportError;

/// One party's end of a network that links every party to every other with ordered, reliable streams of frames.
///
/// A protocol is written once against this trait and runs over memory or TCP. Every length is either fixed by the public
/// plan or bounded by the caller, and what a peer announces is checked before anything is allocated.
///
/// A future that is dropped before it is complete leaves its links in the middle of a frame; they then fail with
/// [`TransportError::Interrupted`]. After any error of a peer its link keeps failing. On an error the contents of a
/// receive buffer are unspecified.
pub trait Transport: Send {
    /// Own index, from 0.
    fn party(&self) -> usize;

    /// Number of nodes of this network, this one included.
    fn parties(&self) -> usize;

    /// Sends one frame to the party `to`. Does not wait for the receiver beyond flow control.
    ///
    /// # Errors
    /// [`NoSuchParty`](TransportError::NoSuchParty), [`FrameTooLong`](TransportError::FrameTooLong),
    /// [`Closed`](TransportError::Closed), [`Timeout`](TransportError::Timeout) where the receiver takes nothing in,
    /// [`Interrupted`](TransportError::Interrupted), [`Io`](TransportError::Io).
    fn send(&mut self, to: usize, message: &[u8]) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Receives one frame from the party `from`, which must have exactly `message.len()` bytes.
    ///
    /// # Errors
    /// [`WrongLength`](TransportError::WrongLength) for a frame of any other length; otherwise as for
    /// [`send`](Self::send).
    fn receive(&mut self, from: usize, message: &mut [u8]) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Receives one frame of at most `limit` bytes whose length the plan does not fix (handshakes, reports).
    ///
    /// # Errors
    /// [`FrameTooLong`](TransportError::FrameTooLong) for a longer frame, before anything is allocated; otherwise as for
    /// [`send`](Self::send).
    fn receive_bounded(
        &mut self,
        from: usize,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;

    /// One round: sends `message` to every other party and receives one frame of the same length from each.
    ///
    /// `received` takes the n − 1 messages in the order of party index, own index left out: (n − 1) · `message.len()`
    /// bytes. All sends and receives overlap, so messages of any length pass when all parties call this at once.
    ///
    /// # Errors
    /// [`BufferLength`](TransportError::BufferLength) where `received` has another length;
    /// [`WrongLength`](TransportError::WrongLength) for a frame of another length than `message`; otherwise as for
    /// [`send`](Self::send). The first failure ends the round.
    fn exchange(
        &mut self,
        message: &[u8],
        received: &mut [u8],
    ) -> impl Future<Output = Result<(), TransportError>> + Send;
}

impl<T: Transport> Transport for &mut T {
    fn party(&self) -> usize {
        (**self).party()
    }

    fn parties(&self) -> usize {
        (**self).parties()
    }

    fn send(&mut self, to: usize, message: &[u8]) -> impl Future<Output = Result<(), TransportError>> + Send {
        (**self).send(to, message)
    }

    fn receive(&mut self, from: usize, message: &mut [u8]) -> impl Future<Output = Result<(), TransportError>> + Send {
        (**self).receive(from, message)
    }

    fn receive_bounded(
        &mut self,
        from: usize,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send {
        (**self).receive_bounded(from, limit)
    }

    fn exchange(
        &mut self,
        message: &[u8],
        received: &mut [u8],
    ) -> impl Future<Output = Result<(), TransportError>> + Send {
        (**self).exchange(message, received)
    }
}
