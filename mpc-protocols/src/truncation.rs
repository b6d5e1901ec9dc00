//! Truncation without catastrophic failures: a local truncate-reduce, then a lift back to the ring for one opening.
//!
//! Plain local truncation (SecureML), which fails by a huge error now and then, does not exist here. Each party shifts
//! its share right by f and works modulo 2^{ℓ−f} from then on: the wrap term vanishes there, and what is left is the
//! sum of n roundings down, less than n units in the last place, which adding n/2 units beforehand centres: the error lies
//! in (−n/2, n/2]. Lifting k ≤ ℓ−f bits back to ℓ uses a dealt mask r of k bits: with |y| < 2^{k−2} the top bit of
//! y + 2^{k−2} is zero, so the wrap of c = y + 2^{k−2} + r mod 2^k is r_top·(1 − c_top).

use mpc_ring::kernels::vectorized;
use mpc_ring::{Ring, packing, threads};
use mpc_shares::{ArithmeticShares, BinaryShares, SecretVec};
use mpc_transport::Traffic;
use serde::Serialize;

use crate::conversion::{DaBits, b2a_traffic, bit_to_arithmetic};
use crate::correlation::{AtRest, BLOCK, Deal, Dealing, Fields, Secret};
use crate::error::check_correlation;
use crate::open::{self, open_with};
use crate::sign::tables::bit_plane;
use crate::{Correlation, Party, ProtocolError, Request};

/// The number of elements and of bits of a lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LiftShape {
    /// The number of elements.
    pub len: usize,
    /// k: |y| < 2^{k−2} must hold for the truncated value.
    pub bits: u32,
}

/// One party's share of a mask r, uniform in k bits, and of its top bit.
#[derive(Debug)]
pub struct LiftMask<R: Ring> {
    bits: u32,
    mask: AtRest<R>,
    /// Needed modulo 2^{w−k} only for a result of w bits, since it is always multiplied by 2^k.
    top: AtRest<R>,
}

impl<R: Ring> Correlation for LiftMask<R> {
    type Shape = LiftShape;
    type Ring = R;

    fn request(shape: &LiftShape) -> Request {
        Request::Lift { len: shape.len, bits: shape.bits }
    }

    fn from_fields(&LiftShape { len, bits }: &LiftShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        check_bits::<R>(bits, 0)?;
        let width = fields.width();
        // The mask is opened in k bits, whatever is read of the result.
        let mask = fields.dealt(len, width.max(bits));
        Ok(Self { bits, mask, top: fields.dealt(len, width.saturating_sub(bits)) })
    }
}

impl<R: Ring> Deal<R> for LiftMask<R> {
    async fn deal(&LiftShape { len, bits }: &LiftShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let mask = random_bits(dealing, len, bits);
        dealing.dealt(&mask).await?;
        deal_top_bits(dealing, &mask, bits).await
    }
}

/// Elements uniform in [0, 2^`bits`).
pub(crate) fn random_bits<R: Ring>(dealing: &mut Dealing<'_, R>, len: usize, bits: u32) -> Secret<R> {
    let mut elements = dealing.random(len);
    elements.iter_mut().for_each(|r| *r = *r & R::low_mask(bits));
    elements
}

/// Deals the top bit of each element of `bits` bits.
pub(crate) async fn deal_top_bits<R: Ring>(
    dealing: &mut Dealing<'_, R>,
    mask: &[R],
    bits: u32,
) -> Result<(), ProtocolError> {
    let fill = |from: usize, values: &mut [R]| {
        vectorized(|| values.iter_mut().zip(&mask[from..]).for_each(|(top, &r)| *top = r >> (bits - 1)));
    };
    dealing.dealt_by(BLOCK, fill).await
}

/// Checks that k bits remain after a shift, and that there is room for the sign and the offset.
pub(crate) fn check_bits<R: Ring>(bits: u32, shift: u32) -> Result<(), ProtocolError> {
    if bits >= 3 && shift < R::BITS && bits <= R::BITS - shift {
        Ok(())
    } else {
        Err(ProtocolError::Parameter {
            protocol: "truncation",
            parameter: "k",
            value: u64::from(bits),
            allowed: "3 bits to the ring's bits less the shift",
        })
    }
}

/// The local half of a truncation: from a share in the ring to a masked share of k bits.
pub(crate) struct TruncateReduce<R: Ring> {
    shift: u32,
    rounding: R,
    /// 2^{k−2}, which makes every value non-negative.
    offset: R,
    bits: u32,
}

impl<R: Ring> TruncateReduce<R> {
    /// From x to y = x / 2^`shift` in `bits` bits, at one party.
    pub(crate) fn new(party: &Party, bits: u32, shift: u32) -> Self {
        let offset = if party.is_first() { R::ONE << (bits - 2) } else { R::ZERO };
        Self { shift, rounding: rounding(party, shift), offset, bits }
    }

    /// Opens y + 2^{k−2} + r modulo 2^k, from the shares of x and r.
    pub(crate) async fn open(
        &self,
        party: &mut Party,
        x: &[R],
        mask: &AtRest<R>,
    ) -> Result<SecretVec<R>, ProtocolError> {
        let &Self { shift, rounding, offset, bits } = self;
        open_with(party, x.len(), bits, |range, masked| {
            mask.read(range.start, masked);
            for (masked, &x) in masked.iter_mut().zip(&x[range]) {
                *masked = (x.wrapping_add(rounding) >> shift).wrapping_add(*masked).wrapping_add(offset);
            }
        })
        .await
    }
}

/// γ·r_top with γ = 2^k·(1 − c_top), which is 0 or 2^k.
#[inline(always)]
fn wrap<R: Ring>(opened: R, bits: u32, top: R) -> R {
    let chosen = (opened >> (bits - 1)).wrapping_sub(R::ONE);
    if bits == R::BITS { R::ZERO } else { (top << bits) & chosen }
}

/// This party's share of y in the full ring, from the opened c = y + 2^{k−2} + r: y = α − r + γ·r_top with α = c − 2^{k−2}
/// and γ = 2^k·(1 − c_top), where the first party adds the public α.
#[inline(always)]
pub(crate) fn lifted<R: Ring>(first: bool, opened: R, bits: u32, mask: R, top: R) -> R {
    let public = if first { opened.wrapping_sub(R::ONE << (bits - 2)) } else { R::ZERO };
    public.wrapping_sub(mask).wrapping_add(wrap(opened, bits, top))
}

/// This party's share of d·y for a shared bit d: α·d − d·r + γ·d·r_top.
#[inline(always)]
pub(crate) fn lifted_times_bit<R: Ring>(opened: R, bits: u32, bit: R, mask: R, top: R) -> R {
    let alpha = opened.wrapping_sub(R::ONE << (bits - 2));
    alpha.wrapping_mul(bit).wrapping_sub(mask).wrapping_add(wrap(opened, bits, top))
}

/// Shares of x / 2^`shift`, with an error of at most n/2 units in the last place (so at most n−1 from the rounded
/// quotient).
///
/// The result is right for |x / 2^`shift`| < 2^{k−2} − n; outside that bound it is meaningless, so k must be planned for
/// the range.
///
/// # Security
/// Opened is y + 2^{k−2} + r modulo 2^k, uniform since r is uniform in k bits.
///
/// # Rounds and communication
/// 1 round; k/8 bytes per element to each other party ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::Parameter`] if k bits do not remain after the shift; [`ProtocolError::WrongCorrelation`];
/// [`ProtocolError::Transport`].
pub async fn truncate<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    shift: u32,
    correlation: LiftMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let LiftMask { bits, mask, top } = correlation;
    check_bits::<R>(bits, shift)?;
    check_correlation("truncate", "elements", mask.len(), x.len())?;
    let first = party.is_first();
    let reduce = TruncateReduce::new(party, bits, shift);
    let opened = reduce.open(party, x.elements(), &mask).await?;
    let mut results = SecretVec::zeros(x.len());
    threads::for_each_block(&mut results, BLOCK, SecretVec::zeros, |from, results, masks| {
        let masks = &mut masks[..results.len()];
        mask.read(from, masks);
        top.read(from, results);
        vectorized(|| {
            for ((top, &mask), &c) in results.iter_mut().zip(masks.iter()).zip(&opened[from..]) {
                *top = lifted(first, c, bits, mask, *top);
            }
        });
    });
    Ok(ArithmeticShares::new(x.shape(), results.into_vec())?)
}

/// As [`truncate`], between two parties: one bit of each element is opened instead of k.
///
/// Both shares of y + 2^{k−2}, which is below 2^{k−1}, are taken modulo 2^k. They wrap if the top bit of one of them is set: with
/// none they cannot, and with one alone the sum's own top bit would be set. So the wrap is t_0 ∨ t_1 = (t_0 + t_1 + (t_0 ⊕ t_1)) / 2,
/// and t_0 ⊕ t_1 comes into the ring as in [`bit_to_arithmetic`]. The sum of the shares of an even number has no rest: the first
/// party rounds its half down, and the second up.
///
/// `correlation` is as wide as [`carry_width`] says for the result's bits that are read.
///
/// # Security
/// As for [`bit_to_arithmetic`].
///
/// # Rounds and communication
/// 1 round; 1 bit per element to the other party, rounded up to words of 64 elements ([`carry_traffic`]).
///
/// # Errors
/// As for [`truncate`]; [`ProtocolError::Parameter`] for more than two parties.
pub async fn truncate_between_two<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    shift: u32,
    bits: u32,
    correlation: DaBits<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    check_bits::<R>(bits, shift)?;
    if party.parties() != 2 {
        let (value, allowed) = (party.parties() as u64, "2");
        return Err(ProtocolError::Parameter { protocol: "truncation", parameter: "parties", value, allowed });
    }
    let (first, width) = (party.is_first(), correlation.width());
    let TruncateReduce { rounding, offset, .. } = TruncateReduce::<R>::new(party, bits, shift);
    let reduce = |&x: &R| (x.wrapping_add(rounding) >> shift).wrapping_add(offset) & R::low_mask(bits);
    let reduced: SecretVec<R> = x.elements().iter().map(reduce).collect();
    let mut tops = SecretVec::zeros(packing::words_for(x.len()));
    bit_plane(&reduced, bits - 1, &mut tops);
    let differs = bit_to_arithmetic(party, &BinaryShares::new(1, x.len(), tops.into_vec())?, correlation).await?;
    let (up, offset) = if first { (R::ZERO, offset) } else { (R::ONE, R::ZERO) };
    let lift = |(&x, &differs): (&R, &R)| {
        let twice = (x >> (bits - 1)).wrapping_add(differs) & R::low_mask(width);
        let wrap = twice.wrapping_add(up) >> 1;
        x.wrapping_sub(offset).wrapping_sub(if bits == R::BITS { R::ZERO } else { wrap << bits })
    };
    let results: SecretVec<R> = reduced.iter().zip(differs.elements()).map(lift).collect();
    Ok(ArithmeticShares::new(x.shape(), results.into_vec())?)
}

/// The bits of the daBits of a [`truncate_between_two`] to k `bits`, of whose results `width` bits are read.
#[must_use]
pub fn carry_width(bits: u32, width: u32) -> u32 {
    width.saturating_sub(bits) + 1
}

/// The traffic of each party in [`truncate_between_two`] of `len` elements.
#[must_use]
pub fn carry_traffic(len: usize) -> Traffic {
    b2a_traffic(len, 2)
}

/// Shares of x / 2^`shift` modulo 2^{w−shift}, of shares of x modulo 2^w, with the error of [`truncate`]: its local half alone.
///
/// The parties' shares lose multiples of 2^{w−shift} by their wraps. So where no more bits are read, nothing has to be
/// lifted, nothing is sent, and x has no bound but that of w bits.
#[must_use]
pub fn reduce<R: Ring>(party: &Party, x: ArithmeticShares<R>, shift: u32) -> ArithmeticShares<R> {
    let rounding = rounding(party, shift);
    let mut reduced = x;
    reduced.elements_mut().iter_mut().for_each(|x| *x = x.wrapping_add(rounding) >> shift);
    reduced
}

/// Every party rounds down, so n/2 units are added in all, by the first one, to centre the error.
fn rounding<R: Ring>(party: &Party, shift: u32) -> R {
    if shift == 0 || !party.is_first() {
        return R::ZERO;
    }
    (R::ONE << (shift - 1)).wrapping_mul(R::from_u64(party.parties() as u64))
}

/// The traffic of each party in [`truncate`].
#[must_use]
pub fn traffic(shape: LiftShape, parties: usize) -> Traffic {
    open::traffic(shape.len, shape.bits, parties)
}
