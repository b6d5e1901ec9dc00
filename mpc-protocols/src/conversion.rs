//! Between arithmetic and binary sharings, for any ring and number of parties: the general conversions, and the
//! reference that the fast ReLU is tested against.

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, BinaryShares, SecretVec, ShareError};
use mpc_transport::Traffic;

use crate::beaver::open_difference;
use crate::binary::{self, BitTriples, Planes, and, mask_of_bit, stack, times_bit};
use crate::correlation::{AtRest, BitsAtRest, Deal, Dealing, Fields};
use crate::error::{check_correlation, check_len};
use crate::open;
use crate::{Correlation, Party, ProtocolError, Request};

/// One party's shares of random bits, both in XOR and in the ring.
#[derive(Debug)]
pub struct DaBits<R: Ring> {
    bits: BitsAtRest,
    in_ring: AtRest<R>,
    /// The bits of `in_ring` that are right.
    width: u32,
}

impl<R: Ring> Correlation for DaBits<R> {
    type Shape = usize;
    type Ring = R;

    fn request(&len: &usize) -> Request {
        Request::DaBits { len }
    }

    fn from_fields(&len: &usize, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let width = fields.width();
        Ok(Self { bits: fields.uniform_bits(1, len), in_ring: fields.dealt(len, width), width })
    }
}

impl<R: Ring> DaBits<R> {
    /// The bits of what is made of them that are right.
    pub(crate) fn width(&self) -> u32 {
        self.width
    }
}

impl<R: Ring> Deal<R> for DaBits<R> {
    async fn deal(&len: &usize, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let words = dealing.uniform_words();
        let bits = SecretVec::from(BinaryShares::new(1, len, words.into_vec())?.to_elements::<R>()?);
        dealing.dealt(&bits).await
    }
}

/// One party's shares of uniformly random ring elements, both in the ring and as XOR shares of their bits.
///
/// Source: Escudero, Ghosh, Keller, Rachuri, Scholl, "Improved primitives for MPC over mixed arithmetic-binary circuits"
/// (CRYPTO 2020), here from a dealer.
#[derive(Debug)]
pub struct EdaBits<R: Ring> {
    in_ring: AtRest<R>,
    bits: BitsAtRest,
}

impl<R: Ring> Correlation for EdaBits<R> {
    type Shape = usize;
    type Ring = R;

    fn request(&len: &usize) -> Request {
        Request::EdaBits { len }
    }

    fn from_fields(&len: &usize, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        Ok(Self { in_ring: fields.uniform(len, R::BITS), bits: fields.dealt_bits(R::BITS, len) })
    }
}

impl<R: Ring> Deal<R> for EdaBits<R> {
    async fn deal(_: &usize, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let bits = BinaryShares::from_elements(&dealing.uniform(), R::BITS)?;
        dealing.dealt_words(bits.words()).await
    }
}

/// From XOR shares of single bits to shares of 0 or 1 in the ring.
///
/// # Security
/// Opened is b ⊕ d, uniform since d is.
///
/// # Rounds and communication
/// 1 round; 1 bit per bit to each other party ([`b2a_traffic`]).
///
/// # Errors
/// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Share`] if the values are wider than a bit;
/// [`ProtocolError::Transport`].
pub async fn bit_to_arithmetic<R: Ring>(
    party: &mut Party,
    bit: &BinaryShares,
    correlation: DaBits<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let DaBits { bits, in_ring, .. } = correlation;
    check_correlation("B2A", "bits", bits.len(), bit.len())?;
    let (mut bits, mut in_ring) = (bits.shares()?, in_ring.shares());
    bits.xor(bit)?;
    let opened = open::open_bits(party, &bits).await?;
    let first = R::from_u64(u64::from(party.is_first()));
    for (element, share) in in_ring.elements_mut().iter_mut().enumerate() {
        *share = times_bit(first, *share, mask_of_bit(&opened, element));
    }
    Ok(in_ring)
}

/// From XOR shares of ℓ-bit values to arithmetic shares: every bit by [`bit_to_arithmetic`], in one round.
///
/// # Security
/// As for [`bit_to_arithmetic`].
///
/// # Rounds and communication
/// 1 round; `width` planes, which take one bit per bit of each value and are rounded up to words of 64 values
/// ([`b2a_traffic`] of [`all_bits`]).
///
/// # Errors
/// As for [`bit_to_arithmetic`]; [`ProtocolError::Share`] if the values are wider than the ring.
pub async fn to_arithmetic<R: Ring>(
    party: &mut Party,
    values: &BinaryShares,
    correlation: DaBits<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    if values.width() > R::BITS {
        return Err(ShareError::Width { width: values.width(), limit: R::BITS }.into());
    }
    let planes = BinaryShares::new(1, all_bits(values.width(), values.len()), values.words().to_vec())?;
    let bits = bit_to_arithmetic(party, &planes, correlation).await?;
    let mut sum = ArithmeticShares::from_elements(SecretVec::<R>::zeros(values.len()).into_vec());
    let padded = packing::words_for(values.len()) * 64;
    for (weight, plane) in bits.elements().chunks_exact(padded.max(1)).enumerate() {
        for (x, &bit) in sum.elements_mut().iter_mut().zip(plane) {
            *x = x.wrapping_add(bit << weight as u32);
        }
    }
    Ok(sum)
}

/// The number of daBits that [`to_arithmetic`] needs for `len` values of `width` bits: whole words of each plane.
#[must_use]
pub fn all_bits(width: u32, len: usize) -> usize {
    packing::words_for(len) * 64 * width as usize
}

/// The traffic of each party when `len` bits are converted.
#[must_use]
pub fn b2a_traffic(len: usize, parties: usize) -> Traffic {
    open::traffic_of_planes(1, len, parties)
}

/// From arithmetic shares to XOR shares of all ℓ bits, by adding up the parties' shares in a circuit: carry-save adders
/// until two summands are left, then a Sklansky adder. No correlation but bit triples is needed.
///
/// Each party's own summand is a valid XOR sharing in which the others hold zeros; every AND masks it afresh.
///
/// # Security
/// That of [`and`].
///
/// # Rounds and communication
/// As [`adder_planes`] lists them: one AND round per entry ([`a2b_traffic`]).
///
/// # Errors
/// [`ProtocolError::OperandLength`] if there are not as many triples as rounds; those of [`and`].
pub async fn to_binary<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    triples: Vec<BitTriples>,
) -> Result<BinaryShares, ProtocolError> {
    check_len("A2B, rounds", adder_planes::<R>(x.len(), party.parties()).len(), triples.len())?;
    let mut triples = triples.into_iter();
    let (left, right) = two_summands(party, x, &mut triples).await?;
    sklansky_sum(party, left, right, triples).await
}

/// The bit triples that [`to_binary`] needs: one entry per round.
#[must_use]
pub fn adder_planes<R: Ring>(len: usize, parties: usize) -> Vec<Planes> {
    let mut planes = carry_save_planes::<R>(len, parties);
    planes.push(Planes { width: R::BITS, len });
    let levels = R::BITS.trailing_zeros();
    planes.extend((0..levels).map(|_| Planes { width: R::BITS, len }));
    planes
}

/// The rounds of the carry-save part alone.
pub(crate) fn carry_save_planes<R: Ring>(len: usize, parties: usize) -> Vec<Planes> {
    let mut planes = Vec::new();
    let mut summands = parties;
    while summands > 2 {
        let adders = summands / 3;
        planes.push(Planes { width: adders as u32 * R::BITS, len });
        summands -= adders;
    }
    planes
}

/// The traffic of each party in [`to_binary`].
#[must_use]
pub fn a2b_traffic<R: Ring>(len: usize, parties: usize) -> Traffic {
    adder_planes::<R>(len, parties).into_iter().map(|planes| binary::and_traffic(planes, parties)).sum()
}

/// Two binary sharings whose values add up to x.
pub(crate) async fn two_summands<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    triples: &mut impl Iterator<Item = BitTriples>,
) -> Result<(BinaryShares, BinaryShares), ProtocolError> {
    let zeros = || BinaryShares::zeros(R::BITS, x.len());
    let own = BinaryShares::from_elements(x.elements(), R::BITS)?;
    let mut summands: Vec<_> = (0..party.parties()).map(|_| zeros()).collect();
    summands[party.index()] = own;
    while summands.len() > 2 {
        summands = carry_save_level(party, summands, next_triple(triples)?).await?;
    }
    let (Some(right), Some(left)) = (summands.pop(), summands.pop()) else {
        return Err(ProtocolError::OperandLength { protocol: "A2B", expected: 2, got: 0 });
    };
    Ok((left, right))
}

/// The next round's triples; their number was checked before.
pub(crate) fn next_triple(triples: &mut impl Iterator<Item = BitTriples>) -> Result<BitTriples, ProtocolError> {
    triples.next().ok_or(ProtocolError::OperandLength { protocol: "adder, rounds of triples", expected: 1, got: 0 })
}

/// One level of carry-save adders: every three summands become two, x ⊕ y ⊕ z and 2·maj(x, y, z), where
/// maj(x, y, z) = (x ⊕ z)·(y ⊕ z) ⊕ z.
async fn carry_save_level(
    party: &mut Party,
    mut summands: Vec<BinaryShares>,
    triples: BitTriples,
) -> Result<Vec<BinaryShares>, ProtocolError> {
    let rest = summands.split_off(summands.len() / 3 * 3);
    let (width, len) = (summands[0].width(), summands[0].len());
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for group in summands.chunks_exact_mut(3) {
        let [x, y, z] = group else { continue };
        x.xor(z)?;
        y.xor(z)?;
        left.push(x.words());
        right.push(y.words());
    }
    let stacked = left.len() as u32 * width;
    let (left, right) = (stack(stacked, len, &left)?, stack(stacked, len, &right)?);
    let products = and(party, &left, &right, triples).await?;
    let mut reduced = rest;
    for (adder, group) in summands.chunks_exact_mut(3).enumerate() {
        let [x, y, z] = group else { continue };
        let first_plane = adder as u32 * width;
        let mut carry = products.planes(first_plane..first_plane + width)?;
        carry.xor(z)?;
        let mut sum = stack(width, len, &[x.words()])?;
        sum.xor(y)?;
        sum.xor(z)?;
        reduced.push(sum);
        reduced.push(doubled(&carry)?);
    }
    Ok(reduced)
}

/// Shares of 2·x modulo 2^width: the planes move up by one.
fn doubled(x: &BinaryShares) -> Result<BinaryShares, ProtocolError> {
    let zeros = BinaryShares::zeros(1, x.len());
    stack(x.width(), x.len(), &[zeros.words(), x.planes(0..x.width() - 1)?.words()])
}

/// The sum of two binary sharings modulo 2^width, by Sklansky's parallel prefix of (generate, propagate) pairs.
///
/// Source: Sklansky, "Conditional-sum addition logic" (IRE Transactions on Electronic Computers, 1960).
async fn sklansky_sum(
    party: &mut Party,
    left: BinaryShares,
    right: BinaryShares,
    mut triples: impl Iterator<Item = BitTriples>,
) -> Result<BinaryShares, ProtocolError> {
    let (width, len) = (left.width(), left.len());
    let mut generate = and(party, &left, &right, next_triple(&mut triples)?).await?;
    let mut sum = left;
    sum.xor(&right)?;
    let mut propagate = stack(width, len, &[sum.words()])?;
    let mut span = 1;
    while span < width {
        // Every plane in the upper half of a block takes in the lower half's last plane.
        let upper: Vec<u32> = (0..width).filter(|plane| plane & span != 0).collect();
        let half = upper.len() as u32;
        let below = |plane: u32| (plane & !(2 * span - 1)) + span - 1;
        let p_upper: Vec<_> = upper.iter().map(|&plane| propagate.plane(plane)).collect();
        let g_below = upper.iter().map(|&plane| generate.plane(below(plane)));
        let p_below = upper.iter().map(|&plane| propagate.plane(below(plane)));
        let x = stack(2 * half, len, &[p_upper.as_slice(), &p_upper].concat())?;
        let y = stack(2 * half, len, &g_below.chain(p_below).collect::<Vec<_>>())?;
        let products = and(party, &x, &y, next_triple(&mut triples)?).await?;
        generate = joined(&generate, &upper, &products, |old, new| old ^ new)?;
        propagate = joined(&propagate, &upper, &products.planes(half..2 * half)?, |_, new| new)?;
        span *= 2;
    }
    sum.xor(&doubled(&generate)?)?;
    Ok(sum)
}

/// The planes, those in `upper` joined with the planes of `new`, one for each.
fn joined(
    planes: &BinaryShares,
    upper: &[u32],
    new: &BinaryShares,
    join: impl Fn(u64, u64) -> u64,
) -> Result<BinaryShares, ProtocolError> {
    let mut words = SecretVec::copy_of(planes.words());
    let count = packing::words_for(planes.len());
    for (position, &plane) in upper.iter().enumerate() {
        let old = words[plane as usize * count..][..count].iter_mut();
        old.zip(new.plane(position as u32)).for_each(|(old, &new)| *old = join(*old, new));
    }
    Ok(BinaryShares::new(planes.width(), planes.len(), words.into_vec())?)
}

/// From arithmetic shares to XOR shares of all ℓ bits, with dealt edaBits: opens x − r and adds the public c to the
/// shared bits of r with a Sklansky adder.
///
/// # Security
/// Opened is x − r, uniform since r is; then that of [`and`].
///
/// # Rounds and communication
/// 1 round of ℓ/8 bytes per element, then the adder's log₂ ℓ rounds and one: as [`to_binary`] has for two parties
/// ([`edabits_traffic`]).
///
/// # Errors
/// [`ProtocolError::WrongCorrelation`], [`ProtocolError::OperandLength`]; those of [`and`].
pub async fn to_binary_with_edabits<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    edabits: EdaBits<R>,
    triples: Vec<BitTriples>,
) -> Result<BinaryShares, ProtocolError> {
    let EdaBits { in_ring, bits } = edabits;
    check_correlation("A2B", "elements", in_ring.len(), x.len())?;
    check_len("A2B, rounds", adder_planes::<R>(x.len(), 2).len(), triples.len())?;
    let opened = open_difference(party, x, &in_ring, R::BITS).await?;
    let public = if party.is_first() {
        BinaryShares::from_elements(&opened, R::BITS)?
    } else {
        BinaryShares::zeros(R::BITS, x.len())
    };
    sklansky_sum(party, public, bits.shares()?, triples.into_iter()).await
}

/// The traffic of each party in [`to_binary_with_edabits`].
#[must_use]
pub fn edabits_traffic<R: Ring>(len: usize, parties: usize) -> Traffic {
    let adder = adder_planes::<R>(len, 2).into_iter().map(|planes| binary::and_traffic(planes, parties));
    open::traffic(len, R::BITS, parties) + adder.sum()
}
