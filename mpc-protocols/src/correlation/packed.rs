//! Large dealt shares that are not expanded before they are needed.

use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec};

use super::layout::Field;

/// A packed share as it was made: a seed at all parties but the last, and the dealer's bytes there.
#[derive(Debug)]
pub(crate) enum Packed {
    Seed(Prg),
    Bytes(SecretVec<u8>),
}

impl Packed {
    /// Nothing, to be filled.
    pub(super) fn blank() -> Self {
        Self::Bytes(SecretVec::zeros(0))
    }

    /// The share that is expanded from the generator's next seed.
    pub(super) fn seed(generator: &mut Prg) -> Self {
        Self::Seed(Prg::new(generator.seed()))
    }

    /// The place of all the bytes of a field.
    pub(super) fn bytes(&mut self, field: &Field) -> &mut [u8] {
        let len = field.packed_bytes(field.len);
        if !matches!(self, Self::Bytes(bytes) if bytes.len() == len) {
            *self = Self::Bytes(SecretVec::zeros(len));
        }
        let Self::Bytes(bytes) = self else { unreachable!("bytes since the line before") };
        bytes
    }
}

/// A share of items of several elements each. Of each item a few elements in a row are read, item after item.
pub(crate) struct Expansion<R: Ring> {
    bits: u32,
    packed: Packed,
    /// One expanded item.
    item: SecretVec<R>,
    /// The number of items read.
    read: usize,
}

impl<R: Ring> Expansion<R> {
    /// The share of items of `item` elements in `bits` bits, a multiple of 8.
    pub(crate) fn new(packed: Packed, item: usize, bits: u32) -> Self {
        Self { bits, packed, item: SecretVec::zeros(item), read: 0 }
    }

    /// `N` elements of the next item, from the public position `start`.
    pub(crate) fn next<const N: usize>(&mut self, start: usize) -> [R; N] {
        let mut elements = [R::ZERO; N];
        match &mut self.packed {
            Packed::Seed(generator) => {
                R::fill_random(&mut self.item, generator);
                elements.copy_from_slice(&self.item[start..start + N]);
            }
            Packed::Bytes(bytes) => {
                let bytes_per_element = self.bits as usize / 8;
                let from = (self.read * self.item.len() + start) * bytes_per_element;
                packing::unpack(&bytes[from..][..N * bytes_per_element], self.bits, &mut elements);
            }
        }
        self.read += 1;
        elements
    }
}
