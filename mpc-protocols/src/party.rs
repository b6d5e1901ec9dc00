//! One party's context in a session.

use alloc::vec::Vec;
use core::fmt;
use mpc_transport::{AnyTransport, Metered, Transport};
use zeroize::Zeroizing;

use crate::Place;

/// One party of a session: its index, the number of parties, its transport, and the buffers that its messages reuse.
///
/// Every protocol is an `async fn` over `&mut Party`; correlations come in as arguments, by value, so that none can
/// be used twice.
pub struct Party {
    transport: Metered<AnyTransport>,
    /// The message, and behind it what an earlier and longer one left.
    message: Zeroizing<Vec<u8>>,
    message_len: usize,
    received: Zeroizing<Vec<u8>>,
    /// Whether its transport gives its own message back behind those of the others.
    gets_own: bool,
}

// The buffers hold shares of what was opened last.
impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party").field("index", &self.index()).field("parties", &self.parties()).finish_non_exhaustive()
    }
}

impl Party {
    /// The party at one end of a transport.
    pub fn new(transport: impl Transport + 'static) -> Self {
        let transport = Metered::new(AnyTransport::new(transport));
        Self { transport, message: Vec::new().into(), message_len: 0, received: Vec::new().into(), gets_own: false }
    }

    /// As [`new`](Self::new), over a transport that gives this party's own message back, as it was sent.
    pub(crate) fn with_own(transport: impl Transport + 'static) -> Self {
        Self { gets_own: true, ..Self::new(transport) }
    }

    /// This party's index, from 0.
    pub fn index(&self) -> usize {
        self.transport.party()
    }

    /// The number of parties.
    pub fn parties(&self) -> usize {
        self.transport.parties()
    }

    /// This party's place among all.
    pub fn place(&self) -> Place {
        Place { party: self.index(), parties: self.parties() }
    }

    /// Whether this is party 0, the one that adds public constants.
    pub fn is_first(&self) -> bool {
        self.index() == 0
    }

    /// The transport, which counts what passes through it.
    pub fn transport(&self) -> &Metered<AnyTransport> {
        &self.transport
    }

    /// The transport, to be used between protocols.
    pub fn transport_mut(&mut self) -> &mut Metered<AnyTransport> {
        &mut self.transport
    }

    /// Frees the buffers of messages, which stay as long as the longest message otherwise.
    pub fn free_buffers(&mut self) {
        self.message = Vec::new().into();
        self.message_len = 0;
        self.received = Vec::new().into();
    }

    /// Gives the transport back.
    pub fn into_transport(self) -> Metered<AnyTransport> {
        self.transport
    }

    /// Prepares a message of `len` bytes, all of which are to be written: they are those of an earlier one.
    pub(crate) fn message(&mut self, len: usize) -> &mut [u8] {
        // The buffers only grow, so that they are not cleared for every message.
        if self.message.len() < len {
            self.message.resize(len, 0);
        }
        self.message_len = len;
        &mut self.message[..len]
    }

    /// One round: sends the prepared message to all, and gives it and the one of the same length from each peer.
    pub(crate) async fn exchange(
        &mut self,
    ) -> Result<(&[u8], impl Iterator<Item = &[u8]> + Clone), crate::ProtocolError> {
        let message = &self.message[..self.message_len];
        let others = (self.transport.parties() - 1) * message.len();
        let len = if self.gets_own { others + message.len() } else { others };
        if self.received.len() < len {
            self.received.resize(len, 0);
        }
        self.transport.exchange(message, &mut self.received[..len]).await?;
        let (others, own) = self.received[..len].split_at(others);
        Ok((if self.gets_own { own } else { message }, others.chunks_exact(message.len().max(1))))
    }

    /// As [`exchange`](Self::exchange), of a message so long that no buffer of it is kept: gives those of the peers alone, one
    /// behind the other.
    pub(crate) async fn exchange_once(&mut self) -> Result<Zeroizing<Vec<u8>>, crate::ProtocolError> {
        let others = (self.parties() - 1) * self.message_len;
        self.exchange().await.map(drop)?;
        let mut received = core::mem::take(&mut self.received);
        self.free_buffers();
        received.truncate(others);
        Ok(received)
    }
}
