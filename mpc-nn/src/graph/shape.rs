//! Shape inference: what each operation makes of its input's shape, or why it does not fit.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use super::{GraphError, MAX_ELEMENTS, MAX_RANK, Pool};

/// Checks that a tensor of this shape has elements, and not too many.
pub(super) fn check(name: &str, shape: &[usize]) -> Result<(), GraphError> {
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
pub(super) fn axes<const N: usize>(name: &str, shape: &[usize]) -> Result<[usize; N], GraphError> {
    shape.try_into().map_err(|_| GraphError::Rank { name: name.to_owned(), expected: N, found: shape.to_vec() })
}

/// [b, c, h, w] → [b, c, number of windows down, number of windows across].
pub(super) fn pool(name: &str, shape: &[usize], pool: &Pool) -> Result<Vec<usize>, GraphError> {
    let [batch, channels, height, width] = axes(name, shape)?;
    let Pool { kernel, stride, padding: [top, left, bottom, right], dilation, .. } = *pool;
    let rows = windows(height, [kernel[0], dilation[0], stride[0]], top, bottom);
    let columns = windows(width, [kernel[1], dilation[1], stride[1]], left, right);
    let area = kernel[0].checked_mul(kernel[1]).filter(|&area| area <= MAX_ELEMENTS);
    match (rows, columns, area) {
        (Some(rows), Some(columns), Some(_)) => Ok(vec![batch, channels, rows, columns]),
        _ => Err(GraphError::Pool {
            name: name.to_owned(),
            kernel,
            stride,
            padding: pool.padding,
            input: [height, width],
        }),
    }
}

/// The number of windows along one axis, each of which covers at least one element of the input.
fn windows(size: usize, [kernel, dilation, stride]: [usize; 3], before: usize, after: usize) -> Option<usize> {
    if before >= kernel || after >= kernel || dilation == 0 {
        return None;
    }
    let reach = (kernel - 1).checked_mul(dilation)?.checked_add(1)?;
    let padded = size.checked_add(before)?.checked_add(after)?;
    // With gaps in a window, all of it may lie in the padding: of the elements `dilation` apart one must be inside.
    if dilation > size && before + after > 0 {
        return None;
    }
    padded.checked_sub(reach)?.checked_div(stride)?.checked_add(1)
}

/// [b, …] → [b, product of the rest].
pub(super) fn flatten(shape: &[usize]) -> Vec<usize> {
    let features = shape.iter().skip(1).product();
    shape.iter().take(1).copied().chain([features]).collect()
}

/// The joined shape of tensors that agree in every axis but `axis`.
pub(super) fn concat(name: &str, axis: usize, shapes: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let [first, rest @ ..] = shapes else { return Err(GraphError::NoInput { name: name.to_owned() }) };
    if axis >= first.len() {
        return Err(self::axis(name, axis, first));
    }
    let mut joined = first.to_vec();
    for shape in rest {
        let agrees = shape.len() == first.len() && (0..first.len()).all(|i| i == axis || shape[i] == first[i]);
        if !agrees {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: first.to_vec(), right: shape.to_vec() });
        }
        // Saturation stands for "too large", which the check of the whole shape reports.
        joined[axis] = joined[axis].saturating_add(shape[axis]);
    }
    Ok(joined)
}

/// Each axis with zeros before and after it.
pub(super) fn pad(name: &str, shape: &[usize], before: &[usize], after: &[usize]) -> Result<Vec<usize>, GraphError> {
    same_rank(name, shape, &[before, after])?;
    let padded = |axis: usize| shape[axis].checked_add(before[axis])?.checked_add(after[axis]);
    (0..shape.len()).map(|axis| padded(axis).ok_or_else(|| bounds(name, axis, shape))).collect()
}

/// The number of positions that each axis keeps.
pub(super) fn slice(
    name: &str,
    shape: &[usize],
    start: &[usize],
    stop: &[usize],
    step: &[usize],
) -> Result<Vec<usize>, GraphError> {
    same_rank(name, shape, &[start, stop, step])?;
    let kept = |axis: usize| {
        let fits = start[axis] < stop[axis] && stop[axis] <= shape[axis] && step[axis] > 0;
        fits.then(|| (stop[axis] - start[axis]).div_ceil(step[axis]))
    };
    (0..shape.len()).map(|axis| kept(axis).ok_or_else(|| bounds(name, axis, shape))).collect()
}

fn same_rank(name: &str, shape: &[usize], lists: &[&[usize]]) -> Result<(), GraphError> {
    match lists.iter().find(|list| list.len() != shape.len()) {
        Some(list) => Err(bounds(name, list.len().min(shape.len()), shape)),
        None => Ok(()),
    }
}

fn bounds(name: &str, axis: usize, shape: &[usize]) -> GraphError {
    GraphError::Bounds { name: name.to_owned(), axis, shape: shape.to_vec() }
}

/// The shape with size 1 at each of `axes`, which must be there and differ.
pub(super) fn reduce(name: &str, shape: &[usize], axes: &[usize]) -> Result<Vec<usize>, GraphError> {
    let mut reduced = shape.to_vec();
    for (index, &axis) in axes.iter().enumerate() {
        if axis >= shape.len() || axes[..index].contains(&axis) {
            return Err(self::axis(name, axis, shape));
        }
        reduced[axis] = 1;
    }
    Ok(reduced)
}

/// The sizes in the order of a permutation of the axes.
pub(super) fn transpose(name: &str, shape: &[usize], permutation: &[usize]) -> Result<Vec<usize>, GraphError> {
    same_rank(name, shape, &[permutation])?;
    for (index, &axis) in permutation.iter().enumerate() {
        if axis >= shape.len() || permutation[..index].contains(&axis) {
            return Err(self::axis(name, axis, shape));
        }
    }
    Ok(permutation.iter().map(|&axis| shape[axis]).collect())
}

/// The shape with `positions.count()` positions along an axis, each of which must be in the input.
pub(super) fn gather(
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

fn axis(name: &str, axis: usize, shape: &[usize]) -> GraphError {
    GraphError::Axis { name: name.to_owned(), axis, rank: shape.len() }
}
