//! The two-dimensional convolution.
//!
//! Row y of the output and the kernel's tap (ky, kx) need the padded input at (y·s + ky·d, x·s + kx·d) for x = 0, 1, ….
//! So a block of the input is copied once, padded, with positions that are congruent modulo the stride side by side;
//! then every tap finds its vector of columns contiguous, at a fixed offset, and no matrix of patches is ever built.

mod blocks;
mod gather;
mod packed;
mod parts;
mod product;
mod shape;
mod winograd;

use core::ops::Range;

use crate::kernels::tile::{Columns, Left, MAX_DEPTH, Offsets, Output, accumulate_block, consecutive};
use crate::kernels::{Backend, MatrixProduct, matrix_product_with};
use crate::ring::Ring;

use blocks::{Blocks, Copied, copy_padded, tap_offsets};
use parts::Operands;
use winograd::Cuts;

pub(super) use blocks::even_parts;
pub use packed::{
    convolution_packed, convolution_packed_modulo, convolution_packed_modulo_with, pack_weights, pack_weights_with,
};
pub use shape::{Convolution, ShapeError};

/// The memory of a convolution besides its operands.
impl Convolution {
    /// Elements of the scratch that [`convolution`](crate::convolution) needs: for each of its [`threads`](crate::threads)
    /// bounded by a few times the second-level cache, and by the rows of the input under one row of the kernel's positions.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        crate::threads::count() * self.part_scratch_len()
    }

    /// The scratch of one thread.
    fn part_scratch_len(&self) -> usize {
        let group = self.group();
        if group.is_product() {
            return product::scratch_len(&group, self.batch);
        }
        let copied = if group.is_contiguous() { 0 } else { Blocks::new(&group).copy_len() };
        let direct = (copied + gather::panel_len(&group)).max(packed::scratch_len(&group));
        // No backend takes fewer multiplications where plain Rust does not.
        let cuts = Cuts::new(Backend::Portable, &group, self.batch);
        cuts.map_or(direct, |cuts| direct.max(cuts.scratch_len(&group)))
    }
}

/// Adds input ∗ weights to `output`, modulo 2^ℓ. The shapes are those of [`Convolution`].
///
/// The earlier content of `scratch` does not matter. Afterwards `scratch` holds parts of the input. The caller wipes
/// them if they are secret.
///
/// ```
/// use mpc_ring::{Convolution, convolution};
/// let shape = Convolution { padding: [0, 0, 0, 1], ..Convolution::valid([1, 1], [1, 3], [1, 2]) };
/// shape.validate()?;
/// let (mut output, mut scratch) = ([0u64; 3], vec![0; shape.scratch_len()]);
/// convolution(&shape, &[1, 2, 3], &[10, 1], &mut output, &mut scratch);
/// assert_eq!(output, [12, 23, 30]);
/// # Ok::<(), mpc_ring::ShapeError>(())
/// ```
///
/// # Panics
/// If the shape is not valid, a length differs from that of the shape, or `scratch` is shorter than
/// [`scratch_len`](Convolution::scratch_len).
pub fn convolution<R: Ring>(shape: &Convolution, input: &[R], weights: &[R], output: &mut [R], scratch: &mut [R]) {
    convolution_with(Backend::detect(), shape, input, weights, output, scratch);
}

/// [`convolution`] by a given backend.
///
/// # Panics
/// As [`convolution`] does, and if the backend is not available on this machine.
pub fn convolution_with<R: Ring>(
    backend: Backend,
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    convolution_modulo_with(backend, R::BITS, shape, input, weights, output, scratch);
}

/// As [`convolution`], of which the `bits` low bits are read: what is above them is arbitrary. Six bits less than the ring has
/// let a kernel of 3×3 take a quarter of the multiplications, and one of 5×5 two fifths, where that saves time.
///
/// # Panics
/// As [`convolution`] does.
pub fn convolution_modulo<R: Ring>(
    bits: u32,
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    convolution_modulo_with(Backend::detect(), bits, shape, input, weights, output, scratch);
}

/// [`convolution_modulo`] by a given backend.
///
/// # Panics
/// As [`convolution`] does, and if the backend is not available on this machine.
pub fn convolution_modulo_with<R: Ring>(
    backend: Backend,
    bits: u32,
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    let operands = Operands { shape: *shape, input, weights, packed: &[], output, scratch };
    operands.check(backend);
    operands.for_each_part(|part| {
        let group = part.shape.group();
        let cuts = Cuts::new(backend, &group, part.shape.batch).filter(|_| winograd::is_exact::<R>(bits));
        // A part may have multiplications saved where the whole, whose scratch it has, would not.
        match cuts.filter(|cuts| cuts.scratch_len(&group) <= part.scratch.len()) {
            Some(cuts) => winograd::convolve(backend, &cuts, part),
            None if product::pays(&group, part.shape.batch) => product::multiply(backend, part),
            None => convolve_part(backend, part),
        }
    });
}

/// Convolves image by image and group by group.
fn convolve_part<R: Ring>(backend: Backend, operands: Operands<'_, R>) {
    let Operands { shape, input, weights, output, scratch, .. } = operands;
    let group = shape.group();
    let images = input.chunks_exact(group.input_len()).zip(output.chunks_exact_mut(group.output_len()));
    let weights = weights.chunks_exact(group.weight_len()).cycle();
    for ((input, output), weights) in images.zip(weights) {
        if group.is_product() {
            let product =
                MatrixProduct { rows: group.output_channels, inner: weights.len() / group.output_channels, columns: 1 };
            matrix_product_with(backend, product, weights, input, output);
        } else {
            convolve_group(backend, &group, input, weights, output, scratch);
        }
    }
}

/// Convolves one image with `group.groups == 1`, block by block.
fn convolve_group<R: Ring>(
    backend: Backend,
    group: &Convolution,
    input: &[R],
    weights: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    let in_place = group.is_contiguous();
    let blocks = if in_place { Blocks::contiguous(group) } else { Blocks::new(group) };
    let (scratch, panel) = scratch.split_at_mut(if in_place { 0 } else { blocks.copy_len() });
    let plane = group.height * group.width;
    let taps = group.kernel[0] * group.kernel[1];
    for channel in (0..group.input_channels).step_by(blocks.channels) {
        let channels = blocks.channels.min(group.input_channels - channel);
        let input = &input[channel * plane..(channel + channels) * plane];
        let weights = &weights[channel * taps..];
        for row in (0..group.output_height()).step_by(blocks.rows) {
            let rows = row..group.output_height().min(row + blocks.rows);
            let block = Block { backend, group, copy: blocks.copy, channels, rows };
            if in_place {
                block.convolve(input, weights, output, panel);
            } else {
                copy_padded(group, &blocks.copy, row, input, scratch);
                block.convolve(scratch, weights, output, panel);
            }
        }
    }
}

/// Some channels of a padded input and some rows of the output.
struct Block<'a> {
    backend: Backend,
    group: &'a Convolution,
    copy: Copied,
    channels: usize,
    rows: Range<usize>,
}

impl Block<'_> {
    /// Adds the block's products to the output, by as many terms at once as a tile takes.
    fn convolve<R: Ring>(&self, input: &[R], weights: &[R], output: &mut [R], panel: &mut [R]) {
        let group = self.group;
        let taps = group.kernel[0] * group.kernel[1];
        let mut output = Output { elements: output, stride: group.output_height() * group.output_width() };
        for first in (0..self.channels * taps).step_by(MAX_DEPTH) {
            let offsets = tap_offsets(group, &self.copy, first, MAX_DEPTH.min(self.channels * taps - first));
            let left =
                Left { elements: &weights[first..], stride: group.input_channels * taps, rows: group.output_channels };
            if self.gathers::<R>() {
                self.accumulate_gathered(left, input, &offsets, panel, &mut output);
            } else {
                let columns = self.row_columns(R::tile_shape(self.backend).lanes);
                accumulate_block(self.backend, left, input, &offsets, columns, &mut output);
            }
        }
    }

    /// Whether rows of the output would leave much of their vectors empty, and there are enough output channels to repay
    /// the copying of columns.
    fn gathers<R: Ring>(&self) -> bool {
        let shape = R::tile_shape(self.backend);
        let (rows, width) = self.long_rows();
        let filled = width.next_multiple_of(shape.lanes);
        gather::may_pay(self.group) && rows > 1 && 4 * width < 3 * filled && self.group.output_channels > shape.rows
    }

    /// Adds the products tile by tile, after copying the columns of each tile side by side.
    fn accumulate_gathered<R: Ring>(
        &self,
        left: Left<'_, R>,
        input: &[R],
        offsets: &Offsets,
        panel: &mut [R],
        output: &mut Output<'_, R>,
    ) {
        let shape = R::tile_shape(self.backend);
        let width = self.group.output_width();
        let stride = gather::stride(shape.columns());
        let gathered = Offsets::multiples(offsets.as_slice().len(), stride);
        let total = self.rows.len() * width;
        for first in (0..total).step_by(shape.columns()) {
            let count = shape.columns().min(total - first);
            gather::gather(input, offsets, self.copy.columns, width, first..first + count, panel, stride);
            let columns = consecutive(0, self.rows.start * width + first, count, shape.lanes);
            accumulate_block(self.backend, left, panel, &gathered, columns, output);
        }
    }

    /// The number and length of the rows of the output, where rows that follow one another in the input as in the output
    /// are one long row.
    fn long_rows(&self) -> (usize, usize) {
        let width = self.group.output_width();
        if self.copy.columns == width { (1, width * self.rows.len()) } else { (self.rows.len(), width) }
    }

    /// The columns of the output rows, cut into vectors.
    fn row_columns(&self, lanes: usize) -> impl Iterator<Item = Columns> + Clone {
        let (rows, width) = self.long_rows();
        let (pitch, start, output_width) = (self.copy.columns, self.rows.start, self.group.output_width());
        (0..rows).flat_map(move |row| consecutive(row * pitch, (start + row) * output_width, width, lanes))
    }
}
