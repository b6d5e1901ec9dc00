//! Real numbers as ring elements: x is represented by the integer nearest to x · 2^f.

use num_traits::Float;

use crate::ring::Ring;

/// The number f of fractional bits of a fixed-point representation, whose unit in the last place is 2^−f.
///
/// ```
/// use mpc_ring::FixedPoint;
/// let format = FixedPoint::new(16);
/// let element: u64 = format.encode(-1.5)?;
/// assert_eq!(element, (-98_304i64) as u64);
/// assert_eq!(format.decode(element), -1.5);
/// # Ok::<(), mpc_ring::RangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FixedPoint {
    fractional_bits: u32,
}

/// A number without a representation. It names the position and the reason, never the number: that may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("number {index} has no fixed-point representation: {reason}")]
#[non_exhaustive]
pub struct RangeError {
    /// The position of the number in its slice, 0 for a single number.
    pub index: usize,
    /// The fault.
    pub reason: RangeErrorReason,
}

/// Why a number has no representation.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeErrorReason {
    /// It is infinite or not a number.
    #[error("it is not finite")]
    NotFinite,
    /// Rounded, it lies outside [−limit, limit).
    #[error("it lies outside [-{limit:e}, {limit:e})")]
    OutOfRange {
        /// 2^{ℓ−1−f} for a ring of ℓ bits and f fractional bits.
        limit: f64,
    },
}

impl FixedPoint {
    /// A representation with `fractional_bits` bits after the point.
    ///
    /// # Panics
    /// If `fractional_bits` is 128 or more.
    #[must_use]
    pub const fn new(fractional_bits: u32) -> Self {
        assert!(fractional_bits < 128, "at most 127 fractional bits");
        Self { fractional_bits }
    }

    /// f, the number of bits after the point.
    #[must_use]
    pub const fn fractional_bits(self) -> u32 {
        self.fractional_bits
    }

    /// The element nearest to `value` · 2^f; halves are rounded away from zero.
    ///
    /// # Errors
    /// If `value` is not finite, or the rounded integer lies outside [−2^{ℓ−1}, 2^{ℓ−1}).
    pub fn encode<R: Ring>(self, value: f64) -> Result<R, RangeError> {
        self.encode_at(0, value)
    }

    /// The real number that `element`, read as signed, represents, rounded to the nearest `f64`.
    #[must_use]
    pub fn decode<R: Ring>(self, element: R) -> f64 {
        // Exact after the conversion: 2^−127 is a normal number.
        element.to_i128() as f64 / power_of_two(self.fractional_bits)
    }

    /// Encodes each of `values`.
    ///
    /// # Errors
    /// At the first number without a representation; the elements before it have then been written.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn encode_slice<R: Ring>(self, values: &[f64], elements: &mut [R]) -> Result<(), RangeError> {
        self.encode_all(values, elements)
    }

    /// Encodes each of `values`, as [`encode_slice`](Self::encode_slice) does.
    ///
    /// # Errors
    /// At the first number without a representation; the elements before it have then been written.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn encode_f32_slice<R: Ring>(self, values: &[f32], elements: &mut [R]) -> Result<(), RangeError> {
        self.encode_all(values, elements)
    }

    /// Decodes each of `elements`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn decode_slice<R: Ring>(self, elements: &[R], values: &mut [f64]) {
        assert_eq!(elements.len(), values.len(), "one value per element");
        for (value, &element) in values.iter_mut().zip(elements) {
            *value = self.decode(element);
        }
    }

    fn encode_all<R: Ring, V: Copy + Into<f64>>(self, values: &[V], elements: &mut [R]) -> Result<(), RangeError> {
        assert_eq!(values.len(), elements.len(), "one element per value");
        for (index, (&value, element)) in values.iter().zip(elements).enumerate() {
            *element = self.encode_at(index, value.into())?;
        }
        Ok(())
    }

    fn encode_at<R: Ring>(self, index: usize, value: f64) -> Result<R, RangeError> {
        if !value.is_finite() {
            return Err(RangeError { index, reason: RangeErrorReason::NotFinite });
        }
        let rounded = Float::round(value * power_of_two(self.fractional_bits));
        // A power of two, so the comparison with an integer-valued f64 is exact in every ring.
        let bound = power_of_two(R::BITS - 1);
        if rounded < -bound || rounded >= bound {
            let limit = bound / power_of_two(self.fractional_bits);
            return Err(RangeError { index, reason: RangeErrorReason::OutOfRange { limit } });
        }
        Ok(R::from_i128(rounded as i128))
    }
}

/// 2^exponent, for `exponent` < 1024.
fn power_of_two(exponent: u32) -> f64 {
    f64::from_bits((1023 + u64::from(exponent)) << 52)
}
