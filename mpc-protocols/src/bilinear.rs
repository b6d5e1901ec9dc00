//! Bilinear maps over a ring: what one Beaver triple multiplies.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use mpc_ring::Ring;
use mpc_ring::kernels::{
    Convolution, MatrixProduct, convolution_modulo, convolution_packed_modulo, matrix_product, pack_weights,
};
use mpc_shares::SecretVec;
use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};

/// A bilinear map (x, y) ↦ x ∗ y with public shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Bilinear {
    /// x_i·y_i for `len` elements each.
    Elementwise {
        /// The number of elements.
        len: usize,
    },
    /// The product of a `rows`×`inner` and an `inner`×`columns` matrix.
    MatrixProduct {
        /// Rows of the left matrix.
        rows: usize,
        /// Columns of the left and rows of the right matrix.
        inner: usize,
        /// Columns of the right matrix.
        columns: usize,
    },
    /// `batch` independent products of a `rows`×`inner` and an `inner`×`columns` matrix, one after the other in memory.
    BatchedMatrixProduct {
        /// The number of products.
        batch: usize,
        /// Rows of each left matrix.
        rows: usize,
        /// Columns of each left and rows of each right matrix.
        inner: usize,
        /// Columns of each right matrix.
        columns: usize,
    },
    /// A convolution; a fully connected layer is one with 1×1 images.
    Convolution(Convolution),
}

impl Bilinear {
    /// Element j of the right operand multiplies the j-th of as many equal blocks of the left one.
    #[must_use]
    pub fn blockwise(len: usize, factors: usize) -> Self {
        if len == factors {
            return Self::Elementwise { len };
        }
        let width = len.checked_div(factors).unwrap_or(0);
        Self::Convolution(Convolution { groups: factors, ..Convolution::valid([factors; 2], [1, width], [1, 1]) })
    }

    /// Elements of the left operand.
    #[must_use]
    pub fn left_len(&self) -> usize {
        match self {
            Self::Elementwise { len } => *len,
            Self::MatrixProduct { rows, inner, .. } => rows * inner,
            Self::BatchedMatrixProduct { batch, rows, inner, .. } => batch * rows * inner,
            Self::Convolution(shape) => shape.input_len(),
        }
    }

    /// Elements of the right operand.
    #[must_use]
    pub fn right_len(&self) -> usize {
        match self {
            Self::Elementwise { len } => *len,
            Self::MatrixProduct { inner, columns, .. } => inner * columns,
            Self::BatchedMatrixProduct { batch, inner, columns, .. } => batch * inner * columns,
            Self::Convolution(shape) => shape.weight_len(),
        }
    }

    /// The shape of the result.
    #[must_use]
    pub fn output_shape(&self) -> Vec<usize> {
        match self {
            Self::Elementwise { len } => vec![*len],
            Self::MatrixProduct { rows, columns, .. } => vec![*rows, *columns],
            Self::BatchedMatrixProduct { batch, rows, columns, .. } => vec![*batch, *rows, *columns],
            Self::Convolution(shape) => {
                vec![shape.batch, shape.output_channels, shape.output_height(), shape.output_width()]
            }
        }
    }

    /// Elements of the result.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output_shape().iter().product()
    }

    /// Elements that [`accumulate`](Self::accumulate) works with besides its operands.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        if let Self::Convolution(shape) = self { shape.scratch_len() } else { 0 }
    }

    /// `output` += `left` ∗ `right`, modulo 2^ℓ.
    ///
    /// # Panics
    /// If an operand does not have the map's number of elements.
    pub fn accumulate<R: Ring>(&self, left: &[R], right: &[R], output: &mut [R]) {
        self.accumulate_modulo(R::BITS, left, right, output);
    }

    /// As [`accumulate`](Self::accumulate), of which the `width` low bits are read: what is above them is arbitrary. Some
    /// convolutions take fewer multiplications then.
    ///
    /// # Panics
    /// As for [`accumulate`](Self::accumulate).
    pub fn accumulate_modulo<R: Ring>(&self, width: u32, left: &[R], right: &[R], output: &mut [R]) {
        match self {
            Self::Elementwise { .. } => {
                for ((z, &x), &y) in output.iter_mut().zip(left).zip(right) {
                    *z = z.wrapping_add(x.wrapping_mul(y));
                }
            }
            Self::MatrixProduct { rows, inner, columns } => {
                let shape = MatrixProduct { rows: *rows, inner: *inner, columns: *columns };
                matrix_product(shape, left, right, output);
            }
            Self::BatchedMatrixProduct { batch, rows, inner, columns } => {
                let shape = MatrixProduct { rows: *rows, inner: *inner, columns: *columns };
                for i in 0..*batch {
                    let (left, right) = (part(left, i, rows * inner), part(right, i, inner * columns));
                    let len = rows * columns;
                    matrix_product(shape, left, right, &mut output[i * len..][..len]);
                }
            }
            Self::Convolution(shape) => {
                let mut scratch = SecretVec::zeros(self.scratch_len());
                convolution_modulo(width, shape, left, right, output, &mut scratch);
            }
        }
    }

    /// The right operand in the order in which this machine reads it fastest; nothing where that is the given one.
    fn pack<R: Ring>(&self, right: &[R]) -> SecretVec<R> {
        let Self::Convolution(shape) = self else { return SecretVec::zeros(0) };
        let mut packed = SecretVec::zeros(shape.packed_len::<R>());
        pack_weights(shape, right, &mut packed);
        packed
    }
}

/// A secret right operand of many maps, packed once for the first map that it serves.
pub(crate) struct FixedRight<R: Ring> {
    elements: SecretVec<R>,
    packed: OnceBox<Packed<R>>,
}

struct Packed<R: Ring> {
    map: Bilinear,
    elements: SecretVec<R>,
}

impl<R: Ring> FixedRight<R> {
    pub(crate) fn new(elements: SecretVec<R>) -> Self {
        Self { elements, packed: OnceBox::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(crate) fn elements(&self) -> &[R] {
        &self.elements
    }

    /// Packs it for a map, unless that is done.
    ///
    /// # Panics
    /// If it does not have the map's number of elements.
    pub(crate) fn pack(&self, map: &Bilinear) -> &[R] {
        let pack = || Box::new(Packed { map: *map, elements: map.pack(&self.elements) });
        let packed = self.packed.get_or_init(pack);
        if packed.map == *map { &packed.elements } else { &[] }
    }

    /// `output` += `left` ∗ this, modulo 2^`width`.
    ///
    /// # Panics
    /// If an operand does not have the map's number of elements.
    pub(crate) fn accumulate(&self, width: u32, map: &Bilinear, left: &[R], output: &mut [R]) {
        match (map, self.pack(map)) {
            (Bilinear::Convolution(shape), packed) if !packed.is_empty() => {
                let mut scratch = SecretVec::zeros(shape.scratch_len());
                convolution_packed_modulo(width, shape, left, &self.elements, packed, output, &mut scratch);
            }
            _ => map.accumulate_modulo(width, left, &self.elements, output),
        }
    }
}

impl<R: Ring> fmt::Debug for FixedRight<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedRight").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The part `index` of `elements`, all parts having `len`.
fn part<R>(elements: &[R], index: usize, len: usize) -> &[R] {
    &elements[index * len..][..len]
}
