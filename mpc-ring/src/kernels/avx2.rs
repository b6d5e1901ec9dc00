//! 256-bit vectors, on x86-64 with AVX2.

use core::arch::x86_64::*;

use crate::kernels::lookup::{TABLE_BLOCK, Tables};
use crate::kernels::tile::{Columns, Tile, TileShape};
use crate::kernels::{Work, portable};

cpufeatures::new!(features, "avx2");

/// Whether this machine has the instructions.
pub(crate) fn is_available() -> bool {
    features::get()
}

/// A ring whose elements fit the lanes of a vector.
pub(crate) trait Vectors: Sized {
    /// The largest tile whose sums and factors fit the 16 registers.
    const SHAPE: TileShape;

    /// Adds the tile's product to its output.
    fn accumulate_tile(tile: Tile<'_, Self>);

    /// The sum of products.
    fn dot(left: &[Self], right: &[Self]) -> Self;
}

/// Calls the kernel for the tile's number of rows and vectors, with masks only if some vector is not full.
macro_rules! select_kernel {
    ($kernel:ident, $tile:expr, $full:expr, $(($rows:literal, $vectors:literal)),*) => {
        match ($tile.rows, $tile.columns.len(), $full) {
            $(($rows, $vectors, true) => $kernel::<$rows, $vectors, true>($tile),
            ($rows, $vectors, false) => $kernel::<$rows, $vectors, false>($tile),)*
            _ => unreachable!("the tile was checked"),
        }
    };
}

/// Whether every vector of columns is full.
fn is_full<R>(tile: &Tile<'_, R>, shape: TileShape) -> bool {
    tile.columns.iter().all(|columns| columns.count == shape.lanes)
}

impl Vectors for u32 {
    const SHAPE: TileShape = TileShape { rows: 4, lanes: 8, vectors: 2 };

    fn accumulate_tile(mut tile: Tile<'_, Self>) {
        assert!(is_available());
        tile.check(Self::SHAPE);
        let full = is_full(&tile, Self::SHAPE);
        // SAFETY: the instructions are available, the tile was checked, and has at most 4 rows and 2 vectors.
        unsafe {
            select_kernel!(
                accumulate_u32,
                &mut tile,
                full,
                (1, 1),
                (2, 1),
                (3, 1),
                (4, 1),
                (1, 2),
                (2, 2),
                (3, 2),
                (4, 2)
            );
        }
    }

    fn dot(left: &[Self], right: &[Self]) -> Self {
        #[target_feature(enable = "avx2")]
        fn vectorized(left: &[u32], right: &[u32]) -> u32 {
            portable::dot(left, right)
        }
        assert!(is_available());
        // SAFETY: the instructions are available.
        unsafe { vectorized(left, right) }
    }
}

impl Vectors for u64 {
    const SHAPE: TileShape = TileShape { rows: 4, lanes: 4, vectors: 1 };

    fn accumulate_tile(mut tile: Tile<'_, Self>) {
        assert!(is_available());
        tile.check(Self::SHAPE);
        let full = is_full(&tile, Self::SHAPE);
        // SAFETY: the instructions are available, the tile was checked, and has at most 4 rows and 1 vector.
        unsafe { select_kernel!(accumulate_u64, &mut tile, full, (1, 1), (2, 1), (3, 1), (4, 1)) }
    }

    fn dot(left: &[Self], right: &[Self]) -> Self {
        #[target_feature(enable = "avx2")]
        fn vectorized(left: &[u64], right: &[u64]) -> u64 {
            portable::dot(left, right)
        }
        assert!(is_available());
        // SAFETY: the instructions are available.
        unsafe { vectorized(left, right) }
    }
}

/// # Safety
/// The tile must have passed its check for `SHAPE`, with `ROWS` rows and `VECTORS` vectors of columns, `FULL` only if each is
/// full.
#[target_feature(enable = "avx2")]
unsafe fn accumulate_u32<const ROWS: usize, const VECTORS: usize, const FULL: bool>(tile: &mut Tile<'_, u32>) {
    let masks: [__m256i; VECTORS] = core::array::from_fn(|v| mask_epi32(tile.columns[v]));
    let left = tile.left.as_ptr();
    let right: [*const u32; VECTORS] = core::array::from_fn(|v| tile.right[tile.columns[v].right..].as_ptr());
    let mut sums = [[_mm256_setzero_si256(); VECTORS]; ROWS];
    for (k, &offset) in tile.offsets.as_slice().iter().enumerate() {
        // SAFETY: `check` found every offset within the right operand, up to the columns that the mask admits.
        let load = |v: usize| unsafe { load_epi32::<FULL>(right[v].add(offset).cast(), masks[v]) };
        let factors: [__m256i; VECTORS] = core::array::from_fn(load);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `check` found every row and term within the left operand.
            let factor = _mm256_set1_epi32(unsafe { *left.add(tile.left_place(row, k)) } as i32);
            for (sum, factors) in sums.iter_mut().zip(factors) {
                *sum = _mm256_add_epi32(*sum, _mm256_mullo_epi32(factor, factors));
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            let start = row * tile.output_stride + tile.columns[v].output;
            // SAFETY: `check` found every row within the output, up to the columns that the mask admits.
            unsafe {
                let output = tile.output.as_mut_ptr().add(start).cast();
                let sum = _mm256_add_epi32(load_epi32::<FULL>(output, masks[v]), sum);
                store_epi32::<FULL>(output, masks[v], sum);
            }
        }
    }
}

/// With a = a₁·2³² + a₀ and b likewise, a·b = a₀·b₀ + (a₁·b₀ + a₀·b₁)·2³² modulo 2⁶⁴. The first product takes one 64-bit
/// multiplication, the two others one 32-bit multiplication by b with its halves swapped; their sum, modulo 2³², waits
/// until the end.
///
/// # Safety
/// The tile must have passed its check for `SHAPE`, with `ROWS` rows and `VECTORS` vectors of columns, `FULL` only if each is
/// full.
#[target_feature(enable = "avx2")]
unsafe fn accumulate_u64<const ROWS: usize, const VECTORS: usize, const FULL: bool>(tile: &mut Tile<'_, u64>) {
    const { assert!(VECTORS == 1) };
    let columns = tile.columns[0];
    let mask = mask_epi64(columns);
    let left = tile.left.as_ptr();
    let right = tile.right[columns.right..].as_ptr();
    let mut low = [_mm256_setzero_si256(); ROWS];
    let mut cross = [_mm256_setzero_si256(); ROWS];
    for (k, &offset) in tile.offsets.as_slice().iter().enumerate() {
        // SAFETY: `check` found every offset within the right operand, up to the columns that the mask admits.
        let factors = unsafe { load_epi64::<FULL>(right.add(offset).cast(), mask) };
        let swapped = _mm256_shuffle_epi32::<0b10_11_00_01>(factors);
        for (row, (low, cross)) in low.iter_mut().zip(&mut cross).enumerate() {
            // SAFETY: `check` found every row and term within the left operand.
            let factor = _mm256_set1_epi64x(unsafe { *left.add(tile.left_place(row, k)) } as i64);
            *low = _mm256_add_epi64(*low, _mm256_mul_epu32(factor, factors));
            *cross = _mm256_add_epi32(*cross, _mm256_mullo_epi32(factor, swapped));
        }
    }
    for (row, (low, cross)) in low.into_iter().zip(cross).enumerate() {
        let cross = _mm256_slli_epi64::<32>(_mm256_add_epi32(cross, _mm256_srli_epi64::<32>(cross)));
        let sum = _mm256_add_epi64(low, cross);
        let start = row * tile.output_stride + columns.output;
        // SAFETY: `check` found every row within the output, up to the columns that the mask admits.
        unsafe {
            let output = tile.output.as_mut_ptr().add(start).cast();
            let sum = _mm256_add_epi64(load_epi64::<FULL>(output, mask), sum);
            store_epi64::<FULL>(output, mask, sum);
        }
    }
}

/// The lanes that the mask admits: all of them, without a mask, if the vector is full.
///
/// # Safety
/// The lanes that are loaded must be readable.
#[target_feature(enable = "avx2")]
unsafe fn load_epi32<const FULL: bool>(from: *const i32, mask: __m256i) -> __m256i {
    // SAFETY: as above.
    unsafe { if FULL { _mm256_loadu_si256(from.cast()) } else { _mm256_maskload_epi32(from, mask) } }
}

/// As [`load_epi32`].
///
/// # Safety
/// The lanes that are loaded must be readable.
#[target_feature(enable = "avx2")]
unsafe fn load_epi64<const FULL: bool>(from: *const i64, mask: __m256i) -> __m256i {
    // SAFETY: as above.
    unsafe { if FULL { _mm256_loadu_si256(from.cast()) } else { _mm256_maskload_epi64(from, mask) } }
}

/// Stores the lanes that the mask admits: all of them, without a mask, if the vector is full. A store with a mask takes some
/// processors many times as long.
///
/// # Safety
/// The lanes that are stored must be writable.
#[target_feature(enable = "avx2")]
unsafe fn store_epi32<const FULL: bool>(to: *mut i32, mask: __m256i, vector: __m256i) {
    // SAFETY: as above.
    unsafe { if FULL { _mm256_storeu_si256(to.cast(), vector) } else { _mm256_maskstore_epi32(to, mask, vector) } }
}

/// As [`store_epi32`].
///
/// # Safety
/// The lanes that are stored must be writable.
#[target_feature(enable = "avx2")]
unsafe fn store_epi64<const FULL: bool>(to: *mut i64, mask: __m256i, vector: __m256i) {
    // SAFETY: as above.
    unsafe { if FULL { _mm256_storeu_si256(to.cast(), vector) } else { _mm256_maskstore_epi64(to, mask, vector) } }
}

/// All ones in the lanes of the columns.
#[target_feature(enable = "avx2")]
fn mask_epi32(columns: Columns) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(columns.count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// All ones in the lanes of the columns.
#[target_feature(enable = "avx2")]
fn mask_epi64(columns: Columns) -> __m256i {
    _mm256_cmpgt_epi64(_mm256_set1_epi64x(columns.count as i64), _mm256_setr_epi64x(0, 1, 2, 3))
}

/// [`lookup`](super::lookup()): each index shifts the chosen bit of its table to the top, from where all are collected.
pub(super) fn lookup(tables: &Tables, indices: &[u32; TABLE_BLOCK], shift: u32, below: bool) -> [u64; 2] {
    assert!(is_available());
    // SAFETY: the instructions are available.
    unsafe { lookup_vectorized(tables, indices, shift, below) }
}

#[target_feature(enable = "avx2")]
fn lookup_vectorized(tables: &Tables, indices: &[u32; TABLE_BLOCK], shift: u32, below: bool) -> [u64; 2] {
    let (shift, below) = (_mm_cvtsi32_si128(shift as i32), _mm256_set1_epi32(below.into()));
    let (mut here, mut under) = (0, 0);
    let vectors = tables.as_chunks::<4>().0.iter().zip(indices.as_chunks::<8>().0);
    for (vector, (tables, indices)) in vectors.enumerate() {
        // SAFETY: 32 bytes are read from arrays of 32 bytes.
        let (tables, indices) =
            unsafe { (_mm256_loadu_si256(tables.as_ptr().cast()), _mm256_loadu_si256(indices.as_ptr().cast())) };
        // 31 − v, as v is 31 without the bits of the rest.
        let by = _mm256_andnot_si256(_mm256_srl_epi32(indices, shift), _mm256_set1_epi32(31));
        let tops = |tables| _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_sllv_epi32(tables, by))) as u64;
        here |= tops(tables) << (8 * vector);
        under |= tops(_mm256_or_si256(_mm256_slli_epi32::<1>(tables), below)) << (8 * vector);
    }
    [here, under]
}

/// Runs `work`, compiled for these instructions as far as it is inlined.
pub(super) fn vectorized<W: Work>(work: W) -> W::Output {
    #[target_feature(enable = "avx2")]
    fn compiled<W: Work>(work: W) -> W::Output {
        work.run()
    }
    assert!(is_available());
    // SAFETY: the instructions are available.
    unsafe { compiled(work) }
}

/// [`gather_xor`](super::gather_xor()): an entry of two words is one load, of others each word.
pub(super) fn gather_xor<const N: usize, const L: usize>(
    table: &[[u128; L]],
    places: &[[u32; N]],
    outputs: [&mut [u128]; L],
) {
    assert!(is_available() && table.len().is_power_of_two());
    assert!(outputs.iter().all(|lane| lane.len() == places.len()));
    // SAFETY: the instructions are available, the table's length is a power of two, and each lane has an output for each place.
    unsafe { gather_xor_vectorized(table, places, outputs) }
}

const _: () = assert!(align_of::<u128>() >= align_of::<__m128i>());

/// # Safety
/// The table's length must be a power of two, and each lane must have as many outputs as there are places.
#[target_feature(enable = "avx2")]
unsafe fn gather_xor_vectorized<const N: usize, const L: usize>(
    table: &[[u128; L]],
    places: &[[u32; N]],
    outputs: [&mut [u128]; L],
) {
    let mask = table.len() - 1;
    let table: *const [__m128i; L] = table.as_ptr().cast();
    let outputs: [*mut __m128i; L] = outputs.map(|lane| lane.as_mut_ptr().cast());
    for (at, places) in places.iter().enumerate() {
        // SAFETY: the masked place is below the table's length, which is a power of two.
        let entries = places.map(|place| unsafe { table.add(place as usize & mask) });
        // Plain reads: with debug assertions the intrinsic goes over the stack.
        // SAFETY: a word of 128 bits is loaded and stored where there is one, which has a vector's alignment.
        let mut sums = outputs.map(|lane| unsafe { *lane.add(at) });
        if let [first, second] = &mut sums[..] {
            let mut both = _mm256_set_m128i(*second, *first);
            for entry in entries {
                // SAFETY: an entry has two words.
                both = _mm256_xor_si256(both, unsafe { _mm256_loadu_si256(entry.cast()) });
            }
            (*first, *second) = (_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
        } else {
            for entry in entries {
                // SAFETY: as for the load.
                (0..L).for_each(|lane| sums[lane] = _mm_xor_si128(sums[lane], unsafe { (*entry)[lane] }));
            }
        }
        // SAFETY: as for the load.
        (0..L).for_each(|lane| unsafe { *outputs[lane].add(at) = sums[lane] });
    }
}
