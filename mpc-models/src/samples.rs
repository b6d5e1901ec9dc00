//! Real test data of the bundled networks.

use std::ops::Range;
use std::vec::Vec;

use ndarray::{Array, ArrayD, ArrayView, Axis, Dimension, Slice};
use ndarray_npy::ReadableElement;
use zeroize::Zeroize;

use crate::digits::DigitsError;
use crate::npy::{NpyError, read};

/// The largest number of rows or images that one file may hold.
pub(crate) const MAX_SAMPLES: usize = 1 << 16;

/// Why samples could not be read or chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// Digits that cannot be read or chosen.
    #[error(transparent)]
    Digits(#[from] DigitsError),
    /// A file that is damaged or holds another type or shape.
    #[error("{what}: {error}")]
    File {
        /// The contents that the file should have.
        what: &'static str,
        /// The fault.
        #[source]
        error: NpyError,
    },
    /// Files with different numbers of samples.
    #[error("there are {samples} samples, but {targets} {what}; use files that belong together")]
    Count {
        /// The number of samples.
        samples: usize,
        /// The things that should be as many.
        what: &'static str,
        /// The number of these.
        targets: usize,
    },
    /// A value that is out of range.
    #[error("{what} have a value at {index:?} that is not {expected}")]
    Value {
        /// Where it is.
        what: &'static str,
        /// Its place.
        index: Vec<usize>,
        /// The condition that it should meet.
        expected: &'static str,
    },
    /// A range without samples in it, or with some that are not there.
    #[error("the range {start}..{end} is empty or not within the {len} samples, which are counted from 0")]
    Range {
        /// Where it starts.
        start: usize,
        /// Where it ends.
        end: usize,
        /// The number of samples.
        len: usize,
    },
}

/// Inputs of a network, and what it should find in them.
#[derive(Clone, Debug)]
pub struct Samples {
    /// A tensor for each input of the graph, the samples along axis 0.
    pub inputs: Vec<ArrayD<f32>>,
    /// The true answers for them.
    pub targets: Targets,
}

/// The true answers for samples.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// The class of each.
    Labels(Vec<u8>),
    /// [samples, classes, height, width], 1 inside the mask and 0 outside.
    Masks(ArrayD<u8>),
}

/// An array of `D`'s rank from an `.npy` file of one of the types `descriptors`.
pub(crate) fn array<T: ReadableElement + Clone + Zeroize, D: Dimension>(
    what: &'static str,
    bytes: &[u8],
    type_name: &'static str,
    descriptors: &[&str],
    (fits, expected): (impl Fn(&[usize]) -> bool, &str),
) -> Result<Array<T, D>, SamplesError> {
    let wrong = |error| SamplesError::File { what, error };
    let array = read(bytes, type_name, descriptors, fits, expected.into()).map_err(wrong)?;
    array.into_dimensionality().map_err(|error| wrong(NpyError::Format { reason: std::format!("{error}") }))
}

/// Checks each element.
pub(crate) fn check<T: Copy, D: Dimension>(
    what: &'static str,
    array: &Array<T, D>,
    expected: &'static str,
    is_valid: impl Fn(T) -> bool,
) -> Result<(), SamplesError> {
    match array.view().into_dyn().indexed_iter().find(|(_, value)| !is_valid(**value)) {
        Some((index, _)) => Err(SamplesError::Value { what, index: index.slice().to_vec(), expected }),
        None => Ok(()),
    }
}

/// The entries of a range along axis 0.
pub(crate) fn part<T, D: Dimension>(
    array: &Array<T, D>,
    range: Range<usize>,
) -> Result<ArrayView<'_, T, ndarray::IxDyn>, SamplesError> {
    let (Range { start, end }, len) = (range, array.len_of(Axis(0)));
    if start >= end || end > len {
        return Err(SamplesError::Range { start, end, len });
    }
    Ok(array.view().into_dyn().slice_axis_move(Axis(0), Slice::from(start..end)))
}
