//! The sign of a shared value, for any number of parties, in 3 rounds: a masked opening, one-time tables of leaves, and a
//! polynomial in public bits whose monomials were dealt.
//!
//! Let y' = y + 2^{k−2}, which is below 2^{k−1}, and c = y' + r mod 2^k be opened, r uniform in k bits. Then bit k−2 of
//! y' = c − r is 1 exactly where y ≥ 0, and it is c_{k−2} ⊕ r_{k−2} ⊕ t with the borrow t = `[c_low < r_low]` of the
//! k−2 bits below. These are cut into L leaves of 5 bits. For each leaf the dealer shares a one-time table of
//! (v < r_i, v = r_i) for all v, which is read at the public index c_i. With all lt_i and eq_j masked by dealt random
//! bits ρ_i and σ_j and opened, t = ⊕_i lt_i·Π_{j>i} eq_j is a polynomial in public bits over dealt monomials.
//!
//! One-time tables: Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, "On the power of correlated randomness
//! in secure computation" (TCC 2013).

mod borrow;
mod parameters;
mod tables;

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, BinaryShares, SecretVec};
use mpc_transport::{Traffic, Transport};

use crate::dealer::{Dealing, Secret};
use crate::error::check_correlation;
use crate::open::{self, open_owned, open_planes};
use crate::truncation::{TruncateReduce, check_bits, random_bits};
use crate::{Correlation, CorrelationSource, Party, ProtocolError, Request};

pub use parameters::{SignParameters, SignShape};

use borrow::{Monomials, borrow};
use tables::{bit_plane, leaf_tables, read_tables};

/// One party's share of what one sign needs: consumed by its use.
pub struct SignMask<R: Ring> {
    parameters: SignParameters,
    /// r, uniform in k bits, shared in the ring.
    mask: ArithmeticShares<R>,
    /// `<T_i>` for each leaf, in blocks of 64 elements: leaf after leaf, element after element.
    tables: SecretVec<u64>,
    monomials: Monomials,
    /// `<r_{k−2}>`.
    mask_sign: BinaryShares,
    /// A random bit d, in XOR shares …
    flip: BinaryShares,
    /// … and in the ring.
    flip_in_ring: ArithmeticShares<R>,
}

impl<R: Ring> core::fmt::Debug for SignMask<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SignMask").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl<R: Ring> Correlation<R> for SignMask<R> {
    type Shape = SignShape;

    fn request(shape: &SignShape) -> Request {
        Request::Sign { len: shape.len, parameters: shape.parameters }
    }

    async fn draw<T: Transport>(shape: &SignShape, source: &mut CorrelationSource<T>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = *shape;
        check_bits::<R>(parameters.bits(), 0)?;
        let words = packing::words_for(len);
        let leaves = parameters.leaves();
        let less_bits = SecretVec::from(source.uniform(leaves * words));
        let equal_bits = SecretVec::from(source.uniform((leaves - 1) * words));
        let flip = BinaryShares::new(1, len, source.uniform(words))?;
        let mask = ArithmeticShares::from_elements(source.elements(len, R::BITS).await?);
        let tables = SecretVec::from(source.words(len * leaves).await?);
        let products = SecretVec::from(source.words(parameters.dealt_products() * words).await?);
        let monomials = Monomials { words, less_bits, equal_bits, products };
        let mask_sign = BinaryShares::new(1, len, source.words(words).await?)?;
        let flip_in_ring = ArithmeticShares::from_elements(source.elements(len, R::BITS).await?);
        Ok(Self { parameters, mask, tables, monomials, mask_sign, flip, flip_in_ring })
    }
}

/// What the dealer knows of a sign's correlation, for those built on it.
pub(crate) struct DealtSign<R: Ring> {
    /// r.
    pub(crate) mask: Secret<R>,
    /// d.
    pub(crate) flip: Secret<R>,
}

pub(crate) async fn deal<R: Ring, T: Transport>(
    dealing: &mut Dealing<'_, T>,
    len: usize,
    parameters: SignParameters,
) -> Result<DealtSign<R>, ProtocolError> {
    check_bits::<R>(parameters.bits(), 0)?;
    let words = packing::words_for(len);
    let leaves = parameters.leaves();
    let less_bits = dealing.uniform_words(leaves * words);
    let equal_bits = dealing.uniform_words((leaves - 1) * words);
    let flip_words = dealing.uniform_words(words);
    let mask = random_bits::<R, T>(dealing, len, parameters.bits());
    dealing.elements(Secret::copy_of(&mask), R::BITS).await?;
    dealing.words(leaf_tables(&mask, parameters)).await?;
    let products = Secret::zeros(parameters.dealt_products() * words);
    let mut monomials = Monomials { words, less_bits, equal_bits, products };
    monomials.fill_products(parameters);
    dealing.words(monomials.products).await?;
    dealing.words(bit_plane(&mask, parameters.bits() - 2).into()).await?;
    let flip = SecretVec::from(BinaryShares::new(1, len, flip_words.into_vec())?.to_elements::<R>()?);
    dealing.elements(Secret::copy_of(&flip), R::BITS).await?;
    Ok(DealtSign { mask, flip })
}

/// A sign as all parties know it after three rounds: the masked value c and the flipped sign β = [y ≥ 0] ⊕ d are public.
pub(crate) struct OpenedSign<R: Ring> {
    /// c = y + 2^{k−2} + r modulo 2^k.
    pub(crate) opened: Vec<R>,
    /// β, 64 elements a word.
    pub(crate) flipped: Vec<u64>,
    /// This party's share of r.
    pub(crate) mask: ArithmeticShares<R>,
    /// This party's share of d.
    pub(crate) flip: ArithmeticShares<R>,
}

impl<R: Ring> OpenedSign<R> {
    /// β of one element, as a mask of all ones or zeros.
    #[inline]
    pub(crate) fn flipped_mask(&self, element: usize) -> R {
        R::from_u64((self.flipped[element / 64] >> (element % 64)) & 1).wrapping_neg()
    }
}

/// Opens c and β for y = x / 2^`shift`.
pub(crate) async fn open_sign<R: Ring, T: Transport>(
    party: &mut Party<T>,
    x: &[R],
    shift: u32,
    correlation: SignMask<R>,
) -> Result<OpenedSign<R>, ProtocolError> {
    let SignMask { parameters, mask, tables, monomials, mask_sign, mut flip, flip_in_ring } = correlation;
    let bits = parameters.bits();
    check_bits::<R>(bits, shift)?;
    check_correlation("sign", "elements", mask.len(), x.len())?;
    let first = party.is_first();

    let masked = TruncateReduce::new(party, bits, shift).masked(x, mask.elements());
    let opened = open_owned(party, masked, bits).await?;

    let mut leaves = read_tables(&tables, &opened, parameters);
    // lt_i ⊕ ρ_i, then eq_j ⊕ σ_j.
    let masks = monomials.less_bits.iter().chain(monomials.equal_bits.iter());
    leaves.iter_mut().zip(masks).for_each(|(x, &y)| *x ^= y);
    let leaves = open_planes(party, leaves, x.len()).await?;

    let borrow = borrow(&leaves, &monomials, parameters, first);
    flip.xor(&mask_sign)?;
    flip.xor(&BinaryShares::new(1, x.len(), borrow)?)?;
    if first {
        flip.xor(&BinaryShares::new(1, x.len(), bit_plane(&opened, bits - 2))?)?;
    }
    let flipped = open::open_bits(party, &flip).await?;
    Ok(OpenedSign { opened, flipped, mask, flip: flip_in_ring })
}

/// Shares of the bit [x ≥ 0] as 0 or 1 in the ring, for |x| < 2^{k−2}.
///
/// # Security
/// Opened are values masked by uniform dealt bits: c by r, every leaf bit by ρ or σ, the sign by d.
///
/// # Rounds and communication
/// 3 rounds; k + 2L bits per element to each other party: 5.5 bytes for k = 32 ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::Parameter`], [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
pub async fn is_non_negative<R: Ring, T: Transport>(
    party: &mut Party<T>,
    x: &ArithmeticShares<R>,
    correlation: SignMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let sign = open_sign(party, x.elements(), 0, correlation).await?;
    let first = R::from_u64(u64::from(party.is_first()));
    let bit = |(element, &d): (usize, &R)| {
        // b = β ⊕ d = β + (1 − 2β)·d
        let flipped = sign.flipped_mask(element);
        (first & flipped).wrapping_add((d ^ flipped).wrapping_sub(flipped))
    };
    Ok(ArithmeticShares::new(x.shape(), sign.flip.elements().iter().enumerate().map(bit).collect())?)
}

/// What each party sends and receives for the sign of `shape.len` elements: three rounds.
#[must_use]
pub fn traffic(shape: SignShape, parties: usize) -> Traffic {
    let SignShape { len, parameters } = shape;
    if len == 0 {
        return open::traffic(0, parameters.bits(), parties);
    }
    open::traffic(len, parameters.bits(), parties)
        + open::traffic_of_planes(parameters.leaf_bits_opened(), len, parties)
        + open::traffic_of_planes(1, len, parties)
}
