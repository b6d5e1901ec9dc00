//! Correlations that two parties make now and use later.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::SecretVec;
use mpc_transport::{RecordingError, TransportError};

use super::{Own, OwnPlan};
use crate::correlation::{CORRECTION_FRAME_BYTES, Made, Provider, Share};
use crate::{ProtocolError, Request};

/// The bytes that [`Own::record`] hands to `keep` at each of the two parties.
#[must_use]
pub fn recorded_bytes<R: Ring>(requests: &[Request]) -> u64 {
    let layouts = requests.iter().filter_map(|request| request.layout::<R>().ok());
    layouts.map(|layout| layout.kept_bytes()).sum()
}

impl Own {
    /// Makes the correlations of a plan once, to be used later: hands each of its `requests` to `keep`, frame by frame. All that
    /// was kept makes an [`OwnRecorded`](crate::correlation::OwnRecorded) provider. `progress` is called with the
    /// number of requests whose correlations are kept.
    ///
    /// # Security
    /// A recording is as secret as the party's inputs, and must be used once: whoever keeps it deletes it before its use.
    ///
    /// # Rounds and communication
    /// [`OwnPlan::traffic`]. One request's correlations are held at a time, and the groups of comparisons that are in use.
    ///
    /// # Errors
    /// As those of a session that makes them; [`ProtocolError::Transport`] with what `keep` fails with.
    pub async fn record<R: Ring>(
        &mut self,
        plan: &OwnPlan,
        requests: &[Request],
        mut keep: impl FnMut(&[u8]) -> Result<(), RecordingError>,
        mut progress: impl FnMut(usize),
    ) -> Result<(), ProtocolError> {
        let mut making = self.begin(plan);
        let mut frame = SecretVec::<u8>::zeros(CORRECTION_FRAME_BYTES);
        for (index, request) in requests.iter().enumerate() {
            let layout = request.layout::<R>()?;
            let mut made: Vec<Made<R>> = layout.fields().iter().map(Made::blank).collect();
            making.provide(request, made.iter_mut().map(|share| share as &mut dyn Share).collect()).await?;
            for share in &mut made {
                let kept = share.keep(&mut frame, &mut keep);
                kept.map_err(|source| TransportError::Recording { source })?;
            }
            progress(index + 1);
        }
        Ok(())
    }
}
