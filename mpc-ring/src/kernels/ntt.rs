//! The negacyclic number-theoretic transform: products of polynomials modulo X^N + 1 and a prime of 50 bits.
//!
//! One algorithm ([`passes`]) serves every backend; a backend provides the arithmetic of eight residues. The vector backends
//! compute in doubles: the fused multiply-add gives both halves of a product of 50-bit factors exactly (van der Hoeven, Lecerf,
//! Quintin, "Modular SIMD arithmetic in Mathemagix", 2014, section 3).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod passes;
mod portable;
mod tables;

use super::Backend;

/// The transform of polynomials of `N` coefficients modulo one prime p of 50 bits with p ≡ 1 modulo 2N: it holds the powers of
/// a root of X^N + 1.
///
/// A transformed polynomial has the values at the roots of X^N + 1, in an order of this crate's own that is the same on every
/// machine. Residues are below p, before and after. The time does not depend on them.
///
/// ```
/// use mpc_ring::kernels::Ntt;
/// static NTT: Ntt<64> = Ntt::new(1_125_899_906_826_241);
/// let mut left = [0; 64];
/// let mut right = [0; 64];
/// (left[63], right[2]) = (5, 7);
/// NTT.forward(&mut left);
/// NTT.forward(&mut right);
/// let mut product = [0; 64];
/// NTT.multiply_accumulate(&mut product, &left, &right);
/// NTT.inverse(&mut product);
/// // 5·X^63 · 7·X^2 = 35·X^65 = −35·X.
/// assert_eq!(product[1], NTT.prime() - 35);
/// ```
pub struct Ntt<const N: usize> {
    modulus: Modulus,
    forward: [i64; N],
    inverse: [i64; N],
    last: [i64; 2],
}

/// A prime of 50 bits and what divides by it.
#[derive(Clone, Copy)]
struct Modulus {
    prime: i64,
    /// ⌊2^112 / prime⌋, of 63 bits.
    reciprocal: i64,
}

/// Calls a pass of the backend's arithmetic, compiled for its instructions.
macro_rules! dispatch {
    ($backend:expr, $modulus:expr, $pass:ident($($argument:expr),*)) => {
        match $backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 | Backend::Amx => avx512::Doubles::new($modulus).$pass($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 if avx2::Doubles::is_available() => avx2::Doubles::new($modulus).$pass($($argument),*),
            _ => passes::$pass(portable::Integers::new($modulus), $($argument),*),
        }
    };
}

/// The passes as methods of a backend's arithmetic. Each is one function with the instructions enabled, into which all of the
/// pass is inlined.
#[cfg(target_arch = "x86_64")]
macro_rules! passes_with {
    ($features:literal) => {
        passes_with!($features, forward(roots: &[i64], values: &mut [u64]));
        passes_with!($features, inverse(roots: &[i64], last: [i64; 2], values: &mut [u64]));
        passes_with!($features, multiply_accumulate(sums: &mut [u64], left: &[u64], right: &[u64]));
        passes_with!($features, add_multiples(len: usize, sums: &mut [u64], terms: &[u64], factors: &[i64]));
    };
    ($features:literal, $pass:ident($($argument:ident: $type:ty),*)) => {
        pub(super) fn $pass(self, $($argument: $type),*) {
            #[target_feature(enable = $features)]
            fn compiled(arithmetic: Doubles, $($argument: $type),*) {
                super::passes::$pass(arithmetic, $($argument),*);
            }
            // SAFETY: a value of `Doubles` exists only where the instructions are available.
            unsafe { compiled(self, $($argument),*) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
use passes_with;

impl<const N: usize> Ntt<N> {
    /// The transform modulo `prime`. It can be made when the program is compiled, and kept in a `static`.
    ///
    /// # Panics
    /// If `N` is not a power of two of 64 or more, or `prime` is not a prime between 2^49 and 2^50 that is 1 modulo 2N.
    #[must_use]
    pub const fn new(prime: u64) -> Self {
        assert!(N.is_power_of_two() && N >= 64, "the number of coefficients is a power of two of 64 or more");
        assert!(prime >> 49 == 1, "the prime has 50 bits");
        assert!(prime % (2 * N as u64) == 1, "the prime is 1 modulo twice the number of coefficients");
        assert!(tables::is_prime(prime), "the modulus is prime");
        let root = tables::root(prime, N as u64);
        let inverse_root = tables::power(root, 2 * N as u64 - 1, prime);
        Self {
            modulus: Modulus { prime: prime as i64, reciprocal: ((1 << 112) / prime as u128) as i64 },
            forward: tables::powers(root, prime),
            inverse: tables::powers(inverse_root, prime),
            last: tables::last_factors(inverse_root, N as u64, prime),
        }
    }

    /// The prime.
    #[must_use]
    pub const fn prime(&self) -> u64 {
        self.modulus.prime as u64
    }

    /// Transforms a polynomial of coefficients below the prime.
    pub fn forward(&self, values: &mut [u64; N]) {
        self.forward_with(Backend::detect(), values);
    }

    /// As [`forward`](Self::forward), by one backend.
    ///
    /// # Panics
    /// If the backend is not available on this machine.
    pub fn forward_with(&self, backend: Backend, values: &mut [u64; N]) {
        check(backend);
        dispatch!(backend, self.modulus, forward(&self.forward, values));
    }

    /// Takes a transform back to its polynomial, with coefficients below the prime.
    pub fn inverse(&self, values: &mut [u64; N]) {
        self.inverse_with(Backend::detect(), values);
    }

    /// As [`inverse`](Self::inverse), by one backend.
    ///
    /// # Panics
    /// If the backend is not available on this machine.
    pub fn inverse_with(&self, backend: Backend, values: &mut [u64; N]) {
        check(backend);
        dispatch!(backend, self.modulus, inverse(&self.inverse, self.last, values));
    }

    /// Adds the products of `left` and `right` to `sums`, place by place: of transforms, the transform of the product.
    pub fn multiply_accumulate(&self, sums: &mut [u64; N], left: &[u64; N], right: &[u64; N]) {
        self.multiply_accumulate_with(Backend::detect(), sums, left, right);
    }

    /// As [`multiply_accumulate`](Self::multiply_accumulate), by one backend.
    ///
    /// # Panics
    /// If the backend is not available on this machine.
    pub fn multiply_accumulate_with(&self, backend: Backend, sums: &mut [u64; N], left: &[u64; N], right: &[u64; N]) {
        check(backend);
        dispatch!(backend, self.modulus, multiply_accumulate(sums, left, right));
    }

    /// Adds to each sum a multiple of every term, place by place: `factors` has a row of one for each term, sum by sum. A factor
    /// is between −2^49 and 2^49.
    ///
    /// ```
    /// use mpc_ring::kernels::Ntt;
    /// static NTT: Ntt<64> = Ntt::new(1_125_899_906_826_241);
    /// let mut sums = [[1; 64]];
    /// NTT.add_multiples(&mut sums, &[[2; 64], [3; 64]], &[10, -4]);
    /// assert_eq!(sums, [[1 + 20 - 12; 64]]);
    /// ```
    ///
    /// # Panics
    /// If the factors are not one for each term and sum.
    pub fn add_multiples(&self, sums: &mut [[u64; N]], terms: &[[u64; N]], factors: &[i64]) {
        self.add_multiples_with(Backend::detect(), sums, terms, factors);
    }

    /// As [`add_multiples`](Self::add_multiples), by one backend.
    ///
    /// # Panics
    /// As there, and if the backend is not available on this machine.
    pub fn add_multiples_with(&self, backend: Backend, sums: &mut [[u64; N]], terms: &[[u64; N]], factors: &[i64]) {
        check(backend);
        assert_eq!(factors.len(), sums.len() * terms.len(), "a factor for each term and sum");
        if terms.is_empty() {
            return;
        }
        let (sums, terms) = (sums.as_flattened_mut(), terms.as_flattened());
        dispatch!(backend, self.modulus, add_multiples(N, sums, terms, factors));
    }

    /// Whether all are below the prime, in the same time for all values.
    #[must_use]
    pub fn are_residues(&self, values: &[u64]) -> bool {
        let last = self.prime() - 1;
        values.iter().fold(0, |wrong, value| wrong | last.wrapping_sub(*value) | value) >> 63 == 0
    }
}

fn check(backend: Backend) {
    assert!(backend.is_available(), "{backend:?} is not available on this machine");
}
