//! A network of byte streams, one for each pair of parties.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::drive::{Patience, Silence, Timed, drive, peers, pieces};
use crate::flow::{FrameFlow, Incoming, Outgoing};
use crate::{TcpSettings, Transport, TransportError};

/// A connection whose operations never block: `WouldBlock` where nothing can move.
pub trait ByteStream: Send {
    /// Takes in bytes of `header`, then of `message`; returns how many, 0 where only earlier ones moved on.
    fn write(&mut self, header: &[u8], message: &[u8]) -> io::Result<usize>;

    /// Whether all that was taken in has gone out.
    fn is_flushed(&self) -> bool;

    /// Fills `header`, then `message`; returns the number of bytes, 0 where what came makes up none yet.
    fn read(&mut self, header: &mut [u8], message: &mut [u8]) -> io::Result<usize>;

    /// Has the task woken when `write` may do more; ready if it may now.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Has the task woken when `read` may do more; ready if it may now.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells the peer that nothing follows.
    fn end(&mut self);
}

/// A stream, and why it cannot be used, if so.
#[derive(Debug)]
pub(crate) struct Link<S> {
    pub(crate) stream: S,
    pub(crate) fault: Option<TransportError>,
}

/// One party's end of a network of connections, one for each pair of parties: [`TcpTransport`](crate::TcpTransport), or
/// with the feature `tls` [`SecureTransport`](crate::tls::SecureTransport).
///
/// Waits poll the sockets for [`TcpSettings::poll`], then sleep on the reactor of [`smol`]; the futures run on any
/// executor. As polling blocks its thread, run each party on a thread of its own, with `smol::block_on`.
///
/// A network of two nodes also links a dealer to a party.
#[derive(Debug)]
pub struct StreamTransport<S> {
    party: usize,
    /// By party index; none for this party itself.
    links: Vec<Option<Link<S>>>,
    patience: Patience,
    chunk_bytes: usize,
}

impl<S: ByteStream> StreamTransport<S> {
    pub(crate) fn over(party: usize, streams: Vec<Option<S>>, settings: &TcpSettings) -> Self {
        let link = |stream| Link { stream, fault: None };
        Self {
            party,
            links: streams.into_iter().map(|stream| stream.map(link)).collect(),
            patience: Patience { deadline: settings.deadline, poll: settings.poll, silence: None },
            chunk_bytes: settings.chunk_bytes.max(1),
        }
    }

    /// Has `tell` called with the index of a node that an operation waits for and that has made no progress for `after`, and
    /// with the time since its last; again and again while it lasts.
    pub fn on_silence(&mut self, after: Duration, tell: impl Fn(usize, Duration) + Send + Sync + 'static) {
        self.patience.silence = Some(Silence { after, tell: Arc::new(tell) });
    }

    /// The streams that can still be used.
    #[cfg(feature = "tls")]
    pub(crate) fn into_streams(self) -> Vec<Option<S>> {
        let usable = |link: Link<S>| link.fault.is_none().then_some(link.stream);
        self.links.into_iter().map(|link| link.and_then(usable)).collect()
    }

    /// The first node whose stream can no longer be used, or for which `test` holds.
    #[cfg(feature = "tls")]
    pub(crate) fn first_stream(&mut self, mut test: impl FnMut(&mut S) -> bool) -> Option<usize> {
        let mut unusable = |link: &mut Link<S>| link.fault.is_some() || test(&mut link.stream);
        self.links.iter_mut().position(|link| link.as_mut().is_some_and(&mut unusable))
    }

    async fn run(
        &mut self,
        peer: usize,
        outgoing: Option<Outgoing<'_>>,
        incoming: Option<Incoming<'_>>,
    ) -> Result<(), TransportError> {
        let no_such_party = TransportError::NoSuchParty { party: peer, parties: self.links.len() };
        let link = self.links.get_mut(peer).and_then(Option::as_mut).ok_or(no_such_party)?;
        let flow = FrameFlow { party: peer, link, outgoing, incoming, chunk_bytes: self.chunk_bytes };
        drive(&mut [Timed::new(flow, Instant::now())], &self.patience).await
    }
}

impl<S: ByteStream> Transport for StreamTransport<S> {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        self.links.len()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        let outgoing = Outgoing::new(to, message)?;
        self.run(to, Some(outgoing), None).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        let incoming = Incoming::exact(from, message)?;
        self.run(from, None, Some(incoming)).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut message = Vec::new();
        self.run(from, None, Some(Incoming::bounded(limit, &mut message))).await?;
        Ok(message)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        let parties = self.links.len();
        let mut pieces = pieces(received, message.len(), peers(self.party, parties).count())?.into_iter();
        let now = Instant::now();
        let mut flows = Vec::with_capacity(pieces.len());
        for (party, link) in self.links.iter_mut().enumerate().filter(|&(party, _)| party != self.party) {
            let no_such_party = TransportError::NoSuchParty { party, parties };
            let (link, piece) = link.as_mut().zip(pieces.next()).ok_or(no_such_party)?;
            let outgoing = Some(Outgoing::new(party, message)?);
            let incoming = Some(Incoming::exact(party, piece)?);
            flows.push(Timed::new(FrameFlow { party, link, outgoing, incoming, chunk_bytes: self.chunk_bytes }, now));
        }
        drive(&mut flows, &self.patience).await
    }
}
