//! The two-dimensional convolution.
//!
//! Row y of the output and the kernel's tap (ky, kx) need the padded input at (y·s + ky·d, x·s + kx·d) for x = 0, 1, ….
//! So a block of the input is copied once, padded, with positions that are congruent modulo the stride side by side;
//! then every tap finds its vector of columns contiguous, at a fixed offset, and no matrix of patches is ever built.

use crate::kernels::tile::{Columns, Left, MAX_DEPTH, Offsets, Output, accumulate_block};
use crate::kernels::{Backend, MatrixProduct, matrix_product_with};
use crate::ring::Ring;

/// The elements of the input copy that stay in the second-level cache.
const COPY_TARGET: usize = 1 << 16;

/// A two-dimensional convolution (a cross-correlation, as in PyTorch) of images in NCHW order.
///
/// The input is batch × input_channels × height × width, the weights are output_channels × (input_channels / groups) ×
/// kernel\[0\] × kernel\[1\], the output is batch × output_channels × output_height × output_width.
///
/// [`validate`](Self::validate) says whether the extents fit together; the other methods require that they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Channels of an input image.
    pub input_channels: usize,
    /// Channels of an output image.
    pub output_channels: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal distance between the positions of the kernel.
    pub stride: [usize; 2],
    /// Zeros around an input image: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Vertical and horizontal distance between the taps of the kernel, 1 for a dense kernel.
    pub dilation: [usize; 2],
    /// Groups of channels: group g of the output depends on group g of the input only.
    pub groups: usize,
}

/// Extents that do not make a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// An extent is zero.
    #[error("{extent} is zero")]
    Zero {
        /// The field's name.
        extent: &'static str,
    },
    /// The groups do not divide the channels.
    #[error("{groups} groups do not divide {channels} {extent}")]
    Groups {
        /// The number of groups.
        groups: usize,
        /// The number of channels.
        channels: usize,
        /// The field's name.
        extent: &'static str,
    },
    /// The dilated kernel is larger than the padded input.
    #[error("the kernel spans {span} along the {extent}, the padded input has {padded}")]
    KernelTooLarge {
        /// `"height"` or `"width"`.
        extent: &'static str,
        /// The extent of the dilated kernel.
        span: usize,
        /// The extent of the padded input.
        padded: usize,
    },
    /// A length overflows.
    #[error("the length of the {what} overflows")]
    Overflow {
        /// Which length.
        what: &'static str,
    },
}

/// Adds input ∗ weights to `output`, modulo 2^ℓ. The shapes are those of [`Convolution`].
///
/// What `scratch` holds before does not matter; afterwards it holds parts of the input, which the caller wipes if they are
/// secret.
///
/// ```
/// use mpc_ring::{Convolution, convolution};
/// let shape = Convolution {
///     batch: 1, input_channels: 1, output_channels: 1, height: 1, width: 3,
///     kernel: [1, 2], stride: [1, 1], padding: [0, 0, 0, 1], dilation: [1, 1], groups: 1,
/// };
/// shape.validate()?;
/// let (mut output, mut scratch) = ([0u64; 3], [0; 64]);
/// convolution(&shape, &[1, 2, 3], &[10, 1], &mut output, &mut scratch[..shape.scratch_len()]);
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
    assert!(backend.is_available(), "{backend:?} is not available on this machine");
    shape.expect_valid();
    assert_eq!(input.len(), shape.input_len(), "the input's length");
    assert_eq!(weights.len(), shape.weight_len(), "the weights' length");
    assert_eq!(output.len(), shape.output_len(), "the output's length");
    assert!(scratch.len() >= shape.scratch_len(), "the scratch's length");

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

impl Convolution {
    /// Whether the extents make a convolution whose lengths, in bytes of any ring, fit a `usize`.
    ///
    /// # Errors
    /// If an extent is zero, the groups do not divide the channels, the kernel is larger than the padded input, or a
    /// length overflows.
    pub fn validate(&self) -> Result<(), ShapeError> {
        self.check_nonzero()?;
        for (channels, extent) in [(self.input_channels, "input_channels"), (self.output_channels, "output_channels")] {
            if !channels.is_multiple_of(self.groups) {
                return Err(ShapeError::Groups { groups: self.groups, channels, extent });
            }
        }
        let output = [self.checked_output_extent(0)?, self.checked_output_extent(1)?];
        self.check_lengths(output)
    }

    /// Rows of an output image.
    #[must_use]
    pub fn output_height(&self) -> usize {
        self.output_extent(0)
    }

    /// Columns of an output image.
    #[must_use]
    pub fn output_width(&self) -> usize {
        self.output_extent(1)
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.input_channels * self.height * self.width
    }

    /// Elements of the weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.output_channels * (self.input_channels / self.groups) * self.kernel[0] * self.kernel[1]
    }

    /// Elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.batch * self.output_channels * self.output_height() * self.output_width()
    }

    /// Multiplications of ring elements, those by padding included.
    #[must_use]
    pub fn multiplications(&self) -> u64 {
        let taps = (self.input_channels / self.groups) as u64 * self.kernel[0] as u64 * self.kernel[1] as u64;
        self.output_len() as u64 * taps
    }

    /// Elements of the scratch that [`convolution`] needs: bounded by a few times the second-level cache, and by the rows
    /// of the input under one row of the kernel's positions.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        let group = self.group();
        if group.is_product() || group.is_contiguous() { 0 } else { Blocks::new(&group).copy_len() }
    }

    /// The convolution of one group of one image.
    fn group(&self) -> Self {
        // A stride beyond the padded input moves nowhere; bounded, it does not enlarge the copy either.
        let stride = |axis: usize| self.stride[axis].min(self.padded_extent(axis));
        Self {
            batch: 1,
            input_channels: self.input_channels / self.groups,
            output_channels: self.output_channels / self.groups,
            stride: [stride(0), stride(1)],
            groups: 1,
            ..*self
        }
    }

    /// Whether the kernel covers the input exactly, so that every output is one dot product.
    fn is_product(&self) -> bool {
        self.padding == [0; 4] && self.dilation == [1, 1] && self.kernel == [self.height, self.width]
    }

    /// Whether the taps find their columns contiguous in the input itself.
    fn is_contiguous(&self) -> bool {
        self.padding == [0; 4] && self.stride == [1, 1]
    }

    fn expect_valid(&self) {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
    }

    fn padded_extent(&self, axis: usize) -> usize {
        [self.height, self.width][axis] + self.padding[axis] + self.padding[axis + 2]
    }

    fn output_extent(&self, axis: usize) -> usize {
        (self.padded_extent(axis) - (self.kernel[axis] - 1) * self.dilation[axis] - 1) / self.stride[axis] + 1
    }

    fn checked_output_extent(&self, axis: usize) -> Result<usize, ShapeError> {
        let extent = ["height", "width"][axis];
        let overflow = ShapeError::Overflow { what: ["padded height", "padded width"][axis] };
        let input = [self.height, self.width][axis];
        let padded = input.checked_add(self.padding[axis]).and_then(|sum| sum.checked_add(self.padding[axis + 2]));
        let span = (self.kernel[axis] - 1).checked_mul(self.dilation[axis]).and_then(|span| span.checked_add(1));
        let (padded, span) = padded.zip(span).ok_or(overflow)?;
        if span > padded {
            return Err(ShapeError::KernelTooLarge { extent, span, padded });
        }
        Ok((padded - span) / self.stride[axis] + 1)
    }

    fn check_nonzero(&self) -> Result<(), ShapeError> {
        let extents = [
            (self.batch, "batch"),
            (self.input_channels, "input_channels"),
            (self.output_channels, "output_channels"),
            (self.height, "height"),
            (self.width, "width"),
            (self.kernel[0], "kernel height"),
            (self.kernel[1], "kernel width"),
            (self.stride[0], "vertical stride"),
            (self.stride[1], "horizontal stride"),
            (self.dilation[0], "vertical dilation"),
            (self.dilation[1], "horizontal dilation"),
            (self.groups, "groups"),
        ];
        match extents.into_iter().find(|&(extent, _)| extent == 0) {
            Some((_, extent)) => Err(ShapeError::Zero { extent }),
            None => Ok(()),
        }
    }

    fn check_lengths(&self, output: [usize; 2]) -> Result<(), ShapeError> {
        // The copy of an image has less than one stride more than its padded extents.
        let copied = [0, 1].map(|axis| self.padded_extent(axis).saturating_mul(2));
        let channels = self.input_channels / self.groups;
        let taps = [channels, self.kernel[0], self.kernel[1]];
        checked_len("input", &[self.batch, self.input_channels, self.height, self.width])?;
        checked_len("padded input", &[channels, copied[0], copied[1]])?;
        checked_len("weights", &[self.output_channels, taps[0], taps[1], taps[2]])?;
        checked_len("output", &[self.batch, self.output_channels, output[0], output[1]])?;
        let factors = [self.batch, self.output_channels, output[0], output[1], taps[0], taps[1], taps[2]];
        let product = factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor as u64));
        product.map(|_| ()).ok_or(ShapeError::Overflow { what: "multiplications" })
    }
}

/// Fails unless that many elements of the largest ring fit the address space.
fn checked_len(what: &'static str, factors: &[usize]) -> Result<(), ShapeError> {
    let len = factors.iter().try_fold(size_of::<u128>(), |product, &factor| product.checked_mul(factor));
    match len {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(ShapeError::Overflow { what }),
    }
}

/// How a group is cut so that the copied part of its input stays in cache.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    /// Input channels of a block.
    channels: usize,
    /// Output rows of a block.
    rows: usize,
    /// The copy of a block.
    copy: Copied,
}

/// The layout of a padded input: channels × vertical phases × horizontal phases × rows × columns, where phase p holds the
/// positions congruent to p modulo the stride.
#[derive(Clone, Copy, Debug)]
struct Copied {
    /// Vertical and horizontal phases.
    phases: [usize; 2],
    /// Rows of a phase.
    rows: usize,
    /// Columns of a phase.
    columns: usize,
}

impl Copied {
    fn new(group: &Convolution, output_rows: usize) -> Self {
        // A kernel of extent 1 meets phase 0 only.
        let phases = |axis: usize| if group.kernel[axis] == 1 { 1 } else { group.stride[axis] };
        let halo = |axis: usize| (group.kernel[axis] - 1) * group.dilation[axis] / group.stride[axis];
        Self { phases: [phases(0), phases(1)], rows: output_rows + halo(0), columns: group.output_width() + halo(1) }
    }

    /// The input itself as the copy.
    fn input(group: &Convolution) -> Self {
        Self { phases: [1, 1], rows: group.height, columns: group.width }
    }

    fn channel_len(&self) -> usize {
        self.phases[0] * self.phases[1] * self.rows * self.columns
    }

    /// The position, from the first column of an output row on, that meets the tap in its channel.
    fn tap(&self, group: &Convolution, ky: usize, kx: usize) -> usize {
        let (y, x) = (ky * group.dilation[0], kx * group.dilation[1]);
        let phase = (y % group.stride[0]) * self.phases[1] + x % group.stride[1];
        (phase * self.rows + y / group.stride[0]) * self.columns + x / group.stride[1]
    }
}

impl Blocks {
    fn new(group: &Convolution) -> Self {
        let height = group.output_height();
        let mut channels = even_parts(group.input_channels, (MAX_DEPTH / (group.kernel[0] * group.kernel[1])).max(1));
        loop {
            let one_row = Copied::new(group, 1);
            let halo = one_row.rows - 1;
            let row_len = channels * one_row.phases[0] * one_row.phases[1] * one_row.columns;
            let rows = (COPY_TARGET / row_len).saturating_sub(halo).clamp(1, height);
            // Rows of the halo are copied for every block, so blocks that are mostly halo are made of fewer channels.
            if rows == height || rows >= 2 * halo || channels == 1 {
                let rows = even_parts(height, rows);
                return Self { channels, rows, copy: Copied::new(group, rows) };
            }
            channels = channels.div_ceil(2);
        }
    }

    /// One block over the whole input.
    fn contiguous(group: &Convolution) -> Self {
        let taps = group.kernel[0] * group.kernel[1];
        let channels = even_parts(group.input_channels, (MAX_DEPTH / taps).max(1));
        Self { channels, rows: group.output_height(), copy: Copied::input(group) }
    }

    fn copy_len(&self) -> usize {
        self.channels * self.copy.channel_len()
    }
}

/// The size of equal parts of `total`, each at most `limit`.
fn even_parts(total: usize, limit: usize) -> usize {
    total.div_ceil(total.div_ceil(limit))
}

/// Convolves one image with `group.groups == 1`.
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
    let plane = group.height * group.width;
    let taps = group.kernel[0] * group.kernel[1];
    for channel in (0..group.input_channels).step_by(blocks.channels) {
        let channels = blocks.channels.min(group.input_channels - channel);
        let input = &input[channel * plane..(channel + channels) * plane];
        let weights = &weights[channel * taps..];
        for row in (0..group.output_height()).step_by(blocks.rows) {
            let rows = row..group.output_height().min(row + blocks.rows);
            if in_place {
                convolve_block(backend, group, &blocks.copy, channels, rows, input, weights, output);
            } else {
                copy_padded(group, &blocks.copy, row, input, scratch);
                convolve_block(backend, group, &blocks.copy, channels, rows, scratch, weights, output);
            }
        }
    }
}

/// Copies the input under the output rows from `first_row` on.
fn copy_padded<R: Ring>(group: &Convolution, copy: &Copied, first_row: usize, input: &[R], scratch: &mut [R]) {
    let mut targets = scratch.chunks_exact_mut(copy.columns);
    for plane in input.chunks_exact(group.height * group.width) {
        for phase in 0..copy.phases[0] * copy.phases[1] {
            let (vertical, horizontal) = (phase / copy.phases[1], phase % copy.phases[1]);
            for (row, target) in (first_row..first_row + copy.rows).zip(&mut targets) {
                let y = row * group.stride[0] + vertical;
                match y.checked_sub(group.padding[0]) {
                    Some(y) if y < group.height => {
                        copy_row(group, horizontal, &plane[y * group.width..][..group.width], target);
                    }
                    _ => target.fill(R::ZERO),
                }
            }
        }
    }
}

/// Copies the positions of one phase of a row, zeros where there is padding.
fn copy_row<R: Ring>(group: &Convolution, phase: usize, source: &[R], target: &mut [R]) {
    let (stride, left) = (group.stride[1], group.padding[1]);
    // The first position of the phase at or after the padding, and where it lies in the source.
    let skipped = left.saturating_sub(phase).div_ceil(stride).min(target.len());
    let (zeros, target) = target.split_at_mut(skipped);
    zeros.fill(R::ZERO);
    let start = (skipped * stride + phase).saturating_sub(left).min(source.len());
    let source = &source[start..];
    let copied = source.len().div_ceil(stride).min(target.len());
    let (target, zeros) = target.split_at_mut(copied);
    zeros.fill(R::ZERO);
    if stride == 1 {
        target.copy_from_slice(&source[..copied]);
    } else {
        for (target, &source) in target.iter_mut().zip(source.iter().step_by(stride)) {
            *target = source;
        }
    }
}

/// Convolves `channels` channels of a padded input into the output rows of `rows`.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution and their extents")]
fn convolve_block<R: Ring>(
    backend: Backend,
    group: &Convolution,
    copy: &Copied,
    channels: usize,
    rows: core::ops::Range<usize>,
    input: &[R],
    weights: &[R],
    output: &mut [R],
) {
    let taps = group.kernel[0] * group.kernel[1];
    let mut output = Output { elements: output, stride: group.output_height() * group.output_width() };
    for first in (0..channels * taps).step_by(MAX_DEPTH) {
        let offsets = tap_offsets(group, copy, first, MAX_DEPTH.min(channels * taps - first));
        let left =
            Left { elements: &weights[first..], stride: group.input_channels * taps, rows: group.output_channels };
        let columns = row_columns(group, copy, rows.clone(), R::tile_shape(backend).lanes);
        accumulate_block(backend, left, input, &offsets, columns, &mut output);
    }
}

/// The offsets of `count` taps from tap `first` on, in the order of the weights.
fn tap_offsets(group: &Convolution, copy: &Copied, first: usize, count: usize) -> Offsets {
    let mut offsets = Offsets::new();
    let [height, width] = group.kernel;
    let (mut channel, mut ky, mut kx) = (first / (height * width), first / width % height, first % width);
    for _ in 0..count {
        offsets.push(channel * copy.channel_len() + copy.tap(group, ky, kx));
        kx += 1;
        if kx == width {
            (kx, ky) = (0, ky + 1);
        }
        if ky == height {
            (ky, channel) = (0, channel + 1);
        }
    }
    offsets
}

/// The columns of the output rows, cut into vectors.
fn row_columns(
    group: &Convolution,
    copy: &Copied,
    rows: core::ops::Range<usize>,
    lanes: usize,
) -> impl Iterator<Item = Columns> + Clone {
    let (pitch, mut width, first) = (copy.columns, group.output_width(), rows.start);
    let mut rows = rows;
    // Rows that follow one another in the copy as in the output are one long row.
    if pitch == width {
        width *= rows.len();
        rows = first..first + 1;
    }
    let output = group.output_width();
    rows.flat_map(move |row| {
        (0..width).step_by(lanes).map(move |column| Columns {
            right: (row - first) * pitch + column,
            output: row * output + column,
            count: lanes.min(width - column),
        })
    })
}
