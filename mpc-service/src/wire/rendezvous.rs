//! Where the connections of one session, which arrive one by one, find each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::names::SessionId;

/// The most connections that wait at a time, of all sessions together.
const MAX_WAITING: usize = 256;

/// How often whoever waits looks whether that still makes sense.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that wait for others of their session, each under an index of its own.
#[derive(Debug)]
pub(crate) struct Rendezvous<L> {
    waiting: Mutex<HashMap<SessionId, Group<L>>>,
    arrived: Condvar,
    /// How long a connection waits.
    patience: Duration,
}

#[derive(Debug)]
struct Group<L> {
    links: HashMap<usize, L>,
    /// When the first one came.
    since: Instant,
}

/// Why a connection may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Another one of that index is there.
    Taken,
    /// Too many wait.
    Full,
}

impl<L> Rendezvous<L> {
    /// Connections wait for `patience` at most.
    pub fn new(patience: Duration) -> Self {
        Self { waiting: Mutex::new(HashMap::new()), arrived: Condvar::new(), patience }
    }

    /// Leaves a connection; all of its session in the order of their indices, if with it there are `count`. Gives back one
    /// that may not wait.
    pub fn arrive(
        &self,
        session: SessionId,
        index: usize,
        count: usize,
        link: L,
    ) -> Result<Option<Vec<L>>, (Turned, L)> {
        let mut waiting = self.lock();
        let total: usize = waiting.values().map(|group| group.links.len()).sum();
        if total >= MAX_WAITING {
            return Err((Turned::Full, link));
        }
        let group = waiting.entry(session).or_insert_with(|| Group { links: HashMap::new(), since: Instant::now() });
        if group.links.contains_key(&index) {
            return Err((Turned::Taken, link));
        }
        group.links.insert(index, link);
        if group.links.len() < count {
            self.arrived.notify_all();
            return Ok(None);
        }
        let mut group = waiting.remove(&session).map(|group| group.links).unwrap_or_default();
        Ok(Some((0..count).filter_map(|index| group.remove(&index)).collect()))
    }

    /// Waits for the connection of an index; `None` if it does not come in time, or `is_pointless` says so before.
    pub fn wait_for(&self, session: SessionId, index: usize, mut is_pointless: impl FnMut() -> bool) -> Option<L> {
        let end = Instant::now() + self.patience;
        let mut waiting = self.lock();
        loop {
            if let Some(group) = waiting.get_mut(&session)
                && let Some(link) = group.links.remove(&index)
            {
                if group.links.is_empty() {
                    waiting.remove(&session);
                }
                return Some(link);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.arrived.wait_timeout(waiting, left.min(PAUSE));
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
            if is_pointless() {
                return None;
            }
        }
    }

    /// Whether somebody waits, for a session if one is named.
    pub fn has(&self, session: Option<SessionId>) -> bool {
        let waiting = self.lock();
        session.map_or(!waiting.is_empty(), |session| waiting.contains_key(&session))
    }

    /// Takes away those that have waited too long: of each session the connections by their indices.
    pub fn sweep(&self) -> Vec<BTreeMap<usize, L>> {
        let is_late = |_: &SessionId, group: &mut Group<L>| group.since.elapsed() >= self.patience;
        self.lock().extract_if(is_late).map(|(_, group)| group.links.into_iter().collect()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Group<L>>> {
        // No one panics while holding it; if one did, the map would still be whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_group_is_complete_once_and_in_order() {
        let rendezvous = Rendezvous::new(Duration::from_secs(5));
        assert_eq!(rendezvous.arrive([1; 16], 2, 3, 'c'), Ok(None));
        assert_eq!(rendezvous.arrive([2; 16], 0, 3, 'x'), Ok(None));
        assert_eq!(rendezvous.arrive([1; 16], 0, 3, 'a'), Ok(None));
        assert_eq!(rendezvous.arrive([1; 16], 0, 3, 'z'), Err((Turned::Taken, 'z')));
        assert_eq!(rendezvous.arrive([1; 16], 1, 3, 'b'), Ok(Some(vec!['a', 'b', 'c'])));
        assert_eq!(rendezvous.arrive([1; 16], 1, 3, 'b'), Ok(None));
    }

    #[test]
    fn one_that_is_waited_for_comes_before_or_after() {
        let rendezvous = Rendezvous::new(Duration::from_secs(5));
        rendezvous.arrive([1; 16], 1, usize::MAX, 'b').unwrap();
        assert_eq!(rendezvous.wait_for([1; 16], 1, || false), Some('b'));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| rendezvous.wait_for([1; 16], 2, || false));
            rendezvous.arrive([1; 16], 2, usize::MAX, 'c').unwrap();
            assert_eq!(waiting.join().unwrap(), Some('c'));
        });
    }

    #[test]
    fn nobody_waits_for_what_is_pointless() {
        let rendezvous = Rendezvous::<()>::new(Duration::from_secs(3600));
        assert_eq!(rendezvous.wait_for([1; 16], 0, || true), None);
    }

    #[test]
    fn nothing_waits_for_ever_and_not_too_much_waits() {
        let rendezvous = Rendezvous::new(Duration::ZERO);
        assert_eq!(rendezvous.wait_for([1; 16], 0, || false), None);
        for index in 0..MAX_WAITING {
            rendezvous.arrive([1; 16], index, usize::MAX, ()).unwrap();
        }
        assert_eq!(rendezvous.arrive([2; 16], 0, 2, ()), Err((Turned::Full, ())));
        assert_eq!(rendezvous.sweep().iter().map(BTreeMap::len).collect::<Vec<_>>(), [MAX_WAITING]);
        assert_eq!(rendezvous.arrive([2; 16], 0, 2, ()), Ok(None));
    }
}
