//! One party's correlations of one inference, dealt ahead of time and kept: what the dealer sent, frame by frame; or, where two
//! parties make their own, all that they made.
//!
//! A recording is [`Plan::recording_bytes`] bytes: whose it is and for which plan, then the frames. Its content cannot be
//! checked, since it is random: what keeps it in a file encrypts and authenticates it.
//!
//! # Security
//! A recording is as secret as the party's inputs, and serves one inference, whether that ends well or not: two
//! inferences with one recording give away the difference of their values. So whoever keeps it deletes it *before* the
//! inference begins, in a way that outlasts a crash; nothing here can do so. All parties must use their recordings of the
//! same inference: agree on which before ([`PartySession::agree`](crate::PartySession::agree)), or the result is
//! meaningless.

use mpc_protocols::correlation::{OwnRecorded, Recorded};
use mpc_protocols::{CorrelationSource, Place};
use mpc_ring::Ring;
use mpc_shares::SecretVec;
use mpc_transport::{FrameSource, RecordingError};
use zeroize::Zeroize;

use crate::encoding::{EncodingError, Header, Kind};
use crate::error::InferenceError;
use crate::plan::Plan;
use crate::run::labels;

/// A recording in memory. Zeroised as it is read and when dropped, not `Clone`.
#[derive(Debug)]
pub struct Recording {
    bytes: SecretVec<u8>,
    written: usize,
    read: usize,
}

impl Recording {
    /// Room for one inference of a party.
    #[must_use]
    pub fn empty<R: Ring>(plan: &Plan<R>, party: usize) -> Self {
        let bytes = usize::try_from(plan.recording_bytes(party)).unwrap_or(usize::MAX);
        Self { bytes: SecretVec::zeros(bytes), written: 0, read: 0 }
    }

    /// Bytes that were kept; they are checked when they are used.
    #[must_use]
    pub fn from_bytes(bytes: SecretVec<u8>) -> Self {
        Self { written: bytes.len(), bytes, read: 0 }
    }

    /// Adds bytes behind those written so far.
    ///
    /// # Errors
    /// [`RecordingError::Storage`] where there is no room left.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), RecordingError> {
        let room = self.bytes.get_mut(self.written..self.written + bytes.len());
        let full = || RecordingError::Storage { reason: "it is full: it was made for another plan".into() };
        room.ok_or_else(full)?.copy_from_slice(bytes);
        self.written += bytes.len();
        Ok(())
    }

    /// The bytes that have been written and not been read, to be kept encrypted.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.read..self.written]
    }
}

impl FrameSource for Recording {
    fn remaining(&self) -> u64 {
        self.as_bytes().len() as u64
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        let written = &mut self.bytes[self.read..self.written];
        let kept = written.get_mut(..bytes.len()).ok_or(RecordingError::Ended)?;
        bytes.copy_from_slice(kept);
        kept.zeroize();
        self.read += bytes.len();
        Ok(())
    }
}

/// The header of a party's recording.
pub(crate) fn header<R: Ring>(plan: &Plan<R>, party: usize) -> [u8; Header::BYTES] {
    Header::new(plan, party).to_bytes(Kind::Recording)
}

/// Checks that a recording is one of this plan and party, of the right length; gives the correlations that are in it.
pub(crate) async fn open<'s, R: Ring>(
    plan: &Plan<R>,
    place: Place,
    mut source: impl FrameSource + 's,
) -> Result<CorrelationSource<'s>, InferenceError> {
    check(plan, place.party, &mut source)?;
    if plan.own().is_some() {
        return Ok(CorrelationSource::new(OwnRecorded::new(source), &plan.requests()));
    }
    let recorded = Recorded::begin(source, place).await;
    let recorded = recorded.map_err(|source| InferenceError::over_dealer_link(labels::DEAL, source))?;
    Ok(CorrelationSource::new(recorded, &plan.requests()))
}

/// Reads the header of a recording, which must be one of this plan and party, of the right length.
pub(crate) fn check<R: Ring>(
    plan: &Plan<R>,
    party: usize,
    source: &mut impl FrameSource,
) -> Result<(), InferenceError> {
    let (expected, found) = (plan.recording_bytes(party), source.remaining());
    if expected != found {
        return Err(EncodingError::Length { what: Kind::Recording.what(), expected, found }.into());
    }
    let mut bytes = [0; Header::BYTES];
    source.read(&mut bytes).map_err(|source| InferenceError::recording(labels::DEAL, source))?;
    Ok(Header::new(plan, party).check_bytes(Kind::Recording, &bytes)?)
}
