//! The first message: numbers of both parties and the product of two of them, and random bits in the ring.
//!
//! Bit i of x is the choice of a transfer that party 0 receives, and that of y the difference of the first bits of its two
//! strings: shares of their product are the strings' first bits. With the other bits of the string party 1 sends x_i·y.

use alloc::vec::Vec;

use mpc_ot::cross::next;
use mpc_ot::products::ring_bytes;
use mpc_ot::{Batch, ReceivedBatch, SentBatch};
use mpc_ring::{Ring, bitslice, packing};
use mpc_shares::SecretVec;

use super::circuit::Plane;
use crate::ProtocolError;
use crate::own::bits::{RandomBits, RingBits};
use crate::own::maker::Maker;
use crate::own::scaled::Transfers;

/// The sizes of the first message.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// The bits of numbers that are also multiplied.
    pub(super) low_bits: u32,
    /// The width of the product.
    pub(super) product_bits: u32,
    /// The bits of other numbers, which are not.
    pub(super) lift_bits: u32,
    /// Other random bits, of as many elements.
    pub(super) high: RingBits,
}

/// A party's number, and of each of its bits that bit and the share of its product with the other party's.
pub(super) struct Summand<E: Ring> {
    pub(super) number: SecretVec<E>,
    pub(super) bits: Vec<[Plane; 2]>,
}

/// A party's part of all that the first message makes.
pub(super) struct Opened<E: Ring> {
    pub(super) low: Summand<E>,
    /// A share of the product of both parties' low numbers.
    pub(super) product: SecretVec<E>,
    pub(super) lift: Summand<E>,
    pub(super) high: RandomBits<E>,
}

impl Opening {
    fn words(&self) -> usize {
        packing::words_for(self.high.len)
    }

    /// The transfers from party 1 to party 0.
    pub(super) fn batches(&self) -> Vec<Batch> {
        let low =
            (0..self.low_bits).map(|bit| Batch { count: self.high.len, bits: 1 + (self.product_bits - bit) as usize });
        let lift = Batch { count: self.lift_bits as usize * self.words() * 64, bits: 1 };
        low.chain([lift]).chain(self.high.batches()).collect()
    }

    /// The bytes of party 1's message.
    pub(super) fn bytes(&self) -> usize {
        let product = |bit: u32| ring_bytes(Batch { count: self.high.len, bits: (self.product_bits - bit) as usize });
        (0..self.low_bits).map(product).sum::<usize>() + self.high.bytes()
    }

    pub(super) async fn make<E: Ring>(
        &self,
        maker: &mut Maker,
        transfers: &mut Transfers,
    ) -> Result<Opened<E>, ProtocolError> {
        if maker.place.is_first() {
            let mut message = alloc::vec![0; self.bytes()];
            maker.pair.exchange(&[], &mut message).await?;
            self.receive(transfers, &mut &message[..])
        } else {
            let mut message = Vec::with_capacity(self.bytes());
            let made = self.send(maker, transfers, &mut message)?;
            maker.pair.exchange(&message, &mut []).await?;
            Ok(made)
        }
    }

    fn receive<E: Ring>(&self, transfers: &mut Transfers, message: &mut &[u8]) -> Result<Opened<E>, ProtocolError> {
        let mut product = SecretVec::zeros(self.high.len);
        let mut bits = Vec::with_capacity(self.low_bits as usize);
        for bit in 0..self.low_bits {
            let mut batch = transfers.received();
            bits.extend(received_bits(&batch.take(1)?, self.words()));
            let bytes = ring_bytes(batch.batch());
            add(&mut product, &batch.receive_ring::<E>(next(message, bytes))?, bit);
        }
        let low = self.summand(bits);
        let lift = self.summand(received_bits(&transfers.received(), self.words()).collect());
        Ok(Opened { low, product, lift, high: self.high.receive(transfers, message)? })
    }

    fn send<E: Ring>(
        &self,
        maker: &mut Maker,
        transfers: &mut Transfers,
        message: &mut Vec<u8>,
    ) -> Result<Opened<E>, ProtocolError> {
        let mut batches: Vec<_> = (0..self.low_bits).map(|_| transfers.sent()).collect();
        let mut bits = Vec::with_capacity(batches.len());
        for batch in &mut batches {
            bits.extend(sent_bits(&batch.take(1)?, self.words()));
        }
        let low: Summand<E> = self.summand(bits);
        let mut product = SecretVec::zeros(self.high.len);
        for (bit, batch) in (0..).zip(batches) {
            add(&mut product, &batch.send_ring(&low.number, message)?, bit);
        }
        let lift = self.summand(sent_bits(&transfers.sent(), self.words()).collect());
        Ok(Opened { low, product, lift, high: self.high.send(transfers, &mut maker.generator, message)? })
    }

    /// A number from its bits.
    fn summand<E: Ring>(&self, bits: Vec<[Plane; 2]>) -> Summand<E> {
        let planes: SecretVec<u64> = bits.iter().flat_map(|[own, _]| own.iter().copied()).collect();
        let mut number = SecretVec::zeros(self.high.len);
        bitslice::from_planes(&planes, bits.len() as u32, &mut number);
        Summand { number, bits }
    }
}

/// Of each bit of a batch of bits the choice, and the share of its product with the sender's.
fn received_bits(batch: &ReceivedBatch, words: usize) -> impl Iterator<Item = [Plane; 2]> {
    let planes = batch.choices().chunks_exact(words).zip(batch.chosen(0, 1).chunks_exact(words));
    planes.map(|(own, product)| [own, product].map(SecretVec::copy_of))
}

/// Of each bit of a batch of bits the difference, and the share of its product with the choice.
fn sent_bits(batch: &SentBatch, words: usize) -> impl Iterator<Item = [Plane; 2]> {
    let planes = batch.difference(0, 1).chunks_exact(words).zip(batch.zero(0, 1).chunks_exact(words));
    planes.map(|(own, product)| [own, product].map(SecretVec::copy_of))
}

/// Adds 2^`bit` times a share.
fn add<E: Ring>(sum: &mut [E], share: &[E], bit: u32) {
    sum.iter_mut().zip(share).for_each(|(sum, share)| *sum = sum.wrapping_add(*share << bit));
}
