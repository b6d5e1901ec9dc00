//! Eight doubles in two 256-bit vectors, on x86-64 with AVX2 and FMA.

use core::arch::x86_64::*;

use super::passes::Arithmetic;
use super::{Modulus, passes_with};

cpufeatures::new!(features, "avx2", "fma");

/// 1.5·2^52: a double around it has no fraction, so that adding it rounds, and its lowest bits are those of the integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Residues as doubles. Made only where the instructions are available.
#[derive(Clone, Copy)]
pub(super) struct Doubles {
    prime: __m256d,
    reciprocal: __m256d,
    round: __m256d,
}

/// Runs intrinsics that touch no memory.
macro_rules! intrinsics {
    ($($body:tt)*) => {
        // SAFETY: a value of `Doubles` exists only where the instructions are available.
        unsafe { $($body)* }
    };
}

/// The four doubles of integers between −2^51 and 2^51.
#[inline(always)]
fn to_doubles(a: Doubles, integers: __m256i) -> __m256d {
    intrinsics! { _mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(integers, _mm256_castpd_si256(a.round))), a.round) }
}

/// The reverse of [`to_doubles`].
#[inline(always)]
fn to_integers(a: Doubles, doubles: __m256d) -> __m256i {
    intrinsics! {
        _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(doubles, a.round)), _mm256_castpd_si256(a.round))
    }
}

/// Rows of four become columns.
#[inline(always)]
fn transpose_quarter(rows: [__m256d; 4]) -> [__m256d; 4] {
    intrinsics! {
        let low = [_mm256_unpacklo_pd(rows[0], rows[1]), _mm256_unpacklo_pd(rows[2], rows[3])];
        let high = [_mm256_unpackhi_pd(rows[0], rows[1]), _mm256_unpackhi_pd(rows[2], rows[3])];
        [
            _mm256_permute2f128_pd::<0x20>(low[0], low[1]),
            _mm256_permute2f128_pd::<0x20>(high[0], high[1]),
            _mm256_permute2f128_pd::<0x31>(low[0], low[1]),
            _mm256_permute2f128_pd::<0x31>(high[0], high[1]),
        ]
    }
}

impl Doubles {
    /// Whether this machine has the instructions.
    pub(super) fn is_available() -> bool {
        features::get()
    }

    pub(super) fn new(modulus: Modulus) -> Self {
        assert!(Self::is_available());
        let prime = modulus.prime as f64;
        // SAFETY: the instructions are available.
        unsafe {
            Self { prime: _mm256_set1_pd(prime), reciprocal: _mm256_set1_pd(1.0 / prime), round: _mm256_set1_pd(ROUND) }
        }
    }

    passes_with!("avx2,fma");

    /// left·right − quotient·p, exactly, where the difference has less than 53 bits.
    #[inline(always)]
    fn remainder(self, left: __m256d, right: __m256d, quotient: __m256d) -> __m256d {
        intrinsics! {
            let high = _mm256_mul_pd(left, right);
            let low = _mm256_fmsub_pd(left, right, high);
            _mm256_add_pd(_mm256_fnmadd_pd(quotient, self.prime, high), low)
        }
    }

    /// The integer nearest to left·right.
    #[inline(always)]
    fn rounded_product(self, left: __m256d, right: __m256d) -> __m256d {
        intrinsics! { _mm256_sub_pd(_mm256_fmadd_pd(left, right, self.round), self.round) }
    }

    #[inline(always)]
    fn reduce_one(self, values: __m256d) -> __m256d {
        let quotient = self.rounded_product(values, self.reciprocal);
        intrinsics! { _mm256_fnmadd_pd(quotient, self.prime, values) }
    }
}

impl Arithmetic for Doubles {
    type Octet = [__m256d; 2];
    type Factors = [[__m256d; 2]; 2];

    #[inline(always)]
    fn load_canonical(self, from: &[u64; 8]) -> [__m256d; 2] {
        // SAFETY: the instructions are available, and each half of an array of 64 bytes is read.
        let [low, high] =
            unsafe { [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from[4..].as_ptr().cast())] };
        [to_doubles(self, low), to_doubles(self, high)]
    }

    #[inline(always)]
    fn store_canonical(self, values: [__m256d; 2], to: &mut [u64; 8]) {
        for (values, to) in self.reduce(values).into_iter().zip(to.as_chunks_mut::<4>().0) {
            let canonical = intrinsics! {
                let negative = _mm256_cmp_pd::<_CMP_LT_OQ>(values, _mm256_setzero_pd());
                _mm256_add_pd(values, _mm256_and_pd(negative, self.prime))
            };
            // SAFETY: the instructions are available, and 32 bytes are written to an array of 32 bytes.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), to_integers(self, canonical)) }
        }
    }

    #[inline(always)]
    fn load(self, from: &[u64; 8]) -> [__m256d; 2] {
        // SAFETY: the instructions are available, and each half of an array of 64 bytes is read.
        unsafe { [_mm256_loadu_pd(from.as_ptr().cast()), _mm256_loadu_pd(from[4..].as_ptr().cast())] }
    }

    #[inline(always)]
    fn store(self, values: [__m256d; 2], to: &mut [u64; 8]) {
        // SAFETY: the instructions are available, and each half of an array of 64 bytes is written.
        unsafe {
            _mm256_storeu_pd(to.as_mut_ptr().cast(), values[0]);
            _mm256_storeu_pd(to[4..].as_mut_ptr().cast(), values[1]);
        }
    }

    #[inline(always)]
    fn factor(self, from: i64) -> [[__m256d; 2]; 2] {
        intrinsics! {
            let factor = _mm256_set1_pd(from as f64);
            [[factor; 2], [_mm256_mul_pd(factor, self.reciprocal); 2]]
        }
    }

    #[inline(always)]
    fn factors(self, from: &[i64; 8]) -> [[__m256d; 2]; 2] {
        // SAFETY: the instructions are available, and each half of an array of 64 bytes is read.
        let [low, high] =
            unsafe { [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from[4..].as_ptr().cast())] };
        let [low, high] = [to_doubles(self, low), to_doubles(self, high)];
        intrinsics! { [[low, high], [_mm256_mul_pd(low, self.reciprocal), _mm256_mul_pd(high, self.reciprocal)]] }
    }

    #[inline(always)]
    fn add(self, left: [__m256d; 2], right: [__m256d; 2]) -> [__m256d; 2] {
        intrinsics! { [_mm256_add_pd(left[0], right[0]), _mm256_add_pd(left[1], right[1])] }
    }

    #[inline(always)]
    fn subtract(self, left: [__m256d; 2], right: [__m256d; 2]) -> [__m256d; 2] {
        intrinsics! { [_mm256_sub_pd(left[0], right[0]), _mm256_sub_pd(left[1], right[1])] }
    }

    #[inline(always)]
    fn multiply(self, values: [__m256d; 2], [factors, ratios]: [[__m256d; 2]; 2]) -> [__m256d; 2] {
        [
            self.remainder(values[0], factors[0], self.rounded_product(values[0], ratios[0])),
            self.remainder(values[1], factors[1], self.rounded_product(values[1], ratios[1])),
        ]
    }

    #[inline(always)]
    fn product(self, left: [__m256d; 2], right: [__m256d; 2]) -> [__m256d; 2] {
        let products = intrinsics! { [_mm256_mul_pd(left[0], right[0]), _mm256_mul_pd(left[1], right[1])] };
        [
            self.remainder(left[0], right[0], self.rounded_product(products[0], self.reciprocal)),
            self.remainder(left[1], right[1], self.rounded_product(products[1], self.reciprocal)),
        ]
    }

    #[inline(always)]
    fn reduce(self, values: [__m256d; 2]) -> [__m256d; 2] {
        [self.reduce_one(values[0]), self.reduce_one(values[1])]
    }

    #[inline(always)]
    fn transpose(self, rows: [[__m256d; 2]; 8]) -> [[__m256d; 2]; 8] {
        let mut columns = rows;
        for half in 0..2 {
            for side in 0..2 {
                let from = 4 * half;
                let quarter = [rows[from][side], rows[from + 1][side], rows[from + 2][side], rows[from + 3][side]];
                for (column, values) in columns[4 * side..4 * side + 4].iter_mut().zip(transpose_quarter(quarter)) {
                    column[half] = values;
                }
            }
        }
        columns
    }
}
