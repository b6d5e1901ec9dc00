//! Inputs into shares, and shares out to the one who may know the result.

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, Prg, SecretVec, Seed, check_parties};
use mpc_transport::{Traffic, Transport};
use zeroize::Zeroizing;

use crate::error::check_len;
use crate::open::{check_bits, open};
use crate::{Party, ProtocolError};

/// Shares a tensor that party `owner` knows: the others pass `None`.
///
/// Each other party's share is the expansion of a seed that the owner sends it.
///
/// # Security
/// n−1 parties without the owner hold independent random values.
///
/// # Rounds and communication
/// 1 round for the others (the owner does not wait); 32 bytes to each other party, whatever the size
/// ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::OperandLength`] if the secret does not fit the shape; [`ProtocolError::Transport`].
pub async fn share<R: Ring>(
    party: &mut Party,
    owner: usize,
    shape: &[usize],
    secret: Option<&[R]>,
    generator: &mut Prg,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    check_parties(party.parties())?;
    if party.index() != owner {
        let mut bytes = Zeroizing::new([0; Seed::BYTES]);
        party.transport_mut().receive(owner, bytes.as_mut_slice()).await?;
        return Ok(ArithmeticShares::from_seed(shape, Seed::copy_of(&bytes))?);
    }
    let secret = secret.unwrap_or_default();
    check_len("share", shape.iter().product(), secret.len())?;
    let mut seeds = Vec::new();
    for peer in (0..party.parties()).filter(|&peer| peer != owner) {
        let seed = generator.seed();
        party.transport_mut().send(peer, seed.expose()).await?;
        seeds.push(seed);
    }
    Ok(ArithmeticShares::split_by_seeds(shape, secret, seeds)?)
}

/// The traffic of [`share`] at one party.
#[must_use]
pub fn traffic(party: usize, owner: usize, parties: usize) -> Traffic {
    if party == owner {
        repeat(Traffic::send(Seed::BYTES as u64), parties - 1)
    } else {
        Traffic::receive(Seed::BYTES as u64)
    }
}

/// Reveals a shared tensor to party `owner` alone; the others get `None`.
///
/// # Security
/// The owner learns the tensor and, of the others' shares, nothing beyond: those of products, of the ReLU and of a
/// converted bit are freshly random; those of [`truncate`](crate::truncation::truncate) and of sums tell the owner of what
/// each party held before only its contribution to the result.
///
/// # Rounds and communication
/// 1 round for the owner; ℓ/8 bytes per element from each other party ([`reveal_traffic`]).
///
/// # Errors
/// [`ProtocolError::Transport`].
pub async fn reveal<R: Ring>(
    party: &mut Party,
    owner: usize,
    shares: &ArithmeticShares<R>,
) -> Result<Option<Vec<R>>, ProtocolError> {
    reveal_low_bits(party, owner, shares, R::BITS).await
}

/// As [`reveal`], modulo 2^`bits`, from this party's share modulo 2^`bits` (higher bits are ignored).
///
/// # Rounds and communication
/// 1 round for the owner; `bits`/8 bytes per element from each other party, packed ([`reveal_traffic`]).
///
/// # Errors
/// [`ProtocolError::Parameter`] for no bits, or more than the ring has; [`ProtocolError::Transport`].
pub async fn reveal_low_bits<R: Ring>(
    party: &mut Party,
    owner: usize,
    shares: &ArithmeticShares<R>,
    bits: u32,
) -> Result<Option<Vec<R>>, ProtocolError> {
    check_bits::<R>(bits)?;
    let mut bytes = SecretVec::zeros(packing::packed_len(shares.len(), bits));
    if party.index() != owner {
        packing::pack(shares.elements(), bits, &mut bytes);
        party.transport_mut().send(owner, &bytes).await?;
        return Ok(None);
    }
    let mask = R::low_mask(bits);
    let mut sum: SecretVec<R> = shares.elements().iter().map(|&x| x & mask).collect();
    let mut peer_share = SecretVec::zeros(shares.len());
    for peer in (0..party.parties()).filter(|&peer| peer != owner) {
        party.transport_mut().receive(peer, &mut bytes).await?;
        packing::unpack(&bytes, bits, &mut peer_share);
        sum.iter_mut().zip(peer_share.iter()).for_each(|(x, &y)| *x = x.wrapping_add(y) & mask);
    }
    Ok(Some(sum.into_vec()))
}

/// Reveals a shared tensor to several parties, named in rising order and once each; the others get `None`.
///
/// # Security
/// As [`reveal`], for each of them.
///
/// # Rounds and communication
/// To all parties: 1 round. Else one after the other: 1 round for each that learns the tensor, the k-th of them k messages
/// after the first; ℓ/8 bytes per element from each party to each other one that learns it ([`reveal_to_traffic`]).
///
/// # Errors
/// [`ProtocolError::Transport`].
pub async fn reveal_to<R: Ring>(
    party: &mut Party,
    recipients: &[usize],
    shares: &ArithmeticShares<R>,
) -> Result<Option<Vec<R>>, ProtocolError> {
    if recipients.iter().copied().eq(0..party.parties()) {
        return open(party, shares).await.map(Some);
    }
    let mut revealed = None;
    for &recipient in recipients {
        // In this order whoever receives is waited for by nobody that it waits for.
        if let Some(elements) = reveal(party, recipient, shares).await? {
            revealed = Some(elements);
        }
    }
    Ok(revealed)
}

/// The traffic of [`reveal_to`] at one party, for `len` elements of `R`.
#[must_use]
pub fn reveal_to_traffic<R: Ring>(len: usize, party: usize, recipients: &[usize], parties: usize) -> Traffic {
    recipients.iter().map(|&recipient| reveal_traffic(len, R::BITS, party, recipient, parties)).sum()
}

/// The traffic of [`reveal_low_bits`] at one party, for `len` elements of `bits` bits: all of a ring's for [`reveal`].
#[must_use]
pub fn reveal_traffic(len: usize, bits: u32, party: usize, owner: usize, parties: usize) -> Traffic {
    let bytes = packing::packed_len(len, bits) as u64;
    if party != owner {
        return Traffic::send(bytes);
    }
    // The owner waits once for all of them: nothing is sent in between.
    Traffic { rounds: 1, ..repeat(Traffic::receive(bytes), parties - 1) }
}

fn repeat(traffic: Traffic, times: usize) -> Traffic {
    core::iter::repeat_n(traffic, times).sum()
}
