//! The sizes of a series, as they follow from a function, and its coefficients.

use alloc::vec::Vec;

use super::Series;
use super::fit::{Fit, Measured, Target};
use crate::ProtocolError;
use crate::function::Smooth;
use crate::lookup::{MARGIN, Table};

/// More waves than that serve no function better than a table does.
pub(crate) const MAX_WAVES: u32 = 24;
/// Those of the finest argument that is compared, and of the sums of intervals in 64 bits.
const MAX_ARGUMENT_BITS: u32 = 62;
/// A fit is so much better than a table's target asks for, as a wave more costs little.
const FINER: f64 = 4.0;
/// The bits of cosines and sines and of what is dealt are chosen so that their rounding adds at most half a unit.
pub(crate) const ROUNDING_ERROR: f64 = 0.5;

impl Series {
    /// Refuses sizes that no series has.
    pub(crate) fn check(&self, ring_bits: u32) -> Result<(), ProtocolError> {
        let refused = |parameter, value: u32, allowed| {
            Err(ProtocolError::Parameter { protocol: "series", parameter, value: value.into(), allowed })
        };
        if !(1..=MAX_WAVES).contains(&self.waves) {
            return refused("waves", self.waves, "1 to 24");
        }
        if !(1..=MAX_ARGUMENT_BITS.min(ring_bits)).contains(&self.argument_bits) {
            return refused("bits of the argument", self.argument_bits, "1 to 62, and those of the ring");
        }
        if self.wave_bits > 32 || self.circle_bits > 50 || self.result_bits < 3 || self.result_bits > ring_bits {
            return refused("bits of the result", self.result_bits, "3 to those of the ring");
        }
        if self.entry_bits() > ring_bits {
            return refused("bits of a wave", self.entry_bits(), "those of the ring");
        }
        Ok(())
    }

    /// A bound of the fit's error, absolute or relative as [`Smooth::relative`] says.
    pub(crate) fn fit_error(smooth: &Smooth) -> f64 {
        smooth.target / FINER
    }

    /// The series of a function that takes the fewest dealt bits; `None` where a few waves are not enough, or
    /// the ring has no room for them.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for a function or scales that no table has either.
    pub fn of(table: Table, ring_bits: u32) -> Result<Option<Self>, ProtocolError> {
        let smooth = table.smooth()?;
        let (_, span) = table.interval(&smooth);
        let least = (u64::BITS - (span - 1).leading_zeros()).max(1);
        let of = |argument_bits| Self::in_period(table, &smooth, argument_bits, ring_bits);
        // In a longer period fewer waves are enough, with larger coefficients.
        Ok([least, least + 1].into_iter().filter_map(of).min_by_key(Self::dealt_bits))
    }

    fn in_period(table: Table, smooth: &Smooth, argument_bits: u32, ring_bits: u32) -> Option<Self> {
        let function = |x: f64| table.value(x);
        let target = target(&table, smooth, argument_bits, &function);
        let (fit, measured) = target.shortest(Self::fit_error(smooth), MAX_WAVES as usize)?;
        Self::sized(table, argument_bits, &fit, measured).filter(|series| series.check(ring_bits).is_ok())
    }

    /// With an eighth of a unit for the rounding of cosines and sines, a quarter for that of the waves, and an eighth for the
    /// constant's.
    fn sized(table: Table, argument_bits: u32, fit: &Fit, measured: Measured) -> Option<Self> {
        let diagonal = core::f64::consts::SQRT_2;
        let waves = fit.waves.len() as f64;
        let output_bits = f64::from(table.output_bits);
        let circle_bits = libm::ceil(output_bits + 2.0 + libm::log2(diagonal * fit.amplitude())).max(2.0);
        let wave_bits = libm::ceil(libm::log2(2.0 * diagonal * waves));
        let largest = measured.largest * libm::exp2(output_bits) + ROUNDING_ERROR + MARGIN;
        let size = fit.amplitude().max(libm::fabs(fit.constant)).max(1.0);
        // Within what a number of 53 bits rounds exactly.
        let is_exact = output_bits + wave_bits + libm::log2(size) < 48.0 && circle_bits < 48.0;
        let series = Self {
            table,
            waves: fit.waves.len() as u32,
            argument_bits,
            wave_bits: wave_bits as u32,
            circle_bits: circle_bits as u32,
            result_bits: libm::ceil(libm::log2(largest)) as u32 + 2,
            constant: libm::rint(fit.constant * libm::exp2(output_bits + wave_bits)) as i64,
        };
        is_exact.then_some(series)
    }

    /// The waves' coefficients, in units of what is dealt.
    ///
    /// # Errors
    /// As for [`of`](Self::of).
    pub(super) fn coefficients(&self) -> Result<Vec<[f64; 2]>, ProtocolError> {
        let smooth = self.table.smooth()?;
        let function = |x: f64| self.table.value(x);
        let fit = target(&self.table, &smooth, self.argument_bits, &function).with(self.waves as usize);
        let unit = libm::exp2((self.table.output_bits + self.wave_bits).into());
        Ok(fit.waves.iter().map(|wave| wave.map(|c| c * unit)).collect())
    }
}

fn target<'a>(table: &Table, smooth: &Smooth, argument_bits: u32, function: &'a dyn Fn(f64) -> f64) -> Target<'a> {
    let unit = libm::exp2(table.input_bits.into());
    let (low, span) = table.interval(smooth);
    let interval = [low as f64 / unit, (low + span as i64) as f64 / unit];
    let period = libm::exp2(argument_bits.into()) / unit;
    Target { function, interval, period, third: smooth.third, relative: smooth.relative }
}
