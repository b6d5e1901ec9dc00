//! The link, the place and the generator that everything is made with, and how shares are filled.

use mpc_ot::Pair;
use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec};

use crate::Place;
use crate::correlation::Share;

/// A party's means to make correlations.
pub(super) struct Maker {
    pub(super) pair: Pair,
    pub(super) place: Place,
    pub(super) generator: Prg,
}

impl Maker {
    /// Uniform elements of this party's own.
    pub(super) fn random<E: Ring>(&mut self, len: usize, width: u32) -> SecretVec<E> {
        let mut elements = SecretVec::zeros(len);
        E::fill_random(&mut elements, &mut self.generator);
        elements.iter_mut().for_each(|element| *element = *element & E::low_mask(width));
        elements
    }
}

/// Fills whole shares, each with its values.
pub(super) fn put_all<E: Ring>(shares: &mut [&mut dyn Share], values: &[&SecretVec<E>]) {
    for (share, values) in shares.iter_mut().zip(values) {
        put_at(values, *share, 0);
    }
}

/// Fills a part of a share with values, of which the field's bits count.
pub(super) fn put_at<E: Ring>(values: &[E], share: &mut dyn Share, from: usize) {
    let field = *share.field();
    if values.is_empty() || field.bits == 0 {
        return;
    }
    let mut bytes = SecretVec::<u8>::zeros(field.packed_bytes(values.len()));
    packing::pack(values, field.bits, &mut bytes);
    share.unpack(from..from + values.len(), &bytes);
}
