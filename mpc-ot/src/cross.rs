//! Products of two shared things from one transfer in each direction.
//!
//! Of a bit b = b_0 ⊕ b_1 and bits x = x_0 ⊕ x_1: b·x has the parts b_0·x_0 and b_1·x_1 of one party each, and b_0·x_1 and
//! b_1·x_0, which each take a transfer (as [`products`](crate::products)).
//!
//! # Security
//! That of [`products`](crate::products): each message is masked by what nothing else uses, and a [`Cross`] is consumed.

use alloc::vec::Vec;

use mpc_shares::SecretVec;

use crate::products::{bits_bytes, plane_bytes, receive_corrections};
use crate::{OtError, ReceivedBatch, SentBatch};

/// Takes the next bytes of a message, which is as long as all that is taken from it.
pub(crate) fn next<'a>(message: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (part, rest) = message.split_at(bytes.min(message.len()));
    *message = rest;
    part
}

/// The parties whose choice bits are not their transfer's own ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// Neither party's: both chose what is multiplied.
    Nobody,
    /// This party's.
    Own,
    /// The other party's.
    Peer,
    /// Both parties'.
    Both,
}

impl Corrected {
    fn own(self) -> bool {
        matches!(self, Self::Own | Self::Both)
    }

    fn peer(self) -> bool {
        matches!(self, Self::Peer | Self::Both)
    }
}

/// Shares of (b_0 ⊕ b_1)·(x_0 ⊕ x_1) in the making: this party has a bit b and planes x, and so has the other.
///
/// # Rounds and communication
/// 1 round; each party sends [`bits_bytes`] of its batch, and [`plane_bytes`] before them if its choice bits are corrected.
pub struct Cross {
    bit: SecretVec<u64>,
    planes: SecretVec<u64>,
    received: ReceivedBatch,
    sent: SentBatch,
    corrected: Corrected,
}

impl Cross {
    /// Products of bits with planes of as many bits each, with a batch in each direction of this size.
    #[must_use]
    pub fn new(
        bit: &[u64],
        planes: SecretVec<u64>,
        received: ReceivedBatch,
        sent: SentBatch,
        corrected: Corrected,
    ) -> Self {
        Self { bit: SecretVec::copy_of(bit), planes, received, sent, corrected }
    }

    /// Appends this party's message.
    ///
    /// # Errors
    /// [`OtError::Size`] for bits or planes that are not of the batches' size.
    pub fn send(&self, message: &mut Vec<u8>) -> Result<(), OtError> {
        if self.corrected.own() {
            self.received.send_corrections(&self.bit, message)?;
        }
        self.sent.send_bits(&self.planes, message)
    }

    /// This party's shares, from the other's message, which is taken from the front of `message`.
    ///
    /// # Errors
    /// [`OtError::MessageLength`] for a message that is too short; [`OtError::Size`] as for [`send`](Self::send).
    pub fn receive(self, message: &mut &[u8]) -> Result<SecretVec<u64>, OtError> {
        let Self { bit, planes, received, sent, corrected } = self;
        let batch = received.batch();
        let corrections = if corrected.peer() {
            Some(receive_corrections(batch.count, next(message, plane_bytes(batch.count)))?)
        } else {
            None
        };
        let wanted = corrected.own().then_some(&bit[..]);
        let mut shares = received.receive_bits(wanted, next(message, bits_bytes(batch)))?;
        let other = sent.bit_shares(corrections.as_deref())?;
        let own = planes.iter().zip(bit.iter().cycle()).map(|(plane, bit)| plane & bit);
        shares.iter_mut().zip(other.iter().zip(own)).for_each(|(share, (other, own))| *share ^= other ^ own);
        Ok(shares)
    }
}
