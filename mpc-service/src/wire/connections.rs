//! The connections that each peer has to a service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mpc_transport::tls::Fingerprint;

use crate::names::{Refusal, Refused};

/// The most connections of one peer: an eighth of what a service has room for.
pub(crate) const MAX_OF_ONE: usize = 32;

/// How many connections each peer has.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<HashMap<Fingerprint, usize>>);

/// A connection that counts, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    peer: Fingerprint,
}

impl Connections {
    /// Counts a connection, unless the peer has the most that one may have.
    pub(crate) fn place(self: &Arc<Self>, peer: Fingerprint) -> Result<Place, Refused> {
        let mut counts = self.lock();
        let own = counts.entry(peer).or_default();
        if *own >= MAX_OF_ONE {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
