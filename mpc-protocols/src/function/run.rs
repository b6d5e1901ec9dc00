//! A planned function on shares: drawing its material, and using it up.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;

use super::evaluation::EvaluationMask;
use super::octaves::{Octave, Octaves};
use super::route::{Kind, Linear, unsupported};
use super::{Function, FunctionPlan};
use crate::beaver::{self, BeaverTriple};
use crate::piecewise::{Pieces, PiecewiseLinear, PiecewiseMask, Step, compare};
use crate::truncation::{LiftMask, check_bits, truncate};
use crate::{Correlation, CorrelationSource, Party, ProtocolError};

/// One party's share of everything that one use of a [`FunctionPlan`] needs: consumed by its use.
#[derive(Debug)]
pub struct FunctionMaterial<R: Ring> {
    pieces: PiecewiseMask<R>,
    later: Later<R>,
}

/// The material that is used after the pieces are known.
#[derive(Debug)]
struct Later<R: Ring> {
    argument: Option<LiftMask<R>>,
    smooth: Option<EvaluationMask<R>>,
    dividend: Option<BeaverTriple<R>>,
    middle: Option<LiftMask<R>>,
    triple: Option<BeaverTriple<R>>,
    result: Option<LiftMask<R>>,
}

impl FunctionPlan {
    /// Draws this party's share of the plan's [`requests`](Self::requests).
    ///
    /// # Errors
    /// As for [`CorrelationSource::next`]; [`ProtocolError::Parameter`] in another ring than planned.
    pub async fn draw<R: Ring>(
        &self,
        source: &mut CorrelationSource<'_>,
    ) -> Result<FunctionMaterial<R>, ProtocolError> {
        self.draw_modulo(R::BITS, source).await
    }

    /// As [`draw`](Self::draw), for a result that is read modulo 2^`width` only.
    ///
    /// # Errors
    /// As for [`draw`](Self::draw).
    pub async fn draw_modulo<R: Ring>(
        &self,
        width: u32,
        source: &mut CorrelationSource<'_>,
    ) -> Result<FunctionMaterial<R>, ProtocolError> {
        self.check_ring::<R>()?;
        let (steps, widths) = (self.steps(), self.widths(width));
        let pieces = source.next_modulo(widths.pieces, steps.pieces).await?;
        let later = Later {
            argument: draw_optional(source, widths.argument, steps.argument).await?,
            smooth: match &steps.smooth {
                Some(evaluation) => Some(evaluation.draw(self.shape.len, widths.smooth, source).await?),
                None => None,
            },
            dividend: draw_optional(source, widths.dividend, steps.dividend).await?,
            middle: draw_optional(source, widths.middle, steps.middle).await?,
            triple: draw_optional(source, widths.product, steps.product).await?,
            result: draw_optional(source, widths.result, steps.result).await?,
        };
        Ok(FunctionMaterial { pieces, later })
    }

    fn check_ring<R: Ring>(&self) -> Result<(), ProtocolError> {
        if R::BITS == self.ring_bits {
            return Ok(());
        }
        Err(unsupported("ring bits", R::BITS.into(), "those of the plan"))
    }

    /// Shares of the function of x / 2^`shift`, at scale f, in the shape of x; in the full ring, or modulo 2^w where the
    /// material is for a result of w bits.
    ///
    /// The result is right within [`error_bound`](Self::error_bound) for arguments within [`range`](Self::range).
    ///
    /// # Security
    /// As for its parts: [`compare`], [`look_up`](crate::lookup::look_up), [`evaluate`](crate::fourier::evaluate), [`beaver::multiply`], [`truncate`].
    ///
    /// # Rounds and communication
    /// As in the table of [`function`](crate::function); [`traffic`](Self::traffic) has it exactly.
    ///
    /// # Errors
    /// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`]; [`ProtocolError::Parameter`] for a plan of quotients.
    pub async fn apply<R: Ring>(
        &self,
        party: &mut Party,
        x: &ArithmeticShares<R>,
        material: FunctionMaterial<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        if self.shape.dividends.is_some() {
            return Err(unsupported("dividends", 0, "those of the plan"));
        }
        self.computed(party, None, x, material).await
    }

    /// Shares of the quotients of dividends at scale f and divisors at scale f + `shift`, at scale f, in the shape of the
    /// dividends; in the full ring, or modulo 2^w where the material is for a result of w bits. Division by 0 gives 0.
    ///
    /// The divisor is moved to [1, 2) by a power of two, where its reciprocal is looked up. The dividend is multiplied by that
    /// reciprocal and then by the power of two, and the last product alone is rounded. So the error does not grow with the
    /// dividend or the divisor ([`error_bound`](Self::error_bound)), as it would for a product with a rounded reciprocal.
    ///
    /// # Security
    /// As for [`apply`](Self::apply).
    ///
    /// # Rounds and communication
    /// As in the table of [`function`](crate::function); [`traffic`](Self::traffic) has it exactly.
    ///
    /// # Errors
    /// As for [`apply`](Self::apply), and [`ProtocolError::Parameter`] for a plan without dividends.
    pub async fn divide<R: Ring>(
        &self,
        party: &mut Party,
        dividends: &ArithmeticShares<R>,
        divisors: &ArithmeticShares<R>,
        material: FunctionMaterial<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        if self.shape.dividends.is_none() {
            return Err(unsupported("dividends", dividends.len() as u64, "none, as planned"));
        }
        let quotients = self.computed(party, Some(dividends), divisors, material).await?;
        Ok(quotients.reshape(dividends.shape())?)
    }

    /// The units by which a jump comes before its threshold: as many as a truncation may take off a value that is exactly there, as
    /// a product of whole numbers is. Two parties take off none, but the noise of a product that they encrypted may.
    fn early(&self, parties: usize) -> i64 {
        let jumps = matches!(self.shape.function, Function::Step | Function::Stairs { .. });
        if jumps && self.shape.shift > 0 { (parties.div_ceil(2) - 1).max(1) as i64 } else { 0 }
    }

    async fn computed<R: Ring>(
        &self,
        party: &mut Party,
        dividends: Option<&ArithmeticShares<R>>,
        x: &ArithmeticShares<R>,
        material: FunctionMaterial<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        self.check_ring::<R>()?;
        check_bits::<R>(self.shape.parameters.bits(), self.shape.shift)?;
        let FunctionMaterial { pieces, later } = material;
        let early = self.early(party.parties());
        let thresholds: Vec<R> = self.route.thresholds.iter().map(|&t| R::from_i128((t - early).into())).collect();
        let pieces = compare(party, x, self.shape.shift, &thresholds, pieces).await?;
        match &self.route.kind {
            Kind::Linear(rest) => {
                let value = pieces.linear(&in_ring(&rest.function))?;
                truncate_optional(party, value, rest.fraction, later.result).await
            }
            Kind::Smooth { argument, rest, .. } => {
                let u = pieces.linear(&in_ring(argument))?;
                let added = rest.as_ref().map(|rest| pieces.linear(&in_ring(&rest.function))).transpose()?;
                drop(pieces);
                let value = expected(later.smooth)?.evaluate(party, &u).await?;
                let Some((mut sum, rest)) = added.zip(rest.as_ref()) else { return Ok(value) };
                sum.add(&value.scale(R::ONE << rest.fraction))?;
                truncate_optional(party, sum, rest.fraction, later.result).await
            }
            Kind::Octaves(octaves) => apply_octaves(party, octaves, dividends, pieces, later).await,
        }
    }
}

/// Normalises, evaluates, and gives the octave back.
async fn apply_octaves<R: Ring>(
    party: &mut Party,
    octaves: &Octaves,
    dividends: Option<&ArithmeticShares<R>>,
    pieces: Pieces<R>,
    later: Later<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let Later { argument, smooth, dividend, middle, triple, result } = later;
    let u = pieces.linear(&in_ring(&octaves.argument))?;
    let octave = match &octaves.octave {
        Octave::Offset(octave) | Octave::Factor { factor: octave, .. } | Octave::Quotient { factor: octave, .. } => {
            pieces.linear(&in_ring(octave))?
        }
    };
    drop(pieces);
    let mut u = truncate_optional(party, u, octaves.shift, argument).await?;
    let (low, _) = octaves.evaluation.interval()?;
    let low = R::from_i128(low.into());
    if party.is_first() {
        u.elements_mut().iter_mut().for_each(|u| *u = u.wrapping_sub(low));
    }
    let u = u.scale(R::from_u64(octaves.evaluation.multiplier().into()));
    let mut value = expected(smooth)?.evaluate(party, &u).await?;
    match &octaves.octave {
        Octave::Offset(_) => {
            value.add(&octave)?;
            Ok(value)
        }
        Octave::Factor { shift, .. } => {
            let product = beaver::multiply(party, &value, &octave, expected(triple)?).await?;
            truncate_optional(party, product, *shift, result).await
        }
        Octave::Quotient { first, second, .. } => {
            let product = beaver::multiply(party, expected(dividends)?, &value, expected(dividend)?).await?;
            let product = truncate_optional(party, product, *first, middle).await?;
            let product = beaver::multiply(party, &product, &octave, expected(triple)?).await?;
            truncate_optional(party, product, *second, result).await
        }
    }
}

async fn draw_optional<C: Correlation>(
    source: &mut CorrelationSource<'_>,
    width: u32,
    shape: Option<C::Shape>,
) -> Result<Option<C>, ProtocolError> {
    match shape {
        Some(shape) => source.next_modulo(width, shape).await.map(Some),
        None => Ok(None),
    }
}

/// Cuts `shift` bits off, if any.
async fn truncate_optional<R: Ring>(
    party: &mut Party,
    x: ArithmeticShares<R>,
    shift: u32,
    mask: Option<LiftMask<R>>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    if shift == 0 { Ok(x) } else { truncate(party, &x, shift, expected(mask)?).await }
}

/// A part of the material that the plan has; it is missing only from another plan's.
fn expected<C>(part: Option<C>) -> Result<C, ProtocolError> {
    let wrong = ProtocolError::WrongCorrelation { protocol: "function", unit: "parts", correlation: 0, operand: 1 };
    part.ok_or(wrong)
}

fn in_ring<R: Ring>(function: &Linear) -> PiecewiseLinear<R> {
    let step = |step: &Step<i128>| Step { offset: R::from_i128(step.offset), slope: R::from_i128(step.slope) };
    PiecewiseLinear {
        constant: R::from_i128(function.constant),
        slope: R::from_i128(function.slope),
        steps: function.steps.iter().map(step).collect(),
    }
}
