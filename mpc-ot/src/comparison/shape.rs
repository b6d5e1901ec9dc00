//! The size of a comparison's masks, and from it every batch and every message.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_ring::packing::{packed_len, words_for};
use mpc_transport::Traffic;

use crate::products::plane_bytes;
use crate::{Batch, OtError, Schedule, channel};

/// Bits of a leaf.
pub const LEAF_BITS: usize = 5;
/// Smallest k.
pub const MIN_BITS: u32 = 3;
/// More leaves than this would need more than 2^9 monomials per element.
pub const MAX_LEAVES: usize = 9;
/// Largest k.
pub const MAX_BITS: u32 = (MAX_LEAVES * LEAF_BITS) as u32 + 2;

/// The number of elements, the bits of their mask, and those of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ComparisonShape {
    /// The number of elements.
    pub len: usize,
    /// k: the bits of a mask.
    pub bits: u32,
    /// The shares of r are modulo 2 to this.
    pub ring_bits: u32,
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
        (self.k() - 2).div_ceil(LEAF_BITS)
    }

    /// The bits of one leaf.
    pub(super) fn leaf_bits(self, leaf: usize) -> core::ops::Range<usize> {
        leaf * LEAF_BITS..((leaf + 1) * LEAF_BITS).min(self.k() - 2)
    }

    /// The products of a bit of r with a table: none for a leaf's lowest bit and for bits in no leaf.
    pub(super) fn table_products(self, bit: usize) -> usize {
        if bit < self.k() - 2 { (1 << (bit % LEAF_BITS)) - 1 } else { 0 }
    }

    /// The subsets, but the empty one, of the σ above a leaf.
    pub(super) const fn sets_above(self, leaf: usize) -> usize {
        (1 << (self.leaves() - 1 - leaf)) - 1
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
            forth.push(1 + self.table_products(bit) + if bit + 1 == self.k() { top } else { 0 });
        }
        forth.extend(core::iter::repeat_n(1, self.k() - 1));
        forth.extend((top > 0).then_some(top));
        let mut back: Vec<_> = (0..self.k()).map(|bit| self.table_products(bit)).filter(|&bits| bits > 0).collect();
        for strings in [&mut forth, &mut back] {
            strings.extend((1..self.leaves().saturating_sub(1)).map(|place| (1 << place) - 1));
            strings.extend((0..self.leaves() - 1).map(|leaf| self.sets_above(leaf)));
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
        let tables = (0..self.k()).filter(|&bit| bit % LEAF_BITS == round).map(|bit| self.table_products(bit));
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

    /// Products of monomials in one round: of σ in the first ones, then with every ρ.
    fn monomial_products(self, round: usize) -> usize {
        let variables = self.leaves() - 1;
        if round < variables {
            (1 << round) - 1
        } else if round == variables {
            (0..variables).map(|leaf| self.sets_above(leaf)).sum()
        } else {
            0
        }
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
