//! The cost of making correlations at a party, as its meter will count it.

use mpc_ot::{Batch, Schedule, exchange_traffic};
use mpc_transport::Traffic;

/// The traffic of one request in the making.
pub(super) struct Account<'s> {
    schedule: &'s mut Schedule,
    total: Traffic,
    /// Whether what is received next belongs to the wait of what was received last.
    in_wait: bool,
}

impl<'s> Account<'s> {
    pub(super) fn new(schedule: &'s mut Schedule) -> Self {
        Self { schedule, total: Traffic::default(), in_wait: false }
    }

    pub(super) fn total(&self) -> Traffic {
        self.total
    }

    pub(super) fn schedule(&mut self) -> &mut Schedule {
        self.schedule
    }

    /// Random OTs.
    pub(super) fn random(&mut self, sends: &[Batch], receives: &[Batch]) {
        let traffic = self.schedule.random(sends, receives);
        self.exchange(traffic.payload_sent as usize, traffic.payload_received as usize);
    }

    /// Messages of two lengths.
    pub(super) fn exchange(&mut self, sent: usize, received: usize) {
        let mut traffic = exchange_traffic(sent, received);
        if sent == 0 && received > 0 && self.in_wait {
            traffic.rounds = 0;
        }
        if sent > 0 || received > 0 {
            self.in_wait = received > sent;
        }
        self.total += traffic;
    }

    /// Adds traffic that was counted elsewhere, and ended with an exchange.
    pub(super) fn add(&mut self, traffic: Traffic) {
        self.in_wait = false;
        self.total += traffic;
    }
}
