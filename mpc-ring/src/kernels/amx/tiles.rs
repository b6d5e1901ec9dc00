//! Tile registers and their instructions, which stable Rust has no intrinsics for.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use super::{DIAGONALS, PAIR, SUMS, TILE_BYTES, TILE_ROW_BYTES, TILE_ROWS};
use crate::kernels::avx512;

/// Tiles of sums: of two tiles of positions for each of three diagonals.
pub(super) trait Tiles {
    fn begin() -> Self;

    /// Sets the sums to zero.
    fn clear(&mut self);

    /// Adds the products of a tile of weights and both tiles of positions, in as many planes as `diagonals`, to the sums of the last
    /// so many diagonals.
    fn accumulate(&mut self, diagonals: usize, weights: &[u8], positions: Positions<'_>);

    /// The sums, in rows of output channels, of one diagonal after the other.
    fn store(&mut self, sums: &mut [[u32; TILE_BYTES / 4]; SUMS]);
}

/// Two tiles of positions, of one plane after the other.
#[derive(Clone, Copy)]
pub(super) struct Positions<'a> {
    /// Where they begin in the first plane.
    pub(super) starts: [&'a [u8]; PAIR],
    /// Bytes between a plane and the next.
    pub(super) plane_len: usize,
    /// Bytes between a row of a tile and the next.
    pub(super) stride: usize,
}

impl Positions<'_> {
    /// The bytes that a tile reads in so many planes.
    fn len(&self, planes: usize) -> usize {
        (planes - 1) * self.plane_len + (TILE_ROWS - 1) * self.stride + TILE_ROW_BYTES
    }
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

/// The registers: tiles 0 to 5 are sums, 6 the weights, 7 a tile of positions.
pub(super) struct Hardware(());

/// The configuration of the tiles (palette 1).
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows of 64 bytes.
static CONFIGURATION: Configuration = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (row_bytes[tile], rows[tile]) = (TILE_ROW_BYTES as u16, TILE_ROWS as u8);
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

/// Both tiles of positions of one plane, by the weights.
macro_rules! diagonal {
    ($first:literal, $second:literal) => {
        concat!(
            "tileloadd tmm7, [{first} + {stride}*1]\n",
            concat!("tdpbuud ", $first, ", tmm6, tmm7\n"),
            "tileloadd tmm7, [{second} + {stride}*1]\n",
            concat!("tdpbuud ", $second, ", tmm6, tmm7"),
        )
    };
}

/// On to the next plane.
macro_rules! next {
    () => {
        "add {first}, {plane}\nadd {second}, {plane}"
    };
}

/// Weights by the planes that the instructions name.
macro_rules! accumulate {
    ($weights:ident, $starts:ident, $plane_len:ident, $stride:ident, $($instruction:expr),+) => {
        // SAFETY: the tiles are configured for 16 rows of 64 bytes, which the slices were checked to have in each plane.
        unsafe {
            asm!(
                "tileloadd tmm6, [{weights} + {row}*1]",
                $($instruction,)+
                weights = in(reg) $weights.as_ptr(),
                row = in(reg) TILE_ROW_BYTES,
                first = inout(reg) $starts[0].as_ptr() => _,
                second = inout(reg) $starts[1].as_ptr() => _,
                plane = in(reg) $plane_len,
                stride = in(reg) $stride,
                options(nostack, readonly),
            )
        }
    };
}

impl Tiles for Hardware {
    #[inline(always)]
    fn begin() -> Self {
        assert!(is_available());
        // SAFETY: the instructions are available, and the configuration is valid. Nothing but this type uses tiles.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly, preserves_flags)) };
        Self(())
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
                "tilezero tmm4",
                "tilezero tmm5",
                options(nostack, nomem, preserves_flags)
            )
        };
    }

    #[inline(always)]
    fn accumulate(&mut self, diagonals: usize, weights: &[u8], positions: Positions<'_>) {
        assert!((1..=DIAGONALS).contains(&diagonals) && weights.len() >= TILE_BYTES);
        let len = positions.len(diagonals);
        let Positions { starts, plane_len, stride } = positions;
        assert!(starts.iter().all(|start| start.len() >= len));
        match diagonals {
            1 => accumulate!(weights, starts, plane_len, stride, diagonal!("tmm4", "tmm5"), "/* {plane} */"),
            2 => accumulate!(
                weights,
                starts,
                plane_len,
                stride,
                diagonal!("tmm2", "tmm3"),
                next!(),
                diagonal!("tmm4", "tmm5")
            ),
            _ => accumulate!(
                weights,
                starts,
                plane_len,
                stride,
                diagonal!("tmm0", "tmm1"),
                next!(),
                diagonal!("tmm2", "tmm3"),
                next!(),
                diagonal!("tmm4", "tmm5")
            ),
        }
    }

    #[inline(always)]
    fn store(&mut self, sums: &mut [[u32; TILE_BYTES / 4]; SUMS]) {
        // SAFETY: the tiles are configured, for the 16 rows of 64 bytes that each array has.
        unsafe {
            asm!(
                "tilestored [{start} + {stride}*1], tmm0",
                "tilestored [{start} + {stride}*1 + 1024], tmm1",
                "tilestored [{start} + {stride}*1 + 2048], tmm2",
                "tilestored [{start} + {stride}*1 + 3072], tmm3",
                "tilestored [{start} + {stride}*1 + 4096], tmm4",
                "tilestored [{start} + {stride}*1 + 5120], tmm5",
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
pub(super) struct Emulated([[u32; TILE_BYTES / 4]; SUMS]);

#[cfg(test)]
impl Tiles for Emulated {
    fn begin() -> Self {
        Self([[0; TILE_BYTES / 4]; SUMS])
    }

    fn clear(&mut self) {
        self.0.as_flattened_mut().fill(0);
    }

    fn accumulate(&mut self, diagonals: usize, weights: &[u8], positions: Positions<'_>) {
        let len = positions.len(diagonals);
        let Positions { starts, plane_len, stride } = positions;
        for (plane, sums) in self.0.chunks_exact_mut(PAIR).skip(DIAGONALS - diagonals).enumerate() {
            for (positions, sums) in starts.iter().map(|start| &start[..len]).zip(sums) {
                for (channel, sums) in sums.chunks_exact_mut(TILE_ROWS).enumerate() {
                    for (term, &weight) in weights[channel * TILE_ROW_BYTES..][..TILE_ROW_BYTES].iter().enumerate() {
                        let bytes = &positions[plane * plane_len + term / 4 * stride + term % 4..];
                        for (sum, &byte) in sums.iter_mut().zip(bytes.iter().step_by(4)) {
                            *sum = sum.wrapping_add(u32::from(byte) * u32::from(weight));
                        }
                    }
                }
            }
        }
    }

    fn store(&mut self, sums: &mut [[u32; TILE_BYTES / 4]; SUMS]) {
        *sums = self.0;
    }
}
