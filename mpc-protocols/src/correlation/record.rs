//! A whole session with the dealer: its traffic and frames, and how a party records it.

use core::iter;

use mpc_ring::Ring;
use mpc_shares::SecretVec;
use mpc_transport::{Connection, Link, RecordingError, Traffic, TransportError};

use super::layout::{CORRECTION_FRAME_BYTES, Layout, SEEDS_BYTES};
use super::request::Request;
use crate::ProtocolError;
use crate::place::Place;

/// The traffic that a party receives from the dealer in a session that is dealt to `plan` in ring `R`: its seeds, and
/// for the last party the corrections, all in one round.
#[must_use]
pub fn traffic<R: Ring>(plan: &[Request], place: Place) -> Traffic {
    let corrections = plan.iter().filter(|_| place.is_last()).map(Request::traffic::<R>);
    Traffic::receive(SEEDS_BYTES as u64) + corrections.sum()
}

/// The lengths of the frames that [`traffic`] counts, in the order in which they arrive: all that a party ever has to keep
/// of a session that is dealt before its correlations are used.
pub fn frame_lengths<R: Ring>(plan: &[Request], place: Place) -> impl Iterator<Item = usize> {
    iter::once(SEEDS_BYTES).chain(plan.iter().flat_map(move |request| correction_lengths::<R>(request, place)))
}

/// The lengths of the frames of one request's corrections, which the last party alone receives.
fn correction_lengths<R: Ring>(request: &Request, place: Place) -> impl Iterator<Item = usize> + use<R> {
    let layout = if place.is_last() { request.layout::<R>().ok() } else { None };
    layout.into_iter().flat_map(Layout::frame_lengths)
}

/// Receives what the dealer sends a party in one session that is dealt to `plan` in ring `R`, and hands it to `keep` frame
/// by frame, to be used later: all that was kept makes a [`Recorded`](super::Recorded) provider. `progress` is called with the
/// number of requests whose correlations are kept.
///
/// # Security
/// A recording is as secret as the party's inputs, and must be used once: whoever keeps it deletes it before its use.
///
/// # Rounds and communication
/// As [`traffic`]; at most [`CORRECTION_FRAME_BYTES`] are held at a time.
///
/// # Errors
/// [`ProtocolError::Transport`], which also has what `keep` fails with.
pub async fn record<R: Ring>(
    link: &mut Link,
    place: Place,
    plan: &[Request],
    mut keep: impl FnMut(&[u8]) -> Result<(), RecordingError>,
    mut progress: impl FnMut(usize),
) -> Result<(), ProtocolError> {
    let mut buffer = SecretVec::<u8>::zeros(if place.is_last() { CORRECTION_FRAME_BYTES } else { SEEDS_BYTES });
    pass_on(link, &mut buffer[..SEEDS_BYTES], &mut keep).await?;
    for (index, request) in plan.iter().enumerate() {
        for len in correction_lengths::<R>(request, place) {
            pass_on(link, &mut buffer[..len], &mut keep).await?;
        }
        progress(index + 1);
    }
    Ok(())
}

/// Receives a frame and has it kept.
async fn pass_on(
    link: &mut Link,
    frame: &mut [u8],
    keep: &mut impl FnMut(&[u8]) -> Result<(), RecordingError>,
) -> Result<(), TransportError> {
    link.receive(frame).await?;
    keep(frame).map_err(|source| TransportError::Recording { source })
}
