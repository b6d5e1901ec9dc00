//! 512-bit vectors, on x86-64 with AVX-512 F and DQ.

use core::arch::x86_64::*;

use crate::kernels::lookup::{TABLE_BLOCK, Tables};
use crate::kernels::tile::{Tile, TileShape};
use crate::kernels::{Work, portable};

cpufeatures::new!(features, "avx512f", "avx512dq");

/// Whether this machine has the instructions.
pub(crate) fn is_available() -> bool {
    features::get()
}

/// A ring whose elements fit the lanes of a vector.
pub(crate) trait Vectors: Sized {
    /// The largest tile: 8 × 2 sums, two vectors of right factors and a broadcast left factor fit the 32 registers.
    const SHAPE: TileShape;

    /// Adds the tile's product to its output.
    fn accumulate_tile(tile: Tile<'_, Self>);

    /// The sum of products.
    fn dot(left: &[Self], right: &[Self]) -> Self;
}

/// Calls the kernel for the tile's number of rows and vectors.
macro_rules! select_kernel {
    ($kernel:ident, $tile:expr) => {
        match ($tile.rows, $tile.columns.len()) {
            (1, 1) => $kernel::<1, 1>($tile),
            (2, 1) => $kernel::<2, 1>($tile),
            (3, 1) => $kernel::<3, 1>($tile),
            (4, 1) => $kernel::<4, 1>($tile),
            (5, 1) => $kernel::<5, 1>($tile),
            (6, 1) => $kernel::<6, 1>($tile),
            (7, 1) => $kernel::<7, 1>($tile),
            (8, 1) => $kernel::<8, 1>($tile),
            (1, 2) => $kernel::<1, 2>($tile),
            (2, 2) => $kernel::<2, 2>($tile),
            (3, 2) => $kernel::<3, 2>($tile),
            (4, 2) => $kernel::<4, 2>($tile),
            (5, 2) => $kernel::<5, 2>($tile),
            (6, 2) => $kernel::<6, 2>($tile),
            (7, 2) => $kernel::<7, 2>($tile),
            (8, 2) => $kernel::<8, 2>($tile),
            _ => unreachable!("the tile was checked"),
        }
    };
}
/// The kernels of a ring, from the names of its instructions.
macro_rules! vectors {
    ($ring:ident, $kernel:ident, $mask:ty, $load:ident, $store:ident, $broadcast:ident, $multiply:ident, $add:ident) => {
        impl Vectors for $ring {
            const SHAPE: TileShape = TileShape { rows: 8, lanes: 512 / $ring::BITS as usize, vectors: 2 };

            fn accumulate_tile(mut tile: Tile<'_, Self>) {
                assert!(is_available());
                tile.check(Self::SHAPE);
                // SAFETY: the instructions are available, the tile was checked, and has at most 8 rows and 2 vectors.
                unsafe { select_kernel!($kernel, &mut tile) }
            }

            fn dot(left: &[Self], right: &[Self]) -> Self {
                #[target_feature(enable = "avx512f,avx512dq")]
                fn vectorized(left: &[$ring], right: &[$ring]) -> $ring {
                    portable::dot(left, right)
                }
                assert!(is_available());
                // SAFETY: the instructions are available.
                unsafe { vectorized(left, right) }
            }
        }

        /// # Safety
        /// The tile must have passed its check for `SHAPE`, with `ROWS` rows and `VECTORS` vectors of columns.
        #[target_feature(enable = "avx512f,avx512dq")]
        unsafe fn $kernel<const ROWS: usize, const VECTORS: usize>(tile: &mut Tile<'_, $ring>) {
            let masks: [$mask; VECTORS] =
                core::array::from_fn(|v| <$mask>::MAX >> (<$mask>::BITS as usize - tile.columns[v].count));
            let left = tile.left.as_ptr();
            let right: [*const $ring; VECTORS] = core::array::from_fn(|v| tile.right[tile.columns[v].right..].as_ptr());
            let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
            for (k, &offset) in tile.offsets.as_slice().iter().enumerate() {
                // SAFETY: `check` found every offset within the right operand, up to the columns that the mask admits.
                let load = |v: usize| unsafe { $load(masks[v], right[v].add(offset).cast()) };
                let factors: [__m512i; VECTORS] = core::array::from_fn(load);
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: `check` found every row and term within the left operand.
                    let factor = $broadcast(unsafe { *left.add(tile.left_place(row, k)) } as _);
                    for (sum, factors) in sums.iter_mut().zip(factors) {
                        *sum = $add(*sum, $multiply(factor, factors));
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    let start = row * tile.output_stride + tile.columns[v].output;
                    // SAFETY: `check` found every row within the output, up to the columns that the mask admits.
                    unsafe {
                        let output = tile.output.as_mut_ptr().add(start).cast();
                        $store(output, masks[v], $add($load(masks[v], output), sum));
                    }
                }
            }
        }
    };
}

vectors!(
    u32,
    accumulate_u32,
    __mmask16,
    _mm512_maskz_loadu_epi32,
    _mm512_mask_storeu_epi32,
    _mm512_set1_epi32,
    _mm512_mullo_epi32,
    _mm512_add_epi32
);
vectors!(
    u64,
    accumulate_u64,
    __mmask8,
    _mm512_maskz_loadu_epi64,
    _mm512_mask_storeu_epi64,
    _mm512_set1_epi64,
    _mm512_mullo_epi64,
    _mm512_add_epi64
);

/// [`lookup`](super::lookup()): the chosen bits of sixteen tables are tested at once.
pub(super) fn lookup(tables: &Tables, indices: &[u32; TABLE_BLOCK], shift: u32, below: bool) -> [u64; 2] {
    assert!(is_available());
    // SAFETY: the instructions are available.
    unsafe { lookup_vectorized(tables, indices, shift, below) }
}

#[target_feature(enable = "avx512f,avx512dq")]
fn lookup_vectorized(tables: &Tables, indices: &[u32; TABLE_BLOCK], shift: u32, below: bool) -> [u64; 2] {
    let (shift, below) = (_mm_cvtsi32_si128(shift as i32), _mm512_set1_epi32(below.into()));
    let (mut here, mut under) = (0, 0);
    let vectors = tables.as_chunks::<8>().0.iter().zip(indices.as_chunks::<16>().0);
    for (vector, (tables, indices)) in vectors.enumerate() {
        // SAFETY: 64 bytes are read from arrays of 64 bytes.
        let (tables, indices) =
            unsafe { (_mm512_loadu_si512(tables.as_ptr().cast()), _mm512_loadu_si512(indices.as_ptr().cast())) };
        let index = _mm512_and_si512(_mm512_srl_epi32(indices, shift), _mm512_set1_epi32(31));
        let chosen = _mm512_sllv_epi32(_mm512_set1_epi32(1), index);
        let test = |tables| u64::from(_mm512_test_epi32_mask(tables, chosen));
        here |= test(tables) << (16 * vector);
        under |= test(_mm512_or_si512(_mm512_slli_epi32::<1>(tables), below)) << (16 * vector);
    }
    [here, under]
}

/// Runs `work`, compiled for these instructions as far as it is inlined.
pub(super) fn vectorized<W: Work>(work: W) -> W::Output {
    #[target_feature(enable = "avx512f,avx512dq")]
    fn compiled<W: Work>(work: W) -> W::Output {
        work.run()
    }
    assert!(is_available());
    // SAFETY: the instructions are available.
    unsafe { compiled(work) }
}
