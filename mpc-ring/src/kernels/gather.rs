//! Sums of a few places of a table at public indices: the encoding of a sparse linear code.

use super::Backend;
#[cfg(target_arch = "x86_64")]
use super::avx2;

/// Adds to output i of lane l, by XOR, word l of the `N` entries of `table` at `places[i]`, of which the bits above the table's
/// length are ignored.
///
/// An entry has a word for each of `L` lanes, so that a line of the cache serves all of them. The places are public: the time and
/// the cache depend on them, and on nothing else.
///
/// ```
/// let (mut first, mut second) = ([0, 1], [0, 0]);
/// let table = [[10, 1], [20, 2], [40, 4], [80, 8]];
/// mpc_ring::kernels::gather_xor(&table, &[[0, 1], [2, 7]], [&mut first, &mut second]);
/// assert_eq!((first, second), ([10 ^ 20, 1 ^ 40 ^ 80], [1 ^ 2, 4 ^ 8]));
/// ```
///
/// # Panics
/// If the table's length is no power of two, lanes differ in length, or there are fewer places than outputs.
pub fn gather_xor<const N: usize, const L: usize>(table: &[[u128; L]], places: &[[u32; N]], outputs: [&mut [u128]; L]) {
    gather_xor_with(Backend::detect(), table, places, outputs);
}

/// As [`gather_xor`], by one backend.
///
/// # Panics
/// As for [`gather_xor`], and if the backend is not available on this machine.
pub fn gather_xor_with<const N: usize, const L: usize>(
    backend: Backend,
    table: &[[u128; L]],
    places: &[[u32; N]],
    outputs: [&mut [u128]; L],
) {
    assert!(table.len().is_power_of_two(), "the table's length is a power of two");
    let Some(len) = outputs.first().map(|lane| lane.len()) else { return };
    assert!(outputs.iter().all(|lane| lane.len() == len), "lanes of one length");
    let places = &places[..len];
    match backend {
        Backend::Portable => portable(table, places, outputs),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 | Backend::Avx512 | Backend::Amx => avx2::gather_xor(table, places, outputs),
        #[cfg(not(target_arch = "x86_64"))]
        Backend::Avx2 | Backend::Avx512 | Backend::Amx => panic!("{backend:?} is not available on this machine"),
    }
}

fn portable<const N: usize, const L: usize>(table: &[[u128; L]], places: &[[u32; N]], outputs: [&mut [u128]; L]) {
    let mask = table.len() - 1;
    for (at, places) in places.iter().enumerate() {
        for &place in places {
            let entry = &table[place as usize & mask];
            (0..L).for_each(|lane| outputs[lane][at] ^= entry[lane]);
        }
    }
}
