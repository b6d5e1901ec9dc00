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

use mpc_ot::cross::next;
use mpc_ot::products::{all_ones, plane_bytes, receive_corrections};
use mpc_ot::{Batch, Pair, ReceivedBatch, SentBatch};
use mpc_ring::{Ring, bitslice, packing};
use mpc_shares::SecretVec;

use super::circuit::Plane;
use crate::ProtocolError;
use crate::own::scaled::{Scaling, Transfers, signed};

/// The values at an index.
pub(super) const VALUES: usize = 3;

/// Vectors of `entries` entries, a power of two that is at least 4, with [`VALUES`] values modulo 2^`width` at the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Points {
    pub(super) len: usize,
    pub(super) entries: usize,
    pub(super) width: u32,
}

/// Vectors in the making.
pub(super) struct Begun {
    points: Points,
    /// This party's bits of every entry, one element after the other.
    bits: SecretVec<u64>,
    sent: SentBatch,
    received: ReceivedBatch,
}

/// This party's part of every entry: the bit, and the strings.
pub(super) struct Leaves<E: Ring> {
    points: Points,
    bits: SecretVec<u64>,
    strings: [SecretVec<E>; VALUES],
}

impl Points {
    /// Strings for each entry of each element.
    pub(super) fn strings(self) -> Batch {
        Batch { count: self.len * self.entries, bits: VALUES * self.width as usize }
    }

    /// The products with the sign, of which a bit is spared.
    pub(super) fn signs(self) -> Scaling {
        Scaling { len: self.len, widths: [(); 2].map(|()| vec![self.width - 1; VALUES]) }
    }

    /// The bytes of a party's first message, before its message of the signs, and of its last one.
    pub(super) fn bytes(self) -> [usize; 2] {
        [plane_bytes(self.strings().count), VALUES * packing::packed_len(self.len, self.width)]
    }

    /// Begins with the shares of the one-hot vectors.
    pub(super) fn begin(
        self,
        one_hot: &[Plane],
        transfers: &mut Transfers,
        message: &mut Vec<u8>,
    ) -> Result<Begun, ProtocolError> {
        let mut bits = SecretVec::zeros(packing::words_for(self.len * self.entries));
        for (entry, plane) in one_hot.iter().enumerate() {
            for element in 0..self.len {
                let at = element * self.entries + entry;
                bits[at / 64] |= (plane[element / 64] >> (element % 64) & 1) << (at % 64);
            }
        }
        let begun = Begun { points: self, bits, sent: transfers.sent(), received: transfers.received() };
        begun.received.send_corrections(&begun.bits, message)?;
        Ok(begun)
    }
}

impl Begun {
    /// The strings that a party has of every entry, which are the other's where both have the same bit.
    pub(super) fn leaves<E: Ring>(self, message: &mut &[u8]) -> Result<Leaves<E>, ProtocolError> {
        let Self { points, bits, sent, received } = self;
        let count = points.strings().count;
        let theirs = receive_corrections(count, next(message, plane_bytes(count)))?;
        let width = points.width as usize;
        let strings = core::array::from_fn(|value| {
            let (from, to) = (value * width, (value + 1) * width);
            let own = bits.iter().zip(theirs.iter()).map(|(bit, correction)| bit ^ correction).cycle();
            let planes = received.chosen(from, to).iter().zip(sent.zero(from, to)).zip(sent.difference(from, to));
            let planes: SecretVec<u64> =
                planes.zip(own).map(|(((chosen, zero), difference), own)| chosen ^ zero ^ (difference & own)).collect();
            let mut strings = SecretVec::zeros(count);
            bitslice::from_planes(&planes, points.width, &mut strings);
            strings
        });
        Ok(Leaves { points, bits, strings })
    }
}

impl<E: Ring> Leaves<E> {
    /// The vectors' shares, of each value the entries of one element after the other, from those of the values.
    pub(super) async fn make(
        self,
        pair: &mut Pair,
        values: &[SecretVec<E>; VALUES],
        first: bool,
        transfers: &mut Transfers,
    ) -> Result<[SecretVec<E>; VALUES], ProtocolError> {
        let Points { entries, width, .. } = self.points;
        let corrections = self.corrections(pair, values, first, transfers).await?;
        let Self { bits, strings: mut made, .. } = self;
        let ones = all_ones::<E>(&bits, self.points.strings().count);
        for (made, corrections) in made.iter_mut().zip(&corrections) {
            for (index, (made, &ones)) in made.iter_mut().zip(ones.iter()).enumerate() {
                let part = made.wrapping_add(corrections[index / entries] & ones);
                *made = if first { part } else { part.wrapping_neg() } & E::low_mask(width);
            }
        }
        Ok(made)
    }

    /// w = σ·(β − D) of every element, opened.
    async fn corrections(
        &self,
        pair: &mut Pair,
        values: &[SecretVec<E>; VALUES],
        first: bool,
        transfers: &mut Transfers,
    ) -> Result<Vec<SecretVec<E>>, ProtocolError> {
        let Points { len, width, .. } = self.points;
        let negative = self.negative(first);
        let of_value = |(value, strings): (&SecretVec<E>, &SecretVec<E>)| {
            signed(&self.differences(value, strings, first), &negative)
        };
        let own: Vec<SecretVec<E>> = values.iter().zip(&self.strings).map(of_value).collect();
        let signs = self.points.signs();
        let (mut message, mut answer) = (Vec::new(), vec![0; signs.bytes(!first)]);
        let begun = signs.begin(
            first,
            &negative,
            own.iter().map(|own| SecretVec::copy_of(own)).collect(),
            transfers,
            &mut message,
        )?;
        pair.exchange(&message, &mut answer).await?;
        let scaled = begun.finish(&mut &answer[..])?;
        // A party's sign times the other's value is the value, less twice its product with the bit.
        let share = |((own, ours), theirs): ((&E, &E), &E)| {
            own.wrapping_sub(ours.wrapping_add(*theirs) << 1) & E::low_mask(width)
        };
        let shares = own.iter().zip(scaled.ours.iter().zip(&scaled.theirs));
        let shares: Vec<SecretVec<E>> = shares
            .map(|(own, (ours, theirs))| own.iter().zip(ours.iter()).zip(theirs.iter()).map(share).collect())
            .collect();
        open(pair, &shares, len, width).await
    }

    /// This party's share of each element's bit that σ is negative.
    fn negative(&self, first: bool) -> SecretVec<u64> {
        let Points { len, entries, .. } = self.points;
        let mut negative = SecretVec::zeros(packing::words_for(len));
        for element in 0..len {
            let at = element * entries;
            let ones = if entries < 64 {
                (self.bits[at / 64] >> (at % 64) & u64::low_mask(entries as u32)).count_ones()
            } else {
                self.bits[at / 64..][..entries / 64].iter().map(|word| word.count_ones()).sum()
            };
            let bit = if first { ones >> 1 } else { ones >> 1 ^ ones };
            negative[element / 64] |= u64::from(bit & 1) << (element % 64);
        }
        negative
    }

    /// This party's share of β − D.
    fn differences(&self, value: &[E], strings: &[E], first: bool) -> SecretVec<E> {
        let of = |(value, strings): (&E, &[E])| {
            let sum = strings.iter().fold(E::ZERO, |sum, string| sum.wrapping_add(*string));
            if first { value.wrapping_sub(sum) } else { value.wrapping_add(sum) }
        };
        value.iter().zip(strings.chunks_exact(self.points.entries)).map(of).collect()
    }
}

/// Opens values of `width` bits, `len` of each share.
async fn open<E: Ring>(
    pair: &mut Pair,
    shares: &[SecretVec<E>],
    len: usize,
    width: u32,
) -> Result<Vec<SecretVec<E>>, ProtocolError> {
    let one = packing::packed_len(len, width);
    let (mut message, mut answer) = (vec![0; shares.len() * one], vec![0; shares.len() * one]);
    for (share, part) in shares.iter().zip(message.chunks_exact_mut(one.max(1))) {
        packing::pack(share, width, part);
    }
    pair.exchange(&message, &mut answer).await?;
    let opened = shares.iter().zip(answer.chunks_exact(one.max(1))).map(|(share, part)| {
        let mut opened = SecretVec::<E>::zeros(len);
        packing::unpack(part, width, &mut opened);
        opened.iter_mut().zip(share.iter()).for_each(|(sum, share)| *sum = sum.wrapping_add(*share));
        opened
    });
    Ok(opened.collect())
}
