//! Bytes, frames and rounds of one party.

use core::iter::Sum;
use core::ops::{Add, AddAssign, Sub};

use crate::FRAME_HEADER_BYTES;

/// The traffic that one party sent and received.
///
/// Payload is message bytes; on the wire each frame adds [`FRAME_HEADER_BYTES`]. The same type serves for the plan's
/// prediction and the meter's count, so that the two can be compared with `==`.
///
/// ```
/// use mpc_transport::Traffic;
///
/// let opening = Traffic::exchange(1000, 3);
/// assert_eq!((opening.payload_sent, opening.bytes_sent(), opening.rounds), (2000, 2008, 1));
/// assert_eq!(opening + opening - opening, opening);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Traffic {
    /// Message bytes sent, summed over the receivers.
    pub payload_sent: u64,
    /// Message bytes received, summed over the senders.
    pub payload_received: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Rounds: times at which this party had to wait for its peers.
    pub rounds: u64,
}

impl Traffic {
    /// One round among `parties`, in which each sends `message_bytes` bytes to every other.
    ///
    /// Among fewer than two there is nobody to wait for: nothing is counted.
    pub const fn exchange(message_bytes: u64, parties: usize) -> Self {
        if parties < 2 {
            return Self { payload_sent: 0, payload_received: 0, frames_sent: 0, frames_received: 0, rounds: 0 };
        }
        let peers = parties as u64 - 1;
        let payload = message_bytes.saturating_mul(peers);
        Self { payload_sent: payload, payload_received: payload, frames_sent: peers, frames_received: peers, rounds: 1 }
    }

    /// One frame of `message_bytes` bytes sent to one party: no round.
    pub const fn send(message_bytes: u64) -> Self {
        Self { payload_sent: message_bytes, payload_received: 0, frames_sent: 1, frames_received: 0, rounds: 0 }
    }

    /// One frame of `message_bytes` bytes received from one party: one round.
    pub const fn receive(message_bytes: u64) -> Self {
        Self { payload_sent: 0, payload_received: message_bytes, frames_sent: 0, frames_received: 1, rounds: 1 }
    }

    /// The message bytes of exchanges, with the frames of `rounds` of their rounds: the others' frames are counted elsewhere.
    #[must_use]
    pub const fn in_rounds(self, rounds: u64) -> Self {
        let all = if self.rounds == 0 { 1 } else { self.rounds };
        Self {
            frames_sent: self.frames_sent / all * rounds,
            frames_received: self.frames_received / all * rounds,
            rounds,
            ..self
        }
    }

    /// Bytes sent on the wire: payload and frame headers.
    pub const fn bytes_sent(&self) -> u64 {
        on_the_wire(self.payload_sent, self.frames_sent)
    }

    /// Bytes received from the wire: payload and frame headers.
    pub const fn bytes_received(&self) -> u64 {
        on_the_wire(self.payload_received, self.frames_received)
    }

    /// Whether nothing was sent, received or waited for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn zip(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            payload_sent: op(self.payload_sent, other.payload_sent),
            payload_received: op(self.payload_received, other.payload_received),
            frames_sent: op(self.frames_sent, other.frames_sent),
            frames_received: op(self.frames_received, other.frames_received),
            rounds: op(self.rounds, other.rounds),
        }
    }
}

const fn on_the_wire(payload: u64, frames: u64) -> u64 {
    payload.saturating_add(frames.saturating_mul(FRAME_HEADER_BYTES as u64))
}

/// Saturates at `u64::MAX`.
impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The traffic since an earlier count `other`. Each number saturates at 0.
impl Sub for Traffic {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Self> for Traffic {
    fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
        iter.copied().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_counts_every_peer_once() {
        let traffic = Traffic::exchange(10, 4);
        assert_eq!((traffic.frames_sent, traffic.frames_received, traffic.rounds), (3, 3, 1));
        assert_eq!((traffic.bytes_sent(), traffic.bytes_received()), (42, 42));
    }

    #[test]
    fn alone_there_is_no_traffic() {
        assert!(Traffic::exchange(10, 1).is_empty());
        assert!(!Traffic::send(0).is_empty());
    }

    #[test]
    fn sums_and_differences_are_by_field() {
        let parts = [Traffic::send(5), Traffic::receive(7), Traffic::exchange(1, 2)];
        let sum: Traffic = parts.iter().sum();
        let expected = Traffic { payload_sent: 6, payload_received: 8, frames_sent: 2, frames_received: 2, rounds: 2 };
        assert_eq!(sum, expected);
        assert_eq!(sum - parts[2], parts[0] + parts[1]);
        assert!((parts[0] - sum).is_empty());
    }
}
