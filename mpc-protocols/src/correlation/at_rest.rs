//! Shares as they were made, until the block that reads them: some words at those who expand a seed, and packed corrections at
//! the last party.

use core::fmt;
use core::ops::Range;

use mpc_ring::{Ring, packing, threads};
use mpc_shares::{ArithmeticShares, BinaryShares, Prg, SecretVec, Stretch};

use super::layout::Field;
use crate::ProtocolError;

/// Values that are read at a time, so that they stay in the cache; a multiple of 8, which any width packs into bytes.
pub(crate) const BLOCK: usize = 1024;

/// One party's share of a run of values.
pub(crate) struct AtRest<E: Ring> {
    len: usize,
    bits: u32,
    source: Source<E>,
}

enum Source<E: Ring> {
    /// Nothing was made yet.
    Blank,
    /// Uniformly random, and in the order of a generator.
    Seed(Stretch),
    /// In the bits that matter.
    Packed(SecretVec<u8>),
    Elements(SecretVec<E>),
}

impl<E: Ring> AtRest<E> {
    /// `len` zeros of `bits` bits, to be filled.
    pub(super) fn blank(len: usize, bits: u32) -> Self {
        Self { len, bits, source: Source::Blank }
    }

    /// The `bits` low bits of elements, packed.
    pub(crate) fn packed(elements: &[E], bits: u32) -> Self {
        let mut bytes = SecretVec::zeros(packing::packed_len(elements.len(), bits));
        packing::pack(elements, bits, &mut bytes);
        Self { len: elements.len(), bits, source: Source::Packed(bytes) }
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lets them be the next values of a generator.
    pub(super) fn set_aside(&mut self, generator: &mut Prg) {
        self.source = Source::Seed(generator.set_aside(self.len * E::BYTES));
    }

    /// The place of all bytes, in the bits that matter.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        if !matches!(self.source, Source::Packed(_)) {
            self.source = Source::Packed(SecretVec::zeros(packing::packed_len(self.len, self.bits)));
        }
        let Source::Packed(bytes) = &mut self.source else { unreachable!("bytes since the line before") };
        bytes
    }

    /// Fills a part, which begins anywhere, from packed values.
    pub(super) fn unpack(&mut self, part: Range<usize>, bytes: &[u8]) {
        if !matches!(self.source, Source::Elements(_)) {
            self.source = Source::Elements(SecretVec::zeros(self.len));
        }
        let Source::Elements(elements) = &mut self.source else { unreachable!("elements since the line before") };
        packing::unpack(bytes, self.bits, &mut elements[part]);
    }

    /// Reads the values from position `from` on, which begins at a byte. Bits beyond those that matter are arbitrary.
    #[inline]
    pub(crate) fn read(&self, from: usize, values: &mut [E]) {
        debug_assert!((from * self.bits as usize).is_multiple_of(8) && from + values.len() <= self.len);
        match &self.source {
            Source::Seed(stretch) if self.bits > 0 => E::fill_random(values, &mut stretch.reader(from * E::BYTES)),
            Source::Packed(bytes) if self.bits > 0 => {
                let bytes = &bytes[packing::packed_len(from, self.bits)..];
                packing::unpack(&bytes[..packing::packed_len(values.len(), self.bits)], self.bits, values);
            }
            Source::Elements(elements) => values.copy_from_slice(&elements[from..][..values.len()]),
            // No bit of them matters.
            Source::Blank | Source::Seed(_) | Source::Packed(_) => values.fill(E::ZERO),
        }
    }

    /// All values.
    pub(crate) fn all(self) -> SecretVec<E> {
        if let Source::Elements(elements) = self.source { elements } else { self.copy() }
    }

    /// All values, which are read again.
    pub(crate) fn copy(&self) -> SecretVec<E> {
        let mut values = SecretVec::zeros(self.len);
        threads::for_each_block(&mut values, BLOCK, |_| (), |from, values, ()| self.read(from, values));
        values
    }

    /// All values as shares in the ring.
    pub(crate) fn shares(self) -> ArithmeticShares<E> {
        ArithmeticShares::from_elements(self.all().into_vec())
    }

    /// Hands the values out packed, frame by frame, each in the beginning of `frame`.
    pub(super) fn keep<F>(
        &self,
        field: &Field,
        frame: &mut [u8],
        mut keep: impl FnMut(&[u8]) -> Result<(), F>,
    ) -> Result<(), F> {
        let mut values = SecretVec::zeros(field.frame_len().min(self.len));
        field.kept_frames().try_for_each(|part| {
            let (values, bytes) = (&mut values[..part.len()], &mut frame[..field.packed_bytes(part.len())]);
            self.read(part.start, values);
            packing::pack(values, field.bits, bytes);
            keep(bytes)
        })
    }
}

impl AtRest<u64> {
    /// XORs all words into others.
    pub(crate) fn xor_into(&self, words: &mut [u64]) {
        threads::for_each_block(words, BLOCK, SecretVec::zeros, |from, words, own| {
            let own = &mut own[..words.len()];
            self.read(from, own);
            words.iter_mut().zip(own.iter()).for_each(|(x, &y)| *x ^= y);
        });
    }
}

impl<E: Ring> fmt::Debug for AtRest<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtRest").field("len", &self.len).finish_non_exhaustive()
    }
}

/// One party's XOR shares of `len` values of `width` bits: their planes.
#[derive(Debug)]
pub(crate) struct BitsAtRest {
    width: u32,
    len: usize,
    words: AtRest<u64>,
}

impl BitsAtRest {
    pub(super) fn new(width: u32, len: usize, words: AtRest<u64>) -> Self {
        Self { width, len, words }
    }

    /// The number of bits of each value.
    pub(crate) fn width(&self) -> u32 {
        self.width
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All of them.
    pub(crate) fn shares(self) -> Result<BinaryShares, ProtocolError> {
        Ok(BinaryShares::new(self.width, self.len, self.words.all().into_vec())?)
    }
}
