//! A whole session with the dealer: its traffic and frames, and how a party records it.

use core::iter;

use mpc_ring::Ring;
use mpc_shares::{SecretVec, Seed};
use mpc_transport::{Connection, Link, RecordingError, Traffic, TransportError};

use super::layout::{CORRECTION_FRAME_BYTES, Layout};
use super::request::Request;
use crate::ProtocolError;
use crate::place::Place;

/// The traffic that a party receives from the dealer in a session that is dealt to `plan` in ring `R`: its seed, and
/// for the last party the corrections, all in one round.
#[must_use]
pub fn traffic<R: Ring>(plan: &[Request], place: Place) -> Traffic {
    let corrections = plan.iter().filter(|_| place.is_last()).map(Request::traffic::<R>);
    Traffic::receive(Seed::BYTES as u64) + corrections.sum()
}

/// The lengths of the frames that [`traffic`] counts, in the order in which they arrive: all that a party ever has to keep
/// of a session that is dealt before its correlations are used.
pub fn frame_lengths<R: Ring>(plan: &[Request], place: Place) -> impl Iterator<Item = usize> {
    let corrections = plan.iter().filter(move |_| place.is_last());
    let corrections = corrections.filter_map(|request| request.layout::<R>().ok()).flat_map(Layout::frame_lengths);
    iter::once(Seed::BYTES).chain(corrections)
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
    let mut buffer = SecretVec::<u8>::zeros(if place.is_last() { CORRECTION_FRAME_BYTES } else { Seed::BYTES });
    let corrections = plan.iter().map(|request| if place.is_last() { Some(request) } else { None });
    // The seed belongs to no request.
    for (index, request) in iter::once(None).chain(corrections).enumerate() {
        let seed = (index == 0).then_some(Seed::BYTES);
        let layout = request.and_then(|request| request.layout::<R>().ok()).unwrap_or_default();
        for len in seed.into_iter().chain(layout.frame_lengths()) {
            let frame = &mut buffer[..len];
            link.receive(frame).await?;
            keep(frame).map_err(|source| TransportError::Recording { source })?;
        }
        progress(index);
    }
    Ok(())
}
