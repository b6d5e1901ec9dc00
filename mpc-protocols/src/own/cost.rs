//! The cost of making correlations at a party, as its meter will count it.

use mpc_ot::{Batch, Schedule, exchange_traffic};
use mpc_transport::Traffic;

use crate::maximum::ROUND;

/// The bytes that a polynomial is worth: so many travel at 100 Mbit/s while it is drawn and transformed, in 100 µs.
const POLYNOMIAL: u64 = 1_250;

/// The price of a way to make a correlation, of which the cheapest is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Price {
    /// Bytes for all inferences, in both directions.
    pub(super) once: u64,
    /// Bytes of each inference, in both directions.
    pub(super) bytes: u64,
    pub(super) rounds: u64,
    /// Polynomials of both parties.
    pub(super) polynomials: u64,
}

impl Price {
    /// The price of some inferences, in bytes.
    pub(super) fn of(&self, inferences: u64) -> u128 {
        let each = [self.bytes, ROUND * self.rounds, POLYNOMIAL * self.polynomials].map(u128::from);
        u128::from(self.once) + u128::from(inferences) * each.iter().sum::<u128>()
    }
}

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
