//! The smooth part of a function: by a Fourier series where one takes fewer dealt bits, else by a table.

use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;
use serde::{Deserialize, Serialize};

use crate::fourier::{self, ROUNDING_ERROR, Series, SeriesMask, SeriesShape};
use crate::lookup::{self, Layout, LookupMask, LookupShape, Table, look_up};
use crate::{CorrelationSource, Party, ProtocolError, Request};

/// How the smooth part of a function is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Evaluation {
    Table { table: Table, layout: Layout },
    Series(Series),
}

/// The means of evaluation that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Means {
    /// Whichever takes fewer dealt bits.
    Any,
    /// Tables, which two parties can make.
    Tables,
}

/// The error of a result, without that of the argument and of the truncation.
pub(super) struct Error {
    /// Of the fit, absolute or relative as the function's smooth part says.
    pub(super) fit: f64,
    /// Of the rounding of what is dealt, in units in the last place.
    pub(super) rounding: f64,
    /// Whether the result is truncated.
    pub(super) is_truncated: bool,
}

impl Evaluation {
    pub(super) fn new(table: Table, ring_bits: u32, means: Means) -> Result<Self, ProtocolError> {
        let layout = table.layout(ring_bits);
        let series = if means == Means::Any { Series::of(table, ring_bits)? } else { None };
        let Some(series) = series else { return Ok(Self::Table { table, layout: layout? }) };
        match layout {
            Ok(layout) if layout.dealt_bits() < series.dealt_bits() => Ok(Self::Table { table, layout }),
            _ => Ok(Self::Series(series)),
        }
    }

    pub(super) fn table(&self) -> &Table {
        match self {
            Self::Table { table, .. } => table,
            Self::Series(series) => &series.table,
        }
    }

    /// The bits in which the argument is opened.
    pub(super) fn argument_bits(&self) -> u32 {
        match self {
            Self::Table { layout, .. } => layout.argument_bits(),
            Self::Series(series) => series.argument_bits,
        }
    }

    /// The argument is counted in this many units for one unit in its last place.
    pub(super) fn multiplier(&self) -> u32 {
        match self {
            Self::Table { layout, .. } => layout.multiplier,
            Self::Series(_) => 1,
        }
    }

    /// The lower end and the length of the interval, in units in the last place.
    pub(super) fn interval(&self) -> Result<(i64, u64), ProtocolError> {
        let table = self.table();
        Ok(table.interval(&table.smooth()?))
    }

    pub(super) fn request(&self, len: usize) -> Request {
        match *self {
            Self::Table { table, .. } => Request::Lookup { len, table },
            Self::Series(series) => Request::Series { len, series },
        }
    }

    pub(super) fn traffic(&self, len: usize, ring_bits: u32, parties: usize) -> Traffic {
        match *self {
            // A table that was planned has a layout.
            Self::Table { table, .. } => {
                lookup::traffic(LookupShape { len, table }, ring_bits, parties).unwrap_or_default()
            }
            Self::Series(series) => fourier::traffic(SeriesShape { len, series }, parties),
        }
    }

    pub(super) fn error(&self, ring_bits: u32) -> Result<Error, ProtocolError> {
        Ok(match self {
            Self::Table { table, layout } => {
                let fitted = table.polynomials(ring_bits)?;
                Error { fit: fitted.fit_error, rounding: fitted.rounding_error, is_truncated: layout.guard_bits > 0 }
            }
            Self::Series(series) => {
                let fit = Series::fit_error(&series.table.smooth()?);
                Error { fit, rounding: ROUNDING_ERROR, is_truncated: true }
            }
        })
    }

    pub(super) async fn draw<R: Ring>(
        &self,
        len: usize,
        width: u32,
        source: &mut CorrelationSource<'_>,
    ) -> Result<EvaluationMask<R>, ProtocolError> {
        Ok(match *self {
            Self::Table { table, .. } => {
                EvaluationMask::Table(source.next_modulo(width, LookupShape { len, table }).await?)
            }
            Self::Series(series) => {
                EvaluationMask::Series(source.next_modulo(width, SeriesShape { len, series }).await?)
            }
        })
    }
}

/// One party's share of what an evaluation needs: consumed by its use.
#[derive(Debug)]
pub(super) enum EvaluationMask<R: Ring> {
    Table(LookupMask<R>),
    Series(SeriesMask<R>),
}

impl<R: Ring> EvaluationMask<R> {
    /// As [`look_up`] and [`fourier::evaluate`].
    pub(super) async fn evaluate(
        self,
        party: &mut Party,
        u: &ArithmeticShares<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        match self {
            Self::Table(mask) => look_up(party, u, mask).await,
            Self::Series(mask) => fourier::evaluate(party, u, mask).await,
        }
    }
}
