//! Messages as bytes: bounded by the layout, and checked before use.

use alloc::vec;
use alloc::vec::Vec;
use mpc_ring::packing::{pack, packed_len, unpack};

use crate::modulus::CHOSEN_BITS;
use crate::ring::{COEFFICIENTS, PRIMES, Poly, RESIDUE_BITS};
use crate::{HeError, Layout, PublicSeed};

/// Bytes that begin an inference: the seed of its ciphertexts and one polynomial.
pub const OPENING_BYTES: usize = PublicSeed::BYTES + COEFFICIENTS * 2 * RESIDUE_BITS as usize / 8;

/// A layer's message of one inference: what the seed does not say of the ciphertexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    /// ε + 2^51 of each mask that the ciphertext chose.
    pub(crate) chosen: Vec<u64>,
    /// Both residues of each coefficient that had to be a given one.
    pub(crate) whole: Vec<[u64; 2]>,
}

impl Ciphertext {
    /// The message in bytes: [`Layout::message_bytes`] of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let first = packed_len(self.chosen.len(), CHOSEN_BITS);
        let mut bytes = vec![0; first + packed_len(2 * self.whole.len(), RESIDUE_BITS)];
        pack(&self.chosen, CHOSEN_BITS, &mut bytes[..first]);
        pack(self.whole.as_flattened(), RESIDUE_BITS, &mut bytes[first..]);
        bytes
    }

    /// A message of a layer from bytes that are not trusted.
    ///
    /// # Errors
    /// [`HeError::Length`], [`HeError::Residue`], [`HeError::Padding`].
    pub fn from_bytes(layout: &Layout, bytes: &[u8]) -> Result<Self, HeError> {
        const WHAT: &str = "message of a layer";
        let [chosen, whole] = layout.message_coefficients();
        let first = packed_len(chosen, CHOSEN_BITS);
        expect_length(WHAT, bytes, first + packed_len(2 * whole, RESIDUE_BITS))?;
        let chosen = read(WHAT, &bytes[..first], CHOSEN_BITS, chosen)?;
        let whole = read(WHAT, &bytes[first..], RESIDUE_BITS, 2 * whole)?;
        let whole = whole.as_chunks().0.to_vec();
        check_residues(WHAT, whole.iter().copied())?;
        Ok(Self { chosen, whole })
    }
}

/// The rounded polynomials of a hint, from bytes that are not trusted.
pub(crate) fn read_hint(layout: &Layout, bytes: &[u8]) -> Result<Vec<u64>, HeError> {
    expect_length("hint", bytes, layout.hint_bytes())?;
    read("hint", bytes, layout.modulus.of_hints().bits(), layout.output_polynomials() * COEFFICIENTS)
}

/// The rounded polynomials of a hint in bytes.
pub(crate) fn write_hint(layout: &Layout, rounded: &[u64]) -> Vec<u8> {
    let mut bytes = vec![0; layout.hint_bytes()];
    pack(rounded, layout.modulus.of_hints().bits(), &mut bytes);
    bytes
}

/// The begin of an inference in bytes.
pub(crate) fn write_opening(seed: &PublicSeed, poly: &Poly) -> Vec<u8> {
    let mut bytes = vec![0; OPENING_BYTES];
    let (start, rest) = bytes.split_at_mut(PublicSeed::BYTES);
    start.copy_from_slice(&seed.to_bytes());
    let half = rest.len() / 2;
    for (part, bytes) in poly.0.iter().zip(rest.chunks_exact_mut(half)) {
        pack(part, RESIDUE_BITS, bytes);
    }
    bytes
}

/// The begin of an inference, from bytes that are not trusted.
pub(crate) fn read_opening(bytes: &[u8]) -> Result<(PublicSeed, Poly), HeError> {
    const WHAT: &str = "begin of an inference";
    expect_length(WHAT, bytes, OPENING_BYTES)?;
    let (start, rest) = bytes.split_at(PublicSeed::BYTES);
    let mut poly = Poly::zero();
    for (part, bytes) in poly.0.iter_mut().zip(rest.chunks_exact(rest.len() / 2)) {
        unpack(bytes, RESIDUE_BITS, part);
    }
    check_residues(WHAT, (0..COEFFICIENTS).map(|place| poly.get(place)))?;
    let seed = PublicSeed::from_bytes(start.try_into().expect("the length of a seed"));
    Ok((seed, poly))
}

fn expect_length(what: &'static str, bytes: &[u8], expected: usize) -> Result<(), HeError> {
    let actual = bytes.len();
    if actual == expected { Ok(()) } else { Err(HeError::Length { what, expected, actual }) }
}

/// `count` elements; the bytes have been counted, and so bound what is allocated.
fn read(what: &'static str, bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u64>, HeError> {
    let unused = 8 * bytes.len() - count * bits as usize;
    if bytes.last().is_some_and(|&last| unused > 0 && last >> (8 - unused) != 0) {
        return Err(HeError::Padding { what });
    }
    let mut elements = vec![0; count];
    unpack(bytes, bits, &mut elements);
    Ok(elements)
}

fn check_residues(what: &'static str, mut residues: impl Iterator<Item = [u64; 2]>) -> Result<(), HeError> {
    let wrong = residues.position(|[first, second]| first >= PRIMES[0] || second >= PRIMES[1]);
    wrong.map_or(Ok(()), |index| Err(HeError::Residue { what, index }))
}
