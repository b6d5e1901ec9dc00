//! The classic comparison: the top bit of the sum of the parties' shares, by a carry tree over bit triples. Right for
//! every value of the ring; the baseline and the reference of [`sign`](crate::sign) and [`relu`](crate::relu).

use alloc::vec::Vec;
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, BinaryShares};
use mpc_transport::Traffic;

use crate::beaver::{BeaverTriple, multiply};
use crate::binary::{self, BitTriples, Planes, and, stack};
use crate::conversion::{DaBits, bit_to_arithmetic, carry_save_planes, next_triple, two_summands};
use crate::error::check_len;
use crate::{Bilinear, Party, ProtocolError, beaver, conversion};

/// XOR shares of the most significant bit: 1 where x, read as signed, is negative.
///
/// # Security
/// That of [`and`].
///
/// # Rounds and communication
/// One AND round per entry of [`msb_planes`] ([`msb_traffic`]).
///
/// # Errors
/// [`ProtocolError::OperandLength`] if there are not as many triples as rounds; those of [`and`].
pub async fn most_significant_bit<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    triples: Vec<BitTriples>,
) -> Result<BinaryShares, ProtocolError> {
    check_len("MSB, rounds", msb_planes::<R>(x.len(), party.parties()).len(), triples.len())?;
    let mut triples = triples.into_iter();
    let (left, right) = two_summands(party, x, &mut triples).await?;
    let top = R::BITS - 1;
    let low_left = left.planes(0..top)?;
    let low_right = right.planes(0..top)?;
    let generate = and(party, &low_left, &low_right, next_triple(&mut triples)?).await?;
    let mut propagate = low_left;
    propagate.xor(&low_right)?;
    let mut bit = carry_out(party, generate, propagate, &mut triples).await?;
    bit.xor(&left.planes(top..R::BITS)?)?;
    bit.xor(&right.planes(top..R::BITS)?)?;
    Ok(bit)
}

/// The carry out of all planes: neighbouring (generate, propagate) pairs are joined until one is left.
async fn carry_out(
    party: &mut Party,
    mut generate: BinaryShares,
    mut propagate: BinaryShares,
    triples: &mut impl Iterator<Item = BitTriples>,
) -> Result<BinaryShares, ProtocolError> {
    let len = generate.len();
    while generate.width() > 1 {
        let (width, pairs) = (generate.width(), generate.width() / 2);
        let upper: Vec<_> = (0..pairs).map(|pair| propagate.plane(2 * pair + 1)).collect();
        let lower_generate = (0..pairs).map(|pair| generate.plane(2 * pair));
        let lower_propagate = (0..pairs).map(|pair| propagate.plane(2 * pair));
        let x = stack(2 * pairs, len, &[upper.as_slice(), &upper].concat())?;
        let y = stack(2 * pairs, len, &lower_generate.chain(lower_propagate).collect::<Vec<_>>())?;
        let products = and(party, &x, &y, next_triple(triples)?).await?;
        let mut joined = stack(pairs, len, &(0..pairs).map(|pair| generate.plane(2 * pair + 1)).collect::<Vec<_>>())?;
        joined.xor(&products.planes(0..pairs)?)?;
        generate = stack(width - pairs, len, &[joined.words(), odd_plane(&generate)])?;
        propagate = stack(width - pairs, len, &[products.planes(pairs..2 * pairs)?.words(), odd_plane(&propagate)])?;
    }
    Ok(generate)
}

/// The last of an odd number of planes, which has no neighbour.
fn odd_plane(planes: &BinaryShares) -> &[u64] {
    if planes.width() % 2 == 1 { planes.plane(planes.width() - 1) } else { &[] }
}

/// The bit triples that [`most_significant_bit`] needs: one entry per round.
#[must_use]
pub fn msb_planes<R: Ring>(len: usize, parties: usize) -> Vec<Planes> {
    let mut planes = carry_save_planes::<R>(len, parties);
    let mut width = R::BITS - 1;
    planes.push(Planes { width, len });
    while width > 1 {
        planes.push(Planes { width: width / 2 * 2, len });
        width = width.div_ceil(2);
    }
    planes
}

/// The traffic of each party in [`most_significant_bit`].
#[must_use]
pub fn msb_traffic<R: Ring>(len: usize, parties: usize) -> Traffic {
    msb_planes::<R>(len, parties).into_iter().map(|planes| binary::and_traffic(planes, parties)).sum()
}

/// Shares of the bit `[x < y]` as 0 or 1 in the ring, for |x − y| < 2^{ℓ−1}.
///
/// # Security
/// That of [`most_significant_bit`] and [`bit_to_arithmetic`].
///
/// # Rounds and communication
/// Those of [`most_significant_bit`] and one round of 1 bit per element ([`less_than_traffic`]).
///
/// # Errors
/// As for [`most_significant_bit`]; [`ProtocolError::Share`] if the shapes differ.
pub async fn less_than<R: Ring>(
    party: &mut Party,
    mut x: ArithmeticShares<R>,
    y: &ArithmeticShares<R>,
    triples: Vec<BitTriples>,
    dabits: DaBits<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    x.subtract(y)?;
    let bit = most_significant_bit(party, &x, triples).await?;
    Ok(bit_to_arithmetic(party, &bit, dabits).await?.reshape(x.shape())?)
}

/// The traffic of each party in [`less_than`].
#[must_use]
pub fn less_than_traffic<R: Ring>(len: usize, parties: usize) -> Traffic {
    msb_traffic::<R>(len, parties) + conversion::b2a_traffic(len, parties)
}

/// Shares of max(0, x), the classic way: the sign bit by an adder, converted, and multiplied.
///
/// # Security
/// That of its parts.
///
/// # Rounds and communication
/// Those of [`less_than`] and one Beaver product ([`classic_relu_traffic`]): for two parties and ℓ = 64, 9 rounds
/// and 62.875 bytes per element.
///
/// # Errors
/// Those of its parts.
pub async fn classic_relu<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    triples: Vec<BitTriples>,
    dabits: DaBits<R>,
    product: BeaverTriple<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let mut sign = most_significant_bit(party, x, triples).await?;
    sign.negate(party.index());
    let keep = bit_to_arithmetic(party, &sign, dabits).await?;
    multiply(party, x, &keep, product).await
}

/// The traffic of each party in [`classic_relu`].
#[must_use]
pub fn classic_relu_traffic<R: Ring>(len: usize, parties: usize) -> Traffic {
    less_than_traffic::<R>(len, parties) + beaver::traffic(&Bilinear::Elementwise { len }, R::BITS, parties)
}
