//! The check that every number from outside goes through.

use alloc::vec::Vec;

use ndarray::{ArrayD, Dimension};

/// The fault in an element, and its place.
pub(crate) enum Flaw {
    NotFinite(Vec<usize>),
    OutOfRange(Vec<usize>),
}

/// Finds the first element that is NaN, infinite or larger than `limit` in magnitude.
pub(crate) fn check(array: &ArrayD<f32>, limit: f32) -> Result<(), Flaw> {
    // A comparison with NaN is false.
    let fits = |value: f32| value.abs() <= limit;
    if array.iter().all(|&value| fits(value)) {
        return Ok(());
    }
    match array.indexed_iter().find(|&(_, &value)| !fits(value)) {
        Some((index, value)) if value.is_finite() => Err(Flaw::OutOfRange(index.slice().to_vec())),
        Some((index, _)) => Err(Flaw::NotFinite(index.slice().to_vec())),
        None => Ok(()),
    }
}
