//! The connection between two participants.

use alloc::vec::Vec;

use crate::{Agreement, AnyTransport, Meter, Metered, Phase, Transport, TransportError, handshake};

/// One end of the connection between two participants, such as a party and its dealer, whatever it runs over; its traffic is
/// counted.
#[derive(Debug)]
pub struct Link {
    transport: Metered<AnyTransport>,
}

impl Link {
    /// The end that a network of two is.
    pub fn new(transport: impl Transport + 'static) -> Self {
        debug_assert_eq!(transport.parties(), 2, "a link has two ends");
        Self { transport: Metered::new(AnyTransport::new(transport)) }
    }

    fn peer(&self) -> usize {
        1 - self.transport.party()
    }

    /// Sends one frame. Does not wait for the receiver beyond flow control.
    ///
    /// # Errors
    /// As for [`Transport::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<(), TransportError> {
        self.transport.send(self.peer(), message).await
    }

    /// Receives one frame of exactly `message.len()` bytes.
    ///
    /// # Errors
    /// As for [`Transport::receive`].
    pub async fn receive(&mut self, message: &mut [u8]) -> Result<(), TransportError> {
        self.transport.receive(self.peer(), message).await
    }

    /// Receives one frame of at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`Transport::receive_bounded`].
    pub async fn receive_bounded(&mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.transport.receive_bounded(self.peer(), limit).await
    }

    /// Checks that the other end has the same `agreement`.
    ///
    /// # Errors
    /// As for [`handshake`](crate::handshake()).
    pub async fn handshake(&mut self, agreement: &Agreement) -> Result<(), TransportError> {
        handshake(&mut self.transport, agreement).await
    }

    /// Counts what follows under `phase` and `label`: see [`Metered::begin`].
    pub fn begin(&mut self, phase: Phase, label: &str) {
        self.transport.begin(phase, label);
    }

    /// The counts so far.
    pub fn meter(&self) -> &Meter {
        self.transport.meter()
    }

    /// The counts so far, for [`Meter::clear`].
    pub fn meter_mut(&mut self) -> &mut Meter {
        self.transport.meter_mut()
    }
}
