//! The bundled samples of each network of the registry.

use std::ops::Range;

use ndarray::{Axis, Slice};

use crate::cancer::BreastCancer;
use crate::digits::Digits;
use crate::samples::{Samples, SamplesError, Targets};
use crate::segments::Segments;

/// Which samples a network of the registry has.
#[derive(Clone, Copy, Debug)]
pub(super) enum SampleSet {
    /// Digits in three channels.
    Digits,
    /// Digits in one channel.
    GreyDigits,
    Segments,
    BreastCancer,
}

impl SampleSet {
    pub(super) fn len(self) -> Result<usize, SamplesError> {
        Ok(match self {
            Self::Digits | Self::GreyDigits => Digits::bundled()?.len(),
            Self::Segments => Segments::bundled()?.len(),
            Self::BreastCancer => BreastCancer::bundled()?.len(),
        })
    }

    pub(super) fn read(self, range: Range<usize>) -> Result<Samples, SamplesError> {
        let labels = |labels: &mut dyn Iterator<Item = u8>, Range { start, end }: Range<usize>| {
            Targets::Labels(labels.skip(start).take(end - start).collect())
        };
        Ok(match self {
            Self::Digits | Self::GreyDigits => {
                let digits = Digits::bundled()?;
                let all = digits.batch(range.clone())?;
                // The three channels are equal.
                let channels = if matches!(self, Self::Digits) { 3 } else { 1 };
                let images = all.slice_axis(Axis(1), Slice::from(..channels)).to_owned();
                Samples { inputs: [images].into(), targets: labels(&mut digits.labels(), range) }
            }
            Self::Segments => {
                let segments = Segments::bundled()?;
                let images = segments.batch(range.clone())?;
                Samples { inputs: [images].into(), targets: Targets::Masks(segments.masks(range)?) }
            }
            Self::BreastCancer => {
                let table = BreastCancer::bundled()?;
                let inputs = table.batch(range.clone())?.into();
                Samples { inputs, targets: labels(&mut table.labels(), range) }
            }
        })
    }
}
