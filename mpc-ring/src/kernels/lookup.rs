//! Reading tables of bits at public indices, 64 tables at a time.

use super::Backend;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// The number of tables that one call reads: a word has a bit of each.
pub const TABLE_BLOCK: usize = 64;

/// Reads two bits of each of 64 tables of 2×32 bits: with the index v_i, the five bits of `indices[i]` from `shift` on,
/// bit i of the first word is bit v_i of `tables[i]`, and bit i of the second is bit 32 + v_i.
///
/// The time does not depend on the tables or the indices.
///
/// ```
/// use mpc_ring::kernels::lookup;
/// let mut tables = [0; 64];
/// tables[3] = 1 << 7 | 1 << (32 + 7);
/// assert_eq!(lookup(&tables, &[7 << 5; 64], 5), [1 << 3, 1 << 3]);
/// ```
///
/// # Panics
/// If `shift` is 64 or more.
#[must_use]
pub fn lookup(tables: &[u64; TABLE_BLOCK], indices: &[u64; TABLE_BLOCK], shift: u32) -> [u64; 2] {
    lookup_with(Backend::detect(), tables, indices, shift)
}

/// As [`lookup`], by one backend.
///
/// # Panics
/// If `shift` is 64 or more, or the backend is not available on this machine.
#[must_use]
pub fn lookup_with(
    backend: Backend,
    tables: &[u64; TABLE_BLOCK],
    indices: &[u64; TABLE_BLOCK],
    shift: u32,
) -> [u64; 2] {
    match backend {
        Backend::Portable => portable(tables, indices, shift),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => avx2::lookup(tables, indices, shift),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 | Backend::Amx => avx512::lookup(tables, indices, shift),
        #[cfg(not(target_arch = "x86_64"))]
        Backend::Avx2 | Backend::Avx512 | Backend::Amx => panic!("{backend:?} is not available on this machine"),
    }
}

/// The vector backends compile this for their instructions.
#[inline(always)]
pub(super) fn portable(tables: &[u64; TABLE_BLOCK], indices: &[u64; TABLE_BLOCK], shift: u32) -> [u64; 2] {
    let (mut low, mut high) = (0, 0);
    for (bit, (table, index)) in tables.iter().zip(indices).enumerate() {
        let entry = table >> ((index >> shift) & 31);
        low |= (entry & 1) << bit;
        high |= ((entry >> 32) & 1) << bit;
    }
    [low, high]
}
