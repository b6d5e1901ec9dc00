//! One party's state for one half of the elements.

mod leaves;
mod mask;
mod monomials;
mod products;

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec};

use super::ends::{End, Ends, Received, Sent};
use super::shape::{ComparisonShape, Role};
use crate::OtError;
use leaves::LeafMaker;
use mask::Mask;
use monomials::MonomialMaker;
use products::Flip;

pub(super) use monomials::Monomials;
pub(super) use products::Flipped;

/// One party's state for one half.
pub(super) struct Half<R: Ring> {
    shape: ComparisonShape,
    mask: Mask<R>,
    leaves: LeafMaker,
    chains: Vec<MonomialMaker>,
    flip: Flip<R>,
}

/// One party's shares for one half.
pub(super) struct MadeHalf<R: Ring> {
    pub(super) mask: SecretVec<R>,
    pub(super) top: SecretVec<R>,
    /// The bits of r.
    pub(super) bits: Vec<SecretVec<u64>>,
    /// The products of the bits of each leaf, by set, without that of the empty one.
    pub(super) leaves: Vec<Vec<SecretVec<u64>>>,
    /// Of every chain, level after level.
    pub(super) chains: Vec<Monomials>,
    pub(super) flipped: Flipped<R>,
}

impl<R: Ring> Half<R> {
    pub(super) fn new(
        shape: ComparisonShape,
        len: usize,
        role: Role,
        sent: &mut Sent,
        received: &mut Received,
        generator: &mut Prg,
    ) -> Result<Self, OtError> {
        let mut ends = Ends::new(role, sent, received);
        let mut bits: Vec<End> = (0..shape.k()).map(|_| ends.forth()).collect();
        let mask = Mask::new(shape, len, &mut bits, &mut ends)?;
        let leaves = LeafMaker::new(shape, role, &mask, bits, &mut ends);
        let chains = shape.chains().map(|chain| MonomialMaker::new(chain, len, &mut ends, generator)).collect();
        let flip = Flip::new(shape, len, ends.forth(), ends.back());
        Ok(Self { shape, mask, leaves, chains, flip })
    }

    /// Appends this half's part of the message of a round.
    pub(super) fn send(&mut self, round: usize, message: &mut Vec<u8>) -> Result<(), OtError> {
        self.mask.send(round, message)?;
        self.leaves.send(message)?;
        self.chains.iter_mut().try_for_each(|chain| chain.send(round, message))?;
        if round == self.shape.rounds() {
            let (mask, top) = self.mask.shares();
            self.flip.send(mask, top, message)?;
        }
        Ok(())
    }

    /// Takes this half's part of the other party's message.
    pub(super) fn receive(&mut self, round: usize, message: &mut &[u8]) -> Result<(), OtError> {
        self.mask.receive(round, message)?;
        self.leaves.receive(message)?;
        self.chains.iter_mut().try_for_each(|chain| chain.receive(round, message))?;
        if round == self.shape.rounds() {
            let (mask, top) = self.mask.shares();
            self.flip.receive(mask, top, message)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> MadeHalf<R> {
        let Self { mask, leaves, chains, flip, .. } = self;
        let (mask, top, bits) = mask.finish();
        let chains = chains.into_iter().map(MonomialMaker::finish).collect();
        MadeHalf { mask, top, bits, leaves: leaves.finish(), chains, flipped: flip.finish() }
    }
}
