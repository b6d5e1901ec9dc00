//! Multiplication with Beaver triples, for any bilinear map: products, matrix products, convolutions; and squares.
//!
//! Source: Beaver, "Efficient multiparty protocols using circuit randomization" (CRYPTO 1991).

use core::ops::Range;

use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;

use crate::correlation::{AtRest, BLOCK, Deal, Dealing, Fields};
use crate::error::{check_correlation, check_len};
use crate::open::{self, open_shares, open_with};
use crate::{Bilinear, Correlation, Party, ProtocolError, Request};

/// One party's share of (a, b, a ∗ b) for random a and b, modulo 2^w for a product of which w bits are read.
#[derive(Debug)]
pub struct BeaverTriple<R: Ring> {
    map: Bilinear,
    width: u32,
    a: AtRest<R>,
    b: AtRest<R>,
    c: AtRest<R>,
}

impl<R: Ring> Correlation for BeaverTriple<R> {
    type Shape = Bilinear;
    type Ring = R;

    fn request(map: &Bilinear) -> Request {
        Request::Beaver(*map)
    }

    fn from_fields(map: &Bilinear, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let width = fields.width();
        Ok(Self {
            map: *map,
            width,
            a: fields.uniform(map.left_len(), width),
            b: fields.uniform(map.right_len(), width),
            c: fields.dealt(map.output_len(), width),
        })
    }
}

impl<R: Ring> Deal<R> for BeaverTriple<R> {
    async fn deal(map: &Bilinear, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let (a, b) = (dealing.uniform(), dealing.uniform());
        let mut c = SecretVec::zeros(map.output_len());
        map.accumulate_modulo(dealing.width(), &a, &b, &mut c);
        dealing.dealt(&c).await
    }

    fn scratch(map: &Bilinear) -> usize {
        map.scratch_len()
    }
}

/// One party's share of (a, a²) for random a, modulo 2^w for a square of which w bits are read.
#[derive(Debug)]
pub struct SquarePair<R: Ring> {
    width: u32,
    a: AtRest<R>,
    square: AtRest<R>,
}

impl<R: Ring> Correlation for SquarePair<R> {
    type Shape = usize;
    type Ring = R;

    fn request(&len: &usize) -> Request {
        Request::Square { len }
    }

    fn from_fields(&len: &usize, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let width = fields.width();
        Ok(Self { width, a: fields.uniform(len, width), square: fields.dealt(len, width) })
    }
}

impl<R: Ring> Deal<R> for SquarePair<R> {
    async fn deal(_: &usize, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let mut a = dealing.uniform();
        a.iter_mut().for_each(|x| *x = x.wrapping_mul(*x));
        dealing.dealt(&a).await
    }
}

/// Shares of x ∗ y modulo 2^w, w being the triple's width, in the shape of the map's output (elementwise: in the shape of x).
/// No more than the w low bits of x and y are read.
///
/// # Security
/// Opened are x − a and y − b modulo 2^w, uniform since a and b are.
///
/// # Rounds and communication
/// 1 round; w/8 bytes per element of x and of y to each other party ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::OperandLength`] if x or y does not fit the triple; [`ProtocolError::Transport`].
pub async fn multiply<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    y: &ArithmeticShares<R>,
    triple: BeaverTriple<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let BeaverTriple { map, width, a, b, c } = triple;
    check_len("multiply, left operand", map.left_len(), x.len())?;
    check_len("multiply, right operand", map.right_len(), y.len())?;
    let (mut a, b, mut c) = (a.shares(), b.shares(), c.shares());
    let differences: SecretVec<R> = masked(x, &a).chain(masked(y, &b)).collect();
    let opened = open_shares(party, &differences, width).await?;
    let (d, e) = opened.split_at(x.len());
    // x∗y = c + d∗b + (a + d)∗e, where party 0 alone adds the public d to its share of a.
    a.add_public(party.index(), d)?;
    map.accumulate_modulo(width, d, b.elements(), c.elements_mut());
    map.accumulate_modulo(width, a.elements(), e, c.elements_mut());
    let shape = if matches!(map, Bilinear::Elementwise { .. }) { x.shape().to_vec() } else { map.output_shape() };
    Ok(c.reshape(&shape)?)
}

/// Shares of x² modulo 2^w, w being the pair's width, elementwise. No more than the w low bits of x are read.
///
/// # Security
/// Opened is x − a modulo 2^w, uniform since a is.
///
/// # Rounds and communication
/// 1 round; w/8 bytes per element to each other party ([`open::traffic`]).
///
/// # Errors
/// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
pub async fn square<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    pair: SquarePair<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let SquarePair { width, a, square } = pair;
    check_correlation("square", "elements", a.len(), x.len())?;
    let opened = open_difference(party, x, &a, width).await?;
    let first = R::from_u64(u64::from(party.is_first()));
    let mut square = square.shares();
    let mut masks = SecretVec::zeros(BLOCK.min(a.len()));
    for (index, (squares, opened)) in square.elements_mut().chunks_mut(BLOCK).zip(opened.chunks(BLOCK)).enumerate() {
        let masks = &mut masks[..squares.len()];
        a.read(index * BLOCK, masks);
        for ((z, &d), &a) in squares.iter_mut().zip(opened).zip(masks.iter()) {
            // x² = a² + 2da + d²
            let doubled = d.wrapping_mul(a) << 1;
            *z = z.wrapping_add(doubled).wrapping_add(first.wrapping_mul(d.wrapping_mul(d)));
        }
    }
    Ok(square.reshape(x.shape())?)
}

/// The traffic of each party in [`multiply`] with a triple of `width` bits.
#[must_use]
pub fn traffic(map: &Bilinear, width: u32, parties: usize) -> Traffic {
    open::traffic(map.left_len() + map.right_len(), width, parties)
}

/// Opens x less its mask, modulo 2^`bits`.
pub(crate) async fn open_difference<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    mask: &AtRest<R>,
    bits: u32,
) -> Result<SecretVec<R>, ProtocolError> {
    open_with(party, x.len(), bits, difference(x, mask)).await
}

/// The writer of this party's shares of x − mask, to be opened.
pub(crate) fn difference<'a, R: Ring>(
    x: &'a ArithmeticShares<R>,
    mask: &'a AtRest<R>,
) -> impl Fn(Range<usize>, &mut [R]) + Send + Sync + use<'a, R> {
    |range, differences| {
        mask.read(range.start, differences);
        differences.iter_mut().zip(&x.elements()[range]).for_each(|(place, x)| *place = x.wrapping_sub(*place));
    }
}

/// This party's shares of x − mask, to be opened.
fn masked<'a, R: Ring>(x: &'a ArithmeticShares<R>, mask: &'a ArithmeticShares<R>) -> impl Iterator<Item = R> + 'a {
    x.elements().iter().zip(mask.elements()).map(|(&x, &a)| x.wrapping_sub(a))
}
