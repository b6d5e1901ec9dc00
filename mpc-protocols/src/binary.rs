//! AND of binary shares with dealt bit triples, and adders built from it.

use mpc_ring::Ring;
use mpc_shares::{BinaryShares, SecretVec};
use mpc_transport::Traffic;

use crate::correlation::{BitsAtRest, Deal, Dealing, Fields};
use crate::error::check_correlation;
use crate::open::{self, open_planes};
use crate::{Correlation, Party, ProtocolError, Request};

/// One party's XOR shares of random bits a, b and of a·b.
#[derive(Debug)]
pub struct BitTriples {
    a: BitsAtRest,
    b: BitsAtRest,
    c: BitsAtRest,
}

/// `width` planes of `len` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// Bits of each value.
    pub width: u32,
    /// The number of values.
    pub len: usize,
}

impl Correlation for BitTriples {
    type Shape = Planes;
    type Ring = u64;

    fn request(planes: &Planes) -> Request {
        Request::BitTriples { width: planes.width, len: planes.len }
    }

    fn from_fields(&Planes { width, len }: &Planes, fields: &mut Fields<u64>) -> Result<Self, ProtocolError> {
        Ok(Self {
            a: fields.uniform_bits(width, len),
            b: fields.uniform_bits(width, len),
            c: fields.dealt_bits(width, len),
        })
    }
}

impl<R: Ring> Deal<R> for BitTriples {
    async fn deal(_: &Planes, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let (a, b) = (dealing.uniform_words(), dealing.uniform_words());
        let products: SecretVec<u64> = a.iter().zip(b.iter()).map(|(&a, &b)| a & b).collect();
        dealing.dealt_words(&products).await
    }
}

/// Shares of x ∧ y, bit by bit.
///
/// # Security
/// Opened are x ⊕ a and y ⊕ b, uniform since a and b are.
///
/// # Rounds and communication
/// 1 round; 2 bits per bit of x to each other party, each plane rounded up to bytes ([`and_traffic`]).
///
/// # Errors
/// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Share`] if x and y differ in shape; [`ProtocolError::Transport`].
pub async fn and(
    party: &mut Party,
    x: &BinaryShares,
    y: &BinaryShares,
    triples: BitTriples,
) -> Result<BinaryShares, ProtocolError> {
    let BitTriples { a, b, c } = triples;
    check_correlation("and", "planes", a.width() as usize, x.width() as usize)?;
    check_correlation("and", "values", a.len(), x.len())?;
    let (mut a, mut b, c) = (a.shares()?, b.shares()?, c.shares()?);
    let own_a = SecretVec::copy_of(a.words());
    let own_b = SecretVec::copy_of(b.words());
    a.xor(x)?;
    b.xor(y)?;
    let masked: SecretVec<u64> = a.words().iter().chain(b.words()).copied().collect();
    let opened = open_planes(party, masked, x.len()).await?;
    let (d, e) = opened.split_at(opened.len() / 2);
    let first = if party.is_first() { u64::MAX } else { 0 };
    // x∧y = c ⊕ d·b ⊕ e·a ⊕ d·e, the last one by party 0 alone.
    let product = |i: usize| c.words()[i] ^ (d[i] & (own_b[i] ^ (first & e[i]))) ^ (e[i] & own_a[i]);
    Ok(BinaryShares::new(x.width(), x.len(), (0..d.len()).map(product).collect())?)
}

/// The traffic of each party in [`and`].
#[must_use]
pub fn and_traffic(planes: Planes, parties: usize) -> Traffic {
    open::traffic_of_planes(2 * planes.width as usize, planes.len, parties)
}

/// `width` planes of several binary shares, one after the other.
pub(crate) fn stack(width: u32, len: usize, parts: &[&[u64]]) -> Result<BinaryShares, ProtocolError> {
    Ok(BinaryShares::new(width, len, parts.concat())?)
}

/// The bit of one element, as a mask of all ones or zeros.
#[inline]
pub(crate) fn mask_of_bit<R: Ring>(plane: &[u64], element: usize) -> R {
    R::from_u64((plane[element / 64] >> (element % 64)) & 1).wrapping_neg()
}

/// b·z for a bit b = β ⊕ d, of z, of `flipped` = d·z and of β as a mask: β·z + (1 − 2β)·d·z.
#[inline(always)]
pub(crate) fn times_bit<R: Ring>(z: R, flipped: R, beta: R) -> R {
    (z & beta).wrapping_add((flipped ^ beta).wrapping_sub(beta))
}
