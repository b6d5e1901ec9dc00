//! Protocols that wait for nothing of each other, in the same rounds: what they send in a round travels as one message.
//!
//! Each protocol runs over a [`Party`] of its own, whose exchanges are parts of those of the session's party. A round begins
//! when every protocol that is not done has its part of the message. So together they take the rounds of the longest of them,
//! and the bytes of all.
//!
//! # Security
//! The messages of each protocol stay what they are; only how they are cut into frames changes, which follows from public
//! lengths.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use concurrent_queue::ConcurrentQueue;
use mpc_shares::SecretVec;
use mpc_transport::{Phase, Transport, TransportError};

use crate::Party;

/// A protocol's run over a party of a [`Joint`].
pub type JointFuture<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

type Sent = Arc<ConcurrentQueue<SecretVec<u8>>>;
type Received = Arc<ConcurrentQueue<Result<SecretVec<u8>, TransportError>>>;

/// The ends of the parties that run jointly.
pub struct Joint {
    ends: Vec<(Sent, Received)>,
}

impl Joint {
    /// For `count` protocols a party each, all in the place of `party`.
    #[must_use]
    pub fn new(party: &Party, count: usize) -> (Self, Vec<Party>) {
        let end = || (Arc::new(ConcurrentQueue::bounded(1)), Arc::new(ConcurrentQueue::bounded(1)));
        let ends: Vec<(Sent, Received)> = (0..count).map(|_| end()).collect();
        let lane = |(sent, received): &(Sent, Received)| {
            Party::with_own(Lane {
                party: party.index(),
                parties: party.parties(),
                sent: Arc::clone(sent),
                received: Arc::clone(received),
            })
        };
        let lanes = ends.iter().map(lane).collect();
        (Self { ends }, lanes)
    }

    /// The results of protocols that run over the parties of [`new`](Self::new), in their order, and that only exchange
    /// messages. What they send is counted at their own parties: see [`count`].
    ///
    /// # Rounds and communication
    /// The rounds of the longest, and the message bytes of all.
    ///
    /// # Errors
    /// That of the first protocol that fails; a failed round fails the first that takes part in it.
    pub async fn run<T, E>(self, party: &mut Party, protocols: Vec<JointFuture<'_, T, E>>) -> Result<Vec<T>, E> {
        let mut members: Vec<Member<'_, T, E>> = protocols.into_iter().zip(&self.ends).map(Member::new).collect();
        loop {
            poll_fn(|context| advance(&mut members, context)).await?;
            let parts: Vec<(usize, SecretVec<u8>)> =
                members.iter_mut().enumerate().filter_map(|(at, member)| Some((at, member.message.take()?))).collect();
            if parts.is_empty() {
                return Ok(members.into_iter().filter_map(|member| member.output).collect());
            }
            self.round(party, &parts).await;
        }
    }

    /// Sends all parts as one message, and hands out what the others sent.
    async fn round(&self, party: &mut Party, parts: &[(usize, SecretVec<u8>)]) {
        let message: SecretVec<u8> = parts.iter().flat_map(|(_, part)| part.iter().copied()).collect();
        let mut received = SecretVec::zeros((party.parties() - 1) * message.len());
        if let Err(error) = party.transport_mut().inner_mut().exchange(&message, &mut received).await {
            self.hand(parts[0].0, Err(error));
            return;
        }
        let mut from = 0;
        for (at, part) in parts {
            let messages = received.chunks_exact(message.len().max(1));
            // With the part as it was sent, which all know now.
            let all = messages.chain([&message[..]]).flat_map(|message| &message[from..from + part.len()]);
            self.hand(*at, Ok(all.copied().collect()));
            from += part.len();
        }
    }

    fn hand(&self, at: usize, received: Result<SecretVec<u8>, TransportError>) {
        // There is room: a party waits for one message at a time.
        let _ = self.ends[at].1.push(received);
    }
}

/// Counts at a session's party what protocols have sent at theirs, under the same labels: the bytes of each, and a frame and a round
/// of several under the first that took part in it.
pub fn count(party: &mut Party, phase: Phase, lanes: &[Party]) {
    let mut before = 0;
    for lane in lanes {
        let mut at = 0;
        let entries = lane.transport().meter().entries().filter(|(counted, ..)| *counted == phase);
        for (_, label, traffic) in entries {
            let own = own_rounds(before, at, traffic.rounds);
            party.transport_mut().count(phase, label, traffic.in_rounds(own));
            at += traffic.rounds;
        }
        before = before.max(at);
    }
}

/// Of `rounds` rounds from round `at` on those that are not among the first `before`, in which somebody else takes part.
#[must_use]
pub fn own_rounds(before: u64, at: u64, rounds: u64) -> u64 {
    (at + rounds).saturating_sub(at.max(before))
}

/// One of the protocols: it has its part of the next message, or is done.
struct Member<'a, T, E> {
    protocol: JointFuture<'a, T, E>,
    sent: &'a Sent,
    message: Option<SecretVec<u8>>,
    output: Option<T>,
}

impl<'a, T, E> Member<'a, T, E> {
    fn new((protocol, (sent, _)): (JointFuture<'a, T, E>, &'a (Sent, Received))) -> Self {
        Self { protocol, sent, message: None, output: None }
    }
}

/// Lets every protocol go on until it has a message or is done.
fn advance<T, E>(members: &mut [Member<'_, T, E>], context: &mut Context<'_>) -> Poll<Result<(), E>> {
    let mut waits = false;
    for member in members.iter_mut().filter(|member| member.output.is_none() && member.message.is_none()) {
        match member.protocol.as_mut().poll(context) {
            Poll::Ready(Ok(output)) => member.output = Some(output),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => member.message = member.sent.pop().ok(),
        }
        waits |= member.output.is_none() && member.message.is_none();
    }
    if waits { Poll::Pending } else { Poll::Ready(Ok(())) }
}

/// One protocol's end: its exchanges are parts of those of the session.
struct Lane {
    party: usize,
    parties: usize,
    sent: Sent,
    received: Received,
}

impl Lane {
    /// There are exchanges alone.
    fn no_link(&self, party: usize) -> TransportError {
        TransportError::NoSuchParty { party, parties: self.parties }
    }
}

impl Transport for Lane {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        self.parties
    }

    async fn send(&mut self, to: usize, _message: &[u8]) -> Result<(), TransportError> {
        Err(self.no_link(to))
    }

    async fn receive(&mut self, from: usize, _message: &mut [u8]) -> Result<(), TransportError> {
        Err(self.no_link(from))
    }

    async fn receive_bounded(&mut self, from: usize, _limit: usize) -> Result<Vec<u8>, TransportError> {
        Err(self.no_link(from))
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        // There is room: the round before has been taken out.
        let _ = self.sent.push(SecretVec::copy_of(message));
        let bytes = poll_fn(|_| self.received.pop().map_or(Poll::Pending, Poll::Ready)).await?;
        if bytes.len() != received.len() {
            return Err(TransportError::BufferLength { expected: bytes.len(), got: received.len() });
        }
        received.copy_from_slice(&bytes);
        Ok(())
    }
}
