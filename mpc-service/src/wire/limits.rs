//! The limits of a service, in all and for each peer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mpc_nn::GraphLimits;
use mpc_transport::tls::Fingerprint;

use crate::names::{Refusal, Refused};
use crate::wire::message::Work;

/// The most that a server or dealer grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at a time; 8.
    pub sessions: usize,
    /// Sessions at a time of one peer; 4.
    pub sessions_per_peer: usize,
    /// Inferences of one session; 10,000.
    pub inferences: u32,
    /// Prepared inferences that are kept for one peer, those that are being prepared included; 10,000.
    pub stored: u32,
    /// Memory of all sessions and deposits together, by the estimates of their plans, in bytes; 8 GiB.
    pub memory: u64,
    /// The size of the networks of others; [`GraphLimits::default`], about that of a ResNet-50.
    pub graph: GraphLimits,
    /// How long a session or a deposit may take; of one that prepares inferences, each of them. One hour.
    pub session_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 8,
            sessions_per_peer: 4,
            inferences: 10_000,
            stored: 10_000,
            memory: 8 << 30,
            graph: GraphLimits::default(),
            session_time: Duration::from_secs(3600),
        }
    }
}

impl Limits {
    /// How long a session of that work may take.
    pub(crate) fn time_of(&self, work: Work, inferences: u32) -> Duration {
        let is_preparing = matches!(work, Work::Prepare(_));
        self.session_time.saturating_mul(if is_preparing { inferences.max(1) } else { 1 })
    }
}

/// Keeps count of what is granted.
#[derive(Debug)]
pub(crate) struct Capacity {
    limits: Limits,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    sessions: usize,
    memory: u64,
    by_peer: HashMap<Fingerprint, usize>,
    /// Inferences that each peer is preparing.
    preparing: HashMap<Fingerprint, u64>,
}

/// A session that is granted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    capacity: Arc<Capacity>,
    peer: Fingerprint,
    memory: u64,
    /// 1, or 0 for one who shares a session that is counted already.
    sessions: usize,
    /// Inferences that it prepares.
    preparing: u64,
}

impl Capacity {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, used: Mutex::default() })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Grants a session of `memory` bytes and `inferences` inferences to a peer.
    pub(crate) fn grant(self: &Arc<Self>, peer: Fingerprint, memory: u64, inferences: u32) -> Result<Grant, Refused> {
        let Limits { sessions, sessions_per_peer, inferences: most, memory: all, .. } = self.limits;
        if inferences == 0 || inferences > most {
            return Err((Refusal::Limit, format!("a session here has 1 to {most} inferences, not {inferences}")));
        }
        if memory > all {
            let reason = format!("a session of this plan needs about {memory} bytes of memory, {all} are granted here");
            return Err((Refusal::Limit, reason));
        }
        let mut used = self.lock();
        let own = used.by_peer.get(&peer).copied().unwrap_or_default();
        if own >= sessions_per_peer {
            return Err((
                Refusal::Busy,
                format!("{own} sessions of yours run here, the most for one; try again later"),
            ));
        }
        if used.sessions >= sessions || used.memory.saturating_add(memory) > all {
            return Err((
                Refusal::Busy,
                format!("{} sessions run here, there is no room now; try again", used.sessions),
            ));
        }
        used.sessions += 1;
        used.memory += memory;
        *used.by_peer.entry(peer).or_default() += 1;
        drop(used);
        Ok(Grant { capacity: Arc::clone(self), peer, memory, sessions: 1, preparing: 0 })
    }

    /// Counts a session that was granted to another peer for this one, too.
    pub(crate) fn join(self: &Arc<Self>, peer: Fingerprint) -> Result<Grant, Refused> {
        let mut used = self.lock();
        let own = used.by_peer.entry(peer).or_default();
        if *own >= self.limits.sessions_per_peer {
            return Err((Refusal::Busy, format!("{own} sessions of one party run here, the most for one; try later")));
        }
        *own += 1;
        drop(used);
        Ok(Grant { capacity: Arc::clone(self), peer, memory: 0, sessions: 0, preparing: 0 })
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant {
    /// Counts inferences that the session prepares, as long as it is granted; how many its peer prepares now in all.
    pub(crate) fn prepare(&mut self, inferences: u32) -> u64 {
        let mut used = self.capacity.lock();
        self.preparing += u64::from(inferences);
        let all = used.preparing.entry(self.peer).or_default();
        *all += u64::from(inferences);
        *all
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut used = self.capacity.lock();
        if let Some(all) = used.preparing.get_mut(&self.peer) {
            *all -= self.preparing;
            if *all == 0 {
                used.preparing.remove(&self.peer);
            }
        }
        used.sessions -= self.sessions;
        used.memory -= self.memory;
        if let Some(own) = used.by_peer.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                used.by_peer.remove(&self.peer);
            }
        }
    }
}
