//! Products of two shared things from one transfer in each direction.

use alloc::vec::Vec;

use mpc_shares::SecretVec;

use crate::products::{bits_bytes, plane_bytes, receive_corrections};
use crate::{OtError, ReceivedBatch, SentBatch};

/// Takes the next bytes of a message, which is as long as all that is taken from it.
pub(super) fn next<'a>(message: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (part, rest) = message.split_at(bytes.min(message.len()));
    *message = rest;
    part
}

/// The party whose choice bits are not its transfer's own ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Corrected {
    Nobody,
    Own,
    Peer,
}

/// Shares of (b_0 ⊕ b_1)·(x_0 ⊕ x_1) in the making: this party has a bit b and planes x, and so has the other.
pub(super) struct Cross {
    bit: SecretVec<u64>,
    planes: SecretVec<u64>,
    received: ReceivedBatch,
    sent: SentBatch,
    corrected: Corrected,
}

impl Cross {
    pub(super) fn new(
        bit: &[u64],
        planes: SecretVec<u64>,
        received: ReceivedBatch,
        sent: SentBatch,
        corrected: Corrected,
    ) -> Self {
        Self { bit: SecretVec::copy_of(bit), planes, received, sent, corrected }
    }

    pub(super) fn send(&self, message: &mut Vec<u8>) -> Result<(), OtError> {
        if self.corrected == Corrected::Own {
            self.received.send_corrections(&self.bit, message)?;
        }
        self.sent.send_bits(&self.planes, message)
    }

    pub(super) fn receive(self, message: &mut &[u8]) -> Result<SecretVec<u64>, OtError> {
        let Self { bit, planes, received, sent, corrected } = self;
        let batch = received.batch();
        let corrections = match corrected {
            Corrected::Peer => Some(receive_corrections(batch.count, next(message, plane_bytes(batch.count)))?),
            Corrected::Nobody | Corrected::Own => None,
        };
        let wanted = (corrected == Corrected::Own).then_some(&bit[..]);
        let mut shares = received.receive_bits(wanted, next(message, bits_bytes(batch)))?;
        let other = sent.bit_shares(corrections.as_deref())?;
        let own = planes.iter().zip(bit.iter().cycle()).map(|(plane, bit)| plane & bit);
        shares.iter_mut().zip(other.iter().zip(own)).for_each(|(share, (other, own))| *share ^= other ^ own);
        Ok(shares)
    }
}
