//! The `Ring` trait and its three instances.

use core::fmt::Debug;
use core::ops::{BitAnd, BitOr, BitXor, Not, Shl, Shr};
use rand_core::Rng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::DefaultIsZeroes;

use crate::kernels::Kernels;

/// The ring Z_{2^ℓ} of integers modulo a power of two.
///
/// Implemented by `u32`, `u64` and `u128`. Arithmetic is by the `wrapping_*` methods, so that no `+` can panic on
/// overflow; every method runs in constant time. An element read as signed is the representative in [−2^{ℓ−1}, 2^{ℓ−1}).
///
/// ```
/// use mpc_ring::Ring;
/// fn dot<R: Ring>(a: &[R], b: &[R]) -> R {
///     a.iter().zip(b).fold(R::ZERO, |sum, (&x, &y)| sum.wrapping_add(x.wrapping_mul(y)))
/// }
/// assert_eq!(dot(&[1u64, u64::MAX], &[5, 2]), 3);
/// ```
pub trait Ring:
    Copy
    + Default
    + Eq
    + Debug
    + Send
    + Sync
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
    + DefaultIsZeroes
    + Kernels
    + 'static
{
    /// ℓ: the number of bits of an element.
    const BITS: u32;
    /// The number of bytes of an element's canonical encoding.
    const BYTES: usize;
    /// The neutral element of addition.
    const ZERO: Self;
    /// The neutral element of multiplication.
    const ONE: Self;

    /// Sum modulo 2^ℓ.
    #[must_use]
    fn wrapping_add(self, other: Self) -> Self;
    /// Difference modulo 2^ℓ.
    #[must_use]
    fn wrapping_sub(self, other: Self) -> Self;
    /// Product modulo 2^ℓ.
    #[must_use]
    fn wrapping_mul(self, other: Self) -> Self;
    /// Additive inverse modulo 2^ℓ.
    #[must_use]
    fn wrapping_neg(self) -> Self;
    /// Right shift that repeats the sign bit, for `bits` < ℓ.
    #[must_use]
    fn shift_right_signed(self, bits: u32) -> Self;

    /// The element congruent to `value`.
    fn from_u64(value: u64) -> Self;
    /// The element congruent to `value`.
    fn from_u128(value: u128) -> Self;
    /// The element congruent to `value`.
    fn from_i128(value: i128) -> Self;
    /// The representative in [0, 2^ℓ).
    fn to_u128(self) -> u128;
    /// The representative in [−2^{ℓ−1}, 2^{ℓ−1}).
    fn to_i128(self) -> i128;
    /// The lowest 64 bits.
    fn low_u64(self) -> u64;

    /// Writes the canonical little-endian encoding to the first [`BYTES`](Self::BYTES) bytes of `bytes`.
    ///
    /// # Panics
    /// If `bytes` is shorter than that.
    fn write_le(self, bytes: &mut [u8]);
    /// Reads the canonical little-endian encoding from the first [`BYTES`](Self::BYTES) bytes of `bytes`.
    ///
    /// # Panics
    /// If `bytes` is shorter than that.
    fn read_le(bytes: &[u8]) -> Self;

    /// A mask of the lowest `bits` bits, for `bits` in 0..=ℓ.
    #[must_use]
    fn low_mask(bits: u32) -> Self {
        if bits == 0 { Self::ZERO } else { (!Self::ZERO) >> (Self::BITS - bits) }
    }

    /// Whether two elements are equal, in constant time.
    fn equals(self, other: Self) -> Choice {
        let (a, b) = (self.to_u128(), other.to_u128());
        (a as u64).ct_eq(&(b as u64)) & ((a >> 64) as u64).ct_eq(&((b >> 64) as u64))
    }

    /// `if_true` where `choice` is true, `if_false` elsewhere, in constant time.
    #[must_use]
    fn select(choice: Choice, if_true: Self, if_false: Self) -> Self {
        let mask = Self::from_u64(u64::from(choice.unwrap_u8())).wrapping_neg();
        if_false ^ (mask & (if_true ^ if_false))
    }

    /// A uniformly random element.
    fn random<G: Rng + ?Sized>(generator: &mut G) -> Self {
        let mut element = [Self::ZERO];
        Self::fill_random(&mut element, generator);
        element[0]
    }

    /// Fills `elements` with uniformly random elements: their canonical encodings are the generator's next bytes.
    fn fill_random<G: Rng + ?Sized>(elements: &mut [Self], generator: &mut G);
}

/// Writes the canonical encodings of `elements` one after the other.
///
/// # Panics
/// If `bytes.len() != elements.len() * R::BYTES`.
pub fn write_all<R: Ring>(elements: &[R], bytes: &mut [u8]) {
    assert_eq!(bytes.len(), elements.len() * R::BYTES);
    if cfg!(target_endian = "little") {
        return bytes.copy_from_slice(R::bytes_of(elements));
    }
    for (element, chunk) in elements.iter().zip(bytes.chunks_exact_mut(R::BYTES)) {
        element.write_le(chunk);
    }
}

/// Reads `elements.len()` canonical encodings.
///
/// # Panics
/// If `bytes.len() != elements.len() * R::BYTES`.
pub fn read_all<R: Ring>(bytes: &[u8], elements: &mut [R]) {
    assert_eq!(bytes.len(), elements.len() * R::BYTES);
    if cfg!(target_endian = "little") {
        return R::bytes_of_mut(elements).copy_from_slice(bytes);
    }
    for (element, chunk) in elements.iter_mut().zip(bytes.chunks_exact(R::BYTES)) {
        *element = R::read_le(chunk);
    }
}

macro_rules! impl_ring {
    ($element:ty, $signed:ty) => {
        impl Ring for $element {
            const BITS: u32 = <$element>::BITS;
            const BYTES: usize = size_of::<$element>();
            const ZERO: Self = 0;
            const ONE: Self = 1;

            #[inline(always)]
            fn wrapping_add(self, other: Self) -> Self {
                <$element>::wrapping_add(self, other)
            }
            #[inline(always)]
            fn wrapping_sub(self, other: Self) -> Self {
                <$element>::wrapping_sub(self, other)
            }
            #[inline(always)]
            fn wrapping_mul(self, other: Self) -> Self {
                <$element>::wrapping_mul(self, other)
            }
            #[inline(always)]
            fn wrapping_neg(self) -> Self {
                <$element>::wrapping_neg(self)
            }
            #[inline(always)]
            fn shift_right_signed(self, bits: u32) -> Self {
                ((self as $signed) >> bits) as $element
            }
            #[inline(always)]
            fn from_u64(value: u64) -> Self {
                value as $element
            }
            #[inline(always)]
            fn from_u128(value: u128) -> Self {
                value as $element
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                value as $element
            }
            #[inline(always)]
            fn to_u128(self) -> u128 {
                self as u128
            }
            #[inline(always)]
            fn to_i128(self) -> i128 {
                (self as $signed) as i128
            }
            #[inline(always)]
            fn low_u64(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn write_le(self, bytes: &mut [u8]) {
                bytes[..Self::BYTES].copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn read_le(bytes: &[u8]) -> Self {
                let mut word = [0u8; size_of::<$element>()];
                word.copy_from_slice(&bytes[..Self::BYTES]);
                <$element>::from_le_bytes(word)
            }
            fn fill_random<G: Rng + ?Sized>(elements: &mut [Self], generator: &mut G) {
                generator.fill_bytes(bytemuck::cast_slice_mut(elements));
                if cfg!(target_endian = "big") {
                    elements.iter_mut().for_each(|element| *element = element.to_le());
                }
            }
        }
    };
}

impl_ring!(u32, i32);
impl_ring!(u64, i64);
impl_ring!(u128, i128);
