//! Reading tables of bits at public indices, 64 tables at a time.

use super::Backend;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// The number of tables that one call reads: a word has a bit of each.
pub const TABLE_BLOCK: usize = 64;

/// Tables of 32 bits, two in a word: table i is the lower half of word i / 2 if i is even, and the upper one if it is odd.
pub type Tables = [u64; TABLE_BLOCK / 2];

/// Reads two bits of each of 64 tables of 32 bits: with the index v_i, the five bits of `indices[i]` from `shift` on, bit i of
/// the first word is bit v_i of table i, and bit i of the second is the bit below it, which of bit 0 is `below`.
///
/// The time does not depend on the tables or the indices.
///
/// ```
/// use mpc_ring::kernels::lookup;
/// let mut tables = [0; 32];
/// tables[1] = 1 << (32 + 7);
/// assert_eq!(lookup(&tables, &[7 << 5; 64], 5, true), [1 << 3, 0]);
/// assert_eq!(lookup(&tables, &[8 << 5; 64], 5, true), [0, 1 << 3]);
/// assert_eq!(lookup(&tables, &[0; 64], 5, true), [0, u64::MAX]);
/// ```
///
/// # Panics
/// If `shift` is 32 or more.
#[must_use]
pub fn lookup(tables: &Tables, indices: &[u32; TABLE_BLOCK], shift: u32, below: bool) -> [u64; 2] {
    lookup_with(Backend::detect(), tables, indices, shift, below)
}

/// As [`lookup`], by one backend.
///
/// # Panics
/// If `shift` is 32 or more, or the backend is not available on this machine.
#[must_use]
pub fn lookup_with(
    backend: Backend,
    tables: &Tables,
    indices: &[u32; TABLE_BLOCK],
    shift: u32,
    below: bool,
) -> [u64; 2] {
    assert!(shift < u32::BITS, "an index is within 32 bits");
    match backend {
        Backend::Portable => portable(tables, indices, shift, below),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => avx2::lookup(tables, indices, shift, below),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 | Backend::Amx => avx512::lookup(tables, indices, shift, below),
        #[cfg(not(target_arch = "x86_64"))]
        Backend::Avx2 | Backend::Avx512 | Backend::Amx => panic!("{backend:?} is not available on this machine"),
    }
}

fn portable(tables: &Tables, indices: &[u32; TABLE_BLOCK], shift: u32, below: bool) -> [u64; 2] {
    let (mut here, mut under) = (0, 0);
    let tables = tables.iter().flat_map(|pair| [pair & u64::from(u32::MAX), pair >> 32]);
    for (bit, (table, index)) in tables.zip(indices).enumerate() {
        let entries = ((table << 1) | u64::from(below)) >> ((index >> shift) & 31);
        here |= ((entries >> 1) & 1) << bit;
        under |= (entries & 1) << bit;
    }
    [here, under]
}
