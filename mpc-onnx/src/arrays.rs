//! Operations on public arrays and constants: the same for integers and real numbers.

use mpc_nn::graph::MAX_ELEMENTS;
use ndarray::{ArrayD, ArrayViewD, Axis, AxisDescription, IxDyn, Slice};

use crate::error::{Lowered, Problem, invalid};

/// The number of elements of a shape, if it is not too large.
pub(crate) fn elements(shape: &[usize]) -> Lowered<usize> {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    // Sizes of 0 hide overflow from the product, but not from a library that multiplies the others.
    let others = shape.iter().filter(|&&size| size > 0).try_fold(1usize, |product, &size| product.checked_mul(size));
    match (product, others) {
        (Some(product), Some(others)) if others <= MAX_ELEMENTS => Ok(product),
        _ => Err(Problem::Memory(format!("a tensor of shape {shape:?}"))),
    }
}

pub(crate) fn from_elements<T>(shape: &[usize], elements: Vec<T>) -> Lowered<ArrayD<T>> {
    ArrayD::from_shape_vec(shape, elements).or_else(|_| invalid(format!("its data does not have shape {shape:?}")))
}

/// Whether all numbers of an array satisfy `holds`; an iterator over places would take ten times as long.
pub(crate) fn all<T: Copy>(array: &ArrayD<T>, holds: impl Fn(T) -> bool) -> bool {
    match array.as_slice_memory_order() {
        Some(values) => values.iter().all(|&value| holds(value)),
        None => array.iter().all(|&value| holds(value)),
    }
}

pub(crate) fn reshape<T: Clone>(array: &ArrayD<T>, shape: &[usize]) -> Lowered<ArrayD<T>> {
    from_elements(shape, array.as_slice().map_or_else(|| array.iter().cloned().collect(), <[T]>::to_vec))
}

/// `permutation` was checked.
pub(crate) fn transpose<T: Clone>(array: &ArrayD<T>, permutation: &[usize]) -> ArrayD<T> {
    let permuted = array.view().permuted_axes(permutation);
    match permuted.first() {
        Some(first) if permuted.len() >= TILE * TILE && !permuted.is_standard_layout() => {
            let mut copy = ArrayD::from_elem(permuted.raw_dim(), first.clone());
            copy_by_tiles(&permuted, &mut copy);
            copy
        }
        _ => permuted.as_standard_layout().into_owned(),
    }
}

/// Elements along each side of a tile.
const TILE: usize = 32;

/// Copies tile by tile of the axes along which the source and the copy lie in memory: row by row, each element of a row would be
/// in a cache line of its own.
fn copy_by_tiles<T: Clone>(source: &ArrayViewD<'_, T>, copy: &mut ArrayD<T>) {
    let inner = Axis(source.ndim() - 1);
    let outer = (0..inner.0).map(Axis).min_by_key(|&axis| source.stride_of(axis).unsigned_abs()).unwrap_or(inner);
    for (source, mut copy) in source.axis_chunks_iter(outer, TILE).zip(copy.axis_chunks_iter_mut(outer, TILE)) {
        for (source, mut copy) in source.axis_chunks_iter(inner, TILE).zip(copy.axis_chunks_iter_mut(inner, TILE)) {
            copy.assign(&source);
        }
    }
}

/// The permutation that undoes another one, which was checked.
pub(crate) fn inverse(permutation: &[usize]) -> Vec<usize> {
    let mut back = vec![0; permutation.len()];
    permutation.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    back
}

/// `indices` were checked.
pub(crate) fn gather<T: Clone>(array: &ArrayD<T>, axis: usize, indices: &[usize]) -> ArrayD<T> {
    array.select(Axis(axis), indices)
}

pub(crate) fn broadcast<T: Clone>(array: &ArrayD<T>, shape: &[usize]) -> Lowered<ArrayD<T>> {
    elements(shape)?;
    match array.broadcast(shape) {
        Some(view) => Ok(view.as_standard_layout().into_owned()),
        None => invalid(format!("shape {:?} does not broadcast to {shape:?}", array.shape())),
    }
}

pub(crate) fn concat<T: Clone>(axis: usize, arrays: &[ArrayD<T>]) -> Lowered<ArrayD<T>> {
    let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
    match ndarray::concatenate(Axis(axis), &views) {
        Ok(joined) => Ok(joined.as_standard_layout().into_owned()),
        Err(_) => invalid("shapes that cannot be joined"),
    }
}

pub(crate) fn pad<T: Clone>(array: &ArrayD<T>, before: &[usize], after: &[usize], value: T) -> Lowered<ArrayD<T>> {
    let shape: Vec<usize> =
        (0..array.ndim()).map(|i| array.shape()[i].saturating_add(before[i]).saturating_add(after[i])).collect();
    elements(&shape)?;
    let mut padded = ArrayD::from_elem(shape, value);
    let within = |axis: AxisDescription| {
        let from = before[axis.axis.index()];
        Slice::from(from..from + array.len_of(axis.axis))
    };
    padded.slice_each_axis_mut(within).assign(array);
    Ok(padded)
}

/// The shape that two shapes broadcast to.
pub(crate) fn broadcast_shape(left: &[usize], right: &[usize]) -> Lowered<Vec<usize>> {
    let rank = left.len().max(right.len());
    let size = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|i| match (size(left, i), size(right, i)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => invalid(format!("shapes {left:?} and {right:?} do not broadcast")),
        })
        .collect()
}

/// The shape with ones in front, so that it has `rank` axes.
pub(crate) fn aligned(shape: &[usize], rank: usize) -> Vec<usize> {
    let ones = rank.saturating_sub(shape.len());
    core::iter::repeat_n(1, ones).chain(shape.iter().copied()).collect()
}

/// The smallest array that broadcasts to this one: each axis of equal parts is of size 1; a single number has one axis.
pub(crate) fn compact<T: Clone + PartialEq>(array: &ArrayD<T>) -> ArrayD<T> {
    let mut compact = array.clone();
    for axis in (0..array.ndim()).map(Axis).filter(|&axis| array.len_of(axis) > 1) {
        let first = compact.index_axis(axis, 0);
        if compact.axis_iter(axis).all(|part| part == first) {
            compact = first.to_owned().insert_axis(axis);
        }
    }
    match compact.first().cloned() {
        Some(only) if compact.len() == 1 => ArrayD::from_elem([1].as_slice(), only),
        _ => compact,
    }
}

/// Combines two arrays element by element, with broadcasting.
pub(crate) fn zip<T: Clone, U>(
    left: &ArrayD<T>,
    right: &ArrayD<T>,
    combine: impl Fn(&T, &T) -> Lowered<U>,
) -> Lowered<ArrayD<U>> {
    let shape = broadcast_shape(left.shape(), right.shape())?;
    let (left, right) = (broadcast(left, &shape)?, broadcast(right, &shape)?);
    let elements = left.iter().zip(right.iter()).map(|(a, b)| combine(a, b)).collect::<Lowered<Vec<U>>>()?;
    from_elements(&shape, elements)
}

/// An axis that may count from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Lowered<usize> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_start = if axis < 0 { axis.saturating_add(signed) } else { axis };
    match usize::try_from(from_start) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => invalid(format!("it has no axis {axis}, only {rank} axes")),
    }
}

/// Several axes, each at most once.
pub(crate) fn axes(list: &[i64], rank: usize) -> Lowered<Vec<usize>> {
    let mut axes = list.iter().map(|&axis| self::axis(axis, rank)).collect::<Lowered<Vec<_>>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) { invalid("it names an axis twice") } else { Ok(axes) }
}

/// A size, which is not negative.
pub(crate) fn size(value: i64) -> Lowered<usize> {
    usize::try_from(value).or_else(|_| invalid("a negative size"))
}

pub(crate) fn scalar_like<T: Clone>(value: T) -> ArrayD<T> {
    ArrayD::from_elem(IxDyn(&[]), value)
}
