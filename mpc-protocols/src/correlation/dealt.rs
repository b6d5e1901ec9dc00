//! The dealer as a party's provider: seeds, and for the last party corrections, over a link or from a recording.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mpc_shares::{Prg, SecretVec, Seed};
use mpc_transport::{Connection, FrameSource, Link, TransportError};
use zeroize::Zeroizing;

use super::layout::{CORRECTION_FRAME_BYTES, Origin, SEEDS_BYTES};
use super::provider::{Provided, Provider, Share};
use super::request::Request;
use crate::ProtocolError;
use crate::place::Place;

/// A party's correlations of one session as a [`Dealer`](super::Dealer) makes them, over the link to it.
pub struct Dealt<'a>(Stream<&'a mut Link>);

impl<'a> Dealt<'a> {
    /// Begins a session: receives this party's seeds. The last party needs the link during the session.
    ///
    /// # Rounds and communication
    /// 64 bytes ([`traffic`](super::traffic) has the whole session's).
    ///
    /// # Errors
    /// [`ProtocolError::Transport`].
    pub async fn begin(link: &'a mut Link, place: Place) -> Result<Self, ProtocolError> {
        Stream::begin(link, place).await.map(Self)
    }
}

impl Provider for Dealt<'_> {
    fn provide<'a>(&'a mut self, _: &'a Request, shares: Vec<&'a mut dyn Share>) -> Provided<'a> {
        Box::pin(self.0.fill(shares))
    }
}

/// A party's correlations of one session that a dealer made before, and that were [recorded](super::record).
pub struct Recorded<S: FrameSource>(Stream<Kept<S>>);

impl<S: FrameSource> Recorded<S> {
    /// Begins a session with the recorded seeds.
    ///
    /// # Security
    /// A recording serves one session: it must be gone from where it was kept before this.
    ///
    /// # Errors
    /// [`ProtocolError::Transport`] with what `source` fails with.
    pub async fn begin(source: S, place: Place) -> Result<Self, ProtocolError> {
        Stream::begin(Kept(source), place).await.map(Self)
    }
}

impl<S: FrameSource> Provider for Recorded<S> {
    fn provide<'a>(&'a mut self, _: &'a Request, shares: Vec<&'a mut dyn Share>) -> Provided<'a> {
        Box::pin(self.0.fill(shares))
    }
}

/// The frames that the dealer sends or has sent.
trait Frames: Send {
    /// Fills `frame` with the next one, of just its length.
    fn next(&mut self, frame: &mut [u8]) -> impl Future<Output = Result<(), TransportError>> + Send;
}

impl Frames for &mut Link {
    async fn next(&mut self, frame: &mut [u8]) -> Result<(), TransportError> {
        self.receive(frame).await
    }
}

struct Kept<S>(S);

impl<S: FrameSource> Frames for Kept<S> {
    async fn next(&mut self, frame: &mut [u8]) -> Result<(), TransportError> {
        self.0.read(frame).map_err(|source| TransportError::Recording { source })
    }
}

/// The generators of a session's first frame.
pub(crate) fn generators(seeds: &[u8; SEEDS_BYTES]) -> [Prg; 2] {
    let (halves, _) = seeds.as_chunks::<{ Seed::BYTES }>();
    [0, 1].map(|half: usize| Prg::new(Seed::copy_of(&halves[half])))
}

/// Parties 0 … n−2 expand a seed. The last party expands one too for what is uniformly random, and is sent the corrections
/// that make all shares add up.
struct Stream<F> {
    generator: Prg,
    /// For what is dealt apart.
    apart: Prg,
    /// The last party's.
    corrections: Option<F>,
    /// The frame received last.
    frame: SecretVec<u8>,
}

impl<F: Frames> Stream<F> {
    async fn begin(mut frames: F, place: Place) -> Result<Self, ProtocolError> {
        let mut bytes = Zeroizing::new([0; SEEDS_BYTES]);
        frames.next(bytes.as_mut_slice()).await?;
        let [generator, apart] = generators(&bytes);
        Ok(Self {
            generator,
            apart,
            corrections: place.is_last().then_some(frames),
            frame: SecretVec::zeros(if place.is_last() { CORRECTION_FRAME_BYTES } else { 0 }),
        })
    }

    async fn fill(&mut self, shares: Vec<&mut dyn Share>) -> Result<(), ProtocolError> {
        for share in shares {
            match (&mut self.corrections, share.field().origin) {
                (Some(frames), Origin::Dealt | Origin::DealtApart) => receive(frames, &mut self.frame, share).await?,
                (None, Origin::DealtApart) => share.expand(&mut self.apart),
                (None, Origin::Dealt) | (_, Origin::Uniform) => share.expand(&mut self.generator),
            }
        }
        Ok(())
    }
}

/// Two parties' correlations of one inference that they made before, and that were [kept](crate::own::Own::record): every
/// field is in the recording.
pub struct OwnRecorded<S: FrameSource> {
    frames: Kept<S>,
    frame: SecretVec<u8>,
}

impl<S: FrameSource> OwnRecorded<S> {
    /// The correlations of a recording.
    ///
    /// # Security
    /// A recording serves one inference: it must be gone from where it was kept before this.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self { frames: Kept(source), frame: SecretVec::zeros(CORRECTION_FRAME_BYTES) }
    }
}

impl<S: FrameSource> Provider for OwnRecorded<S> {
    fn provide<'a>(&'a mut self, _: &'a Request, shares: Vec<&'a mut dyn Share>) -> Provided<'a> {
        Box::pin(async move {
            for share in shares {
                receive(&mut self.frames, &mut self.frame, share).await?;
            }
            Ok(())
        })
    }
}

/// Receives a field, frame by frame.
async fn receive(frames: &mut impl Frames, frame: &mut [u8], share: &mut dyn Share) -> Result<(), ProtocolError> {
    let field = *share.field();
    if let Some(packed) = share.packed() {
        for part in packed.chunks_mut(field.packed_bytes(field.frame_len()).max(1)) {
            frames.next(part).await?;
        }
        return Ok(());
    }
    for part in field.kept_frames() {
        let bytes = &mut frame[..field.packed_bytes(part.len())];
        frames.next(bytes).await?;
        share.unpack(part, bytes);
    }
    Ok(())
}
