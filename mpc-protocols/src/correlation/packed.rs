//! Large dealt shares that are not expanded before they are needed.

use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec, Stretch};

use super::layout::Field;

/// A packed share as it was made: a seed at all parties but the last, and the dealer's bytes there.
#[derive(Debug)]
pub(crate) enum Packed {
    Seed(Stretch),
    Bytes(SecretVec<u8>),
}

impl Packed {
    /// Nothing, to be filled.
    pub(super) fn blank() -> Self {
        Self::Bytes(SecretVec::zeros(0))
    }

    /// The share of `len` elements that is expanded from the generator's next seed.
    pub(super) fn seed<R: Ring>(generator: &mut Prg, len: usize) -> Self {
        Self::Seed(Prg::new(generator.seed()).set_aside(len * R::BYTES))
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

/// A share of items of several elements each, of which a few in a row are read.
pub(crate) struct Expansion {
    bits: u32,
    packed: Packed,
    /// The elements of an item.
    item: usize,
}

impl Expansion {
    /// The share of items of `item` elements in `bits` bits, a multiple of 8.
    pub(crate) fn new(packed: Packed, item: usize, bits: u32) -> Self {
        Self { bits, packed, item }
    }

    /// `N` elements of an item, from the public position `start`.
    pub(crate) fn read<R: Ring, const N: usize>(&self, item: usize, start: usize) -> [R; N] {
        let mut elements = [R::ZERO; N];
        let from = item * self.item + start;
        match &self.packed {
            Packed::Seed(stretch) => R::fill_random(&mut elements, &mut stretch.reader(from * R::BYTES)),
            Packed::Bytes(bytes) => {
                let bytes_per_element = self.bits as usize / 8;
                let bytes = &bytes[from * bytes_per_element..][..N * bytes_per_element];
                packing::unpack(bytes, self.bits, &mut elements);
            }
        }
        elements
    }
}
