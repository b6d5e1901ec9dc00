//! One party's state for one half of the elements.

mod mask;
mod monomials;
mod products;
mod table;

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec};

use super::ends::{End, Ends, Received, Sent};
use super::shape::{ComparisonShape, Role};
use crate::OtError;
use mask::Mask;
use monomials::MonomialMaker;
use products::Flip;
use table::TableMaker;

pub(super) use monomials::Monomials;
pub(super) use products::Flipped;

/// One party's state for one half.
pub(super) struct Half<R: Ring> {
    shape: ComparisonShape,
    mask: Mask<R>,
    tables: TableMaker,
    monomials: MonomialMaker,
    flip: Flip<R>,
}

/// One party's shares for one half.
pub(super) struct MadeHalf<R: Ring> {
    pub(super) mask: SecretVec<R>,
    pub(super) top: SecretVec<R>,
    pub(super) sign: SecretVec<u64>,
    /// The tables of each leaf, 32 planes or fewer.
    pub(super) tables: Vec<SecretVec<u64>>,
    pub(super) monomials: Monomials,
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
        let tables = TableMaker::new(shape, len, role, &mask, bits, &mut ends)?;
        let monomials = MonomialMaker::new(shape, len, &mut ends, generator);
        let flip = Flip::new(shape, len, ends.forth(), ends.back());
        Ok(Self { shape, mask, tables, monomials, flip })
    }

    /// Appends this half's part of the message of a round.
    pub(super) fn send(&mut self, round: usize, message: &mut Vec<u8>) -> Result<(), OtError> {
        self.mask.send(round, message)?;
        self.tables.send(round, message)?;
        self.monomials.send(round, message)?;
        if round == self.shape.rounds() {
            let (mask, top) = self.mask.shares();
            self.flip.send(mask, top, message)?;
        }
        Ok(())
    }

    /// Takes this half's part of the other party's message.
    pub(super) fn receive(&mut self, round: usize, message: &mut &[u8]) -> Result<(), OtError> {
        self.mask.receive(round, message)?;
        self.tables.receive(round, message)?;
        self.monomials.receive(round, message)?;
        if round == self.shape.rounds() {
            let (mask, top) = self.mask.shares();
            self.flip.receive(mask, top, message)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> MadeHalf<R> {
        let Self { mask, tables, monomials, flip, .. } = self;
        let (mask, top, sign) = mask.finish();
        MadeHalf { mask, top, sign, tables: tables.finish(), monomials: monomials.finish(), flipped: flip.finish() }
    }
}
