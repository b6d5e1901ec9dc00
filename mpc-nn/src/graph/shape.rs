//! The pieces of shape inference, for all operations.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::{GraphError, MAX_ELEMENTS, MAX_RANK};
use crate::weights::MAX_WEIGHT;

/// Checks that a tensor of this shape has elements, and not too many.
pub(crate) fn check(name: &str, shape: &[usize]) -> Result<(), GraphError> {
    let (name, shape) = (name.to_owned(), shape.to_vec());
    if shape.is_empty() || shape.len() > MAX_RANK {
        return Err(GraphError::AxisCount { name, shape });
    }
    if shape.contains(&0) {
        return Err(GraphError::Empty { name, shape });
    }
    match shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size)) {
        Some(elements) if elements <= MAX_ELEMENTS => Ok(()),
        _ => Err(GraphError::TooLarge { name, shape }),
    }
}

/// The sizes of a tensor that must have `N` axes.
pub(crate) fn axes<const N: usize>(name: &str, shape: &[usize]) -> Result<[usize; N], GraphError> {
    shape.try_into().map_err(|_| GraphError::Rank { name: name.to_owned(), expected: N, found: shape.to_vec() })
}

pub(crate) fn same_rank(name: &str, shape: &[usize], lists: &[&[usize]]) -> Result<(), GraphError> {
    match lists.iter().find(|list| list.len() != shape.len()) {
        Some(list) => Err(bounds(name, list.len().min(shape.len()), shape)),
        None => Ok(()),
    }
}

pub(crate) fn bounds(name: &str, axis: usize, shape: &[usize]) -> GraphError {
    GraphError::Bounds { name: name.to_owned(), axis, shape: shape.to_vec() }
}

/// The shape with size 1 at each of `axes`, which must be there and differ.
pub(crate) fn reduce(name: &str, shape: &[usize], axes: &[usize]) -> Result<Vec<usize>, GraphError> {
    let mut reduced = shape.to_vec();
    for (index, &axis) in axes.iter().enumerate() {
        if axis >= shape.len() || axes[..index].contains(&axis) {
            return Err(self::axis(name, axis, shape));
        }
        reduced[axis] = 1;
    }
    Ok(reduced)
}

/// The shape with `positions.count()` positions along an axis, each of which must be in the input.
pub(crate) fn gather(
    name: &str,
    shape: &[usize],
    axis: usize,
    len: usize,
    mut positions: impl Iterator<Item = usize>,
) -> Result<Vec<usize>, GraphError> {
    let size = *shape.get(axis).ok_or_else(|| self::axis(name, axis, shape))?;
    if positions.any(|position| position >= size) {
        return Err(bounds(name, axis, shape));
    }
    let mut gathered = shape.to_vec();
    gathered[axis] = len;
    Ok(gathered)
}

pub(crate) fn axis(name: &str, axis: usize, shape: &[usize]) -> GraphError {
    GraphError::Axis { name: name.to_owned(), axis, rank: shape.len() }
}

/// Checks public numbers, which must be finite and at most [`MAX_WEIGHT`] in magnitude.
pub(crate) fn check_coefficients(name: &str, coefficients: &[f32]) -> Result<(), GraphError> {
    // A comparison with NaN is false.
    if coefficients.iter().all(|value| value.abs() <= MAX_WEIGHT) {
        Ok(())
    } else {
        Err(GraphError::Coefficient { name: name.to_owned() })
    }
}
