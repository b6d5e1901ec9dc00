//! Smooth functions on a bounded interval: a Fourier series of a few waves, whose masks' cosines and sines are dealt.
//!
//! The argument is u in [0, 2^w), and a is uniform in w bits. Everybody opens e = u + a mod 2^w. With the angles ε and α of e
//! and a, 2^w being a full turn, the one of u is ε − α, so that
//!
//! c + Σ_k a_k·cos k(ε − α) + b_k·sin k(ε − α) = c + Σ_k cos kε·(a_k·cos kα − b_k·sin kα) + sin kε·(a_k·sin kα + b_k·cos kα).
//!
//! The dealer, who knows a, deals shares of the 2·K values in brackets, which are not public; the parties multiply them by the
//! public cosines and sines of kε in fixed point, add up, and truncate by the g bits by which the sum is finer than the result.
//! Where a table has hundreds of entries for each value, a series has 6 to 40.
//!
//! Sources: Luo, Zhang, Zhang, Zhang, Mu, Wang, Yu, Xu, "SecFormer: Fast and Accurate Privacy-Preserving Inference for Transformer
//! Models via SMPC" (Findings of ACL 2024) and Kei, Chow, "SHAFT: Secure, Handy, Accurate, and Fast Transformer Inference" (NDSS
//! 2025), which deal sines of masks, and multiply them by public sines, for GELU. New here are the fit on a part of the period,
//! which serves functions that are not periodic with a quarter of the waves (Huybrechs, SIAM J. Numer. Anal. 47, 2010), and
//! coefficients that the dealer applies, so that two values a wave are dealt whatever its phase.

mod choice;
mod circle;
mod fit;
mod series;
#[cfg(test)]
mod tests;

use mpc_ring::kernels::vectorized;
use mpc_ring::{Ring, threads};
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;

use crate::correlation::{AtRest, Deal, Dealing, Fields};
use crate::error::check_correlation;
use crate::open::{self, open_masked};
use crate::truncation::{self, LiftMask, LiftShape, truncate};
use crate::{Correlation, Party, ProtocolError, Request};

use circle::{POINTS, Points, Roots, rounded, turned};

pub use series::Series;

pub(crate) use choice::ROUNDING_ERROR;

/// The number of elements and the series of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesShape {
    /// The number of elements.
    pub len: usize,
    /// The function and its sizes.
    pub series: Series,
}

/// One party's share of what one evaluation needs: consumed by its use.
#[derive(Debug)]
pub struct SeriesMask<R: Ring> {
    series: Series,
    /// a, of which only the low w bits are used.
    mask: AtRest<R>,
    /// For each block of [`POINTS`] elements the values of its elements' first cosine, of their first sine, and so on.
    waves: AtRest<R>,
    lift: LiftMask<R>,
}

impl<R: Ring> Correlation for SeriesMask<R> {
    type Shape = SeriesShape;
    type Ring = R;

    fn request(shape: &SeriesShape) -> Request {
        Request::Series { len: shape.len, series: shape.series }
    }

    fn from_fields(&SeriesShape { len, series }: &SeriesShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        series.check(R::BITS)?;
        Ok(Self {
            series,
            mask: fields.uniform(len, series.argument_bits),
            waves: fields.dealt(len * series.elements(), series.entry_bits()),
            lift: LiftMask::from_fields(&LiftShape { len, bits: series.result_bits }, fields)?,
        })
    }
}

impl<R: Ring> Deal<R> for SeriesMask<R> {
    async fn deal(
        &SeriesShape { len, series }: &SeriesShape,
        dealing: &mut Dealing<'_, R>,
    ) -> Result<(), ProtocolError> {
        let waves = series.coefficients()?;
        let (roots, elements) = (Roots::new(series.argument_bits), series.elements());
        let masks = dealing.uniform();
        let fill = |from: usize, values: &mut [R]| {
            let masks = &masks[from / elements..][..values.len() / elements];
            vectorized(|| turned_waves(&waves, &roots, masks, values));
        };
        dealing.dealt_by(POINTS * elements, fill).await?;
        LiftMask::deal(&LiftShape { len, bits: series.result_bits }, dealing).await
    }
}

/// Each wave's coefficients, turned by the angle of its masks: a·cos kα − b·sin kα, then a·sin kα + b·cos kα.
#[inline(always)]
fn turned_waves<R: Ring>(waves: &[[f64; 2]], roots: &Roots, masks: &[R], values: &mut [R]) {
    let first = Points::at(roots, masks.iter().map(|mask| mask.low_u64()));
    let mut points = first.clone();
    for (&[a, b], values) in waves.iter().zip(values.chunks_exact_mut(2 * masks.len().max(1))) {
        let (of_cos, of_sin) = values.split_at_mut(masks.len());
        for ((x, y), (&c, &s)) in of_cos.iter_mut().zip(of_sin).zip(points.cos.iter().zip(&points.sin)) {
            [*x, *y] = turned([a, b], [c, s]).map(|value| R::from_i128(rounded(value).into()));
        }
        points.turn(&first);
    }
}

/// Shares of g(x), in the full ring at the table's output scale, g being the series' function.
///
/// `u` is x − low in units in the last place, low being the interval's lower end, in [0, span]. Outside, the result is
/// meaningless.
///
/// # Security
/// Opened are u + a modulo 2^w, uniform since a is uniform in w bits, and what [`truncate`] opens.
///
/// # Rounds and communication
/// 2 rounds; w + k bits per element to each other party, w and k being the series' bits of the argument and of the result
/// ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
pub async fn evaluate<R: Ring>(
    party: &mut Party,
    u: &ArithmeticShares<R>,
    correlation: SeriesMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let SeriesMask { series, mask, waves, lift } = correlation;
    check_correlation("series", "elements", mask.len(), u.len())?;
    let opened = open_masked(party, u.elements(), &mask, series.argument_bits).await?;
    let constant = if party.is_first() { i128::from(series.constant) << series.circle_bits } else { 0 };
    let (roots, unit) = (Roots::new(series.argument_bits), libm::exp2(series.circle_bits.into()));
    let mut sums = SecretVec::zeros(u.len());
    let scratch = |len| SecretVec::zeros(len * series.elements());
    threads::for_each_block(&mut sums, POINTS, scratch, |from, sums, read| {
        let read = &mut read[..sums.len() * series.elements()];
        waves.read(from * series.elements(), read);
        sums.fill(R::from_i128(constant));
        vectorized(|| add_waves(&roots, unit, &opened[from..][..sums.len()], read, sums));
    });
    truncate(party, &ArithmeticShares::new(u.shape(), sums.into_vec())?, series.guard_bits(), lift).await
}

/// Adds the public cosines and sines of each wave times what was dealt for them.
#[inline(always)]
fn add_waves<R: Ring>(roots: &Roots, unit: f64, opened: &[R], waves: &[R], sums: &mut [R]) {
    let first = Points::at(roots, opened.iter().map(|e| e.low_u64()));
    let mut points = first.clone();
    for waves in waves.chunks_exact(2 * sums.len()) {
        let (of_cos, of_sin) = waves.split_at(sums.len());
        let public =
            points.cos.iter().zip(&points.sin).map(|(c, s)| [c, s].map(|x| R::from_i128(rounded(x * unit).into())));
        for ((sum, [c, s]), (&x, &y)) in sums.iter_mut().zip(public).zip(of_cos.iter().zip(of_sin)) {
            *sum = sum.wrapping_add(c.wrapping_mul(x)).wrapping_add(s.wrapping_mul(y));
        }
        points.turn(&first);
    }
}

/// The traffic of each party in [`evaluate`].
#[must_use]
pub fn traffic(SeriesShape { len, series }: SeriesShape, parties: usize) -> Traffic {
    let lift = LiftShape { len, bits: series.result_bits };
    open::traffic(len, series.argument_bits, parties) + truncation::traffic(lift, parties)
}
