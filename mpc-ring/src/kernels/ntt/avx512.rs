//! Eight doubles in a 512-bit vector, on x86-64 with AVX-512 F and DQ.

use core::arch::x86_64::*;

use super::passes::Arithmetic;
use super::{Modulus, passes_with};
use crate::kernels::avx512;

/// 1.5·2^52: a double around it has no fraction, so that adding it rounds.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Residues as doubles. Made only where the instructions are available.
#[derive(Clone, Copy)]
pub(super) struct Doubles {
    prime: __m512d,
    reciprocal: __m512d,
    round: __m512d,
}

/// Runs intrinsics that touch no memory.
macro_rules! intrinsics {
    ($($body:tt)*) => {
        // SAFETY: a value of `Doubles` exists only where the instructions are available.
        unsafe { $($body)* }
    };
}

impl Doubles {
    pub(super) fn new(modulus: Modulus) -> Self {
        assert!(avx512::is_available());
        let prime = modulus.prime as f64;
        // SAFETY: the instructions are available.
        unsafe {
            Self { prime: _mm512_set1_pd(prime), reciprocal: _mm512_set1_pd(1.0 / prime), round: _mm512_set1_pd(ROUND) }
        }
    }

    passes_with!("avx512f,avx512dq");

    /// left·right − quotient·p, exactly, where the difference has less than 53 bits.
    #[inline(always)]
    fn remainder(self, left: __m512d, right: __m512d, quotient: __m512d) -> __m512d {
        intrinsics! {
            let high = _mm512_mul_pd(left, right);
            let low = _mm512_fmsub_pd(left, right, high);
            _mm512_add_pd(_mm512_fnmadd_pd(quotient, self.prime, high), low)
        }
    }

    /// The integer nearest to left·right.
    #[inline(always)]
    fn rounded_product(self, left: __m512d, right: __m512d) -> __m512d {
        intrinsics! { _mm512_sub_pd(_mm512_fmadd_pd(left, right, self.round), self.round) }
    }
}

impl Arithmetic for Doubles {
    type Octet = __m512d;
    type Factors = [__m512d; 2];

    #[inline(always)]
    fn load_canonical(self, from: &[u64; 8]) -> __m512d {
        // SAFETY: the instructions are available, and 64 bytes are read from an array of 64 bytes.
        unsafe { _mm512_cvtepi64_pd(_mm512_loadu_si512(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_canonical(self, values: __m512d, to: &mut [u64; 8]) {
        let values = self.reduce(values);
        // SAFETY: the instructions are available, and 64 bytes are written to an array of 64 bytes.
        unsafe {
            let negative = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(values, _mm512_setzero_pd());
            let values = _mm512_mask_add_pd(values, negative, values, self.prime);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_cvtpd_epi64(values));
        }
    }

    #[inline(always)]
    fn load(self, from: &[u64; 8]) -> __m512d {
        // SAFETY: the instructions are available, and 64 bytes are read from an array of 64 bytes.
        unsafe { _mm512_loadu_pd(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, values: __m512d, to: &mut [u64; 8]) {
        // SAFETY: the instructions are available, and 64 bytes are written to an array of 64 bytes.
        unsafe { _mm512_storeu_pd(to.as_mut_ptr().cast(), values) }
    }

    #[inline(always)]
    fn factor(self, from: i64) -> [__m512d; 2] {
        intrinsics! {
            let factor = _mm512_set1_pd(from as f64);
            [factor, _mm512_mul_pd(factor, self.reciprocal)]
        }
    }

    #[inline(always)]
    fn factors(self, from: &[i64; 8]) -> [__m512d; 2] {
        // SAFETY: the instructions are available, and 64 bytes are read from an array of 64 bytes.
        unsafe {
            let factors = _mm512_cvtepi64_pd(_mm512_loadu_si512(from.as_ptr().cast()));
            [factors, _mm512_mul_pd(factors, self.reciprocal)]
        }
    }

    #[inline(always)]
    fn add(self, left: __m512d, right: __m512d) -> __m512d {
        intrinsics! { _mm512_add_pd(left, right) }
    }

    #[inline(always)]
    fn subtract(self, left: __m512d, right: __m512d) -> __m512d {
        intrinsics! { _mm512_sub_pd(left, right) }
    }

    #[inline(always)]
    fn multiply(self, values: __m512d, [factors, ratios]: [__m512d; 2]) -> __m512d {
        self.remainder(values, factors, self.rounded_product(values, ratios))
    }

    #[inline(always)]
    fn product(self, left: __m512d, right: __m512d) -> __m512d {
        let product = intrinsics! { _mm512_mul_pd(left, right) };
        self.remainder(left, right, self.rounded_product(product, self.reciprocal))
    }

    #[inline(always)]
    fn reduce(self, values: __m512d) -> __m512d {
        let quotient = self.rounded_product(values, self.reciprocal);
        intrinsics! { _mm512_fnmadd_pd(quotient, self.prime, values) }
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512d; 8]) -> [__m512d; 8] {
        let mut columns = rows;
        for odd in 0..2 {
            let mut pairs = [rows[0]; 4];
            for (pair, rows) in pairs.iter_mut().zip(rows.as_chunks::<2>().0) {
                *pair = intrinsics! {
                    if odd == 0 { _mm512_unpacklo_pd(rows[0], rows[1]) } else { _mm512_unpackhi_pd(rows[0], rows[1]) }
                };
            }
            intrinsics! {
                let low = [
                    _mm512_shuffle_f64x2::<0b10_00_10_00>(pairs[0], pairs[1]),
                    _mm512_shuffle_f64x2::<0b10_00_10_00>(pairs[2], pairs[3]),
                ];
                let high = [
                    _mm512_shuffle_f64x2::<0b11_01_11_01>(pairs[0], pairs[1]),
                    _mm512_shuffle_f64x2::<0b11_01_11_01>(pairs[2], pairs[3]),
                ];
                columns[odd] = _mm512_shuffle_f64x2::<0b10_00_10_00>(low[0], low[1]);
                columns[2 + odd] = _mm512_shuffle_f64x2::<0b10_00_10_00>(high[0], high[1]);
                columns[4 + odd] = _mm512_shuffle_f64x2::<0b11_01_11_01>(low[0], low[1]);
                columns[6 + odd] = _mm512_shuffle_f64x2::<0b11_01_11_01>(high[0], high[1]);
            }
        }
        columns
    }
}
