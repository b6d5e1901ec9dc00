//! Fully connected layers, whose kernel covers the image, of several images: each weight is read once for many of them.

use super::parts::Operands;
use super::shape::Convolution;
use crate::kernels::Backend;
use crate::kernels::matrix::{self, MatrixProduct};
use crate::ring::Ring;

/// Images that are multiplied at a time: with so many, the multiplications take longer than reading the weights.
const COLUMNS: usize = 32;
/// A layer with fewer weights fits the first-level cache, from where images may read it again.
const LEAST_WEIGHTS: usize = 512;

/// Whether so many images of a group are multiplied together.
pub(super) fn pays(group: &Convolution, images: usize) -> bool {
    group.is_product() && images > 1 && group.weight_len() >= LEAST_WEIGHTS
}

/// The elements of scratch for so many images of a group: their inputs side by side, and the sums.
pub(super) fn scratch_len(group: &Convolution, images: usize) -> usize {
    if pays(group, images) { images.min(COLUMNS) * (group.input_len() + group.output_channels) } else { 0 }
}

/// Adds the products of all images and groups to the output.
pub(super) fn multiply<R: Ring>(backend: Backend, operands: Operands<'_, R>) {
    let Operands { shape, input, weights, output, scratch, .. } = operands;
    let group = shape.group();
    let (inner, rows) = (group.input_len(), group.output_channels);
    for (index, weights) in weights.chunks_exact(group.weight_len()).enumerate() {
        for first in (0..shape.batch).step_by(COLUMNS) {
            let columns = COLUMNS.min(shape.batch - first);
            let place = |image: usize| (first + image) * shape.groups + index;
            let (inputs, sums) = scratch.split_at_mut(inner * columns);
            for image in 0..columns {
                let values = &input[place(image) * inner..][..inner];
                inputs.chunks_exact_mut(columns).zip(values).for_each(|(inputs, &value)| inputs[image] = value);
            }
            let sums = &mut sums[..rows * columns];
            sums.fill(R::ZERO);
            matrix::direct(backend, MatrixProduct { rows, inner, columns }, weights, inputs, sums);
            for image in 0..columns {
                let output = &mut output[place(image) * rows..][..rows];
                for (output, sums) in output.iter_mut().zip(sums.chunks_exact(columns)) {
                    *output = output.wrapping_add(sums[image]);
                }
            }
        }
    }
}
