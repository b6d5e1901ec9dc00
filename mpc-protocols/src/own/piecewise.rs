//! Comparisons with several thresholds: the masks of the first have the tables, and those of each further one lend their
//! monomials and their flip bit d, which is then multiplied with the first one's r.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::Batch;
use mpc_ot::products::all_ones;
use mpc_ring::{Ring, packing};
use mpc_shares::SecretVec;

use super::comparison::{Group, Masks, Part};
use super::cost::Account;
use super::maker::{Maker, put_at};
use super::scaled::{Scaled, Scaling, Transfers, signed};
use crate::ProtocolError;
use crate::correlation::Share;
use crate::sign::SignParameters;

/// The sizes of a comparison with several thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    pub(super) len: usize,
    pub(super) thresholds: usize,
    pub(super) parameters: SignParameters,
    /// The bits of r's shares, and of its top bit's.
    pub(super) widths: [u32; 2],
}

/// This party's shares of r and its top bit, and the flip bits in XOR.
pub(super) struct Gathered<E: Ring> {
    factors: [SecretVec<E>; 2],
    flips: Vec<SecretVec<u64>>,
}

impl Pieces {
    /// Fields before the thresholds: r with what is read of its leaves, and its top bit.
    fn before(self) -> usize {
        self.parameters.mask_fields() + 1
    }

    /// The first field of a threshold: ρ, σ, d, products, d in the ring; then d·r and d·r_top.
    fn first_field(self, threshold: usize) -> usize {
        self.before() + threshold * (self.parameters.threshold_fields() + 2)
    }

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
        let (first, tables) = (self.first_field(threshold), self.parameters.mask_fields());
        let fields = self.parameters.threshold_fields();
        // In the order in which a ReLU has them.
        let mut places = vec![None; tables + fields + 3];
        if threshold == 0 {
            (0..tables).for_each(|field| places[field] = Some(field));
            places[tables + fields] = Some(tables);
            let [mask, of_top] = &mut gathered.factors;
            masks.gather(part, mask, of_top);
        }
        if threshold < self.thresholds {
            (0..fields).for_each(|field| places[tables + field] = Some(first + field));
            if threshold == 0 {
                (0..2).for_each(|product| places[tables + fields + 1 + product] = Some(first + fields + product));
            } else {
                masks.gather_flip(part, &mut gathered.flips[threshold]);
            }
        }
        masks.put_fields(group, part, self.len, &places, shares);
    }

    /// The products of each further threshold: d·r and d·r_top.
    fn scaling(self) -> Scaling {
        let widths = self.widths.into_iter().filter(|&width| width > 0);
        Scaling { len: self.len, widths: [widths.clone().collect(), widths.collect()] }
    }

    /// The thresholds of which something is made.
    fn further(self) -> usize {
        if self.len > 0 { self.thresholds.saturating_sub(1) } else { 0 }
    }

    /// The transfers of one direction.
    fn batches(self) -> Vec<Batch> {
        let [batch, _] = self.scaling().batches(true);
        batch.into_iter().cycle().take(self.further()).collect()
    }

    /// The bytes that each party sends.
    fn bytes(self) -> usize {
        self.further() * self.scaling().bytes(true)
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
        maker: &mut Maker,
        gathered: &Gathered<E>,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let (batches, scaling, first) = (self.batches(), self.scaling(), maker.place.is_first());
        if batches.is_empty() {
            return Ok(());
        }
        let mut transfers = Transfers::new(maker.pair.random(&batches, &batches).await?);
        let flips = &gathered.flips[1..];
        let (mut message, mut begun) = (Vec::with_capacity(self.bytes()), Vec::with_capacity(flips.len()));
        for flip in flips {
            let numbers = gathered.factors.iter().zip(self.widths).filter(|&(_, width)| width > 0);
            let numbers = numbers.map(|(factor, _)| signed(factor, flip)).collect();
            begun.push(scaling.begin(first, flip, numbers, &mut transfers, &mut message)?);
        }
        let mut answer = vec![0; self.bytes()];
        maker.pair.exchange(&message, &mut answer).await?;
        let mut answer = &answer[..];
        for (index, (begun, flip)) in begun.into_iter().zip(flips).enumerate() {
            let Scaled { ours, theirs } = begun.finish(&mut answer)?;
            let flips = all_ones::<E>(flip, self.len);
            for (factor, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let own = gathered.factors[factor].iter().zip(flips.iter()).map(|(x, flip)| *x & *flip);
                let shares_of = ours.iter().zip(theirs.iter()).zip(own);
                let product: SecretVec<E> =
                    shares_of.map(|((ours, theirs), own)| ours.wrapping_add(*theirs).wrapping_add(own)).collect();
                let field = self.first_field(index + 1) + self.parameters.threshold_fields() + factor;
                put_at(&product, &mut *shares[field], 0);
            }
        }
        Ok(())
    }
}
