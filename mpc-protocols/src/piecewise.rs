//! Piecewise linear functions with public breakpoints, any number of them of one value, with truncation, in 3 or 4 rounds.
//!
//! A value y is masked and opened once: c = y + 2^{k−2} + r as in [`sign`](crate::sign). For a public threshold t_j the bit
//! b_j = [y ≥ t_j] is the sign of y − t_j, whose masked value c − t_j everybody knows. The one-time tables of r are read
//! at its leaves, which costs nothing; only the bits that mask what was read, their monomials and the flip bit d_j are
//! fresh for each threshold. As in [`relu`](crate::relu), y, every b_j and every b_j·y are then linear in dealt values,
//! so that every piecewise linear function of y with these breakpoints is a local sum.

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;

use crate::binary::{mask_of_bit, times_bit};
use crate::correlation::{AtRest, Deal, Dealing, Fields};
use crate::error::check_len;
use crate::sign::compare::{self, Comparisons, open_comparisons};
use crate::sign::masks::{MaskTables, ThresholdMask, deal_flipped};
use crate::sign::{SignParameters, SignShape};
use crate::truncation::{deal_top_bits, lifted, lifted_times_bit};
use crate::{Correlation, Party, ProtocolError, Request};

/// The number of elements, the bits of the comparison, and the number of thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiecewiseShape {
    /// The elements and the bits k.
    pub sign: SignShape,
    /// The number of thresholds.
    pub thresholds: usize,
}

/// One party's share of what comparisons with several thresholds need: consumed by its use.
pub struct PiecewiseMask<R: Ring> {
    parameters: SignParameters,
    tables: MaskTables<R>,
    /// r_top, modulo 2^{w−k} for a result of w bits.
    top: AtRest<R>,
    thresholds: Vec<ThresholdMask<R>>,
    products: Vec<FlippedMask<R>>,
}

/// The products of one flip bit d.
struct FlippedMask<R: Ring> {
    /// d·r.
    mask: AtRest<R>,
    /// d·r_top, modulo 2^{w−k}.
    top: AtRest<R>,
}

impl<R: Ring> core::fmt::Debug for PiecewiseMask<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PiecewiseMask").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl<R: Ring> Correlation for PiecewiseMask<R> {
    type Shape = PiecewiseShape;
    type Ring = R;

    fn request(shape: &PiecewiseShape) -> Request {
        let SignShape { len, parameters } = shape.sign;
        Request::Piecewise { len, thresholds: shape.thresholds, parameters }
    }

    fn from_fields(shape: &PiecewiseShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape.sign;
        let tables = MaskTables::from_fields(shape.sign, fields)?;
        let width = fields.width();
        let top_bits = width.saturating_sub(parameters.bits());
        let top = fields.dealt(len, top_bits);
        let (mut thresholds, mut products) = (Vec::new(), Vec::new());
        for _ in 0..shape.thresholds {
            thresholds.push(ThresholdMask::from_fields(shape.sign, fields)?);
            products.push(FlippedMask { mask: fields.dealt(len, width), top: fields.dealt(len, top_bits) });
        }
        Ok(Self { parameters, tables, top, thresholds, products })
    }
}

impl<R: Ring> Deal<R> for PiecewiseMask<R> {
    async fn deal(shape: &PiecewiseShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let (mask, bits) = (MaskTables::deal(shape.sign, dealing).await?, shape.sign.parameters.bits());
        deal_top_bits(dealing, &mask, bits).await?;
        for _ in 0..shape.thresholds {
            let flip = ThresholdMask::deal(shape.sign, dealing).await?;
            deal_flipped(dealing, &mask, &flip, bits).await?;
        }
        Ok(())
    }
}

/// The function constant + slope·y + Σ_j \[y ≥ t_j\]·(offset_j + slope_j·y), in ring elements.
///
/// The steps belong to the thresholds in their order; a missing step is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PiecewiseLinear<R> {
    /// The value at 0, below all thresholds.
    pub constant: R,
    /// The slope below all thresholds.
    pub slope: R,
    /// The step that is added from each threshold on.
    pub steps: Vec<Step<R>>,
}

/// The part added to a piecewise linear function from one threshold on: offset + slope·y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<R> {
    /// The constant.
    pub offset: R,
    /// The slope.
    pub slope: R,
}

/// A value between its thresholds, after its rounds: every piecewise linear function of it is a local sum.
pub struct Pieces<R: Ring> {
    parameters: SignParameters,
    first: bool,
    shape: Vec<usize>,
    /// c = y + 2^{k−2} + r.
    opened: SecretVec<R>,
    /// β_j, 64 elements a word, threshold after threshold.
    flipped: SecretVec<u64>,
    /// r.
    mask: SecretVec<R>,
    /// r_top.
    top: SecretVec<R>,
    flips: Vec<Flip<R>>,
}

/// One party's shares for one threshold, which each function reads.
struct Flip<R: Ring> {
    /// d.
    bit: SecretVec<R>,
    /// d·r.
    mask: SecretVec<R>,
    /// d·r_top.
    top: SecretVec<R>,
}

impl<R: Ring> core::fmt::Debug for Pieces<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pieces").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// Compares y = x / 2^`shift` with public thresholds, in units of y as ring elements (signed).
///
/// The bits are right where |y − t_j| < 2^{k−2} − n for every t_j, and y where |y| < 2^{k−2} − n; as in
/// [`relu`](crate::relu::relu), y has an error of at most n/2 units, and none where `shift` is 0. The bits are those of
/// the y that the result has, so that functions are continuous across thresholds.
///
/// # Security
/// As for [`is_non_negative`](crate::sign::is_non_negative): everything opened is masked by uniform dealt values, each
/// used once; what is read from the tables at several places is masked by bits of its own each time.
///
/// # Rounds and communication
/// 3 rounds; k + 2L·s bits per element to each other party for s thresholds ([`traffic`]): k + 12·s for k = 32. In few bytes 4
/// rounds and k + 25·s bits.
///
/// # Errors
/// [`ProtocolError::Parameter`] if k bits do not remain after the shift; [`ProtocolError::OperandLength`] for another
/// number of thresholds than was dealt for; [`ProtocolError::WrongCorrelation`]; [`ProtocolError::Transport`].
pub async fn compare<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    shift: u32,
    thresholds: &[R],
    correlation: PiecewiseMask<R>,
) -> Result<Pieces<R>, ProtocolError> {
    let PiecewiseMask { parameters, tables, top, thresholds: masks, products } = correlation;
    let comparisons = open_comparisons(party, x.elements(), shift, thresholds, parameters, tables, masks).await?;
    let Comparisons { opened, flipped, mask, flips } = comparisons;
    let flip =
        |(bit, FlippedMask { mask, top }): (AtRest<R>, _)| Flip { bit: bit.all(), mask: mask.all(), top: top.all() };
    Ok(Pieces {
        parameters,
        first: party.is_first(),
        shape: x.shape().to_vec(),
        opened,
        flipped,
        mask: mask.all(),
        top: top.all(),
        flips: flips.into_iter().zip(products).map(flip).collect(),
    })
}

impl<R: Ring> Pieces<R> {
    /// Shares of a piecewise linear function of y, in the full ring and in the shape of x; local.
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`] for more steps than thresholds.
    pub fn linear(&self, function: &PiecewiseLinear<R>) -> Result<ArithmeticShares<R>, ProtocolError> {
        let PiecewiseLinear { constant, slope, steps } = function;
        if steps.len() > self.flips.len() {
            check_len("piecewise, steps", self.flips.len(), steps.len())?;
        }
        let mut sum = self.base(*constant, *slope);
        let nothing = Step { offset: R::ZERO, slope: R::ZERO };
        for (index, step) in steps.iter().enumerate().filter(|&(_, &step)| step != nothing) {
            self.add_step(index, *step, &mut sum);
        }
        Ok(ArithmeticShares::new(&self.shape, sum.into_vec())?)
    }

    /// constant + slope·y.
    fn base(&self, constant: R, slope: R) -> SecretVec<R> {
        let bits = self.parameters.bits();
        let constant = if self.first { constant } else { R::ZERO };
        let dealt = self.mask.iter().zip(self.top.iter());
        let one = |(&c, (&mask, &top)): (&R, (&R, &R))| {
            constant.wrapping_add(slope.wrapping_mul(lifted(self.first, c, bits, mask, top)))
        };
        self.opened.iter().zip(dealt).map(one).collect()
    }

    /// Adds b·(offset + slope·y), where b·z = β·z + (1 − 2β)·d·z for z = offset + slope·y.
    fn add_step(&self, index: usize, step: Step<R>, sum: &mut [R]) {
        let Step { offset, slope } = step;
        let bits = self.parameters.bits();
        let words = packing::words_for(self.opened.len());
        let plane = &self.flipped[index * words..][..words];
        let flip = &self.flips[index];
        let masks = self.mask.iter().zip(self.top.iter());
        let flipped = flip.bit.iter().zip(flip.mask.iter()).zip(flip.top.iter());
        let public_offset = if self.first { offset } else { R::ZERO };
        let elements = sum.iter_mut().zip(self.opened.iter()).zip(masks.zip(flipped));
        for (element, ((sum, &c), ((&mask, &top), ((&flip, &flipped_mask), &flipped_top)))) in elements.enumerate() {
            let y = lifted(self.first, c, bits, mask, top);
            let flipped_y = lifted_times_bit(c, bits, flip, flipped_mask, flipped_top);
            let z = public_offset.wrapping_add(slope.wrapping_mul(y));
            let flipped_z = offset.wrapping_mul(flip).wrapping_add(slope.wrapping_mul(flipped_y));
            let beta = mask_of_bit::<R>(plane, element);
            *sum = sum.wrapping_add(times_bit(z, flipped_z, beta));
        }
    }
}

/// The traffic of each party in [`compare`].
#[must_use]
pub fn traffic(shape: PiecewiseShape, parties: usize) -> Traffic {
    compare::traffic(shape.sign, shape.thresholds, parties)
}
