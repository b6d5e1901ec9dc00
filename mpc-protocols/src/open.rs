//! Opening shares to all parties: one round.

use alloc::vec::Vec;
use core::ops::Range;
use mpc_ring::kernels::vectorized;
use mpc_ring::{Ring, packing, threads};
use mpc_shares::{ArithmeticShares, BinaryShares, SecretVec};
use mpc_transport::Traffic;

use crate::correlation::{AtRest, BLOCK};
use crate::{Party, ProtocolError};

/// Opens every element to all parties.
///
/// # Security
/// Reveals the elements: open only masked values, or results that all may know.
///
/// # Rounds and communication
/// 1 round; ℓ/8 bytes per element to each other party ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::Transport`].
pub async fn open<R: Ring>(party: &mut Party, shares: &ArithmeticShares<R>) -> Result<Vec<R>, ProtocolError> {
    open_low_bits(party, shares.elements(), R::BITS).await
}

/// Opens elements modulo 2^`bits`, from this party's shares modulo 2^`bits` (higher bits are ignored).
///
/// # Security
/// The masks of what is opened must be uniform over the `bits` opened.
///
/// # Rounds and communication
/// 1 round; `bits`/8 bytes per element to each other party, packed ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::Parameter`] for no bits, or more than the ring has; [`ProtocolError::Transport`].
pub async fn open_low_bits<R: Ring>(party: &mut Party, shares: &[R], bits: u32) -> Result<Vec<R>, ProtocolError> {
    open_shares(party, shares, bits).await.map(SecretVec::into_vec)
}

/// As [`open_low_bits`], into a buffer of secrets.
pub(crate) async fn open_shares<R: Ring>(
    party: &mut Party,
    shares: &[R],
    bits: u32,
) -> Result<SecretVec<R>, ProtocolError> {
    open_with(party, shares.len(), bits, |range, block| block.copy_from_slice(&shares[range])).await
}

/// As [`open_low_bits`], of `len` shares that `fill` writes block by block, so that they need no buffer: it is given their
/// positions and as many places.
pub(crate) async fn open_with<R: Ring>(
    party: &mut Party,
    len: usize,
    bits: u32,
    fill: impl Fn(Range<usize>, &mut [R]) + Send + Sync,
) -> Result<SecretVec<R>, ProtocolError> {
    check_bits::<R>(bits)?;
    let message = party.message(packing::packed_len(len, bits));
    pack_filled(len, bits, &fill, message);
    let (own, others) = party.exchange().await?;
    let mut opened = SecretVec::zeros(len);
    sum_packed(&mut opened, bits, own, &others.collect::<Vec<_>>());
    Ok(opened)
}

/// Opens x + r modulo 2^`bits`, from this party's shares of x and of a mask r that is uniform in these bits.
pub(crate) async fn open_masked<R: Ring>(
    party: &mut Party,
    x: &[R],
    mask: &AtRest<R>,
    bits: u32,
) -> Result<SecretVec<R>, ProtocolError> {
    open_with(party, x.len(), bits, |range, masked| {
        mask.read(range.start, masked);
        masked.iter_mut().zip(&x[range]).for_each(|(r, &x)| *r = r.wrapping_add(x));
    })
    .await
}

/// Opens several runs of elements in one message, each modulo a power of two of its own: the number of elements, the bits,
/// and what fills in this party's shares, as for [`open_with`]. The shares are filled in again when the others' are there, as
/// the message may be most of what the machine has memory for.
pub(crate) async fn open_all<R: Ring, F: Fn(Range<usize>, &mut [R]) + Send + Sync>(
    party: &mut Party,
    runs: Vec<(usize, u32, F)>,
) -> Result<Vec<SecretVec<R>>, ProtocolError> {
    runs.iter().try_for_each(|&(_, bits, _)| check_bits::<R>(bits))?;
    let message: usize = runs.iter().map(|&(len, bits, _)| packing::packed_len(len, bits)).sum();
    let mut rest = party.message(message);
    for (len, bits, fill) in &runs {
        let (packed, others) = rest.split_at_mut(packing::packed_len(*len, *bits));
        pack_filled(*len, *bits, fill, packed);
        rest = others;
    }
    let received = party.exchange_once().await?;
    let mut from = 0;
    let sum = |(len, bits, fill): (usize, u32, F)| {
        let range = from..from + packing::packed_len(len, bits);
        from = range.end;
        let mut opened = SecretVec::zeros(len);
        for (index, block) in opened.chunks_mut(BLOCK).enumerate() {
            fill(index * BLOCK..index * BLOCK + block.len(), block);
            let others = received.chunks_exact(message.max(1)).map(|other| &other[range.clone()]);
            add_block(block, bits, index * packing::packed_len(BLOCK, bits), others);
        }
        opened
    };
    Ok(runs.into_iter().map(sum).collect())
}

pub(crate) fn check_bits<R: Ring>(bits: u32) -> Result<(), ProtocolError> {
    if (1..=R::BITS).contains(&bits) {
        return Ok(());
    }
    let allowed = "1 bit to the ring's bits";
    Err(ProtocolError::Parameter { protocol: "open", parameter: "bits", value: bits.into(), allowed })
}

/// Packs `len` elements that `fill` writes block by block.
fn pack_filled<R: Ring>(len: usize, bits: u32, fill: &(impl Fn(Range<usize>, &mut [R]) + Sync), message: &mut [u8]) {
    let part = threads::part_len(len, BLOCK);
    let parts = (0..len).step_by(part).zip(message.chunks_mut(packing::packed_len(part, bits)));
    threads::for_each(parts, |(start, packed)| {
        vectorized(|| pack_part(start..len.min(start + part), bits, fill, packed));
    });
}

#[inline(always)]
fn pack_part<R: Ring>(part: Range<usize>, bits: u32, fill: &impl Fn(Range<usize>, &mut [R]), packed: &mut [u8]) {
    let mut block = [R::ZERO; BLOCK];
    for (start, packed) in part.clone().step_by(BLOCK).zip(packed.chunks_mut(packing::packed_len(BLOCK, bits))) {
        let range = start..part.end.min(start + BLOCK);
        let block = &mut block[..range.len()];
        fill(range, block);
        packing::pack(block, bits, packed);
    }
}

/// The sums of all parties' packed elements modulo 2^`bits`.
fn sum_packed<R: Ring>(sums: &mut [R], bits: u32, own: &[u8], others: &[&[u8]]) {
    let part = threads::part_len(sums.len(), BLOCK);
    let packed_part = packing::packed_len(part, bits);
    threads::for_each(sums.chunks_mut(part).zip(own.chunks(packed_part)).enumerate(), |(index, (sums, own))| {
        vectorized(|| sum_part(sums, bits, own, index * packed_part, others));
    });
}

/// As [`sum_packed`], of a part that begins at a byte of the others' messages.
#[inline(always)]
fn sum_part<R: Ring>(sums: &mut [R], bits: u32, own: &[u8], from: usize, others: &[&[u8]]) {
    let packed_block = packing::packed_len(BLOCK, bits);
    for (index, (sums, own)) in sums.chunks_mut(BLOCK).zip(own.chunks(packed_block)).enumerate() {
        packing::unpack(own, bits, sums);
        add_block(sums, bits, from + index * packed_block, others.iter().copied());
    }
}

/// Adds the others' packed elements, which begin at a byte of each message, modulo 2^`bits`.
#[inline(always)]
fn add_block<'m, R: Ring>(sums: &mut [R], bits: u32, from: usize, others: impl Iterator<Item = &'m [u8]>) {
    let (mask, mut block) = (R::low_mask(bits), [R::ZERO; BLOCK]);
    let block = &mut block[..sums.len()];
    for other in others {
        packing::unpack(&other[from..][..packing::packed_len(block.len(), bits)], bits, block);
        sums.iter_mut().zip(&*block).for_each(|(x, y)| *x = x.wrapping_add(*y) & mask);
    }
}

/// Opens binary shares to all parties: the planes of the values, one after the other.
///
/// # Security
/// As for [`open`].
///
/// # Rounds and communication
/// 1 round; ⌈len/8⌉ bytes per plane to each other party ([`traffic_of_planes`]).
///
/// # Errors
/// [`ProtocolError::Transport`].
pub async fn open_bits(party: &mut Party, shares: &BinaryShares) -> Result<Vec<u64>, ProtocolError> {
    open_planes(party, SecretVec::copy_of(shares.words()), shares.len()).await.map(SecretVec::into_vec)
}

/// As [`open_bits`], for planes of `len` bits in ⌈len/64⌉ words each, in their buffer. What is opened follows from the
/// messages alone.
pub(crate) async fn open_planes(
    party: &mut Party,
    mut planes: SecretVec<u64>,
    len: usize,
) -> Result<SecretVec<u64>, ProtocolError> {
    if len == 0 {
        return Ok(SecretVec::zeros(0));
    }
    let (words, bytes) = (packing::words_for(len), len.div_ceil(8));
    let message = party.message(planes.len() / words * bytes);
    for (plane, packed) in planes.chunks_exact(words).zip(message.chunks_exact_mut(bytes)) {
        packing::pack_words(plane, len, packed);
    }
    let (own, others) = party.exchange().await?;
    let mut share = SecretVec::zeros(words);
    planes.fill(0);
    for message in core::iter::once(own).chain(others) {
        for (packed, plane) in message.chunks_exact(bytes).zip(planes.chunks_exact_mut(words)) {
            packing::unpack_words(packed, len, &mut share);
            plane.iter_mut().zip(share.iter()).for_each(|(x, &y)| *x ^= y);
        }
    }
    Ok(planes)
}

/// The traffic of each party when `len` elements are opened in `bits` bits.
#[must_use]
pub fn traffic(len: usize, bits: u32, parties: usize) -> Traffic {
    Traffic::exchange(packing::packed_len(len, bits) as u64, parties)
}

/// The traffic of each party when `planes` planes of `len` bits are opened.
#[must_use]
pub fn traffic_of_planes(planes: usize, len: usize, parties: usize) -> Traffic {
    if len == 0 { Traffic::default() } else { Traffic::exchange((planes * len.div_ceil(8)) as u64, parties) }
}
