//! Columns of narrow outputs, copied side by side so that they fill vectors.

use core::ops::Range;

use crate::kernels::convolution::shape::Convolution;
use crate::kernels::tile::{MAX_DEPTH, Offsets};
use crate::ring::Ring;

/// Elements are copied so many at a time, whether or not all of them are needed.
const CHUNK: usize = 8;

/// The columns of the largest tile of any ring and backend.
const MAX_COLUMNS: usize = 32;

/// Whether the rows of the output are so short that some backend leaves much of its vectors empty.
pub(super) fn may_pay(group: &Convolution) -> bool {
    group.output_width() < 24
}

/// The elements of the panel that [`gather`] writes, for any ring and backend.
pub(super) fn panel_len(group: &Convolution) -> usize {
    let taps = group.input_channels * group.kernel[0] * group.kernel[1];
    if may_pay(group) { taps.min(MAX_DEPTH) * stride(MAX_COLUMNS) } else { 0 }
}

/// The distance between the rows of a panel of so many columns: each row ends with room for the rest of a chunk.
pub(super) const fn stride(columns: usize) -> usize {
    columns + CHUNK
}

/// Copies the columns `positions`, counted along output rows of `width` columns that start `pitch` apart in `input`, one
/// row of the panel per offset.
pub(super) fn gather<R: Ring>(
    input: &[R],
    offsets: &Offsets,
    pitch: usize,
    width: usize,
    positions: Range<usize>,
    panel: &mut [R],
    stride: usize,
) {
    let mut position = positions.start;
    while position < positions.end {
        let (row, column) = (position / width, position % width);
        let count = CHUNK.min(width - column).min(positions.end - position);
        let source = &input[row * pitch + column..];
        let target = position - positions.start;
        for (&offset, row) in offsets.as_slice().iter().zip(panel.chunks_exact_mut(stride)) {
            copy_chunk(&source[offset..], count, &mut row[target..]);
        }
        position += count;
    }
}

/// Copies `count` elements, or a whole chunk if there is one: what is too much is overwritten by the next chunk or ignored.
#[inline(always)]
fn copy_chunk<R: Ring>(source: &[R], count: usize, target: &mut [R]) {
    match (source.first_chunk::<CHUNK>(), target.first_chunk_mut::<CHUNK>()) {
        (Some(source), Some(target)) => *target = *source,
        _ => target[..count].copy_from_slice(&source[..count]),
    }
}
