//! Counts what passes through a transport, by phase and label.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{Traffic, Transport, TransportError};

/// The part of a session that traffic belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Phase {
    /// Handshakes, and what is done once for a loaded model.
    Setup,
    /// Correlations: no input is known yet.
    Preprocessing,
    /// From the input to the result.
    Online,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "setup",
            Self::Preprocessing => "preprocessing",
            Self::Online => "online",
        })
    }
}

/// Label of what is counted before the first [`Metered::begin`], under [`Phase::Setup`].
const UNLABELLED: &str = "unlabelled";

/// Traffic by phase and label.
///
/// Rounds are counted so that they are waits that follow one another:
/// - an exchange is one round;
/// - a send is none;
/// - a receive is one round if it is the first since [`Metered::begin`], or if anything was sent or exchanged since the
///   previous receive. Further receives with nothing sent between belong to the same wait, as in a one-way stream from
///   the dealer.
///
/// Only completed operations count: a failed one leaves the meter as it was.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    entries: Vec<Entry>,
    index: BTreeMap<Phase, BTreeMap<String, usize>>,
    current: Option<usize>,
    /// Whether the next receive belongs to the wait of the previous one.
    in_wait: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    phase: Phase,
    label: String,
    traffic: Traffic,
}

impl Meter {
    /// The sum over all labels of `phase`.
    pub fn total(&self, phase: Phase) -> Traffic {
        self.entries.iter().filter(|entry| entry.phase == phase).map(|entry| entry.traffic).sum()
    }

    /// Each phase and label with its traffic, in the order of first use.
    pub fn entries(&self) -> impl Iterator<Item = (Phase, &str, Traffic)> {
        self.entries.iter().map(|entry| (entry.phase, entry.label.as_str(), entry.traffic))
    }

    /// The traffic counted under `phase` and `label`; zero where there was none.
    pub fn traffic(&self, phase: Phase, label: &str) -> Traffic {
        self.find(phase, label).map(|at| self.entries[at].traffic).unwrap_or_default()
    }

    /// Forgets all counts. Counting goes on under the phase and label of the last [`Metered::begin`].
    pub fn clear(&mut self) {
        let current = self.current.map(|at| self.entries.swap_remove(at));
        *self = Self::default();
        if let Some(entry) = current {
            self.begin(entry.phase, &entry.label);
        }
    }

    pub(crate) fn begin(&mut self, phase: Phase, label: &str) {
        let at = self.find(phase, label).unwrap_or_else(|| self.insert(phase, label));
        self.current = Some(at);
        self.in_wait = false;
    }

    fn find(&self, phase: Phase, label: &str) -> Option<usize> {
        self.index.get(&phase)?.get(label).copied()
    }

    fn insert(&mut self, phase: Phase, label: &str) -> usize {
        let at = self.entries.len();
        self.entries.push(Entry { phase, label: label.to_owned(), traffic: Traffic::default() });
        self.index.entry(phase).or_default().insert(label.to_owned(), at);
        at
    }

    fn count(&mut self, traffic: Traffic) {
        if self.current.is_none() {
            self.begin(Phase::Setup, UNLABELLED);
        }
        if let Some(entry) = self.current.and_then(|at| self.entries.get_mut(at)) {
            entry.traffic += traffic;
        }
    }

    pub(crate) fn count_outgoing(&mut self, traffic: Traffic) {
        self.count(traffic);
        self.in_wait = false;
    }

    pub(crate) fn count_receive(&mut self, bytes: usize) {
        let rounds = u64::from(!self.in_wait);
        self.count(Traffic { rounds, ..Traffic::receive(bytes as u64) });
        self.in_wait = true;
    }
}

/// A transport that counts what passes through it.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use std::time::Duration;
/// use mpc_transport::{Metered, Phase, Traffic, Transport, memory_network};
///
/// let parties = memory_network(2, Duration::from_secs(5));
/// let counts: Vec<Traffic> = std::thread::scope(|scope| {
///     let run = |transport| {
///         let mut transport = Metered::new(transport);
///         transport.begin(Phase::Online, "open");
///         smol::block_on(transport.exchange(&[1, 2, 3], &mut [0; 3])).unwrap();
///         transport.meter().total(Phase::Online)
///     };
///     let threads: Vec<_> = parties.into_iter().map(|t| scope.spawn(move || run(t))).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).collect()
/// });
/// assert_eq!(counts, [Traffic::exchange(3, 2); 2]);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Metered<T> {
    inner: T,
    meter: Meter,
}

impl<T> Metered<T> {
    /// Starts to count what passes through `inner`, under [`Phase::Setup`] and the label "unlabelled" until
    /// [`begin`](Self::begin) says otherwise.
    pub fn new(inner: T) -> Self {
        Self { inner, meter: Meter::default() }
    }

    /// Counts what follows under `phase` and `label`, and starts a new wait. A pair used before goes on counting.
    pub fn begin(&mut self, phase: Phase, label: &str) {
        self.meter.begin(phase, label);
    }

    /// Adds traffic that passed through [`inner_mut`](Self::inner_mut), under a phase and label.
    pub fn count(&mut self, phase: Phase, label: &str, traffic: Traffic) {
        self.begin(phase, label);
        self.meter.count_outgoing(traffic);
    }

    /// The counts so far.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The counts so far, for [`Meter::clear`].
    pub fn meter_mut(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// The transport inside.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The transport inside; what passes through it directly is not counted.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The transport inside and the counts.
    pub fn into_parts(self) -> (T, Meter) {
        (self.inner, self.meter)
    }
}

impl<T: Transport> Transport for Metered<T> {
    fn party(&self) -> usize {
        self.inner.party()
    }

    fn parties(&self) -> usize {
        self.inner.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.inner.send(to, message).await?;
        self.meter.count_outgoing(Traffic::send(message.len() as u64));
        Ok(())
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.inner.receive(from, message).await?;
        self.meter.count_receive(message.len());
        Ok(())
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        let message = self.inner.receive_bounded(from, limit).await?;
        self.meter.count_receive(message.len());
        Ok(message)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        self.inner.exchange(message, received).await?;
        self.meter.count_outgoing(Traffic::exchange(message.len() as u64, self.inner.parties()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receives_without_a_send_between_are_one_round() {
        let mut meter = Meter::default();
        meter.begin(Phase::Online, "a");
        meter.count_receive(1);
        meter.count_receive(1);
        meter.count_outgoing(Traffic::send(1));
        meter.count_receive(1);
        assert_eq!(meter.total(Phase::Online).rounds, 2);
        meter.begin(Phase::Online, "a");
        meter.count_receive(1);
        meter.count_outgoing(Traffic::exchange(1, 2));
        meter.count_receive(1);
        assert_eq!(meter.total(Phase::Online).rounds, 5);
    }

    #[test]
    fn labels_keep_the_order_of_first_use() {
        let mut meter = Meter::default();
        meter.count(Traffic::send(1));
        for (phase, label) in
            [(Phase::Online, "b"), (Phase::Preprocessing, "b"), (Phase::Online, "a"), (Phase::Online, "b")]
        {
            meter.begin(phase, label);
            meter.count(Traffic::send(1));
        }
        let entries: Vec<_> =
            meter.entries().map(|(phase, label, traffic)| (phase, label, traffic.frames_sent)).collect();
        let expected = [
            (Phase::Setup, UNLABELLED, 1),
            (Phase::Online, "b", 2),
            (Phase::Preprocessing, "b", 1),
            (Phase::Online, "a", 1),
        ];
        assert_eq!(entries, expected);
        assert_eq!(meter.traffic(Phase::Online, "b").frames_sent, 2);
        assert!(meter.traffic(Phase::Setup, "b").is_empty());
    }

    #[test]
    fn clearing_keeps_the_current_label() {
        let mut meter = Meter::default();
        meter.begin(Phase::Online, "a");
        meter.begin(Phase::Online, "b");
        meter.count(Traffic::send(1));
        meter.clear();
        assert!(meter.total(Phase::Online).is_empty());
        meter.count(Traffic::send(2));
        assert_eq!(meter.entries().collect::<Vec<_>>(), [(Phase::Online, "b", Traffic::send(2))]);
    }
}
