//! Slower links than there are: latency and a limited rate for any transport.

use std::time::{Duration, Instant};

use smol::Timer;

use crate::{Connection, FRAME_HEADER_BYTES, LinkSettings, Transport, TransportError};

/// A transport or a connection whose messages take as long as over the links of [`LinkSettings`].
///
/// Every message is held back at its sender: for the time that all its bytes, frame headers included, take at the link's
/// rate, and for the latency. So an [`exchange`](Transport::exchange) ends no sooner than its start, the latency and the
/// transfer time of all that this party sends in it, and neither does a message's receipt. Of several sends in a row only
/// the first waits for the latency, as the later ones follow it closely; the rate limits all of them.
///
/// A sender does nothing else while its message is held back: computing and sending do not overlap, as if nothing were
/// buffered. Every party of a network should have the same settings, and deadlines longer than the longest delay. The time
/// of the inner transport comes on top, and that of a timer, some tens of microseconds.
///
/// Counts of a [`Metered`](crate::Metered) around it or inside it are those of the bare transport.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mpc_transport::{Emulated, LinkSettings, Transport, memory_network};
///
/// let started = Instant::now();
/// std::thread::scope(|scope| {
///     for party in memory_network(2, Duration::from_secs(5)) {
///         let mut party = Emulated::new(party, LinkSettings::WAN);
///         scope.spawn(move || smol::block_on(party.exchange(&[1], &mut [0])).unwrap());
///     }
/// });
/// assert!(started.elapsed() >= Duration::from_millis(40));
/// ```
#[derive(Clone, Debug)]
pub struct Emulated<T> {
    inner: T,
    settings: LinkSettings,
    /// Whether the last operation was a send, so that one after it has paid for the latency.
    in_stream: bool,
}

impl<T> Emulated<T> {
    /// Delays what is sent through `inner`.
    pub fn new(inner: T, settings: LinkSettings) -> Self {
        Self { inner, settings, in_stream: false }
    }

    /// Holds back a message to one receiver.
    async fn hold_back_one(&mut self, length: usize) {
        let latency = if self.in_stream { Duration::ZERO } else { self.settings.latency };
        hold_back(self.settings, length, 1, latency).await;
        self.in_stream = true;
    }

    /// The links that are imitated.
    pub fn settings(&self) -> LinkSettings {
        self.settings
    }

    /// The transport inside.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Transport> Transport for Emulated<T> {
    fn party(&self) -> usize {
        self.inner.party()
    }

    fn parties(&self) -> usize {
        self.inner.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.hold_back_one(message.len()).await;
        self.inner.send(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.in_stream = false;
        self.inner.receive(from, message).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.in_stream = false;
        self.inner.receive_bounded(from, limit).await
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        self.in_stream = false;
        let receivers = self.inner.parties().saturating_sub(1);
        let latency = if receivers == 0 { Duration::ZERO } else { self.settings.latency };
        hold_back(self.settings, message.len(), receivers, latency).await;
        self.inner.exchange(message, received).await
    }
}

impl<C: Connection> Connection for Emulated<C> {
    async fn send(&mut self, message: &[u8]) -> Result<(), TransportError> {
        self.hold_back_one(message.len()).await;
        self.inner.send(message).await
    }

    async fn receive(&mut self, message: &mut [u8]) -> Result<(), TransportError> {
        self.in_stream = false;
        self.inner.receive(message).await
    }

    async fn receive_bounded(&mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.in_stream = false;
        self.inner.receive_bounded(limit).await
    }
}

/// Holds back a message of `length` bytes to each of `receivers`.
async fn hold_back(link: LinkSettings, length: usize, receivers: usize, latency: Duration) {
    let frame = (length as u64).saturating_add(FRAME_HEADER_BYTES as u64);
    let delay = latency.saturating_add(link.transfer_time(frame.saturating_mul(receivers as u64)));
    if let Some(end) = Instant::now().checked_add(delay).filter(|_| !delay.is_zero()) {
        Timer::at(end).await;
    }
}
