//! Operations on tensors of any rank. Results are in row-major order.

use alloc::vec::Vec;

use ndarray::{ArrayD, ArrayView3, ArrayViewD, Axis, Ix3, IxDyn, Slice, concatenate};

use crate::graph::Channels;

pub(super) fn channelwise(
    input: &ArrayD<f32>,
    map: &Channels,
    entries: &ArrayD<f32>,
    combine: impl Fn(f32, f32) -> f32,
) -> ArrayD<f32> {
    let entry = |index: usize| entries[[index / map.inner % map.channels]];
    let elements = input.iter().enumerate().map(|(index, &x)| combine(x, entry(index)));
    from_elements(input.shape(), elements.collect())
}

pub(super) fn sum(input: &ArrayD<f32>, axes: &[usize], shape: &[usize]) -> ArrayD<f32> {
    let summed = axes.iter().fold(input.clone(), |x, &axis| x.sum_axis(Axis(axis)).insert_axis(Axis(axis)));
    from_elements(shape, summed.iter().copied().collect())
}

pub(super) fn arg_max(input: &ArrayD<f32>, shape: &[usize]) -> ArrayD<f32> {
    let lanes = input.lanes(Axis(input.ndim() - 1));
    let first_largest = |lane: ndarray::ArrayView1<'_, f32>| {
        let larger = |best: usize, index: usize| if lane[index] > lane[best] { index } else { best };
        (0..lane.len()).fold(0, larger) as f32
    };
    from_elements(shape, lanes.into_iter().map(first_largest).collect())
}

/// The largest elements along the last axis, the first of equal ones in front: what `of` makes of index and element.
pub(super) fn ranked(input: &ArrayD<f32>, shape: &[usize], of: impl Fn(usize, f32) -> f32) -> ArrayD<f32> {
    let axis = input.ndim() - 1;
    let rank = |lane: ndarray::ArrayView1<'_, f32>| {
        let mut places: Vec<usize> = (0..lane.len()).collect();
        places.sort_by(|&i, &j| lane[j].total_cmp(&lane[i]));
        places.truncate(shape[axis]);
        places.into_iter().map(|place| of(place, lane[place])).collect::<Vec<_>>()
    };
    from_elements(shape, input.lanes(Axis(axis)).into_iter().flat_map(rank).collect())
}

pub(super) fn multiply(left: &ArrayD<f32>, right: &ArrayD<f32>) -> ArrayD<f32> {
    let block = left.len() / right.len();
    let factors = right.iter().flat_map(|&y| core::iter::repeat_n(y, block));
    from_elements(left.shape(), left.iter().zip(factors).map(|(&x, y)| x * y).collect())
}

pub(super) fn matrix_product(left: &ArrayD<f32>, right: &ArrayD<f32>, shape: &[usize]) -> ArrayD<f32> {
    let (left, right) = (batched(left), batched(right));
    let products = left.outer_iter().zip(right.outer_iter()).map(|(x, y)| x.dot(&y));
    from_elements(shape, products.flat_map(|product| product.iter().copied().collect::<Vec<_>>()).collect())
}

fn batched(tensor: &ArrayD<f32>) -> ArrayView3<'_, f32> {
    tensor.view().into_dimensionality::<Ix3>().expect("the graph has checked the shapes")
}

pub(super) fn combine(input: &ArrayD<f32>, axis: usize, rows: &[Vec<(usize, f32)>], shape: &[usize]) -> ArrayD<f32> {
    let mut result = ArrayD::zeros(shape);
    for (mut target, row) in result.axis_iter_mut(Axis(axis)).zip(rows) {
        for &(position, coefficient) in row {
            target.scaled_add(coefficient, &input.index_axis(Axis(axis), position));
        }
    }
    result
}

pub(super) fn concat(axis: usize, inputs: Vec<ArrayViewD<'_, f32>>) -> ArrayD<f32> {
    let joined = concatenate(Axis(axis), &inputs).expect("the graph has checked the shapes");
    joined.as_standard_layout().into_owned()
}

pub(super) fn transpose(input: &ArrayD<f32>, permutation: &[usize]) -> ArrayD<f32> {
    input.view().permuted_axes(IxDyn(permutation)).as_standard_layout().into_owned()
}

pub(super) fn gather(input: &ArrayD<f32>, axis: usize, indices: &[usize]) -> ArrayD<f32> {
    input.select(Axis(axis), indices).as_standard_layout().into_owned()
}

pub(super) fn pad(input: &ArrayD<f32>, before: &[usize], shape: &[usize]) -> ArrayD<f32> {
    let mut padded = ArrayD::zeros(shape);
    let inner = |axis: usize| Slice::from(before[axis]..before[axis] + input.shape()[axis]);
    padded.slice_each_axis_mut(|axis| inner(axis.axis.index())).assign(input);
    padded
}

pub(super) fn slice(input: &ArrayD<f32>, start: &[usize], stop: &[usize], step: &[usize]) -> ArrayD<f32> {
    let kept = |axis: usize| Slice::new(start[axis] as isize, Some(stop[axis] as isize), step[axis] as isize);
    input.slice_each_axis(|axis| kept(axis.axis.index())).as_standard_layout().into_owned()
}

fn from_elements(shape: &[usize], elements: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), elements).expect("as many elements as the shape has")
}
