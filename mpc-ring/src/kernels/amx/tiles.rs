//! Tile registers and their instructions, which stable Rust has no intrinsics for.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use super::{DIAGONALS, PAIR, TILE_BYTES, TILE_ROW_BYTES, TILE_ROWS};
use crate::kernels::avx512;

/// Four tiles of sums, and one of weights.
pub(super) trait Tiles {
    /// Tiles of `positions` rows of positions, at most [`TILE_ROWS`].
    fn begin(positions: usize) -> Self;

    /// Sets the sums to zero.
    fn clear(&mut self);

    /// Loads a tile of weights.
    fn load_weights(&mut self, tile: &[u8]);

    /// Adds to the tile of sums `index` the products of the weights and the positions' terms: rows `stride` bytes apart.
    fn accumulate(&mut self, index: usize, rows: &[u8], stride: usize);

    /// The sums, in rows of positions; rows beyond them are left as they are.
    fn store(&mut self, sums: &mut [[u32; TILE_BYTES / 4]; PAIR * DIAGONALS]);
}

/// Whether this machine and its system have byte tiles, and the vectors that the kernel uses besides.
pub(crate) fn is_available() -> bool {
    /// 0 before the first call, then 1 for no and 2 for yes.
    static AVAILABLE: AtomicU8 = AtomicU8::new(0);
    match AVAILABLE.load(Ordering::Relaxed) {
        0 => {
            let available = avx512::is_available() && has_instructions() && system_permits();
            AVAILABLE.store(if available { 2 } else { 1 }, Ordering::Relaxed);
            available
        }
        known => known == 2,
    }
}

/// AMX-TILE and AMX-INT8.
fn has_instructions() -> bool {
    const TILE_AND_INT8: u32 = 0b11 << 24;
    core::arch::x86_64::__cpuid_count(7, 0).edx & TILE_AND_INT8 == TILE_AND_INT8
}

/// Asks the system for the large register state: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, for the process.
#[cfg(target_os = "linux")]
fn system_permits() -> bool {
    const ARCH_PRCTL: isize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: the call changes nothing in memory; an older system refuses it.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn system_permits() -> bool {
    false
}

/// The registers: tiles 0 to 3 are sums, 4 the weights, 5 a tile of positions.
pub(super) struct Hardware {
    positions: usize,
}

/// The configuration of the tiles (palette 1).
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles for Hardware {
    #[inline(always)]
    fn begin(positions: usize) -> Self {
        assert!(is_available() && (1..=TILE_ROWS).contains(&positions));
        let (rows, mut row_bytes) = ([positions as u8; 16], [TILE_ROW_BYTES as u16; 16]);
        let mut configuration = Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows };
        configuration.rows[4] = TILE_ROWS as u8;
        row_bytes[8..].fill(0);
        configuration.row_bytes = row_bytes;
        configuration.rows[8..].fill(0);
        // SAFETY: the instructions are available, and the configuration is valid: 8 tiles of at most 16 rows of 64 bytes.
        // Nothing but this type uses tiles.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly, preserves_flags)) };
        Self { positions }
    }

    #[inline(always)]
    fn clear(&mut self) {
        // SAFETY: the tiles are configured.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem, preserves_flags)
            )
        };
    }

    #[inline(always)]
    fn load_weights(&mut self, tile: &[u8]) {
        assert!(tile.len() >= TILE_BYTES);
        // SAFETY: the tile is configured for 16 rows of 64 bytes, which the slice has.
        unsafe {
            asm!(
                "tileloadd tmm4, [{start} + {stride}*1]",
                start = in(reg) tile.as_ptr(),
                stride = in(reg) TILE_ROW_BYTES,
                options(nostack, readonly, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn accumulate(&mut self, index: usize, rows: &[u8], stride: usize) {
        assert!((self.positions - 1) * stride + TILE_ROW_BYTES <= rows.len());
        macro_rules! multiply {
            ($sums:literal) => {
                // SAFETY: the tiles are configured, that of positions for as many rows of 64 bytes as the slice was checked
                // to have.
                unsafe {
                    asm!(
                        "tileloadd tmm5, [{start} + {stride}*1]",
                        concat!("tdpbuud ", $sums, ", tmm5, tmm4"),
                        start = in(reg) rows.as_ptr(),
                        stride = in(reg) stride,
                        options(nostack, readonly, preserves_flags),
                    )
                }
            };
        }
        match index {
            0 => multiply!("tmm0"),
            1 => multiply!("tmm1"),
            2 => multiply!("tmm2"),
            _ => multiply!("tmm3"),
        }
    }

    #[inline(always)]
    fn store(&mut self, sums: &mut [[u32; TILE_BYTES / 4]; PAIR * DIAGONALS]) {
        // SAFETY: the tiles are configured, for at most the 16 rows of 64 bytes that each array has.
        unsafe {
            asm!(
                "tilestored [{start} + {stride}*1], tmm0",
                "tilestored [{start} + {stride}*1 + 1024], tmm1",
                "tilestored [{start} + {stride}*1 + 2048], tmm2",
                "tilestored [{start} + {stride}*1 + 3072], tmm3",
                start = in(reg) sums.as_mut_ptr(),
                stride = in(reg) TILE_ROW_BYTES,
                options(nostack, preserves_flags),
            );
        }
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        // SAFETY: the instruction is available. It clears the tiles, which may hold secrets.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// The same in plain Rust, so that what is around the instructions is tested everywhere.
#[cfg(test)]
pub(super) struct Emulated {
    positions: usize,
    sums: [[u32; TILE_BYTES / 4]; PAIR * DIAGONALS],
    weights: [u8; TILE_BYTES],
}

#[cfg(test)]
impl Tiles for Emulated {
    fn begin(positions: usize) -> Self {
        Self { positions, sums: [[0; TILE_BYTES / 4]; PAIR * DIAGONALS], weights: [0; TILE_BYTES] }
    }

    fn clear(&mut self) {
        self.sums.as_flattened_mut().fill(0);
    }

    fn load_weights(&mut self, tile: &[u8]) {
        self.weights.copy_from_slice(&tile[..TILE_BYTES]);
    }

    fn accumulate(&mut self, index: usize, rows: &[u8], stride: usize) {
        for row in 0..self.positions {
            for (term, &byte) in rows[row * stride..][..TILE_ROW_BYTES].iter().enumerate() {
                for (channel, sum) in self.sums[index][row * 16..][..16].iter_mut().enumerate() {
                    let weight = self.weights[term / 4 * TILE_ROW_BYTES + channel * 4 + term % 4];
                    *sum = sum.wrapping_add(u32::from(byte) * u32::from(weight));
                }
            }
        }
    }

    fn store(&mut self, sums: &mut [[u32; TILE_BYTES / 4]; PAIR * DIAGONALS]) {
        *sums = self.sums;
    }
}
