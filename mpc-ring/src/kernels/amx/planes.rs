//! The padded input as planes of bytes, in which a tap of the kernel meets the positions of the output side by side.
//!
//! A plane has one byte of each element: a row for each column of the kernel and each four channels, with those four bytes of
//! one position after the other. A position is one of the output's columns, in one of the rows of the input that a block of
//! output rows needs; rows that are congruent modulo the stride lie side by side. So whatever the stride and the dilation,
//! the positions of one output row follow those of the one before it, for every tap.

use super::{GROUP, TILE_ROW_BYTES, TILE_ROWS};
use crate::kernels::convolution::{Convolution, even_parts};
use crate::ring::Ring;

/// The bytes of a plane, where that is enough for a block to have several times the rows that the next one reads again: so
/// scratch is small.
const SMALL: usize = 1 << 15;
/// The bytes of a plane that stay in the second-level cache, with those of the other bytes.
const LARGE: usize = 1 << 17;
/// How many times as many rows that is.
const FEW_AGAIN: usize = 4;

/// Columns whose bytes are sorted together.
const LANES: usize = 8;

/// The layout of the planes of a block of output rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    /// Output rows of a block.
    pub(super) output_rows: usize,
    /// Bytes of a plane.
    pub(super) plane_len: usize,
    /// Bytes between a row of a plane and the next.
    pub(super) row_len: usize,
    /// Input rows that are congruent modulo the stride.
    congruent: usize,
    /// Input rows under a block.
    input_rows: usize,
    /// Bytes of the positions of one output row.
    line_len: usize,
    /// Columns of the padded input under an output row.
    columns: usize,
}

/// The bytes of scratch that all planes take, and what is between them and the start of a cache line.
pub(crate) fn scratch_len<R: Ring>(group: &Convolution) -> usize {
    let planes = Planes::new(group);
    TILE_ROW_BYTES + R::BYTES * (planes.plane_len + GROUP * planes.columns) + planes.beyond()
}

/// The rows of a plane: those that one row of the kernel meets.
pub(super) fn rows(group: &Convolution) -> usize {
    group.kernel[1] * group.input_channels.div_ceil(GROUP)
}

impl Planes {
    pub(super) fn new(group: &Convolution) -> Self {
        let span = |axis: usize, outputs: usize| {
            (outputs - 1) * group.stride[axis] + (group.kernel[axis] - 1) * group.dilation[axis] + 1
        };
        let line_len = GROUP * group.output_width();
        let halo = span(0, 1).saturating_sub(group.stride[0]);
        let fitting = |target: usize| (target / (rows(group) * line_len)).saturating_sub(halo) / group.stride[0];
        let fitting = (FEW_AGAIN * halo).clamp(fitting(SMALL), fitting(LARGE));
        let output_rows = even_parts(group.output_height(), fitting.clamp(1, group.output_height()));
        let input_rows = span(0, output_rows);
        let congruent = input_rows.div_ceil(group.stride[0]);
        // An odd number of lines of the cache, so that rows do not meet in few of its sets.
        let row_len = (congruent * group.stride[0] * line_len).div_ceil(TILE_ROW_BYTES) | 1;
        let row_len = row_len * TILE_ROW_BYTES;
        let plane_len = rows(group) * row_len;
        Self {
            output_rows,
            plane_len,
            row_len,
            congruent,
            input_rows,
            line_len,
            columns: span(1, group.output_width()),
        }
    }

    /// Whether scratch stays within a few times the second-level cache: a wide kernel's columns each have a copy of the input.
    pub(super) fn are_small(&self) -> bool {
        self.plane_len <= 4 * LARGE
    }

    /// The bytes behind the last plane that a tile reads, which has whole rows and all of them: weights of zero meet them.
    fn beyond(&self) -> usize {
        TILE_ROWS * self.row_len + TILE_ROW_BYTES
    }

    /// Where the first position of a block lies for a row of the kernel.
    pub(super) fn kernel_row(&self, group: &Convolution, row: usize) -> usize {
        self.line(group, row * group.dilation[0])
    }

    /// Where a row of the input lies.
    fn line(&self, group: &Convolution, row: usize) -> usize {
        (row % group.stride[0] * self.congruent + row / group.stride[0]) * self.line_len
    }

    /// Writes the first `bytes` planes of the input under the output rows from `first_row` on, and gives them.
    #[inline(always)]
    pub(super) fn fill<'a, R: Ring>(
        &self,
        group: &Convolution,
        bytes: usize,
        first_row: usize,
        input: &[R],
        scratch: &'a mut [u8],
    ) -> &'a [u8] {
        let (sorted, planes) = scratch.split_at_mut(bytes * GROUP * self.columns);
        let start = planes.as_ptr().align_offset(TILE_ROW_BYTES).min(TILE_ROW_BYTES);
        let planes = &mut planes[start..];
        sorted.fill(0);
        let plane = group.height * group.width;
        let columns = group.width.min(self.columns.saturating_sub(group.padding[1]));
        for first in (0..group.input_channels).step_by(GROUP) {
            for row in 0..self.input_rows {
                let y = (first_row * group.stride[0] + row).checked_sub(group.padding[0]).filter(|&y| y < group.height);
                if let Some(y) = y {
                    let line = |lane: usize| {
                        let channel = (first + lane).min(group.input_channels - 1);
                        &input[channel * plane + y * group.width..][..columns]
                    };
                    let lines = [line(0), line(1), line(2), line(3)];
                    sort(lines, &mut sorted[GROUP * group.padding[1].min(self.columns)..], GROUP * self.columns);
                }
                for (byte, sorted) in sorted.chunks_exact(GROUP * self.columns).enumerate() {
                    let start = byte * self.plane_len + first / GROUP * self.row_len + self.line(group, row);
                    self.copy(group, y.map(|_| sorted), &mut planes[start..]);
                }
            }
        }
        planes
    }

    /// Copies a row of the padded input, or zeros, to where each column of the kernel meets it.
    #[inline(always)]
    fn copy(&self, group: &Convolution, sorted: Option<&[u8]>, target: &mut [u8]) {
        let distance = self.row_len * group.input_channels.div_ceil(GROUP);
        for column in 0..group.kernel[1] {
            let target = &mut target[column * distance..][..self.line_len];
            let Some(sorted) = sorted.map(|sorted| &sorted[GROUP * column * group.dilation[1]..]) else {
                target.fill(0);
                continue;
            };
            if group.stride[1] == 1 {
                target.copy_from_slice(&sorted[..self.line_len]);
            } else {
                let sorted = sorted.chunks(GROUP * group.stride[1]);
                target.chunks_exact_mut(GROUP).zip(sorted).for_each(|(to, from)| to.copy_from_slice(&from[..GROUP]));
            }
        }
    }
}

/// Sorts the bytes of a row of four channels: byte i of an element goes to the plane that begins at i·`distance`.
#[inline(always)]
fn sort<R: Ring>(lines: [&[R]; GROUP], planes: &mut [u8], distance: usize) {
    for first in (0..lines[0].len()).step_by(LANES) {
        let count = LANES.min(lines[0].len() - first);
        let mut words = [[0; LANES]; GROUP];
        for (words, line) in words.iter_mut().zip(lines) {
            match line[first..].first_chunk::<LANES>() {
                Some(elements) => words.iter_mut().zip(elements).for_each(|(word, x)| *word = x.low_u64()),
                None => words.iter_mut().zip(&line[first..]).for_each(|(word, x)| *word = x.low_u64()),
            }
        }
        let sorted = interleaved(words);
        for (byte, plane) in planes.chunks_mut(distance).enumerate() {
            let shift = 32 * (byte / GROUP);
            let words: [u32; LANES] = sorted[byte % GROUP].map(|word| (word >> shift) as u32);
            let bytes = words.map(u32::to_le_bytes);
            let target = &mut plane[GROUP * first..];
            match target.first_chunk_mut::<{ GROUP * LANES }>() {
                Some(target) => target.copy_from_slice(bytes.as_flattened()),
                None => target[..GROUP * count].copy_from_slice(&bytes.as_flattened()[..GROUP * count]),
            }
        }
    }
}

/// Of four words in each lane, byte i of all four: in the lower half of the word i, and in the upper one of the word i − 4.
#[inline(always)]
fn interleaved([a, b, c, d]: [[u64; LANES]; GROUP]) -> [[u64; LANES]; GROUP] {
    const BYTES: u64 = 0x00ff_00ff_00ff_00ff;
    const PAIRS: u64 = 0x0000_ffff_0000_ffff;
    let mut sorted = [[0; LANES]; GROUP];
    for lane in 0..LANES {
        let even = |low: u64, high: u64| low & BYTES | (high & BYTES) << 8;
        let odd = |low: u64, high: u64| low >> 8 & BYTES | high & !BYTES;
        for (byte, [low, high]) in
            [[even(a[lane], b[lane]), even(c[lane], d[lane])], [odd(a[lane], b[lane]), odd(c[lane], d[lane])]]
                .into_iter()
                .enumerate()
        {
            sorted[byte][lane] = low & PAIRS | (high & PAIRS) << 16;
            sorted[byte + 2][lane] = low >> 16 & PAIRS | high & !PAIRS;
        }
    }
    sorted
}
