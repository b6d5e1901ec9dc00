//! Large dealt shares that are not expanded before they are needed.

use alloc::boxed::Box;
use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec};

use super::CorrelationSource;
use crate::ProtocolError;
use crate::request::frame_elements;

/// A share of items of several elements each that the dealer fixed: a seed at all parties but the last, and the dealer's
/// bytes there. Of each item a few elements in a row are read, item after item.
pub(crate) struct Expansion<R: Ring> {
    bits: u32,
    shares: Shares,
    /// One expanded item.
    item: SecretVec<R>,
    /// The number of items read.
    read: usize,
}

enum Shares {
    Seed(Box<Prg>),
    Dealt(SecretVec<u8>),
}

impl<R: Ring> Expansion<R> {
    /// Draws `items` items of `item_len` elements in `bits` bits, a multiple of 8.
    pub(crate) async fn draw(
        source: &mut CorrelationSource<'_>,
        items: usize,
        item_len: usize,
        bits: u32,
    ) -> Result<Self, ProtocolError> {
        let Some(link) = &mut source.link else {
            let shares = Shares::Seed(Box::new(Prg::new(source.generator.seed())));
            return Ok(Self { bits, shares, item: SecretVec::zeros(item_len), read: 0 });
        };
        let mut bytes = SecretVec::zeros(packing::packed_len(items * item_len, bits));
        for frame in bytes.chunks_mut(packing::packed_len(frame_elements(bits), bits)) {
            link.receive(frame).await?;
        }
        Ok(Self { bits, shares: Shares::Dealt(bytes), item: SecretVec::zeros(item_len), read: 0 })
    }

    /// `N` elements of the next item, from the public position `start`.
    pub(crate) fn next<const N: usize>(&mut self, start: usize) -> [R; N] {
        let mut elements = [R::ZERO; N];
        match &mut self.shares {
            Shares::Seed(generator) => {
                R::fill_random(&mut self.item, generator.as_mut());
                elements.copy_from_slice(&self.item[start..start + N]);
            }
            Shares::Dealt(bytes) => {
                let bytes_per_element = self.bits as usize / 8;
                let from = (self.read * self.item.len() + start) * bytes_per_element;
                packing::unpack(&bytes[from..][..N * bytes_per_element], self.bits, &mut elements);
            }
        }
        self.read += 1;
        elements
    }
}
