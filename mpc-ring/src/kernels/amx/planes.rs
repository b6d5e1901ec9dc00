//! The padded input as planes of bytes, with the channels of a position side by side.

use super::{TILE_ROW_BYTES, TILE_ROWS};
use crate::kernels::convolution::{Convolution, even_parts};
use crate::ring::Ring;

/// The bytes of a plane that stay in the second-level cache, with those of the other bytes.
const PLANE_TARGET: usize = 1 << 16;

/// Channels whose bytes are sorted together.
const CHANNELS: usize = 8;

/// The layout of the planes of a block of output rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    /// Output rows of a block.
    pub(super) output_rows: usize,
    /// Bytes of a plane.
    pub(super) plane_len: usize,
    /// Rows of the padded input.
    rows: usize,
    /// Columns of the padded input.
    columns: usize,
}

/// The bytes of scratch that all planes take.
pub(crate) fn scratch_len<R: Ring>(group: &Convolution) -> usize {
    R::BYTES * Planes::new(group).plane_len
}

impl Planes {
    pub(super) fn new(group: &Convolution) -> Self {
        let span = |axis: usize, outputs: usize| {
            (outputs - 1) * group.stride[axis] + (group.kernel[axis] - 1) * group.dilation[axis] + 1
        };
        let (channels, columns) = (Self::channels(group), span(1, group.output_width()));
        let halo = span(0, 1).saturating_sub(group.stride[0]);
        let fitting = (PLANE_TARGET / (columns * channels)).saturating_sub(halo) / group.stride[0];
        let output_rows = even_parts(group.output_height(), fitting.clamp(1, group.output_height()));
        let rows = span(0, output_rows);
        // A tile reads whole rows of bytes, at positions beyond the last too.
        let beyond = TILE_ROWS * group.stride[1] * channels + TILE_ROW_BYTES;
        Self { output_rows, plane_len: (rows * columns * channels + beyond).next_multiple_of(64), rows, columns }
    }

    /// Channels of a position, padding included.
    pub(super) fn channels(group: &Convolution) -> usize {
        group.input_channels.next_multiple_of(CHANNELS)
    }

    /// Where the kernel's first tap meets an output position of the block.
    pub(super) fn position(&self, group: &Convolution, row: usize, column: usize) -> usize {
        (row * group.stride[0] * self.columns + column * group.stride[1]) * Self::channels(group)
    }

    /// Bytes between neighbouring output positions.
    pub(super) fn position_stride(&self, group: &Convolution) -> usize {
        group.stride[1] * Self::channels(group)
    }

    /// Where a tap lies, from the first on.
    pub(super) fn tap(&self, group: &Convolution, [ky, kx]: [usize; 2]) -> usize {
        (ky * group.dilation[0] * self.columns + kx * group.dilation[1]) * Self::channels(group)
    }

    /// Writes the planes of the input under the output rows from `first_row` on.
    #[inline(always)]
    pub(super) fn fill<R: Ring>(&self, group: &Convolution, first_row: usize, input: &[R], scratch: &mut [u8]) {
        let plane = group.height * group.width;
        scratch[..R::BYTES * self.plane_len].fill(0);
        for row in 0..self.rows {
            let y = (first_row * group.stride[0] + row).checked_sub(group.padding[0]).filter(|&y| y < group.height);
            let Some(y) = y else { continue };
            let columns = group.width.min(self.columns.saturating_sub(group.padding[1]));
            let start = (row * self.columns + group.padding[1]) * Self::channels(group);
            for first in (0..group.input_channels).step_by(CHANNELS) {
                let channels = CHANNELS.min(group.input_channels - first);
                let lines = core::array::from_fn(|lane| {
                    let channel = first + lane.min(channels - 1);
                    &input[channel * plane + y * group.width..][..columns]
                });
                self.fill_line(Self::channels(group), start + first, lines, scratch, R::BYTES);
            }
        }
    }

    /// Sorts the bytes of a row of eight channels.
    #[inline(always)]
    fn fill_line<R: Ring>(
        &self,
        stride: usize,
        start: usize,
        lines: [&[R]; CHANNELS],
        scratch: &mut [u8],
        bytes: usize,
    ) {
        const LANES: usize = 8;
        let columns = lines[0].len();
        for first in (0..columns).step_by(LANES) {
            let count = LANES.min(columns - first);
            let mut block = [[0u64; LANES]; CHANNELS];
            for (words, line) in block.iter_mut().zip(lines) {
                match line[first..].first_chunk::<LANES>() {
                    Some(elements) => *words = elements.map(Ring::low_u64),
                    None => words.iter_mut().zip(&line[first..]).for_each(|(word, x)| *word = x.low_u64()),
                }
            }
            transpose(&mut block);
            for (byte, words) in block.iter().enumerate().take(bytes) {
                let plane = &mut scratch[byte * self.plane_len + start + first * stride..];
                for (position, word) in plane.chunks_mut(stride).zip(words).take(count) {
                    position[..CHANNELS].copy_from_slice(&word.to_le_bytes());
                }
            }
        }
    }
}

/// Of eight words in each lane, makes byte j of word i byte i of word j.
#[inline(always)]
fn transpose<const LANES: usize>(block: &mut [[u64; LANES]; CHANNELS]) {
    swap::<4, LANES>(block, 0x0000_0000_ffff_ffff);
    swap::<2, LANES>(block, 0x0000_ffff_0000_ffff);
    swap::<1, LANES>(block, 0x00ff_00ff_00ff_00ff);
}

#[inline(always)]
fn swap<const DISTANCE: usize, const LANES: usize>(block: &mut [[u64; LANES]; CHANNELS], mask: u64) {
    for words in block.chunks_exact_mut(2 * DISTANCE) {
        let (lower, upper) = words.split_at_mut(DISTANCE);
        for (a, b) in lower.as_flattened_mut().iter_mut().zip(upper.as_flattened_mut()) {
            let difference = ((*a >> (8 * DISTANCE)) ^ *b) & mask;
            *b ^= difference;
            *a ^= difference << (8 * DISTANCE);
        }
    }
}
