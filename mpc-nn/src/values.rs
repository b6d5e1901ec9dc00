//! The check that every number from outside goes through, and how large numbers are.

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
    let all_fit = match array.as_slice_memory_order() {
        Some(values) => values.iter().all(|&value| fits(value)),
        None => array.iter().all(|&value| fits(value)),
    };
    if all_fit {
        return Ok(());
    }
    match array.indexed_iter().find(|&(_, &value)| !fits(value)) {
        Some((index, value)) if value.is_finite() => Err(Flaw::OutOfRange(index.slice().to_vec())),
        Some((index, _)) => Err(Flaw::NotFinite(index.slice().to_vec())),
        None => Ok(()),
    }
}

/// The smallest and the largest of an array's numbers, of which none is NaN; of none, +∞ and −∞.
///
/// ```
/// use ndarray::array;
/// assert_eq!(mpc_nn::range(&array![1.5f32, -2.0, 0.0].into_dyn()), [-2.0, 1.5]);
/// ```
#[must_use]
pub fn range(array: &ArrayD<f32>) -> [f32; 2] {
    /// Numbers that are compared side by side: as many as vectors take.
    const LANES: usize = 16;
    let wider = |[low, high]: [f32; 2], &value: &f32| [low.min(value), high.max(value)];
    let nothing = [f32::INFINITY, f32::NEG_INFINITY];
    let Some(values) = array.as_slice_memory_order() else { return array.iter().fold(nothing, wider) };
    let (chunks, rest) = values.as_chunks::<LANES>();
    let [mut low, mut high] = nothing.map(|bound| [bound; LANES]);
    for chunk in chunks {
        for lane in 0..LANES {
            low[lane] = if chunk[lane] < low[lane] { chunk[lane] } else { low[lane] };
            high[lane] = if chunk[lane] > high[lane] { chunk[lane] } else { high[lane] };
        }
    }
    let ends = [low.into_iter().fold(nothing[0], f32::min), high.into_iter().fold(nothing[1], f32::max)];
    rest.iter().fold(ends, wider)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use ndarray::{Array1, Slice};

    use super::*;

    #[test]
    fn ranges_are_those_of_each_number() {
        for len in 0..70usize {
            // In no order, with negative and equal ones.
            let numbers = Array1::from_shape_fn(len, |i| ((i * 37 + 11) % 29) as f32 - 17.5).into_dyn();
            let every = [numbers.clone(), numbers.slice_each_axis(|_| Slice::new(0, None, 3)).to_owned()];
            let mut backwards = numbers;
            backwards.invert_axis(ndarray::Axis(0));
            for numbers in every.into_iter().chain([backwards]) {
                let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
                let high = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(range(&numbers), [low, high], "{numbers:?}");
                assert!(check(&numbers, f32::MAX).is_ok());
            }
        }
        assert!(check(&Array1::from(vec![0.0, f32::NAN]).into_dyn(), f32::MAX).is_err());
    }
}
