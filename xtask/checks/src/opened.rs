//! A transport that knows what is public.

use mpc_transport::{MemoryTransport, Transport, TransportError};

use crate::request::mark_public;

/// A party's end of a network in memory whose openings are marked as public.
///
/// All parties see what passes in a round of openings, and what is opened follows from these messages alone. Seeds, input
/// shares and output shares pass in other calls, and stay secret.
pub struct Opened {
    pub inner: MemoryTransport,
    /// Whether openings are marked.
    pub marks: bool,
}

impl Transport for Opened {
    fn party(&self) -> usize {
        self.inner.party()
    }

    fn parties(&self) -> usize {
        self.inner.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.inner.send(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.inner.receive(from, message).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.inner.receive_bounded(from, limit).await
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        self.inner.exchange(message, received).await?;
        if self.marks {
            mark_public(message);
            mark_public(received);
        }
        Ok(())
    }
}
