//! The public part of a series.

use serde::Serialize;

use crate::lookup::Table;

/// A function as a Fourier series on an interval: all of its evaluation follows from it and the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// The function and its scales.
    pub table: Table,
    /// The number of waves besides the constant.
    pub waves: u32,
    /// w: a period is 2^w units of the argument's last place.
    pub argument_bits: u32,
    /// The dealt waves have this many more bits than the result.
    pub wave_bits: u32,
    /// The fractional bits of the public cosines and sines.
    pub circle_bits: u32,
    /// k: the result is below 2^{k−2} units in the last place.
    pub result_bits: u32,
    /// The constant, in units of what is dealt.
    pub constant: i64,
}

impl Series {
    /// g: the sum has this many more bits than the result.
    #[must_use]
    pub fn guard_bits(&self) -> u32 {
        self.wave_bits + self.circle_bits
    }

    /// The bits that are dealt of each cosine and sine.
    #[must_use]
    pub fn entry_bits(&self) -> u32 {
        self.guard_bits() + self.result_bits
    }

    /// The dealt elements of one value.
    pub(crate) fn elements(&self) -> usize {
        2 * self.waves as usize
    }

    /// The bits that are dealt for one value.
    pub(crate) fn dealt_bits(&self) -> u64 {
        self.elements() as u64 * u64::from(self.entry_bits())
    }
}
