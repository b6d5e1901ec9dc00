//! A network of connections, one for each pair of parties.

use std::sync::Arc;
use std::time::Duration;

use crate::pair::Pair;
use crate::poll::{Patience, Silence, complete};
use crate::transfer::{Channel, Incoming, Outgoing, Transfer};
use crate::{Peer, TcpSettings, Transport, TransportError};

/// One party's end of a network of connections, one for each pair of parties: [`MemoryTransport`](crate::MemoryTransport),
/// [`TcpTransport`](crate::TcpTransport), or with the feature `tls` [`SecureTransport`](crate::tls::SecureTransport).
///
/// Waits poll for [`TcpSettings::poll`], then sleep on the reactor of [`smol`]; the futures run on any executor. As polling
/// blocks its thread, run each party on a thread of its own, with `smol::block_on`.
#[derive(Debug)]
pub struct Network<C> {
    party: usize,
    /// By party index; none for this party itself.
    links: Vec<Option<Pair<C>>>,
    patience: Patience,
}

impl<C: Channel> Network<C> {
    /// The end of the party of index `party` in a network over links that stand.
    ///
    /// `links` holds the link to each node, by index, and none for this one. Operations with a node that has no link fail
    /// with [`NoSuchParty`](TransportError::NoSuchParty).
    pub fn new(party: usize, links: Vec<Option<Pair<C>>>, settings: TcpSettings) -> Self {
        Self { party, links, patience: Patience::new(&settings) }
    }

    /// Sets how long a wait polls before it sleeps ([`DEFAULT_POLL`](crate::DEFAULT_POLL)); zero to sleep at once.
    pub fn set_poll(&mut self, poll: Duration) {
        self.patience.poll = poll;
    }

    /// Has `tell` called with the index of a node that an operation waits for and that has made no progress for `after`, and
    /// with the time since its last; again and again while it lasts.
    pub fn on_silence(&mut self, after: Duration, tell: impl Fn(usize, Duration) + Send + Sync + 'static) {
        let tell = move |peer, silent| match peer {
            Peer::Party(party) => tell(party, silent),
            Peer::OtherEnd => {}
        };
        self.patience.silence = Some(Silence { after, tell: Arc::new(tell) });
    }

    /// Takes the network apart. A link that failed, or was left in the middle of a frame, is closed and not among them.
    pub fn into_links(self) -> Vec<Option<Pair<C>>> {
        self.links.into_iter().map(|link| link.filter(|link| link.wire.fault.is_none())).collect()
    }

    async fn run(
        &mut self,
        party: usize,
        outgoing: Option<Outgoing<'_>>,
        incoming: Option<Incoming<'_>>,
    ) -> Result<(), TransportError> {
        let no_such_party = TransportError::NoSuchParty { party, parties: self.links.len() };
        let link = self.links.get_mut(party).and_then(Option::as_mut).ok_or(no_such_party)?;
        let transfer = Transfer::new(Peer::Party(party), &mut link.wire, outgoing, incoming);
        complete(&mut [transfer], &self.patience).await
    }
}

impl<C: Channel> Transport for Network<C> {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        self.links.len()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        let outgoing = Outgoing::new(Peer::Party(to), message)?;
        self.run(to, Some(outgoing), None).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        let incoming = Incoming::exact(Peer::Party(from), message)?;
        self.run(from, None, Some(incoming)).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut message = Vec::new();
        self.run(from, None, Some(Incoming::bounded(limit, &mut message))).await?;
        Ok(message)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        let parties = self.links.len();
        let mut pieces = pieces(received, message.len(), parties.saturating_sub(1))?.into_iter();
        let mut transfers = Vec::with_capacity(pieces.len());
        for (party, link) in self.links.iter_mut().enumerate().filter(|&(party, _)| party != self.party) {
            let no_such_party = TransportError::NoSuchParty { party, parties };
            let (link, piece) = link.as_mut().zip(pieces.next()).ok_or(no_such_party)?;
            let peer = Peer::Party(party);
            let (outgoing, incoming) = (Outgoing::new(peer, message)?, Incoming::exact(peer, piece)?);
            transfers.push(Transfer::new(peer, &mut link.wire, Some(outgoing), Some(incoming)));
        }
        complete(&mut transfers, &self.patience).await
    }
}

/// Cuts `received` in pieces of `length` bytes, one for each of `count` peers.
///
/// # Errors
/// [`TransportError::BufferLength`] where they do not make up all of it.
pub(crate) fn pieces(mut received: &mut [u8], length: usize, count: usize) -> Result<Vec<&mut [u8]>, TransportError> {
    let (expected, got) = (length.saturating_mul(count), received.len());
    if expected != got {
        return Err(TransportError::BufferLength { expected, got });
    }
    let mut pieces = Vec::with_capacity(count);
    for _ in 0..count {
        let (piece, rest) = received.split_at_mut(length);
        pieces.push(piece);
        received = rest;
    }
    Ok(pieces)
}
