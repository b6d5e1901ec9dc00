//! A party's end of the dealer's work: its stream of correlations.

mod expansion;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec, Seed};
use mpc_transport::{Link, RecordingError, Traffic, TransportError};
use zeroize::Zeroizing;

use crate::request::{CORRECTION_FRAME_BYTES, frame_elements};
use crate::{ProtocolError, Request};

pub(crate) use expansion::Expansion;

/// One party's share of a correlation. Consumed by value by the protocol that uses it; never cloned, so never used twice:
///
/// ```compile_fail,E0382
/// use mpc_protocols::{Party, ProtocolError, beaver};
/// use mpc_shares::ArithmeticShares;
/// # type Shares = ArithmeticShares<u64>;
///
/// async fn twice(party: &mut Party, x: &Shares, pair: beaver::SquarePair<u64>) -> Result<(), ProtocolError> {
///     beaver::square(party, x, pair).await?;
///     beaver::square(party, x, pair).await.map(drop)
/// }
/// ```
pub trait Correlation<R: Ring>: Sized {
    /// The public shape that a plan fixes.
    type Shape;

    /// The plan's entry for this shape.
    fn request(shape: &Self::Shape) -> Request;

    /// Draws this party's share from its stream, in the order in which the dealer deals it.
    fn draw(
        shape: &Self::Shape,
        source: &mut CorrelationSource<'_>,
    ) -> impl Future<Output = Result<Self, ProtocolError>> + Send;
}

/// A party's stream of correlations in one session, in the order of the plan.
///
/// Parties 0 … n−2 expand a seed. The last party expands one too for what is uniformly random, and receives over its
/// link to the dealer the corrections that make all shares add up.
#[derive(Debug)]
pub struct CorrelationSource<'a> {
    planned: VecDeque<Request>,
    generator: Prg,
    link: Option<&'a mut Link>,
    /// The frame received last.
    frame: SecretVec<u8>,
}

/// What a party receives from the dealer in a session that is dealt to `plan` in ring `R`: its seed, and for the last
/// party the corrections, all in one round.
#[must_use]
pub fn traffic<R: Ring>(plan: &[Request], is_last: bool) -> Traffic {
    let mut traffic = Traffic::receive(Seed::BYTES as u64);
    if is_last {
        traffic += plan.iter().map(Request::traffic::<R>).sum();
    }
    traffic
}

/// The lengths of the frames that [`traffic`] counts, in the order in which they arrive: all that a party ever has to keep
/// of a session that is dealt before its correlations are used.
pub fn frame_lengths<R: Ring>(plan: &[Request], is_last: bool) -> impl Iterator<Item = usize> {
    let corrections = plan.iter().filter(move |_| is_last).flat_map(Request::frame_lengths::<R>);
    core::iter::once(Seed::BYTES).chain(corrections)
}

/// Receives what the dealer sends a party in one session that is dealt to `plan` in ring `R`, and hands it to `keep` frame
/// by frame, to be used later: a [`Replay`](mpc_transport::Replay) of all that was kept is a link for
/// [`CorrelationSource::begin`].
///
/// # Security
/// What is kept is as secret as the party's inputs, and must be used once: whoever keeps it deletes it before its use.
///
/// # Rounds and communication
/// As [`traffic`]; at most [`CORRECTION_FRAME_BYTES`] are held at a time.
///
/// # Errors
/// [`ProtocolError::Transport`], which also has what `keep` fails with.
pub async fn record<R: Ring>(
    link: &mut Link,
    is_last: bool,
    plan: &[Request],
    mut keep: impl FnMut(&[u8]) -> Result<(), RecordingError>,
) -> Result<(), ProtocolError> {
    let mut buffer = SecretVec::<u8>::zeros(if is_last { CORRECTION_FRAME_BYTES } else { Seed::BYTES });
    for len in frame_lengths::<R>(plan, is_last) {
        let frame = &mut buffer[..len];
        link.receive(frame).await?;
        keep(frame).map_err(|source| TransportError::Recording { party: DEALER_NODE, source })?;
    }
    Ok(())
}

/// The node of the party on its link to the dealer.
pub const PARTY_NODE: usize = 0;
/// The node of the dealer on its link to a party.
pub const DEALER_NODE: usize = 1;

impl<'a> CorrelationSource<'a> {
    /// Begins a session: receives this party's seed from the dealer over `link`.
    ///
    /// # Rounds and communication
    /// 32 bytes ([`traffic`] has the whole session's).
    ///
    /// # Errors
    /// [`ProtocolError::Transport`].
    pub async fn begin(link: &'a mut Link, is_last: bool, plan: &[Request]) -> Result<Self, ProtocolError> {
        let mut bytes = Zeroizing::new([0; Seed::BYTES]);
        link.receive(bytes.as_mut_slice()).await?;
        Ok(Self {
            planned: plan.iter().cloned().collect(),
            generator: Prg::new(Seed::from_bytes(*bytes)),
            link: is_last.then_some(link),
            frame: SecretVec::zeros(if is_last { CORRECTION_FRAME_BYTES } else { 0 }),
        })
    }

    /// This party's share of the plan's next correlation.
    ///
    /// # Errors
    /// [`ProtocolError::PlanDiffers`] or [`ProtocolError::RanDry`] if that is not what the plan has next;
    /// [`ProtocolError::Transport`].
    pub async fn next<R: Ring, C: Correlation<R>>(&mut self, shape: C::Shape) -> Result<C, ProtocolError> {
        let asked = C::request(&shape);
        match self.planned.pop_front() {
            None => Err(ProtocolError::RanDry { asked: Box::new(asked) }),
            Some(planned) if planned != asked => {
                Err(ProtocolError::PlanDiffers { planned: Box::new(planned), asked: Box::new(asked) })
            }
            Some(_) => C::draw(&shape, self).await,
        }
    }

    /// Ends a session: everything planned must have been used.
    ///
    /// # Errors
    /// [`ProtocolError::LeftOver`].
    pub fn finish(self) -> Result<(), ProtocolError> {
        let count = self.planned.len();
        if count == 0 { Ok(()) } else { Err(ProtocolError::LeftOver { count }) }
    }

    /// A share of uniformly random elements, each party's own.
    pub(crate) fn uniform<R: Ring>(&mut self, len: usize) -> Vec<R> {
        let mut elements = SecretVec::zeros(len);
        R::fill_random(&mut elements, &mut self.generator);
        elements.into_vec()
    }

    /// A share of elements that the dealer fixed, modulo 2^`bits`.
    pub(crate) async fn elements<R: Ring>(&mut self, len: usize, bits: u32) -> Result<Vec<R>, ProtocolError> {
        let Some(link) = &mut self.link else { return Ok(self.uniform(len)) };
        let mut elements = SecretVec::zeros(len);
        if bits > 0 {
            for part in elements.chunks_mut(frame_elements(bits)) {
                let frame = &mut self.frame[..packing::packed_len(part.len(), bits)];
                link.receive(frame).await?;
                packing::unpack(frame, bits, part);
            }
        }
        Ok(elements.into_vec())
    }

    /// An XOR share of words that the dealer fixed.
    pub(crate) async fn words(&mut self, len: usize) -> Result<Vec<u64>, ProtocolError> {
        self.elements(len, u64::BITS).await
    }
}
