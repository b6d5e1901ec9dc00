//! Convolutions by matrices of bytes, on x86-64 with AMX-INT8.
//!
//! A product of two elements is the sum over bytes i of the input and j of the weights of their products, shifted by
//! 8·(i + j) bits; those shifted out of the element are left out. Bytes of one diagonal i + j are summed in 32 bits.
//! From diagonal 4 on, what such a sum loses would be shifted out too; diagonal 3 has four products of at most 255² a term,
//! so that the others bear [`MAX_TERMS`] terms.
//!
//! Of results of which fewer bits are read, the upper diagonals are left out.
//!
//! The input's bytes lie in planes, one for each byte of an element, in which each tap of the kernel meets the positions of the
//! output side by side. The weights' bytes are packed into tiles once.

mod pack;
mod planes;
mod tiles;

use core::ops::Range;

use zeroize::Zeroize;

use crate::kernels::Work;
use crate::kernels::convolution::{Convolution, even_parts};
use crate::ring::Ring;

pub(crate) use pack::{pack, packed_len};
pub(crate) use planes::scratch_len;
pub(crate) use tiles::is_available;

use pack::{packed_channels_len, pieces};
use planes::Planes;
#[cfg(test)]
use tiles::Emulated;
use tiles::{Hardware, Positions, Tiles};

/// Rows of a tile: output channels of weights, four terms each of positions.
const TILE_ROWS: usize = 16;
/// Bytes of a row of a tile: terms of an output channel, or four terms of 16 positions.
const TILE_ROW_BYTES: usize = 64;
/// Output channels of a tile of sums.
const TILE_CHANNELS: usize = TILE_ROWS;
/// Positions of a tile of sums.
const TILE_POSITIONS: usize = TILE_ROW_BYTES / GROUP;
const TILE_BYTES: usize = TILE_ROWS * TILE_ROW_BYTES;
/// Terms that lie side by side.
const GROUP: usize = 4;
/// Tiles of positions that are worked on together, so that each tile of weights is loaded once for both.
const PAIR: usize = 2;
/// Diagonals that are summed together.
const DIAGONALS: usize = 3;
/// Tiles of sums: with a tile of weights and one of positions, all that there are.
const SUMS: usize = PAIR * DIAGONALS;

/// Sums of more terms might lose bits that count: 4·255²·16,512 is just below 2³².
const MAX_TERMS: usize = 16_000;

/// Whether tiles of bytes are filled well enough to be faster than vectors of elements.
pub(crate) fn pays<R: Ring>(group: &Convolution) -> bool {
    // In sixteenths.
    let filled = |count: usize, tile: usize| 16 * count / count.next_multiple_of(tile);
    let positions = group.output_height() * group.output_width();
    let share = filled(planes::rows(group), TILE_ROWS)
        * filled(group.output_channels, TILE_CHANNELS)
        * filled(positions, PAIR * TILE_POSITIONS);
    R::BYTES <= 8 && share >= 16 * 16 * 16 / 3 && Planes::new(group).are_small()
}

/// A convolution of one image with `group.groups == 1`: adds to `output` what [`pack`] made of the weights, times the input, modulo
/// 2^(8·`bytes`).
pub(crate) struct Convolve<'a, R> {
    pub(crate) group: &'a Convolution,
    pub(crate) bytes: usize,
    pub(crate) input: &'a [R],
    pub(crate) packed: &'a [u8],
    pub(crate) output: &'a mut [R],
    pub(crate) scratch: &'a mut [u8],
}

impl<R: Ring> Convolve<'_, R> {
    #[inline(always)]
    fn run_by<T: Tiles>(self) {
        let Self { group, bytes, input, packed, output, scratch } = self;
        let block = Block { group, bytes, planes: Planes::new(group), packed };
        let mut tiles = T::begin();
        let mut sums = [[0; TILE_BYTES / 4]; SUMS];
        for row in (0..group.output_height()).step_by(block.planes.output_rows) {
            let rows = row..group.output_height().min(row + block.planes.output_rows);
            let planes = block.planes.fill(group, bytes, row, input, scratch);
            block.convolve(&mut tiles, rows, planes, output, &mut sums);
        }
        sums.as_flattened_mut().zeroize();
    }
}

impl<R: Ring> Work for Convolve<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.run_by::<Hardware>();
    }
}

/// The data that all rows of an output share.
struct Block<'a> {
    group: &'a Convolution,
    /// Bytes of an element that are read.
    bytes: usize,
    planes: Planes,
    packed: &'a [u8],
}

impl Block<'_> {
    #[inline(always)]
    fn convolve<R: Ring, T: Tiles>(
        &self,
        tiles: &mut T,
        rows: Range<usize>,
        planes: &[u8],
        output: &mut [R],
        sums: &mut [[u32; TILE_BYTES / 4]; SUMS],
    ) {
        let (width, plane) = (self.group.output_width(), self.group.output_height() * self.group.output_width());
        let total = rows.len() * width;
        let outputs = output.chunks_mut(TILE_CHANNELS * plane);
        for (output, weights) in outputs.zip(self.packed.chunks_exact(packed_channels_len::<R>(self.group))) {
            for first in (0..total).step_by(PAIR * TILE_POSITIONS) {
                // The last tile may have no partner, and is then its own.
                let second = Some(first + TILE_POSITIONS).filter(|&second| second < total);
                let starts = [first, second.unwrap_or(first)];
                let counts = [total - first, second.map_or(0, |second| total - second)];
                let counts = counts.map(|count| count.min(TILE_POSITIONS));
                let target = Target { start: rows.start * width + first, counts, plane };
                self.add_products(tiles, starts, planes, weights, sums, |diagonal, count, sums| {
                    target.add(diagonal, &sums[SUMS - PAIR * count..], output);
                });
            }
        }
    }

    /// The products at two tiles of positions, `starts` in a block, for the output channels of `weights`: `add` gets the first
    /// diagonal, their number, and their sums.
    #[inline(always)]
    fn add_products<T: Tiles>(
        &self,
        tiles: &mut T,
        starts: [usize; PAIR],
        planes: &[u8],
        weights: &[u8],
        sums: &mut [[u32; TILE_BYTES / 4]; SUMS],
        mut add: impl FnMut(usize, usize, &[[u32; TILE_BYTES / 4]; SUMS]),
    ) {
        let pieces = pieces(self.group);
        let of_piece = weights.len() / (self.group.kernel[0] * pieces);
        let of_pass = even_parts(self.bytes, DIAGONALS);
        for (part, weights) in weights.chunks(MAX_TERMS / TILE_ROW_BYTES * of_piece).enumerate() {
            for diagonal in (0..self.bytes).step_by(of_pass) {
                let count = of_pass.min(self.bytes - diagonal);
                tiles.clear();
                for (piece, weights) in weights.chunks_exact(of_piece).enumerate() {
                    let piece = part * (MAX_TERMS / TILE_ROW_BYTES) + piece;
                    let row = self.planes.kernel_row(self.group, piece / pieces);
                    let offset = row + piece % pieces * TILE_ROWS * self.planes.row_len;
                    let positions = starts.map(|start| &planes[offset + GROUP * start..]);
                    self.accumulate(tiles, diagonal..diagonal + count, positions, weights);
                }
                tiles.store(sums);
                add(diagonal, count, sums);
            }
        }
    }

    /// Adds the byte products of some diagonals, for one tile of terms.
    #[inline(always)]
    fn accumulate<T: Tiles>(&self, tiles: &mut T, diagonals: Range<usize>, positions: [&[u8]; PAIR], weights: &[u8]) {
        let Planes { plane_len, row_len, .. } = self.planes;
        for (byte, weights) in weights.chunks_exact(TILE_BYTES).enumerate().take(diagonals.end) {
            let first = diagonals.start.max(byte);
            let starts = positions.map(|positions| &positions[(first - byte) * plane_len..]);
            tiles.accumulate(diagonals.end - first, weights, Positions { starts, plane_len, stride: row_len });
        }
    }
}

/// The part of the output channels that two tiles of positions are summed for.
struct Target {
    /// Where the first of them begins in a channel.
    start: usize,
    /// How many positions they have.
    counts: [usize; PAIR],
    /// The elements of a channel.
    plane: usize,
}

impl Target {
    /// Adds the sums of some diagonals, shifted to where they belong.
    #[inline(always)]
    fn add<R: Ring>(&self, diagonal: usize, sums: &[[u32; TILE_BYTES / 4]], output: &mut [R]) {
        match sums.len() / PAIR {
            1 => self.add_some::<R, 1>(diagonal, sums, output),
            2 => self.add_some::<R, 2>(diagonal, sums, output),
            _ => self.add_some::<R, 3>(diagonal, sums, output),
        }
    }

    /// [`add`](Self::add) for so many diagonals.
    #[inline(always)]
    fn add_some<R: Ring, const DIAGONALS: usize>(
        &self,
        diagonal: usize,
        sums: &[[u32; TILE_BYTES / 4]],
        output: &mut [R],
    ) {
        for (channel, output) in output.chunks_exact_mut(self.plane).enumerate() {
            let mut output = &mut output[self.start..];
            for (partner, &count) in self.counts.iter().enumerate() {
                let rows: [&[u32; TILE_POSITIONS]; DIAGONALS] = core::array::from_fn(|at| {
                    let (rows, _) = sums[PAIR * at + partner].as_chunks();
                    &rows[channel]
                });
                let total: [R; TILE_POSITIONS] = core::array::from_fn(|lane| {
                    let sum = |at: usize| R::from_u64(rows[at][lane].into()) << (8 * (diagonal + at) as u32);
                    (0..DIAGONALS).map(sum).fold(R::ZERO, R::wrapping_add)
                });
                let (target, rest) = output.split_at_mut(count);
                match target.first_chunk_mut::<TILE_POSITIONS>() {
                    Some(target) => add_to(target, &total),
                    None => add_to(target, &total[..count]),
                }
                output = rest;
            }
        }
    }
}

#[inline(always)]
fn add_to<R: Ring>(target: &mut [R], sums: &[R]) {
    target.iter_mut().zip(sums).for_each(|(target, &sum)| *target = target.wrapping_add(sum));
}

#[cfg(test)]
mod tests;
