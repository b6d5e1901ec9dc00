//! Fully connected layers, whose kernel covers the image, of several images: each weight is read once for many of them.

use super::shape::Convolution;
use crate::kernels::Backend;
use crate::kernels::tile::{Left, MAX_DEPTH, Offsets, Output, accumulate_block, consecutive};
use crate::ring::Ring;

/// Images that are multiplied at a time: with so many, the multiplications take longer than reading the weights.
const COLUMNS: usize = 32;
/// A layer with fewer weights fits the first-level cache, from where images may read it again.
const LEAST_WEIGHTS: usize = 512;

/// Whether so many images of a group are multiplied together.
pub(super) fn pays(group: &Convolution, images: usize) -> bool {
    group.is_product() && images > 1 && group.weight_len() >= LEAST_WEIGHTS
}

/// The terms of a sum.
fn terms(group: &Convolution) -> usize {
    group.weight_len() / group.output_channels
}

/// The elements of scratch for so many images of a group: their inputs side by side, and the sums.
pub(super) fn scratch_len(group: &Convolution, images: usize) -> usize {
    if pays(group, images) { images.min(COLUMNS) * (terms(group).min(MAX_DEPTH) + group.output_channels) } else { 0 }
}

/// Adds the products of all images and groups to the output.
pub(super) fn multiply<R: Ring>(
    backend: Backend,
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    let group = shape.group();
    let (inner, rows) = (terms(&group), group.output_channels);
    let lanes = R::tile_shape(backend).lanes;
    for (index, weights) in weights.chunks_exact(group.weight_len()).enumerate() {
        for first in (0..shape.batch).step_by(COLUMNS) {
            let count = COLUMNS.min(shape.batch - first);
            let place = |image: usize| (first + image) * shape.groups + index;
            let (sums, panel) = scratch.split_at_mut(rows * count);
            sums.fill(R::ZERO);
            for term in (0..inner).step_by(MAX_DEPTH) {
                let depth = MAX_DEPTH.min(inner - term);
                for image in 0..count {
                    let values = &input[place(image) * inner + term..][..depth];
                    for (panel, &value) in panel.chunks_exact_mut(count).zip(values) {
                        panel[image] = value;
                    }
                }
                let left = Left { elements: &weights[term..], stride: inner, rows };
                let (offsets, columns) = (Offsets::multiples(depth, count), consecutive(0, 0, count, lanes));
                accumulate_block(
                    backend,
                    left,
                    panel,
                    &offsets,
                    columns,
                    &mut Output { elements: sums, stride: count },
                );
            }
            for image in 0..count {
                let output = &mut output[place(image) * rows..][..rows];
                for (output, sums) in output.iter_mut().zip(sums.chunks_exact(count)) {
                    *output = output.wrapping_add(sums[image]);
                }
            }
        }
    }
}
