//! The connection between two participants.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::erased::Boxed;
use crate::{Meter, Phase, Traffic, TransportError};

/// One end of a connection between two: ordered, reliable frames each way.
///
/// Futures and errors are as those of a [`Transport`](crate::Transport).
pub trait Connection: Send {
    /// Sends one frame. Does not wait for the receiver beyond flow control.
    ///
    /// # Errors
    /// As for [`Transport::send`](crate::Transport::send).
    fn send(&mut self, message: &[u8]) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Receives one frame of exactly `message.len()` bytes.
    ///
    /// # Errors
    /// As for [`Transport::receive`](crate::Transport::receive).
    fn receive(&mut self, message: &mut [u8]) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Receives one frame of at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`Transport::receive_bounded`](crate::Transport::receive_bounded).
    fn receive_bounded(&mut self, limit: usize) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
}

/// One end of the connection between two participants, such as a party and its dealer, whatever it runs over; its traffic is
/// counted.
pub struct Link {
    connection: Box<dyn Erased>,
    meter: Meter,
}

impl Link {
    /// Hides the kind of `connection`, and starts to count.
    pub fn new(connection: impl Connection + 'static) -> Self {
        Self { connection: Box::new(connection), meter: Meter::default() }
    }

    /// Counts what follows under `phase` and `label`: see [`Metered::begin`](crate::Metered::begin).
    pub fn begin(&mut self, phase: Phase, label: &str) {
        self.meter.begin(phase, label);
    }

    /// The counts so far.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The counts so far, for [`Meter::clear`].
    pub fn meter_mut(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

impl Connection for Link {
    async fn send(&mut self, message: &[u8]) -> Result<(), TransportError> {
        self.connection.send(message).await?;
        self.meter.count_outgoing(Traffic::send(message.len() as u64));
        Ok(())
    }

    async fn receive(&mut self, message: &mut [u8]) -> Result<(), TransportError> {
        self.connection.receive(message).await?;
        self.meter.count_receive(message.len());
        Ok(())
    }

    async fn receive_bounded(&mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        let message = self.connection.receive_bounded(limit).await?;
        self.meter.count_receive(message.len());
        Ok(message)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("meter", &self.meter).finish_non_exhaustive()
    }
}

/// [`Connection`] with futures of one type.
trait Erased: Send {
    fn send<'a>(&'a mut self, message: &'a [u8]) -> Boxed<'a, ()>;
    fn receive<'a>(&'a mut self, message: &'a mut [u8]) -> Boxed<'a, ()>;
    fn receive_bounded(&mut self, limit: usize) -> Boxed<'_, Vec<u8>>;
}

impl<C: Connection> Erased for C {
    fn send<'a>(&'a mut self, message: &'a [u8]) -> Boxed<'a, ()> {
        Box::pin(Connection::send(self, message))
    }

    fn receive<'a>(&'a mut self, message: &'a mut [u8]) -> Boxed<'a, ()> {
        Box::pin(Connection::receive(self, message))
    }

    fn receive_bounded(&mut self, limit: usize) -> Boxed<'_, Vec<u8>> {
        Box::pin(Connection::receive_bounded(self, limit))
    }
}
