//! Vectors with secret values at a secret index, and zeros elsewhere, shared in the ring.
//!
//! The index is there as a one-hot vector e = e_0 ⊕ e_1. For each entry x both parties have a random OT in each direction, in
//! which the receiver's choice is its bit e_b[x], and the sender takes the string of its own bit. So the XOR z_b[x] of the
//! two strings that party b has is the same at both parties where their bits agree, which is everywhere but at the index A;
//! there each party lacks one of the other's strings. Thus z_0 − z_1 is a vector that is D at A and 0 elsewhere, and
//! D = Σ z_0[x] − Σ z_1[x], whose terms each party adds up alone. With σ = e_0\[A\] − e_1\[A\], which is 1 or −1, the parties open
//! w = σ·(β − D), and z_0 + w·e_0 and −z_1 − w·e_1 are shares of β at A. σ is negative where the XOR of bit 1 of Σ e_0, and of
//! bits 0 and 1 of Σ e_1, is 1.
//!
//! It is the correction word of a distributed point function (Boyle, Gilboa, Ishai, "Function secret sharing: improvements and
//! extensions", CCS 2016, section 3.2.2), whose leaves are here strings of transfers instead of a tree's: for the 16 to 256
//! entries of a table these take fewer bytes than a tree made by Doerner and shelat's protocol ("Scaling ORAM for secure
//! computation", CCS 2017, section 4), and three rounds instead of two a level.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::products::{correct_ring, plane_bytes, receive_corrections, ring_bytes};
use mpc_ot::{Batch, Pair, ReceivedBatch, SentBatch};
use mpc_ring::{Ring, bitslice, packing};
use mpc_shares::SecretVec;

use crate::ProtocolError;
use crate::own::cost::Account;

/// The values at an index.
pub(super) const VALUES: usize = 3;

/// Vectors of `entries` entries, a power of two that is at least 4, with [`VALUES`] values modulo 2^`width` at the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Points {
    pub(super) len: usize,
    pub(super) entries: usize,
    pub(super) width: u32,
}

/// This party's part of every entry: the bit, and the strings.
struct Leaves<E: Ring> {
    bits: SecretVec<u64>,
    strings: [SecretVec<E>; VALUES],
}

impl Points {
    /// For each entry of each element the strings, and for each element the products with the sign, of which a bit is spared.
    fn batches(self) -> [Batch; 2] {
        let width = self.width as usize;
        [
            Batch { count: self.len * self.entries, bits: VALUES * width },
            Batch { count: self.len, bits: VALUES * (width - 1) },
        ]
    }

    /// The bytes of each party's three messages.
    fn bytes(self) -> [usize; 3] {
        let [strings, signs] = self.batches();
        let product = ring_bytes(Batch { bits: signs.bits / VALUES, ..signs });
        [
            plane_bytes(strings.count),
            plane_bytes(signs.count) + VALUES * product,
            VALUES * packing::packed_len(self.len, self.width),
        ]
    }

    /// The bits of strings that a party holds.
    pub(super) fn string_bits(self) -> usize {
        3 * self.batches().iter().map(|batch| batch.count * batch.bits).sum::<usize>()
    }

    pub(super) fn cost(self, account: &mut Account<'_>) {
        account.random(&self.batches(), &self.batches());
        self.bytes().into_iter().for_each(|bytes| account.exchange(bytes, bytes));
    }

    /// The vectors' shares, of each value the entries of one element after the other, from those of the one-hot vectors and of
    /// the values.
    pub(super) async fn make<E: Ring>(
        self,
        pair: &mut Pair,
        one_hot: &[SecretVec<u64>],
        values: &[SecretVec<E>; VALUES],
        first: bool,
    ) -> Result<[SecretVec<E>; VALUES], ProtocolError> {
        let (sent, received) = pair.random(&self.batches(), &self.batches()).await?;
        let ([Some(strings), Some(signs)], [Some(chosen), Some(signed)]) = (taken(sent), taken(received)) else {
            unreachable!("two batches were asked for in each direction")
        };
        let leaves = self.leaves(pair, self.by_element(one_hot), strings, chosen).await?;
        let corrected = self.corrections(pair, &leaves, values, first, signs, signed).await?;
        let Leaves { bits, strings: mut made } = leaves;
        let mask = E::low_mask(self.width);
        for (made, corrected) in made.iter_mut().zip(&corrected) {
            for (index, made) in made.iter_mut().enumerate() {
                let part = made.wrapping_add(corrected[index / self.entries] & all_ones(&bits, index));
                *made = if first { part } else { part.wrapping_neg() } & mask;
            }
        }
        Ok(made)
    }

    /// The one-hot vectors' bits, of one element after the other.
    fn by_element(self, one_hot: &[SecretVec<u64>]) -> SecretVec<u64> {
        let mut bits = SecretVec::zeros(packing::words_for(self.len * self.entries));
        for (entry, plane) in one_hot.iter().enumerate() {
            for element in 0..self.len {
                let at = element * self.entries + entry;
                bits[at / 64] |= (plane[element / 64] >> (element % 64) & 1) << (at % 64);
            }
        }
        bits
    }

    /// The strings that a party has of every entry, which are the other's where both have the same bit.
    async fn leaves<E: Ring>(
        self,
        pair: &mut Pair,
        bits: SecretVec<u64>,
        sent: SentBatch,
        received: ReceivedBatch,
    ) -> Result<Leaves<E>, ProtocolError> {
        let [bytes, ..] = self.bytes();
        let (mut message, mut answer) = (Vec::with_capacity(bytes), vec![0; bytes]);
        received.send_corrections(&bits, &mut message)?;
        pair.exchange(&message, &mut answer).await?;
        let theirs = receive_corrections(sent.batch().count, &answer)?;
        let width = self.width as usize;
        let strings = core::array::from_fn(|value| {
            let (from, to) = (value * width, (value + 1) * width);
            let own = bits.iter().zip(theirs.iter()).map(|(bit, correction)| bit ^ correction).cycle();
            let planes = received.chosen(from, to).iter().zip(sent.zero(from, to)).zip(sent.difference(from, to));
            let planes: SecretVec<u64> =
                planes.zip(own).map(|(((chosen, zero), difference), own)| chosen ^ zero ^ (difference & own)).collect();
            let mut strings = SecretVec::zeros(self.len * self.entries);
            bitslice::from_planes(&planes, self.width, &mut strings);
            strings
        });
        Ok(Leaves { bits, strings })
    }

    /// w = σ·(β − D) of every element, opened.
    async fn corrections<E: Ring>(
        self,
        pair: &mut Pair,
        leaves: &Leaves<E>,
        values: &[SecretVec<E>; VALUES],
        first: bool,
        mut sent: SentBatch,
        mut received: ReceivedBatch,
    ) -> Result<[SecretVec<E>; VALUES], ProtocolError> {
        let [_, bytes, opened] = self.bytes();
        let (width, negative) = (self.width - 1, self.signs(&leaves.bits, first));
        let (mut message, mut answer) = (Vec::with_capacity(bytes), vec![0; bytes]);
        received.send_corrections(&negative, &mut message)?;
        let mut parts = Vec::with_capacity(VALUES);
        for (value, strings) in values.iter().zip(&leaves.strings) {
            let operand = self.signed(value, strings, &negative, first);
            let half = sent.take(width as usize)?.send_ring(&operand, &mut message)?;
            parts.push((operand, half));
        }
        pair.exchange(&message, &mut answer).await?;
        let (corrections, mut answer) = answer.split_at(plane_bytes(self.len));
        let theirs = receive_corrections(self.len, corrections)?;
        let ours: SecretVec<u64> = received.choices().iter().zip(negative.iter()).map(|(a, b)| a ^ b).collect();
        let mut shares = Vec::with_capacity(VALUES);
        for (operand, mut half) in parts {
            let part = received.take(width as usize)?;
            let (bytes, rest) = answer.split_at(ring_bytes(part.batch()));
            answer = rest;
            let mut product = part.receive_ring::<E>(bytes)?;
            correct_ring(&mut product, &ours, None, width)?;
            correct_ring(&mut half, &theirs, Some(&operand), width)?;
            // A party's sign times the other's value is the value, less twice its product with the bit.
            let share = |((operand, half), product): ((&E, &E), &E)| {
                operand.wrapping_sub(half.wrapping_add(*product) << 1) & E::low_mask(self.width)
            };
            shares.push(operand.iter().zip(half.iter()).zip(product.iter()).map(share).collect::<SecretVec<E>>());
        }
        self.open(pair, &shares, opened).await
    }

    async fn open<E: Ring>(
        self,
        pair: &mut Pair,
        shares: &[SecretVec<E>],
        bytes: usize,
    ) -> Result<[SecretVec<E>; VALUES], ProtocolError> {
        let one = packing::packed_len(self.len, self.width);
        let (mut message, mut answer) = (vec![0; bytes], vec![0; bytes]);
        for (index, share) in shares.iter().enumerate() {
            packing::pack(share, self.width, &mut message[index * one..][..one]);
        }
        pair.exchange(&message, &mut answer).await?;
        Ok(core::array::from_fn(|index| {
            let mut opened = SecretVec::<E>::zeros(self.len);
            packing::unpack(&answer[index * one..][..one], self.width, &mut opened);
            opened.iter_mut().zip(shares[index].iter()).for_each(|(sum, share)| *sum = sum.wrapping_add(*share));
            opened
        }))
    }

    /// This party's share of each element's bit that σ is negative.
    fn signs(self, bits: &[u64], first: bool) -> SecretVec<u64> {
        let mut signs = SecretVec::zeros(packing::words_for(self.len));
        for element in 0..self.len {
            let ones = if self.entries < 64 {
                let at = element * self.entries;
                (bits[at / 64] >> (at % 64) & u64::low_mask(self.entries as u32)).count_ones()
            } else {
                let words = self.entries / 64;
                bits[element * words..][..words].iter().map(|word| word.count_ones()).sum()
            };
            let negative = if first { ones >> 1 } else { ones >> 1 ^ ones };
            signs[element / 64] |= u64::from(negative & 1) << (element % 64);
        }
        signs
    }

    /// This party's sign times its share of β − D.
    fn signed<E: Ring>(self, value: &[E], strings: &[E], negative: &[u64], first: bool) -> SecretVec<E> {
        let of = |(index, (value, strings)): (usize, (&E, &[E]))| {
            let sum = strings.iter().fold(E::ZERO, |sum, string| sum.wrapping_add(*string));
            let share = if first { value.wrapping_sub(sum) } else { value.wrapping_add(sum) };
            let mask = all_ones::<E>(negative, index);
            (share ^ mask).wrapping_sub(mask)
        };
        value.iter().zip(strings.chunks_exact(self.entries)).enumerate().map(of).collect()
    }
}

/// The two batches that were asked for.
fn taken<B>(batches: Vec<B>) -> [Option<B>; 2] {
    let mut batches = batches.into_iter();
    [batches.next(), batches.next()]
}

/// All ones where a bit is 1.
fn all_ones<E: Ring>(bits: &[u64], index: usize) -> E {
    E::from_u64(bits[index / 64] >> (index % 64) & 1).wrapping_neg()
}
