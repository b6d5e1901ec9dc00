//! Products of a bit that one party has with what the other party has, from random OTs.
//!
//! The receiver has a bit c and the sender an operand V for each transfer; both end with shares of c·V. Of bits:
//! the sender sends m_0 ⊕ m_1 ⊕ V, keeps m_0, and the receiver has m_c ⊕ c·(what was sent). Of ring elements: the same with
//! differences modulo 2^b. Where V may be random, V := m_0 ⊕ m_1 costs no message ([`SentBatch::difference`]), and c may always
//! be the transfer's own choice bit. For another bit c the receiver sends c ⊕ choice; the two messages do not depend on each
//! other, so that a product is one round in any case.
//!
//! Gilboa, "Two party RSA key generation" (CRYPTO 1999) for the ring; Beaver, "Precomputing oblivious transfer" (CRYPTO 1995).
//!
//! # Security
//! Each message is masked by a string, or a choice bit, that the other party does not have: it is uniform for it. A batch is
//! consumed by its product, so that no mask is used twice.

use alloc::vec::Vec;
use core::hint::black_box;

use mpc_ring::packing::{pack, packed_len, unpack, words_for};
use mpc_ring::{Ring, bitslice};
use mpc_shares::SecretVec;

use crate::error::{check_message, check_size};
use crate::{Batch, OtError, ReceivedBatch, SentBatch};

const BITS: &str = "a product of bits";
const RING: &str = "a product of ring elements";
const CORRECTION: &str = "the corrections of choice bits";

/// Bytes of one plane of `count` bits.
#[must_use]
pub const fn plane_bytes(count: usize) -> usize {
    count.div_ceil(8)
}

/// Bytes from sender to receiver for products of bits: each operand has [`Batch::bits`] bits.
#[must_use]
pub const fn bits_bytes(batch: Batch) -> usize {
    batch.bits * plane_bytes(batch.count)
}

/// Bytes from sender to receiver for products of ring elements modulo 2^b, b = [`Batch::bits`].
///
/// # Panics
/// If b or the number of bits overflows.
#[must_use]
pub const fn ring_bytes(batch: Batch) -> usize {
    packed_len(batch.count, batch.bits as u32)
}

/// Appends `count` bits of each plane, in whole bytes a plane.
fn push_planes(planes: impl Iterator<Item = u64>, count: usize, message: &mut Vec<u8>) {
    let bytes = plane_bytes(count);
    for (index, word) in planes.enumerate() {
        let left = bytes - (index % words_for(count)) * 8;
        message.extend_from_slice(&word.to_le_bytes()[..left.min(8)]);
    }
}

/// The planes of which [`push_planes`] wrote the bytes; bits beyond `count` are dropped.
fn read_planes(message: &[u8], count: usize) -> SecretVec<u64> {
    let words = words_for(count);
    let bytes = plane_bytes(count).max(1);
    let mut planes = SecretVec::zeros(message.len() / bytes * words);
    for (plane, bytes) in planes.chunks_exact_mut(words.max(1)).zip(message.chunks_exact(bytes)) {
        mpc_ring::packing::unpack_words(bytes, count, plane);
    }
    planes
}

/// All ones for each of the first `len` bits of a plane that is 1, and zero for the others.
///
/// The compiler does not learn that they are nothing else, and so makes no branch of what selects by them.
#[must_use]
pub fn all_ones<R: Ring>(plane: &[u64], len: usize) -> SecretVec<R> {
    let mut masks = SecretVec::zeros(len);
    for (masks, word) in masks.chunks_mut(64).zip(plane) {
        masks.iter_mut().enumerate().for_each(|(i, mask)| *mask = R::from_u64(word >> i & 1).wrapping_neg());
    }
    black_box(&mut *masks);
    masks
}

fn elements<R: Ring>(planes: &[u64], batch: Batch) -> SecretVec<R> {
    let mut elements = SecretVec::zeros(batch.count);
    bitslice::from_planes(planes, batch.bits as u32, &mut elements);
    elements
}

fn check_ring<R: Ring>(batch: Batch) -> Result<R, OtError> {
    if (1..=R::BITS as usize).contains(&batch.bits) {
        return Ok(R::low_mask(batch.bits as u32));
    }
    let allowed = "as many bits as the ring has, or fewer";
    Err(OtError::Parameter { parameter: "bits of a ring product", value: batch.bits as u64, allowed })
}

/// Checks the planes of corrections.
fn check_corrections(corrections: Option<&[u64]>, batch: Batch) -> Result<(), OtError> {
    let words = words_for(batch.count);
    corrections.map_or(Ok(()), |corrections| check_size("words of corrections", corrections.len(), words))
}

impl SentBatch {
    /// Appends the message for products of the receiver's bits with `operand`, [`Batch::bits`] planes one after the other, of
    /// [`bits_bytes`].
    ///
    /// # Errors
    /// [`OtError::Size`] for an operand of another size.
    pub fn send_bits(&self, operand: &[u64], message: &mut Vec<u8>) -> Result<(), OtError> {
        let Batch { count, bits } = self.batch();
        let difference = self.difference(0, bits);
        check_size("words of the operand", operand.len(), difference.len())?;
        push_planes(difference.iter().zip(operand).map(|(difference, operand)| difference ^ operand), count, message);
        Ok(())
    }

    /// This party's shares of the products of bits, given the receiver's corrections, if it sent any.
    ///
    /// # Errors
    /// [`OtError::Size`] for corrections of another size.
    pub fn bit_shares(self, corrections: Option<&[u64]>) -> Result<SecretVec<u64>, OtError> {
        let batch = self.batch();
        check_corrections(corrections, batch)?;
        let planes = self.zero(0, batch.bits);
        let Some(corrections) = corrections else { return Ok(SecretVec::copy_of(planes)) };
        // The string at 0 of the corrected transfer.
        let pairs = planes.iter().zip(self.difference(0, batch.bits)).zip(corrections.iter().cycle());
        Ok(pairs.map(|((zero, difference), correction)| zero ^ (difference & correction)).collect())
    }

    /// Appends the message for products of the receiver's bits with `operand` modulo 2^b, of [`ring_bytes`], and gives this
    /// party's shares for the transfers' own choice bits. The upper bits of the operand are ignored.
    ///
    /// # Errors
    /// [`OtError::Size`] for an operand of another size, [`OtError::Parameter`] for more bits than the ring has.
    pub fn send_ring<R: Ring>(self, operand: &[R], message: &mut Vec<u8>) -> Result<SecretVec<R>, OtError> {
        let batch = self.batch();
        let mask = check_ring::<R>(batch)?;
        check_size("elements of the operand", operand.len(), batch.count)?;
        let mut zero = elements::<R>(self.zero(0, batch.bits), batch);
        let one: SecretVec<u64> = self
            .zero(0, batch.bits)
            .iter()
            .zip(self.difference(0, batch.bits))
            .map(|(zero, other)| zero ^ other)
            .collect();
        let mut sent = elements::<R>(&one, batch);
        for ((one, zero), operand) in sent.iter_mut().zip(zero.iter_mut()).zip(operand) {
            *one = zero.wrapping_sub(*one).wrapping_add(*operand) & mask;
            *zero = zero.wrapping_neg() & mask;
        }
        let start = message.len();
        message.resize(start + ring_bytes(batch), 0);
        pack(&sent, batch.bits as u32, &mut message[start..]);
        Ok(zero)
    }
}

impl ReceivedBatch {
    /// Appends the corrections that make `wanted` the choice bits, of [`plane_bytes`].
    ///
    /// # Errors
    /// [`OtError::Size`] for another number of words.
    pub fn send_corrections(&self, wanted: &[u64], message: &mut Vec<u8>) -> Result<(), OtError> {
        check_size("words of choice bits", wanted.len(), self.choices().len())?;
        push_planes(
            self.choices().iter().zip(wanted).map(|(choice, wanted)| choice ^ wanted),
            self.batch().count,
            message,
        );
        Ok(())
    }

    /// This party's shares of the products of bits from the sender's message: for the choice bits `wanted`, if corrections were
    /// sent for them, and for the transfers' own ones otherwise.
    ///
    /// # Errors
    /// [`OtError::MessageLength`]; [`OtError::Size`] for another number of words.
    pub fn receive_bits(self, wanted: Option<&[u64]>, message: &[u8]) -> Result<SecretVec<u64>, OtError> {
        let batch = self.batch();
        check_message(BITS, message, bits_bytes(batch))?;
        let choices = wanted.unwrap_or(self.choices());
        check_size("words of choice bits", choices.len(), self.choices().len())?;
        let mut shares = read_planes(message, batch.count);
        let chosen = self.chosen(0, batch.bits).iter().zip(choices.iter().cycle());
        shares.iter_mut().zip(chosen).for_each(|(share, (chosen, choice))| *share = chosen ^ (*share & choice));
        Ok(shares)
    }

    /// This party's shares of the products modulo 2^b from the sender's message, for the transfers' own choice bits.
    ///
    /// # Errors
    /// [`OtError::MessageLength`]; [`OtError::Parameter`] for more bits than the ring has.
    pub fn receive_ring<R: Ring>(self, message: &[u8]) -> Result<SecretVec<R>, OtError> {
        let batch = self.batch();
        let mask = check_ring::<R>(batch)?;
        check_message(RING, message, ring_bytes(batch))?;
        let mut shares = SecretVec::<R>::zeros(batch.count);
        unpack(message, batch.bits as u32, &mut shares);
        let chosen = elements::<R>(self.chosen(0, batch.bits), batch);
        let choices = all_ones::<R>(self.choices(), batch.count);
        for ((share, chosen), choice) in shares.iter_mut().zip(chosen.iter()).zip(choices.iter()) {
            *share = (*share & *choice).wrapping_add(*chosen) & mask;
        }
        Ok(shares)
    }
}

/// Reads the receiver's corrections of `count` choice bits.
///
/// # Errors
/// [`OtError::MessageLength`].
pub fn receive_corrections(count: usize, message: &[u8]) -> Result<SecretVec<u64>, OtError> {
    check_message(CORRECTION, message, plane_bytes(count))?;
    Ok(read_planes(message, count))
}

/// Turns shares of c·V for a transfer's own choice bits into shares for the corrected ones, e·V + (1 − 2e)·(c·V): the sender
/// adds its `operand`, the receiver has none.
///
/// # Errors
/// [`OtError::Size`] for corrections or an operand of another size.
pub fn correct_ring<R: Ring>(
    shares: &mut [R],
    corrections: &[u64],
    operand: Option<&[R]>,
    bits: u32,
) -> Result<(), OtError> {
    check_size("words of corrections", corrections.len(), words_for(shares.len()))?;
    operand.map_or(Ok(()), |operand| check_size("elements of the operand", operand.len(), shares.len()))?;
    let mask = R::low_mask(bits);
    let ones = all_ones::<R>(corrections, shares.len());
    for (index, (share, &ones)) in shares.iter_mut().zip(ones.iter()).enumerate() {
        let added = operand.map_or(R::ZERO, |operand| operand[index] & ones);
        *share = (*share ^ ones).wrapping_sub(ones).wrapping_add(added) & mask;
    }
    Ok(())
}
