//! Convolutions of small kernels by fewer multiplications, where the upper six bits of the result are not read.
//!
//! Along each axis six values of the input make m = 7 − r outputs of a kernel of r taps, by six products instead of m·r: the
//! transform of the input times that of the weights, point by point, and transformed back. It is Toom and Cook's product of
//! polynomials at the points 0, ±1, ±2 and ∞, transposed: S. Winograd, *Arithmetic complexity of computations* (1980), chapter
//! IV; A. Lavin and S. Gray, *Fast algorithms for convolutional neural networks* (CVPR 2016), section 4, have its matrices.
//! A kernel of 3×3 takes 36 products for 16 outputs instead of 144.
//!
//! The weights' transform divides by 24 along each axis. It is left out, so the sums are 24² = 2^6·9 times too large; modulo a
//! power of two 9 has an inverse, by which the weights are multiplied, and a shift by six bits undoes the rest. So the result
//! is exact modulo 2^{ℓ−6}, and no precision is lost as there is over floats.

mod cuts;
mod transforms;

use core::ops::Range;

use super::parts::Operands;
use super::shape::Convolution;
use crate::kernels::matrix::MatrixProduct;
use crate::kernels::{Backend, vectorized_whole};
use crate::ring::Ring;

pub(super) use cuts::Cuts;
use transforms::{AddOutputs, TransformInputs, TransformWeights};

/// Points along an axis.
const POINTS: usize = 6;
/// Points of a tile of outputs.
const ALL_POINTS: usize = POINTS * POINTS;
/// The factor 2^6 of the sums.
const SHIFT: u32 = 6;

/// The distance of points of so many elements: a line of the cache more, as places that are a power of two apart take the same
/// places of the cache.
fn distance(len: usize) -> usize {
    len + 8
}

/// The outputs of a tile along an axis, for so many taps.
const fn outputs_of(taps: usize) -> usize {
    POINTS + 1 - taps
}

/// Whether results modulo 2^`bits` can be had so.
pub(super) fn is_exact<R: Ring>(bits: u32) -> bool {
    bits + SHIFT <= R::BITS
}

/// Adds input ∗ weights to the output, modulo 2^{ℓ−6}, of all images and groups.
pub(super) fn convolve<R: Ring>(backend: Backend, cuts: &Cuts, operands: Operands<'_, R>) {
    match operands.shape.kernel {
        [3, 3] => convolve_with::<R, 3, 4>(backend, cuts, operands),
        [5, 5] => convolve_with::<R, 5, 2>(backend, cuts, operands),
        kernel => unreachable!("a kernel of {kernel:?} has no cuts"),
    }
}

/// As [`convolve`], of kernels of so many taps along each axis, which leave so many outputs.
fn convolve_with<R: Ring, const TAPS: usize, const OUTPUTS: usize>(
    backend: Backend,
    cuts: &Cuts,
    operands: Operands<'_, R>,
) {
    const { assert!(OUTPUTS == outputs_of(TAPS)) };
    let Operands { shape, input, weights, output, scratch, .. } = operands;
    let group = shape.group();
    let [of_inputs, of_weights, of_sums, of_lines] = cuts.lens(&group);
    let (inputs, scratch) = scratch.split_at_mut(of_inputs);
    let (points, scratch) = scratch.split_at_mut(of_weights);
    let (sums, scratch) = scratch.split_at_mut(of_sums);
    let lines = &mut scratch[..of_lines];
    let rows = shape.batch * cuts.tiles[0];
    for (index, weights) in weights.chunks_exact(group.weight_len()).enumerate() {
        for first in (0..rows).step_by(cuts.rows) {
            let rows = first..rows.min(first + cuts.rows);
            let block = Block { cuts, group: &group, index, groups: shape.groups, rows };
            vectorized_whole(TransformInputs { block: &block, input, points: inputs, lines });
            for channel in (0..group.output_channels).step_by(cuts.channels) {
                let channels = channel..group.output_channels.min(channel + cuts.channels);
                // All channels at once are those of the block before.
                if first == 0 || channels.len() < group.output_channels {
                    let channels = channels.clone();
                    vectorized_whole(TransformWeights::<R, TAPS> { group: &group, channels, weights, points });
                }
                block.multiply(backend, channels.len(), inputs, points, sums);
                vectorized_whole(AddOutputs::<R, OUTPUTS> { block: &block, channels, sums, output, lines });
            }
        }
    }
}

/// Some rows of tiles of one group, counted through all images.
struct Block<'a> {
    cuts: &'a Cuts,
    group: &'a Convolution,
    index: usize,
    groups: usize,
    rows: Range<usize>,
}

impl Block<'_> {
    /// The image of a row of tiles, by its number in the input and output, and the row's place in it.
    #[inline(always)]
    fn place(&self, row: usize) -> (usize, usize) {
        let rows = self.cuts.tiles[0];
        (row / rows * self.groups + self.index, row % rows)
    }

    #[inline(always)]
    fn tiles(&self) -> usize {
        self.rows.len() * self.cuts.tiles[1]
    }

    /// Where a tile begins in the lines.
    #[inline(always)]
    fn corner(&self, tile: usize) -> usize {
        let across = self.cuts.tiles[1];
        tile / across * POINTS * self.cuts.line() + tile % across * self.cuts.outputs
    }

    /// Copies the six rows of the padded input from `first` on.
    #[inline(always)]
    fn copy_lines<R: Ring>(&self, first: usize, plane: &[R], lines: &mut [R]) {
        let [top, left, ..] = self.group.padding;
        let width = self.group.width;
        for (y, line) in (first..).zip(lines.chunks_exact_mut(self.cuts.line()).take(POINTS)) {
            let Some(row) = y.checked_sub(top).filter(|&y| y < self.group.height) else {
                line.fill(R::ZERO);
                continue;
            };
            let (zeros, line) = line.split_at_mut(left.min(line.len()));
            let (values, rest) = line.split_at_mut(width.min(line.len()));
            zeros.fill(R::ZERO);
            values.copy_from_slice(&plane[row * width..][..values.len()]);
            rest.fill(R::ZERO);
        }
    }

    /// Adds the lines of outputs to those of a channel.
    #[inline(always)]
    fn add_lines<R: Ring>(&self, channel: usize, lines: &[R], output: &mut [R]) {
        let [height, width] = [self.group.output_height(), self.group.output_width()];
        let (line, down) = (self.cuts.line(), self.cuts.outputs);
        for (row, lines) in self.rows.clone().zip(lines.chunks_exact(POINTS * line)) {
            let (image, row) = self.place(row);
            let plane = &mut output[(image * self.group.output_channels + channel) * height * width..];
            let targets = plane[row * down * width..][..down.min(height - row * down) * width].chunks_exact_mut(width);
            for (target, values) in targets.zip(lines.chunks_exact(line)) {
                for (target, &value) in target.iter_mut().zip(values) {
                    *target = target.wrapping_add(value >> SHIFT);
                }
            }
        }
    }

    /// The products at each point, summed over the input channels.
    fn multiply<R: Ring>(&self, backend: Backend, rows: usize, inputs: &[R], weights: &[R], sums: &mut [R]) {
        let shape = MatrixProduct { rows, inner: self.group.input_channels, columns: self.tiles() };
        sums.fill(R::ZERO);
        for terms in shape.terms() {
            let inputs = inputs.chunks_exact(distance(shape.inner * shape.columns));
            let weights = weights.chunks_exact(distance(rows * shape.inner));
            let sums = sums.chunks_exact_mut(distance(rows * shape.columns));
            for ((inputs, weights), sums) in inputs.zip(weights).zip(sums).take(ALL_POINTS) {
                terms.accumulate(backend, weights, inputs, sums);
            }
        }
    }
}
