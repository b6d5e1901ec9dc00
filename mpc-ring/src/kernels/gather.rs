//! Sums of a few places of a table at public indices: the encoding of a sparse linear code.

use super::Backend;
#[cfg(target_arch = "x86_64")]
use super::avx2;

/// Adds to output i, by XOR, the `N` words of `table` at `places[i]`, of which the bits above the table's length are ignored.
///
/// The places are public: the time and the cache depend on them, and on nothing else.
///
/// ```
/// let mut outputs = [0, 1];
/// mpc_ring::kernels::gather_xor(&[10, 20, 40, 80], &[[0, 1], [2, 7]], &mut outputs);
/// assert_eq!(outputs, [10 ^ 20, 1 ^ 40 ^ 80]);
/// ```
///
/// # Panics
/// If the table's length is no power of two, or there are fewer places than outputs.
pub fn gather_xor<const N: usize>(table: &[u128], places: &[[u32; N]], outputs: &mut [u128]) {
    gather_xor_with(Backend::detect(), table, places, outputs);
}

/// As [`gather_xor`], by one backend.
///
/// # Panics
/// As for [`gather_xor`], and if the backend is not available on this machine.
pub fn gather_xor_with<const N: usize>(backend: Backend, table: &[u128], places: &[[u32; N]], outputs: &mut [u128]) {
    assert!(table.len().is_power_of_two(), "the table's length is a power of two");
    assert!(places.len() >= outputs.len(), "places for each output");
    match backend {
        Backend::Portable => portable(table, places, outputs),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 | Backend::Avx512 | Backend::Amx => avx2::gather_xor(table, places, outputs),
        #[cfg(not(target_arch = "x86_64"))]
        Backend::Avx2 | Backend::Avx512 | Backend::Amx => panic!("{backend:?} is not available on this machine"),
    }
}

fn portable<const N: usize>(table: &[u128], places: &[[u32; N]], outputs: &mut [u128]) {
    let mask = table.len() - 1;
    for (output, places) in outputs.iter_mut().zip(places) {
        *output = places.iter().fold(*output, |sum, &place| sum ^ table[place as usize & mask]);
    }
}
