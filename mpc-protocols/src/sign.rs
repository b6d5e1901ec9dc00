//! The sign of a shared value, for any number of parties, in 3 or 4 rounds: a masked opening, one-time tables of leaves or products
//! of their bits, and polynomials in public bits whose monomials were dealt.
//!
//! Let y' = y + 2^{k−2}, which is below 2^{k−1}, and c = y' + r mod 2^k be opened, r uniform in k bits. Then bit k−2 of
//! y' = c − r is 1 exactly where y ≥ 0, and it is c_{k−2} ⊕ r_{k−2} ⊕ t with the borrow t = `[c_low < r_low]` of the
//! k−2 bits below. These are cut into L leaves of 5 bits. For each leaf the dealer shares a one-time table of v < r_i for
//! all v, which is read at the public index c_i for lt_i, and there and at the entry before for
//! eq_i = `[c_i = r_i]` = `[c_i − 1 < r_i]` ⊕ `[c_i < r_i]`. With all lt_i and eq_j masked by dealt random bits ρ_i and σ_j and
//! opened, t = ⊕_i lt_i·Π_{j>i} eq_j is a polynomial in public bits over dealt monomials.
//!
//! That is [`Variant::FewRounds`]. With [`Variant::FewBytes`] leaves have 3 bits. The bits of r are every party's own choice, and only
//! the products of a leaf's are dealt, in which lt_i and eq_i are linear at the public c_i. Chains of up to four leaves have an
//! lt and an eq as above, by polynomials of their own; these are opened under random bits of their own, and t is that of the
//! chains. For k = 32 there are 10 leaves and 3 chains: 40 and 36 products instead of tables of 192 bits and 83 products, and
//! 19 and 5 bits opened in two rounds instead of 11 in one. With four leaves or fewer (k ≤ 14) there is one chain, and no more rounds.
//!
//! One-time tables: Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, "On the power of correlated randomness
//! in secure computation" (TCC 2013).

mod borrow;
mod chain;
pub(crate) mod compare;
mod leaves;
pub(crate) mod masks;
mod monomials;
mod parameters;
pub(crate) mod tables;

use alloc::vec;
use mpc_ring::{Ring, threads};
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;

use crate::binary::{mask_of_bit, times_bit};
use crate::correlation::{AtRest, BLOCK, Deal, Dealing, Fields, Secret};
use crate::{Correlation, Party, ProtocolError, Request};

pub use parameters::{SignParameters, SignShape, Variant};

use compare::{Comparisons, open_comparisons};
use masks::{MaskTables, ThresholdMask};

// Here and not with the type, which requests hold and errors with them.
impl SignParameters {
    /// Comparison in `bits` bits.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] outside [`MIN_BITS`](Self::MIN_BITS) to [`MAX_BITS`](Self::MAX_BITS).
    pub fn new(bits: u32) -> Result<Self, ProtocolError> {
        if (Self::MIN_BITS..=Self::MAX_BITS).contains(&bits) {
            return Ok(Self::of_bits(bits));
        }
        let allowed = "3 to 47 bits";
        Err(ProtocolError::Parameter { protocol: "sign", parameter: "k", value: u64::from(bits), allowed })
    }
}

impl TryFrom<u32> for SignParameters {
    type Error = ProtocolError;

    fn try_from(number: u32) -> Result<Self, ProtocolError> {
        let (bits, variant) = Self::of_number(number);
        Ok(Self::new(bits)?.with_variant(variant))
    }
}

/// One party's share of what one sign needs: consumed by its use.
pub struct SignMask<R: Ring> {
    parameters: SignParameters,
    tables: MaskTables<R>,
    threshold: ThresholdMask<R>,
}

impl<R: Ring> core::fmt::Debug for SignMask<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SignMask").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl<R: Ring> Correlation for SignMask<R> {
    type Shape = SignShape;
    type Ring = R;

    fn request(shape: &SignShape) -> Request {
        Request::Sign { len: shape.len, parameters: shape.parameters }
    }

    fn from_fields(shape: &SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let tables = MaskTables::from_fields(*shape, fields)?;
        Ok(Self { parameters: shape.parameters, tables, threshold: ThresholdMask::from_fields(*shape, fields)? })
    }
}

impl<R: Ring> Deal<R> for SignMask<R> {
    async fn deal(shape: &SignShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        deal(*shape, dealing).await.map(drop)
    }
}

/// The dealer's knowledge of a sign's correlation, for those built on it.
pub(crate) struct DealtSign<R: Ring> {
    /// r.
    pub(crate) mask: Secret<R>,
    /// d, 64 elements a word.
    pub(crate) flip: Secret<u64>,
}

/// Deals a sign's correlation.
pub(crate) async fn deal<R: Ring>(
    shape: SignShape,
    dealing: &mut Dealing<'_, R>,
) -> Result<DealtSign<R>, ProtocolError> {
    let mask = MaskTables::deal(shape, dealing).await?;
    Ok(DealtSign { mask, flip: ThresholdMask::deal(shape, dealing).await? })
}

/// A sign as all parties know it at the end: the masked value c and the flipped sign β = [y ≥ 0] ⊕ d are public.
pub(crate) struct OpenedSign<R: Ring> {
    comparisons: Comparisons<R>,
}

impl<R: Ring> OpenedSign<R> {
    /// c = y + 2^{k−2} + r modulo 2^k.
    pub(crate) fn opened(&self) -> &[R] {
        &self.comparisons.opened
    }

    /// This party's share of r.
    pub(crate) fn mask(&self) -> &AtRest<R> {
        &self.comparisons.mask
    }

    /// This party's share of d.
    pub(crate) fn flip(&self) -> &AtRest<R> {
        &self.comparisons.flips[0]
    }

    /// β, 64 elements a word.
    pub(crate) fn flipped(&self) -> &[u64] {
        &self.comparisons.flipped
    }

    /// β of one element, as a mask of all ones or zeros.
    #[inline]
    pub(crate) fn flipped_mask(&self, element: usize) -> R {
        mask_of_bit(&self.comparisons.flipped, element)
    }
}

/// Opens c and β for y = x / 2^`shift`.
pub(crate) async fn open_sign<R: Ring>(
    party: &mut Party,
    x: &[R],
    shift: u32,
    correlation: SignMask<R>,
) -> Result<OpenedSign<R>, ProtocolError> {
    let SignMask { parameters, tables, threshold } = correlation;
    let comparisons = open_comparisons(party, x, shift, &[R::ZERO], parameters, tables, vec![threshold]).await?;
    Ok(OpenedSign { comparisons })
}

/// Shares of the bit [x ≥ 0] as 0 or 1 in the ring, for |x| < 2^{k−2}.
///
/// # Security
/// Opened are values masked by uniform dealt bits: c by r, every bit of a leaf or a chain by ρ or σ, the sign by d. No mask is used
/// twice, so that a simulator opens uniform bits.
///
/// # Rounds and communication
/// 3 rounds; k + 2L bits per element to each other party: 5.5 bytes for k = 32 ([`traffic`]). In few bytes 4 rounds and 57 bits.
///
/// # Errors
/// [`ProtocolError::Parameter`], [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
pub async fn is_non_negative<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    correlation: SignMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let sign = open_sign(party, x.elements(), 0, correlation).await?;
    let first = R::from_u64(u64::from(party.is_first()));
    let mut bits = SecretVec::zeros(x.len());
    threads::for_each_block(
        &mut bits,
        BLOCK,
        |_| (),
        |from, bits, ()| {
            sign.flip().read(from, bits);
            for (element, d) in bits.iter_mut().enumerate() {
                *d = times_bit(first, *d, sign.flipped_mask(from + element));
            }
        },
    );
    Ok(ArithmeticShares::new(x.shape(), bits.into_vec())?)
}

/// The traffic of each party for the sign of `shape.len` elements: [`SignParameters::rounds`].
#[must_use]
pub fn traffic(shape: SignShape, parties: usize) -> Traffic {
    compare::traffic(shape, 1, parties)
}
