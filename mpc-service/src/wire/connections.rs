//! The connections that each peer has to a service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mpc_transport::tls::Fingerprint;

use crate::names::{Refusal, Refused};

/// The most connections of one peer that has fewer sessions: an eighth of what a service has room for.
const MAX_OF_ONE: usize = 32;

/// How many connections each peer has.
#[derive(Debug)]
pub(crate) struct Connections {
    counts: Mutex<HashMap<Fingerprint, usize>>,
    most: usize,
}

/// A connection that counts, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    peer: Fingerprint,
}

impl Connections {
    /// With room for the sessions that one peer may have at a time, each of which has a connection, and as many that begin.
    pub(crate) fn new(sessions_per_peer: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), most: sessions_per_peer.saturating_mul(2).max(MAX_OF_ONE) })
    }

    /// Counts a connection, unless the peer has the most that one may have.
    pub(crate) fn place(self: &Arc<Self>, peer: Fingerprint) -> Result<Place, Refused> {
        let mut counts = self.lock();
        let own = counts.entry(peer).or_default();
        if *own >= self.most {
            return Err((
                Refusal::Busy,
                format!("{own} connections of yours are open here, the most for one; try later"),
            ));
        }
        *own += 1;
        drop(counts);
        Ok(Place { connections: Arc::clone(self), peer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        if let Some(own) = counts.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}
