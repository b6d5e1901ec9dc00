//! The register tile, the unit of work of a backend, and the loops over tiles.

use crate::kernels::{Backend, Kernels};

/// The largest number of terms of a sum that one tile accumulates: it keeps the rows of a tile in the first-level cache.
pub(crate) const MAX_DEPTH: usize = 384;

/// The largest number of vectors of columns in a tile.
pub(crate) const MAX_VECTORS: usize = 2;

/// The extent of a backend's largest tile.
#[derive(Clone, Copy, Debug)]
pub struct TileShape {
    /// Rows of the left operand.
    pub rows: usize,
    /// Columns in a vector.
    pub lanes: usize,
    /// Vectors of columns, at most [`MAX_VECTORS`].
    pub vectors: usize,
}

impl TileShape {
    /// The number of columns of a full tile.
    pub(crate) const fn columns(self) -> usize {
        self.lanes * self.vectors
    }
}

/// Where the term k of each sum finds its right factor, relative to the start of its column.
#[derive(Clone, Debug)]
pub struct Offsets {
    offsets: [usize; MAX_DEPTH],
    len: usize,
    largest: usize,
}

impl Offsets {
    pub(crate) const fn new() -> Self {
        Self { offsets: [0; MAX_DEPTH], len: 0, largest: 0 }
    }

    /// The first `len` multiples of `stride`.
    pub(crate) fn multiples(len: usize, stride: usize) -> Self {
        let mut offsets = Self::new();
        (0..len).for_each(|k| offsets.push(k * stride));
        offsets
    }

    /// # Panics
    /// If there are [`MAX_DEPTH`] offsets already.
    pub(crate) fn push(&mut self, offset: usize) {
        self.offsets[self.len] = offset;
        self.len += 1;
        self.largest = self.largest.max(offset);
    }

    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.offsets[..self.len]
    }
}

/// Consecutive columns of a product, at most a vector of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns {
    /// The position of the first column in the right operand.
    pub right: usize,
    /// The position of the first column in the output.
    pub output: usize,
    /// The number of columns, at least 1.
    pub count: usize,
}

/// output[row · output_stride + columns.output + c] +=
/// Σ_k left[row · left_stride + k] · right[columns.right + offsets[k] + c].
#[derive(Debug)]
pub struct Tile<'a, R> {
    /// The left operand, from the tile's first row and term on.
    pub left: &'a [R],
    /// The distance between its rows.
    pub left_stride: usize,
    /// The number of rows, between 1 and that of the [`TileShape`].
    pub rows: usize,
    /// The right operand.
    pub right: &'a [R],
    /// Where its terms lie.
    pub offsets: &'a Offsets,
    /// The columns, one entry per vector, between 1 and that of the [`TileShape`].
    pub columns: &'a [Columns],
    /// The output, from the tile's first row on.
    pub output: &'a mut [R],
    /// The distance between its rows.
    pub output_stride: usize,
}

impl<R> Tile<'_, R> {
    /// The place of a term in the left operand. It never wraps in a tile that has passed its check: builds that look for
    /// overflow would look at every step of the innermost loop.
    #[inline(always)]
    pub(crate) fn left_place(&self, row: usize, term: usize) -> usize {
        row.wrapping_mul(self.left_stride).wrapping_add(term)
    }

    /// Panics unless every position of the tile lies within its slices; backends rely on it.
    #[inline(always)]
    pub(crate) fn check(&self, shape: TileShape) {
        assert!((1..=shape.rows).contains(&self.rows) && (1..=shape.vectors).contains(&self.columns.len()));
        let (depth, last_row) = (self.offsets.len, self.rows - 1);
        assert!(within(self.left.len(), &[last_row, self.left_stride], depth));
        for columns in self.columns {
            assert!((1..=shape.lanes).contains(&columns.count));
            assert!(columns.right < self.right.len() && columns.output < self.output.len());
            assert!(within(self.right.len() - columns.right, &[self.offsets.largest], columns.count));
            assert!(within(self.output.len() - columns.output, &[last_row, self.output_stride], columns.count));
        }
    }
}

/// Whether `count` positions from the product of `factors` on lie below `len`, with no overflow.
#[inline(always)]
fn within(len: usize, factors: &[usize], count: usize) -> bool {
    let start = factors.iter().try_fold(1usize, |product, &factor| product.checked_mul(factor));
    start.and_then(|start| start.checked_add(count)).is_some_and(|end| end <= len)
}

/// The left operand of a block: `rows` rows, `stride` apart, of as many terms as there are offsets.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, R> {
    pub(crate) elements: &'a [R],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
}

/// The output of a block: rows `stride` apart.
pub(crate) struct Output<'a, R> {
    pub(crate) elements: &'a mut [R],
    pub(crate) stride: usize,
}

/// Adds left · right to the output for the given columns, row tile by row tile.
///
/// A row tile of the left operand stays in the first-level cache while the columns pass by.
pub(crate) fn accumulate_block<R: Kernels>(
    backend: Backend,
    left: Left<'_, R>,
    right: &[R],
    offsets: &Offsets,
    columns: impl Iterator<Item = Columns> + Clone,
    output: &mut Output<'_, R>,
) {
    let shape = R::tile_shape(backend);
    for first in (0..left.rows).step_by(shape.rows) {
        let mut columns = columns.clone();
        let mut group = [Columns::default(); MAX_VECTORS];
        loop {
            let count = fill(&mut group[..shape.vectors], &mut columns);
            if count == 0 {
                break;
            }
            let tile = Tile {
                left: &left.elements[first * left.stride..],
                left_stride: left.stride,
                rows: shape.rows.min(left.rows - first),
                right,
                offsets,
                columns: &group[..count],
                output: &mut output.elements[first * output.stride..],
                output_stride: output.stride,
            };
            R::accumulate_tile(backend, tile);
        }
    }
}

/// Fills `group` from the front and returns the number of entries that the iterator still had.
#[inline(always)]
fn fill(group: &mut [Columns], columns: &mut impl Iterator<Item = Columns>) -> usize {
    let mut count = 0;
    for (slot, next) in group.iter_mut().zip(columns) {
        *slot = next;
        count += 1;
    }
    count
}

/// Cuts `count` consecutive columns into vectors of at most `lanes`.
pub(crate) fn consecutive(
    right: usize,
    output: usize,
    count: usize,
    lanes: usize,
) -> impl Iterator<Item = Columns> + Clone {
    (0..count).step_by(lanes).map(move |first| Columns {
        right: right + first,
        output: output + first,
        count: lanes.min(count - first),
    })
}
