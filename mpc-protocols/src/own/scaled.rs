//! Products of shared bits with numbers that one party has, in both directions at once.
//!
//! Of a bit b = b_0 ⊕ b_1 and a shared number x = x_0 + x_1, b·x_1 = b_0·(1 − 2·b_1)·x_1 + b_1·x_1, of which one product takes a
//! transfer; b·x_0 likewise in the other direction.

use alloc::vec::{self, Vec};

use mpc_ot::cross::next;
use mpc_ot::products::{all_ones, correct_ring, plane_bytes, receive_corrections, ring_bytes};
use mpc_ot::{Batch, ReceivedBatch, SentBatch};
use mpc_ring::Ring;
use mpc_shares::SecretVec;

use crate::ProtocolError;

/// Random transfers as they were asked for, to be taken in the same order.
pub(super) struct Transfers {
    sent: vec::IntoIter<SentBatch>,
    received: vec::IntoIter<ReceivedBatch>,
}

impl Transfers {
    pub(super) fn new((sent, received): (Vec<SentBatch>, Vec<ReceivedBatch>)) -> Self {
        Self { sent: sent.into_iter(), received: received.into_iter() }
    }

    pub(super) fn sent(&mut self) -> SentBatch {
        self.sent.next().unwrap_or_else(|| unreachable!("as many were asked for"))
    }

    pub(super) fn received(&mut self) -> ReceivedBatch {
        self.received.next().unwrap_or_else(|| unreachable!("as many were asked for"))
    }
}

/// Products of a bit of each party with numbers of the other, of elements in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scaling {
    pub(super) len: usize,
    /// The widths of the numbers of party 0, and of those of party 1. None has no bits.
    pub(super) widths: [Vec<u32>; 2],
}

/// Shares of this party's numbers times the other one's bits, and of the other one's times its own.
pub(super) struct Scaled<E: Ring> {
    pub(super) ours: Vec<SecretVec<E>>,
    pub(super) theirs: Vec<SecretVec<E>>,
}

/// Products in the making.
pub(super) struct Begun<E: Ring> {
    received: Option<(ReceivedBatch, SecretVec<u64>)>,
    widths: Vec<u32>,
    sent: Vec<(SecretVec<E>, SecretVec<E>, u32)>,
}

impl Scaling {
    /// The widths of a party's own numbers and of the other's.
    fn widths(&self, first: bool) -> [&[u32]; 2] {
        let [of_first, of_second] = self.widths.each_ref().map(|widths| &widths[..]);
        if first { [of_first, of_second] } else { [of_second, of_first] }
    }

    /// The transfers that a party sends, and those that it receives.
    pub(super) fn batches(&self, first: bool) -> [Option<Batch>; 2] {
        self.widths(first).map(|widths| {
            let bits = widths.iter().sum::<u32>() as usize;
            (bits > 0 && self.len > 0).then_some(Batch { count: self.len, bits })
        })
    }

    /// The bytes of a party's message.
    pub(super) fn bytes(&self, first: bool) -> usize {
        let [sends, receives] = self.batches(first);
        let product = |width: &u32| ring_bytes(Batch { count: self.len, bits: *width as usize });
        let numbers = sends.map_or(0, |_| self.widths(first)[0].iter().map(product).sum());
        numbers + receives.map_or(0, |batch| plane_bytes(batch.count))
    }

    /// Begins: `bit` has this party's bits, and `numbers` its numbers, already times (1 − 2·bit) where the sum of both
    /// parties' bits is meant.
    pub(super) fn begin<E: Ring>(
        &self,
        first: bool,
        bit: &[u64],
        numbers: Vec<SecretVec<E>>,
        transfers: &mut Transfers,
        message: &mut Vec<u8>,
    ) -> Result<Begun<E>, ProtocolError> {
        let [sends, receives] = self.batches(first);
        let [own, widths] = self.widths(first);
        let received = match receives {
            Some(_) => {
                let batch = transfers.received();
                batch.send_corrections(bit, message)?;
                let corrections = batch.choices().iter().zip(bit).map(|(choice, bit)| choice ^ bit).collect();
                Some((batch, corrections))
            }
            None => None,
        };
        let mut sent = Vec::with_capacity(own.len());
        if sends.is_some() {
            let mut batch = transfers.sent();
            for (number, &width) in numbers.into_iter().zip(own) {
                let half = batch.take(width as usize)?.send_ring(&number, message)?;
                sent.push((number, half, width));
            }
        }
        Ok(Begun { received, widths: widths.to_vec(), sent })
    }
}

impl<E: Ring> Begun<E> {
    /// Ends, from the other party's message.
    pub(super) fn finish(self, message: &mut &[u8]) -> Result<Scaled<E>, ProtocolError> {
        let mut made = Scaled { ours: Vec::new(), theirs: Vec::new() };
        if let Some((number, ..)) = self.sent.first() {
            let count = number.len();
            let corrections = receive_corrections(count, next(message, plane_bytes(count)))?;
            for (number, mut half, width) in self.sent {
                correct_ring(&mut half, &corrections, Some(&number), width)?;
                made.ours.push(half);
            }
        }
        if let Some((mut batch, corrections)) = self.received {
            for width in self.widths {
                let part = batch.take(width as usize)?;
                let bytes = ring_bytes(part.batch());
                let mut product = part.receive_ring::<E>(next(message, bytes))?;
                correct_ring(&mut product, &corrections, None, width)?;
                made.theirs.push(product);
            }
        }
        Ok(made)
    }
}

/// (1 − 2·bit)·x.
pub(super) fn signed<E: Ring>(x: &[E], bits: &[u64]) -> SecretVec<E> {
    let ones = all_ones::<E>(bits, x.len());
    x.iter().zip(ones.iter()).map(|(&x, &ones)| (x ^ ones).wrapping_sub(ones)).collect()
}
