//! The size of a comparison's masks, and from it every batch and every message.

use alloc::vec::Vec;
use core::cmp::Ordering;

use mpc_ring::Ring;
use mpc_ring::packing::{packed_len, words_for};
use mpc_transport::Traffic;

use super::chain::{Chain, Variant};
use crate::products::plane_bytes;
use crate::{Batch, OtError, Schedule, channel};

/// Smallest k.
pub const MIN_BITS: u32 = 3;
/// More leaves than this would need more than 2^9 monomials per element.
const MAX_LEAVES: usize = 9;
/// Largest k.
pub const MAX_BITS: u32 = (MAX_LEAVES * Variant::FewRounds.leaf_bits()) as u32 + 2;

/// The number of elements, the bits of their mask, and those of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ComparisonShape {
    /// The number of elements.
    pub len: usize,
    /// k: the bits of a mask.
    pub bits: u32,
    /// The shares of r are modulo 2 to this.
    pub ring_bits: u32,
    /// The variant of the comparisons.
    pub variant: Variant,
}

/// The part of a party in a half of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its shares of r's bits are choice bits: P_0 of the design.
    Chooser,
    /// Its shares of r's bits are differences of strings: P_1.
    Other,
}

impl Role {
    pub(super) const fn of(first: bool) -> Self {
        if first { Self::Chooser } else { Self::Other }
    }
}

impl ComparisonShape {
    pub(super) fn check<R: Ring>(self) -> Result<(), OtError> {
        let refused = |parameter, value, allowed| Err(OtError::Parameter { parameter, value, allowed });
        if !(MIN_BITS..=MAX_BITS).contains(&self.bits) {
            return refused("k", u64::from(self.bits), "3 to 47 bits");
        }
        if !(self.bits..=R::BITS).contains(&self.ring_bits) {
            return refused("bits of the ring", u64::from(self.ring_bits), "k bits to those of the ring's type");
        }
        Ok(())
    }

    /// k.
    pub(super) const fn k(self) -> usize {
        self.bits as usize
    }

    /// The bits of r's top bit in the ring.
    pub(super) const fn top_bits(self) -> usize {
        (self.ring_bits - self.bits) as usize
    }

    /// L: the number of leaves.
    pub(super) const fn leaves(self) -> usize {
        self.variant.leaves(self.bits)
    }

    /// The bits of one leaf.
    pub(super) fn leaf_bits(self, leaf: usize) -> core::ops::Range<usize> {
        let width = self.variant.leaf_bits();
        leaf * width..((leaf + 1) * width).min(self.k() - 2)
    }

    /// The products of a bit of r with those of the lower bits of its leaf: none for a leaf's lowest bit and for bits in no leaf.
    pub(super) fn leaf_products(self, bit: usize) -> usize {
        if bit < self.k() - 2 { (1 << (bit % self.variant.leaf_bits())) - 1 } else { 0 }
    }

    /// The chains of all levels.
    pub(super) fn chains(self) -> impl Iterator<Item = Chain> {
        self.variant.levels(self.bits).into_iter().flatten()
    }

    /// The elements of each half, and this party's role in it.
    pub(super) fn halves(self, first: bool) -> [(usize, Role); 2] {
        let half = (words_for(self.len) / 2 * 64).min(self.len);
        [(half, Role::of(first)), (self.len - half, Role::of(!first))]
    }

    /// Lengths of the strings of the transfers that the chooser receives, then of those that it sends, for one element.
    pub(super) fn strings(self) -> [Vec<usize>; 2] {
        let top = self.top_bits();
        let mut forth = Vec::new();
        for bit in 0..self.k() {
            forth.push(1 + self.leaf_products(bit) + if bit + 1 == self.k() { top } else { 0 });
        }
        forth.extend(core::iter::repeat_n(1, self.k() - 1));
        forth.extend((top > 0).then_some(top));
        let mut back: Vec<_> = (0..self.k()).map(|bit| self.leaf_products(bit)).filter(|&bits| bits > 0).collect();
        for chain in self.chains() {
            for strings in [&mut forth, &mut back] {
                strings.extend((1..chain.equal).map(|place| (1 << place) - 1));
                strings.extend((0..chain.less - 1).map(|part| chain.sets_above(part)));
            }
        }
        let ring = self.ring_bits as usize;
        forth.push(2 * ring + top);
        back.push(ring + top);
        [forth, back]
    }

    /// The batches that a party sends, and those that it receives.
    pub(super) fn batches(self, first: bool) -> [Vec<Batch>; 2] {
        let mut batches = [Vec::new(), Vec::new()];
        for (count, role) in self.halves(first) {
            let [forth, back] = self.strings();
            let (sends, receives) = if role == Role::Chooser { (back, forth) } else { (forth, back) };
            for (batches, strings) in batches.iter_mut().zip([sends, receives]) {
                batches.extend(strings.into_iter().map(|bits| Batch { count, bits }));
            }
        }
        batches
    }

    /// Random OTs of an element: those that one party receives, and those that it sends.
    #[must_use]
    pub fn transfers(self) -> [usize; 2] {
        self.strings().map(|strings| strings.len())
    }

    /// Rounds after the one of the random OTs.
    #[must_use]
    pub const fn rounds(self) -> usize {
        self.k() + if self.top_bits() > 0 { 1 } else { 0 }
    }

    /// The round in which shares of bits become shares in the ring, if there is one.
    pub(super) fn lift_round(self) -> Option<usize> {
        (self.top_bits() > 0).then_some(self.k())
    }

    /// Bytes that a party sends in a round.
    pub(super) fn bytes(self, first: bool, round: usize) -> usize {
        self.halves(first).into_iter().map(|(len, role)| self.half_bytes(len, role, round)).sum()
    }

    fn half_bytes(self, len: usize, role: Role, round: usize) -> usize {
        let chooser = role == Role::Chooser;
        let ring = |bits: usize| if bits > 0 { packed_len(len, bits as u32) } else { 0 };
        let (top, full) = (ring(self.top_bits()), ring(self.ring_bits as usize));
        let mut planes = usize::from(round < self.k());
        let tables =
            (0..self.k()).filter(|&bit| bit % self.variant.leaf_bits() == round).map(|bit| self.leaf_products(bit));
        planes +=
            tables.filter(|&products| products > 0).map(|products| products + usize::from(!chooser)).sum::<usize>();
        planes += self.monomial_products(round);
        let mut bytes = planes * plane_bytes(len);
        if self.lift_round() == Some(round) {
            bytes += if chooser { plane_bytes(len) } else { 2 * top };
        }
        if round == self.rounds() {
            bytes += full + top + if chooser { 0 } else { full };
        }
        bytes
    }

    /// Products of monomials in one round: of the σ of a chain in the first ones, then with every ρ of it.
    fn monomial_products(self, round: usize) -> usize {
        let of = |chain: Chain| match round.cmp(&chain.equal) {
            Ordering::Less => (1 << round) - 1,
            Ordering::Equal => chain.products_of_less(chain.less),
            Ordering::Greater => 0,
        };
        self.chains().map(of).sum()
    }

    /// The traffic of a party, the random OTs included, and the schedule of its pair after them.
    #[must_use]
    pub fn traffic(self, schedule: &mut Schedule, first: bool) -> Traffic {
        let [sends, receives] = self.batches(first);
        let rounds =
            (1..=self.rounds()).map(|round| channel::traffic(self.bytes(first, round), self.bytes(!first, round)));
        schedule.random(&sends, &receives) + rounds.sum()
    }
}
