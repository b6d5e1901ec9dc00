//! Plain Rust, in signed integers.

use super::Modulus;
use super::passes::Arithmetic;

/// Residues as signed integers; between passes, in the bits of unsigned ones.
#[derive(Clone, Copy)]
pub(super) struct Integers(Modulus);

impl Integers {
    pub(super) fn new(modulus: Modulus) -> Self {
        Self(modulus)
    }

    /// `value` modulo the prime, around zero, for a value below 2^101: what is cut off changes the quotient by less than 2^−10.
    #[inline(always)]
    fn reduce_wide(self, value: i128) -> i64 {
        let top = (value >> 38) as i64;
        let quotient = ((i128::from(top) * i128::from(self.0.reciprocal) + (1 << 73)) >> 74) as i64;
        (value as i64).wrapping_sub(quotient.wrapping_mul(self.0.prime))
    }

    #[inline(always)]
    fn multiply_each(self, left: [i64; 8], right: [i64; 8]) -> [i64; 8] {
        let mut product = [0; 8];
        for (product, (left, right)) in product.iter_mut().zip(left.into_iter().zip(right)) {
            *product = self.reduce_wide(i128::from(left) * i128::from(right));
        }
        product
    }
}

impl Arithmetic for Integers {
    type Octet = [i64; 8];
    type Factors = [i64; 8];

    #[inline(always)]
    fn load_canonical(self, from: &[u64; 8]) -> [i64; 8] {
        self.load(from)
    }

    #[inline(always)]
    fn store_canonical(self, values: [i64; 8], to: &mut [u64; 8]) {
        for (to, value) in to.iter_mut().zip(self.reduce(values)) {
            *to = (value + (self.0.prime & (value >> 63))) as u64;
        }
    }

    #[inline(always)]
    fn load(self, from: &[u64; 8]) -> [i64; 8] {
        from.map(|value| value as i64)
    }

    #[inline(always)]
    fn store(self, values: [i64; 8], to: &mut [u64; 8]) {
        *to = values.map(|value| value as u64);
    }

    #[inline(always)]
    fn factor(self, from: i64) -> [i64; 8] {
        [from; 8]
    }

    #[inline(always)]
    fn factors(self, from: &[i64; 8]) -> [i64; 8] {
        *from
    }

    #[inline(always)]
    fn add(self, mut left: [i64; 8], right: [i64; 8]) -> [i64; 8] {
        for (left, right) in left.iter_mut().zip(right) {
            *left += right;
        }
        left
    }

    #[inline(always)]
    fn subtract(self, mut left: [i64; 8], right: [i64; 8]) -> [i64; 8] {
        for (left, right) in left.iter_mut().zip(right) {
            *left -= right;
        }
        left
    }

    #[inline(always)]
    fn multiply(self, values: [i64; 8], factors: [i64; 8]) -> [i64; 8] {
        self.multiply_each(values, factors)
    }

    #[inline(always)]
    fn product(self, left: [i64; 8], right: [i64; 8]) -> [i64; 8] {
        self.multiply_each(left, right)
    }

    #[inline(always)]
    fn reduce(self, values: [i64; 8]) -> [i64; 8] {
        values.map(|value| self.reduce_wide(i128::from(value)))
    }

    #[inline(always)]
    fn transpose(self, rows: [[i64; 8]; 8]) -> [[i64; 8]; 8] {
        let mut columns = [[0; 8]; 8];
        for (i, row) in rows.into_iter().enumerate() {
            for (column, value) in columns.iter_mut().zip(row) {
                column[i] = value;
            }
        }
        columns
    }
}
