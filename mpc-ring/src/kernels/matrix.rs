//! The matrix product.

use zeroize::Zeroize;

use crate::kernels::Backend;
use crate::kernels::tile::{Left, MAX_DEPTH, Offsets, Output, TileShape, accumulate_block, consecutive};
use crate::ring::Ring;

/// The elements of a packed panel of the right operand.
const PANEL: usize = 4096;

/// The rows of the left operand that stay in the second-level cache while the panels pass by.
const ROW_BLOCK: usize = 192;

/// The extents of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatrixProduct {
    /// Rows of the left operand and of the output.
    pub rows: usize,
    /// Columns of the left operand, rows of the right one.
    pub inner: usize,
    /// Columns of the right operand and of the output.
    pub columns: usize,
}

/// Adds left · right to `output`, modulo 2^ℓ: `output` is rows × columns, `left` rows × inner, `right` inner × columns, all
/// row-major. An extent may be zero.
///
/// ```
/// use mpc_ring::{MatrixProduct, matrix_product};
/// let shape = MatrixProduct { rows: 1, inner: 2, columns: 2 };
/// let mut output = [10u64, 20];
/// matrix_product(shape, &[2, 3], &[1, 0, 0, 1], &mut output);
/// assert_eq!(output, [12, 23]);
/// ```
///
/// # Panics
/// If a length differs from the product of its extents.
pub fn matrix_product<R: Ring>(shape: MatrixProduct, left: &[R], right: &[R], output: &mut [R]) {
    matrix_product_with(Backend::detect(), shape, left, right, output);
}

/// [`matrix_product`] by a given backend.
///
/// # Panics
/// If a length differs from the product of its extents, or the backend is not available on this machine.
pub fn matrix_product_with<R: Ring>(backend: Backend, shape: MatrixProduct, left: &[R], right: &[R], output: &mut [R]) {
    assert!(backend.is_available(), "{backend:?} is not available on this machine");
    shape.check(left.len(), right.len(), output.len());
    if shape.rows == 0 || shape.inner == 0 || shape.columns == 0 {
    } else if shape.columns == 1 {
        matrix_vector(backend, shape, left, right, output);
    } else if shape.rows <= R::tile_shape(backend).rows {
        direct(backend, shape, left, right, output);
    } else {
        packed(backend, shape, left, right, output);
    }
}

impl MatrixProduct {
    fn check(self, left: usize, right: usize, output: usize) {
        let Self { rows, inner, columns } = self;
        assert_eq!(rows.checked_mul(inner), Some(left), "the left operand is rows × inner");
        assert_eq!(inner.checked_mul(columns), Some(right), "the right operand is inner × columns");
        assert_eq!(rows.checked_mul(columns), Some(output), "the output is rows × columns");
    }
}

/// One dot product per row, as the right operand is one contiguous column.
fn matrix_vector<R: Ring>(backend: Backend, shape: MatrixProduct, left: &[R], right: &[R], output: &mut [R]) {
    for (row, output) in left.chunks_exact(shape.inner).zip(output) {
        *output = output.wrapping_add(R::dot(backend, row, right));
    }
}

/// Reads the right operand where it is, which pays when each element is used for one row tile only, or all of it is in the cache.
pub(super) fn direct<R: Ring>(backend: Backend, shape: MatrixProduct, left: &[R], right: &[R], output: &mut [R]) {
    shape.terms().for_each(|terms| terms.accumulate(backend, left, right, output));
}

/// As many terms of each sum of a product as a tile accumulates.
pub(super) struct Terms {
    shape: MatrixProduct,
    first: usize,
    offsets: Offsets,
}

impl MatrixProduct {
    /// All terms: for any number of products of this shape.
    pub(super) fn terms(self) -> impl Iterator<Item = Terms> {
        (0..self.inner).step_by(MAX_DEPTH).map(move |first| {
            let offsets = Offsets::multiples(MAX_DEPTH.min(self.inner - first), self.columns);
            Terms { shape: self, first, offsets }
        })
    }
}

impl Terms {
    /// Adds these terms of left · right to the output. The operands may be longer than their matrices.
    pub(super) fn accumulate<R: Ring>(&self, backend: Backend, left: &[R], right: &[R], output: &mut [R]) {
        let Self { shape: MatrixProduct { rows, inner, columns }, first, ref offsets } = *self;
        let left = Left { elements: &left[first..], stride: inner, rows };
        let vectors = consecutive(first * columns, 0, columns, R::tile_shape(backend).lanes);
        accumulate_block(backend, left, right, offsets, vectors, &mut Output { elements: output, stride: columns });
    }
}

/// Copies the right operand panel by panel into contiguous memory.
fn packed<R: Ring>(backend: Backend, shape: MatrixProduct, left: &[R], right: &[R], output: &mut [R]) {
    let tile = R::tile_shape(backend);
    let mut panel = [R::ZERO; PANEL];
    let depth = MAX_DEPTH.min(PANEL / tile.columns());
    for row in (0..shape.rows).step_by(ROW_BLOCK) {
        let rows = ROW_BLOCK.min(shape.rows - row);
        let output = &mut output[row * shape.columns..];
        for term in (0..shape.inner).step_by(depth) {
            let left = Left { elements: &left[row * shape.inner + term..], stride: shape.inner, rows };
            let right = &right[term * shape.columns..];
            let depth = depth.min(shape.inner - term);
            let mut output = Output { elements: output, stride: shape.columns };
            accumulate_panels(backend, tile, shape.columns, depth, left, right, &mut panel, &mut output);
        }
    }
    // What a panel holds may be secret.
    panel.iter_mut().take(depth.min(shape.inner) * tile.columns()).for_each(Zeroize::zeroize);
}

/// Adds left · right for `depth` terms, over all columns.
#[expect(clippy::too_many_arguments, reason = "the operands of a product and their extents")]
fn accumulate_panels<R: Ring>(
    backend: Backend,
    tile: TileShape,
    columns: usize,
    depth: usize,
    left: Left<'_, R>,
    right: &[R],
    panel: &mut [R],
    output: &mut Output<'_, R>,
) {
    let offsets = Offsets::multiples(depth, tile.columns());
    for first in (0..columns).step_by(tile.columns()) {
        let width = tile.columns().min(columns - first);
        for (row, source) in panel.chunks_exact_mut(tile.columns()).zip(right.chunks(columns)).take(depth) {
            row[..width].copy_from_slice(&source[first..first + width]);
        }
        accumulate_block(backend, left, panel, &offsets, consecutive(0, first, width, tile.lanes), output);
    }
}
