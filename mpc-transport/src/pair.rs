//! One end of a connection between two, with deadlines.

use std::sync::Arc;
use std::time::Duration;

use crate::poll::{Patience, Silence, complete};
use crate::transfer::{Channel, Incoming, Outgoing, Transfer, Wire};
use crate::{Connection, Peer, TcpSettings, TransportError};

/// One of the two ends of a connection: [`MemoryLink`](crate::MemoryLink), [`TcpLink`](crate::TcpLink), or with the feature
/// `tls` [`SecureLink`](crate::tls::SecureLink).
///
/// Waits as a [`Network`](crate::Network) does, of which it can become a part.
#[derive(Debug)]
pub struct Pair<C> {
    pub(crate) wire: Wire<C>,
    patience: Patience,
}

impl<C: Channel> Pair<C> {
    pub(crate) fn over(channel: C, settings: &TcpSettings) -> Self {
        Self { wire: Wire { channel, fault: None }, patience: Patience::new(settings) }
    }

    /// Sets how long a wait polls before it sleeps ([`DEFAULT_POLL`](crate::DEFAULT_POLL)); zero to sleep at once.
    pub fn set_poll(&mut self, poll: Duration) {
        self.patience.poll = poll;
    }

    /// Has `tell` called where an operation waits for the other end and that has made no progress for `after`, with the time
    /// since its last; again and again while it lasts.
    pub fn on_silence(&mut self, after: Duration, tell: impl Fn(Duration) + Send + Sync + 'static) {
        self.patience.silence = Some(Silence { after, tell: Arc::new(move |_, silent| tell(silent)) });
    }

    async fn run(
        &mut self,
        outgoing: Option<Outgoing<'_>>,
        incoming: Option<Incoming<'_>>,
    ) -> Result<(), TransportError> {
        let transfer = Transfer::new(Peer::OtherEnd, &mut self.wire, outgoing, incoming);
        complete(&mut [transfer], &self.patience).await
    }
}

impl<C: Channel> Connection for Pair<C> {
    async fn send(&mut self, message: &[u8]) -> Result<(), TransportError> {
        let outgoing = Outgoing::new(Peer::OtherEnd, message)?;
        self.run(Some(outgoing), None).await
    }

    async fn receive(&mut self, message: &mut [u8]) -> Result<(), TransportError> {
        let incoming = Incoming::exact(Peer::OtherEnd, message)?;
        self.run(None, Some(incoming)).await
    }

    async fn receive_bounded(&mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut message = Vec::new();
        self.run(None, Some(Incoming::bounded(limit, &mut message))).await?;
        Ok(message)
    }
}
