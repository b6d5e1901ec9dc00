//! The blocks of a convolution, and the padded copy of the input under a block.

use crate::kernels::convolution::shape::Convolution;
use crate::kernels::tile::{MAX_DEPTH, Offsets};
use crate::ring::Ring;

/// The elements of the input copy that stay in the second-level cache.
const COPY_TARGET: usize = 1 << 16;

/// How a group is cut so that the copied part of its input stays in cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Input channels of a block.
    pub(super) channels: usize,
    /// Output rows of a block.
    pub(super) rows: usize,
    /// The copy of a block.
    pub(super) copy: Copied,
}

/// The layout of a padded input: channels × vertical phases × horizontal phases × rows × columns, where phase p holds the
/// positions congruent to p modulo the stride.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    /// Vertical and horizontal phases.
    phases: [usize; 2],
    /// Rows of a phase.
    rows: usize,
    /// Columns of a phase.
    pub(super) columns: usize,
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
    pub(super) fn new(group: &Convolution) -> Self {
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
    pub(super) fn contiguous(group: &Convolution) -> Self {
        let taps = group.kernel[0] * group.kernel[1];
        let channels = even_parts(group.input_channels, (MAX_DEPTH / taps).max(1));
        Self { channels, rows: group.output_height(), copy: Copied::input(group) }
    }

    pub(super) fn copy_len(&self) -> usize {
        self.channels * self.copy.channel_len()
    }
}

/// The size of equal parts of `total`, each at most `limit`.
pub(in crate::kernels) fn even_parts(total: usize, limit: usize) -> usize {
    total.div_ceil(total.div_ceil(limit))
}

/// Copies the input under the output rows from `first_row` on.
pub(super) fn copy_padded<R: Ring>(
    group: &Convolution,
    copy: &Copied,
    first_row: usize,
    input: &[R],
    scratch: &mut [R],
) {
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

/// The offsets of `count` taps from tap `first` on, in the order of the weights.
pub(super) fn tap_offsets(group: &Convolution, copy: &Copied, first: usize, count: usize) -> Offsets {
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
