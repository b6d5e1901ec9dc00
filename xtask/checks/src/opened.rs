//! A transport that knows what is public.

use mpc_transport::{MemoryTransport, Transport, TransportError};

use crate::request::mark_public;

/// The messages that are marked as public.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    Nothing,
    /// All parties see what passes in a round of openings, and what is opened follows from these messages alone. Seeds, input
    /// shares and output shares pass in other calls, and stay secret.
    Openings,
    /// All that passes between two parties that make correlations: both know it.
    All,
}

/// A party's end of a network in memory whose openings are marked as public.
pub struct Opened {
    pub inner: MemoryTransport,
    pub marks: Marks,
}

impl Opened {
    fn mark(&self, message: &[u8], least: Marks) {
        if self.marks == Marks::All || self.marks == least {
            mark_public(message);
        }
    }
}

impl Transport for Opened {
    fn party(&self) -> usize {
        self.inner.party()
    }

    fn parties(&self) -> usize {
        self.inner.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.mark(message, Marks::All);
        self.inner.send(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.inner.receive(from, message).await?;
        self.mark(message, Marks::All);
        Ok(())
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let message = self.inner.receive_bounded(from, limit).await?;
        self.mark(&message, Marks::All);
        Ok(message)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        self.inner.exchange(message, received).await?;
        self.mark(message, Marks::Openings);
        self.mark(received, Marks::Openings);
        Ok(())
    }
}
