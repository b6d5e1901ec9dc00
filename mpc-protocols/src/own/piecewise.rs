//! Comparisons with several thresholds: the masks of the first have the tables, and those of each further one lend their
//! monomials and their flip bit d, which is then multiplied with the first one's r.
//!
//! With d = d_0 ⊕ d_1 and x = x_0 + x_1, d·x_1 = d_0·(1 − 2·d_1)·x_1 + d_1·x_1, of which one product takes a transfer; d·x_0
//! likewise in the other direction.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::products::{correct_ring, plane_bytes, receive_corrections, ring_bytes};
use mpc_ot::{Batch, Pair};
use mpc_ring::{Ring, packing};
use mpc_shares::SecretVec;

use super::comparison::{Group, Masks, Part};
use super::cost::Account;
use super::maker::put_at;
use crate::ProtocolError;
use crate::correlation::Share;

/// The sizes of a comparison with several thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    pub(super) len: usize,
    pub(super) thresholds: usize,
    /// The bits of r's shares, and of its top bit's.
    pub(super) widths: [u32; 2],
}

/// This party's shares of r and its top bit, and the flip bits in XOR.
pub(super) struct Gathered<E: Ring> {
    factors: [SecretVec<E>; 2],
    flips: Vec<SecretVec<u64>>,
}

impl Pieces {
    /// Fields of the tables: r, tables, bit k−2; then the top bit.
    const TABLES: usize = 3;
    /// Fields of a threshold: ρ, σ, d, products, d in the ring; then d·r and d·r_top.
    const THRESHOLD: usize = 5;
    /// All fields of one threshold.
    const OF_EACH: usize = Self::THRESHOLD + 2;

    pub(super) fn gathered<E: Ring>(self) -> Gathered<E> {
        let flips = (0..self.thresholds).map(|_| SecretVec::zeros(packing::words_for(self.len))).collect();
        Gathered { factors: [SecretVec::zeros(self.len), SecretVec::zeros(self.len)], flips }
    }

    /// Fills what a part of the masks of threshold `threshold` has, and keeps of it what the products need.
    pub(super) fn put<E: Ring>(
        self,
        (group, part): (&Group, &Part),
        masks: &Masks,
        threshold: usize,
        gathered: &mut Gathered<E>,
        shares: &mut [&mut dyn Share],
    ) {
        let first = Self::TABLES + 1 + threshold * Self::OF_EACH;
        let top = Self::TABLES;
        // In the order in which a ReLU has them.
        let mut places = [None; Self::TABLES + Self::THRESHOLD + 3];
        if threshold == 0 {
            (0..Self::TABLES).for_each(|field| places[field] = Some(field));
            places[Self::TABLES + Self::THRESHOLD] = Some(top);
            let [mask, of_top] = &mut gathered.factors;
            masks.gather(part, mask, of_top);
        }
        if threshold < self.thresholds {
            (0..Self::THRESHOLD).for_each(|field| places[Self::TABLES + field] = Some(first + field));
            if threshold == 0 {
                [0, 1].into_iter().for_each(|product| {
                    places[Self::TABLES + Self::THRESHOLD + 1 + product] = Some(first + Self::THRESHOLD + product);
                });
            } else {
                masks.gather_flip(part, &mut gathered.flips[threshold]);
            }
        }
        masks.put_fields(group, part, self.len, &places, shares);
    }

    /// The transfers of one direction: for each further threshold d·r and d·r_top.
    fn batches(self) -> Vec<Batch> {
        let bits = self.widths.iter().sum::<u32>() as usize;
        vec![Batch { count: self.len, bits }; if self.len > 0 { self.thresholds.saturating_sub(1) } else { 0 }]
    }

    fn products(self) -> impl Iterator<Item = (usize, u32)> {
        self.widths.into_iter().enumerate().filter(|&(_, width)| width > 0)
    }

    /// The bytes that each party sends.
    fn bytes(self) -> usize {
        let one = self.products().map(|(_, width)| ring_bytes(Batch { count: self.len, bits: width as usize }));
        self.batches().len() * (plane_bytes(self.len) + one.sum::<usize>())
    }

    pub(super) fn memory(self) -> u64 {
        let strings = self.batches().iter().map(|batch| batch.count as u64 * batch.bits as u64 / 8).sum::<u64>();
        8 * strings + 64 * (self.thresholds as u64 + 4) * self.len as u64 + (1 << 20)
    }

    pub(super) fn cost(self, account: &mut Account<'_>) {
        let batches = self.batches();
        if !batches.is_empty() {
            account.random(&batches, &batches);
            account.exchange(self.bytes(), self.bytes());
        }
    }

    /// Makes d·r and d·r_top of every threshold but the first.
    pub(super) async fn multiply<E: Ring>(
        self,
        pair: &mut Pair,
        gathered: &Gathered<E>,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let batches = self.batches();
        if batches.is_empty() {
            return Ok(());
        }
        let (sent, received) = pair.random(&batches, &batches).await?;
        let flips = &gathered.flips[1..];
        let mut message = Vec::with_capacity(self.bytes());
        for (batch, flip) in received.iter().zip(flips) {
            batch.send_corrections(flip, &mut message)?;
        }
        let mut halves = Vec::new();
        for (mut batch, flip) in sent.into_iter().zip(flips) {
            for (factor, width) in self.products() {
                let operand = signed(&gathered.factors[factor], flip);
                let half = batch.take(width as usize)?.send_ring(&operand, &mut message)?;
                halves.push((operand, half));
            }
        }
        let mut answer = vec![0; self.bytes()];
        pair.exchange(&message, &mut answer).await?;
        let (corrections, mut answer) = answer.split_at(batches.len() * plane_bytes(self.len));
        let mut halves = halves.into_iter();
        let lines = received.into_iter().zip(flips).zip(corrections.chunks_exact(plane_bytes(self.len)));
        for (index, ((mut batch, flip), corrections)) in lines.enumerate() {
            let theirs = receive_corrections(self.len, corrections)?;
            let ours: SecretVec<u64> = batch.choices().iter().zip(flip.iter()).map(|(a, b)| a ^ b).collect();
            for (factor, width) in self.products() {
                let part = batch.take(width as usize)?;
                let (bytes, rest) = answer.split_at(ring_bytes(part.batch()));
                answer = rest;
                let mut product = part.receive_ring::<E>(bytes)?;
                correct_ring(&mut product, &ours, None, width)?;
                let Some((operand, mut half)) = halves.next() else { unreachable!("one for each product") };
                correct_ring(&mut half, &theirs, Some(&operand), width)?;
                for (i, share) in product.iter_mut().enumerate() {
                    let own = E::from_u64(bit(flip, i)).wrapping_mul(gathered.factors[factor][i]);
                    *share = share.wrapping_add(half[i]).wrapping_add(own) & E::low_mask(width);
                }
                let field = Self::TABLES + 1 + (index + 1) * Self::OF_EACH + Self::THRESHOLD + factor;
                put_at(&product, &mut *shares[field], 0);
            }
        }
        Ok(())
    }
}

fn bit(plane: &[u64], index: usize) -> u64 {
    plane[index / 64] >> (index % 64) & 1
}

/// (1 − 2·d)·x.
fn signed<E: Ring>(x: &[E], flip: &[u64]) -> SecretVec<E> {
    let of = |(index, x): (usize, &E)| {
        let mask = E::from_u64(bit(flip, index)).wrapping_neg();
        (*x ^ mask).wrapping_sub(mask)
    };
    x.iter().enumerate().map(of).collect()
}
