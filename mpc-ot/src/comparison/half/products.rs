//! The random bit d in the ring, and its products with r and its top bit.
//!
//! With d = d_0 ⊕ d_1 and a shared x = x_0 + x_1: d·x_1 = d_0·(1 − 2·d_1)·x_1 + d_1·x_1, of which the first product takes one
//! transfer and the second is local; d·x_0 likewise in the other direction. d itself is the case x_0 = 0, x_1 = 1.

use alloc::vec::Vec;

use mpc_ring::{Ring, bitslice};
use mpc_shares::SecretVec;

use crate::OtError;
use crate::comparison::ends::End;
use crate::comparison::shape::ComparisonShape;
use crate::cross::next;
use crate::products::ring_bytes;
use crate::{ReceivedBatch, SentBatch};

/// One party's shares.
pub(in crate::comparison) struct Flipped<R: Ring> {
    /// d in XOR.
    pub(in crate::comparison) flip: SecretVec<u64>,
    pub(in crate::comparison) in_ring: SecretVec<R>,
    pub(in crate::comparison) mask: SecretVec<R>,
    pub(in crate::comparison) top: SecretVec<R>,
}

pub(super) struct Flip<R: Ring> {
    shape: ComparisonShape,
    /// Whether this party sends the product that makes d itself.
    sends_flip: bool,
    received: Option<ReceivedBatch>,
    sent: Option<SentBatch>,
    /// d_0 or d_1 in the ring.
    bit: SecretVec<R>,
    made: Flipped<R>,
}

impl<R: Ring> Flip<R> {
    pub(super) fn new(shape: ComparisonShape, len: usize, forth: End, back: End) -> Self {
        let sends_flip = matches!(forth, End::Sent(_));
        let (received, sent) = forth.pair(back);
        let flip = SecretVec::copy_of(received.choices());
        let mut bit = SecretVec::zeros(len);
        bitslice::from_planes(&flip, 1, &mut bit);
        let zeros = || SecretVec::zeros(len);
        let made = Flipped { flip, in_ring: zeros(), mask: zeros(), top: zeros() };
        Self { shape, sends_flip, received: Some(received), sent: Some(sent), bit, made }
    }

    /// (1 − 2·b)·x.
    fn signed(&self, x: impl Iterator<Item = R>) -> SecretVec<R> {
        self.bit.iter().zip(x).map(|(bit, x)| x.wrapping_sub(bit.wrapping_add(*bit).wrapping_mul(x))).collect()
    }

    pub(super) fn send(&mut self, mask: &[R], top: &[R], message: &mut Vec<u8>) -> Result<(), OtError> {
        let Some(mut sent) = self.sent.take() else { return Ok(()) };
        let (ring, top_bits) = (self.shape.ring_bits as usize, self.shape.top_bits());
        if self.sends_flip {
            let ones = self.signed(core::iter::repeat_n(R::ONE, mask.len()));
            self.made.in_ring = sent.take(ring)?.send_ring(&ones, message)?;
        }
        self.made.mask = sent.take(ring)?.send_ring(&self.signed(mask.iter().copied()), message)?;
        if top_bits > 0 {
            self.made.top = sent.send_ring(&self.signed(top.iter().copied()), message)?;
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, mask: &[R], top: &[R], message: &mut &[u8]) -> Result<(), OtError> {
        let Some(mut received) = self.received.take() else { return Ok(()) };
        let (ring, top_bits) = (self.shape.ring_bits as usize, self.shape.top_bits());
        let mut product = |batch: ReceivedBatch| {
            let bytes = ring_bytes(batch.batch());
            batch.receive_ring::<R>(next(message, bytes))
        };
        let zeros = || SecretVec::zeros(mask.len());
        let in_ring = if self.sends_flip { zeros() } else { product(received.take(ring)?)? };
        let of_mask = product(received.take(ring)?)?;
        let of_top = if top_bits > 0 { product(received)? } else { zeros() };
        let Self { made, bit, shape, .. } = self;
        let (low, ring) = (R::low_mask(top_bits as u32), R::low_mask(shape.ring_bits));
        let one = if self.sends_flip { R::ONE } else { R::ZERO };
        for (index, bit) in bit.iter().enumerate() {
            let sum = |share: R, other: R, own: R| share.wrapping_add(other).wrapping_add(bit.wrapping_mul(own));
            made.in_ring[index] = sum(made.in_ring[index], in_ring[index], one) & ring;
            made.mask[index] = sum(made.mask[index], of_mask[index], mask[index]) & ring;
            made.top[index] = sum(made.top[index], of_top[index], top[index]) & low;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Flipped<R> {
        self.made
    }
}
