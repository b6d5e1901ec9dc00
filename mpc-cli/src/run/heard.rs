//! A link that tells of every message that comes over it: whoever waits for a participant hears that it works.

use std::time::{Duration, Instant};

use mpc_transport::{Transport, TransportError};

/// Messages are told of no more often than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// A transport that calls `hear` now and then when a message has come.
pub struct Heard<T, F> {
    transport: T,
    hear: F,
    told: Option<Instant>,
}

impl<T, F: FnMut()> Heard<T, F> {
    pub fn new(transport: T, hear: F) -> Self {
        Self { transport, hear, told: None }
    }

    /// Tells of a message that has come.
    fn came<O>(&mut self, received: Result<O, TransportError>) -> Result<O, TransportError> {
        if received.is_ok() && self.told.is_none_or(|told| told.elapsed() >= INTERVAL) {
            self.told = Some(Instant::now());
            (self.hear)();
        }
        received
    }
}

impl<T: Transport, F: FnMut() + Send> Transport for Heard<T, F> {
    fn party(&self) -> usize {
        self.transport.party()
    }

    fn parties(&self) -> usize {
        self.transport.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.transport.send(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        let received = self.transport.receive(from, message).await;
        self.came(received)
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let received = self.transport.receive_bounded(from, limit).await;
        self.came(received)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        let exchanged = self.transport.exchange(message, received).await;
        self.came(exchanged)
    }
}

#[cfg(test)]
mod tests {
    use mpc_transport::memory_network;

    use super::*;

    #[test]
    fn messages_that_come_are_told_of_and_those_that_do_not_are_not() {
        let mut ends = memory_network(2, Duration::from_millis(50)).into_iter();
        let (mut told, sender) = (0, &mut ends.next().unwrap());
        let mut heard = Heard::new(ends.next().unwrap(), || told += 1);
        smol::block_on(async {
            assert!(heard.receive(0, &mut [0; 3]).await.is_err());
            assert!(heard.told.is_none());
        });
        let mut ends = memory_network(2, Duration::from_secs(5)).into_iter();
        *sender = ends.next().unwrap();
        heard.transport = ends.next().unwrap();
        smol::block_on(async {
            sender.send(1, b"one").await.unwrap();
            sender.send(1, b"two").await.unwrap();
            heard.receive(0, &mut [0; 3]).await.unwrap();
            assert_eq!(heard.receive_bounded(0, 9).await.unwrap(), b"two");
        });
        assert_eq!(told, 1);
    }
}
