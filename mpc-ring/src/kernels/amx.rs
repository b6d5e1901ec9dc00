//! Convolutions by matrices of bytes, on x86-64 with AMX-INT8.
//!
//! A product of two elements is the sum over bytes i of the input and j of the weights of their products, shifted by
//! 8·(i + j) bits; those shifted out of the element are left out. Bytes of one diagonal i + j are summed in 32 bits.
//! From diagonal 4 on, what such a sum loses would be shifted out too; diagonal 3 has four products of at most 255² a term,
//! so that the others bear [`MAX_TERMS`] terms.
//!
//! The input's bytes lie in planes, one for each byte of an element, with the channels of a position side by side: then a
//! row of the kernel meets consecutive bytes at each position, and positions are a fixed distance apart, as a tile is
//! loaded. The weights' bytes are packed into tiles once.

mod pack;
mod planes;
mod tiles;

use core::ops::Range;

use zeroize::Zeroize;

use crate::kernels::convolution::{Convolution, even_parts};
use crate::ring::Ring;

pub(crate) use pack::{pack, packed_len};
pub(crate) use planes::scratch_len;
pub(crate) use tiles::is_available;

use pack::{Piece, pieces};
use planes::Planes;
#[cfg(test)]
use tiles::Emulated;
use tiles::{Hardware, Tiles};

/// Rows of a tile: positions or groups of four terms.
const TILE_ROWS: usize = 16;
/// Bytes of a row of a tile: terms, or four terms of 16 output channels.
const TILE_ROW_BYTES: usize = 64;
/// Output channels of a tile of sums.
const TILE_CHANNELS: usize = TILE_ROW_BYTES / 4;
const TILE_BYTES: usize = TILE_ROWS * TILE_ROW_BYTES;
/// Tiles of positions that are worked on together, so that each tile of weights is loaded once for both.
const PAIR: usize = 2;
/// Diagonals that are summed together: with a pair, four tiles of sums.
const DIAGONALS: usize = 2;

/// Sums of more terms might lose bits that count: 4·255²·16,512 is just below 2³².
const MAX_TERMS: usize = 16_000;

/// Sums of a pair of tiles by position and output channel.
type Sums<R> = [[R; TILE_CHANNELS]; PAIR * TILE_ROWS];

/// Whether tiles of bytes are filled well enough to be faster than vectors of elements.
pub(crate) fn pays<R: Ring>(group: &Convolution) -> bool {
    // In sixteenths.
    let filled = |count: usize, tile: usize| 16 * count / count.next_multiple_of(tile);
    let run = pack::run_channels(group) * group.input_channels;
    let positions = even_parts(group.output_width(), TILE_ROWS).min(8) * 2;
    let share = filled(run, TILE_ROW_BYTES) * filled(group.output_channels, TILE_CHANNELS) * positions;
    R::BYTES <= 8 && group.input_channels >= 8 && share >= 16 * 16 * 16 / 3
}

/// Convolves one image with `group.groups == 1`: adds to `output` what [`pack`] made of the weights, times the input.
pub(crate) fn convolve<R: Ring>(group: &Convolution, input: &[R], packed: &[u8], output: &mut [R], scratch: &mut [u8]) {
    assert!(is_available());
    #[target_feature(enable = "avx512f,avx512dq")]
    fn vectorized<R: Ring>(group: &Convolution, input: &[R], packed: &[u8], output: &mut [R], scratch: &mut [u8]) {
        convolve_by::<R, Hardware>(group, input, packed, output, scratch);
    }
    // SAFETY: the instructions are available.
    unsafe { vectorized(group, input, packed, output, scratch) }
}

#[inline(always)]
fn convolve_by<R: Ring, T: Tiles>(
    group: &Convolution,
    input: &[R],
    packed: &[u8],
    output: &mut [R],
    scratch: &mut [u8],
) {
    let planes = Planes::new(group);
    let block = Block { group, planes, packed, positions: even_parts(group.output_width(), TILE_ROWS) };
    let mut tiles = T::begin(block.positions);
    let mut sums: Sums<R> = [[R::ZERO; TILE_CHANNELS]; PAIR * TILE_ROWS];
    for row in (0..group.output_height()).step_by(planes.output_rows) {
        let rows = row..group.output_height().min(row + planes.output_rows);
        planes.fill(group, row, input, scratch);
        block.convolve(&mut tiles, rows, scratch, output, &mut sums);
    }
    sums.as_flattened_mut().iter_mut().for_each(Zeroize::zeroize);
}

/// The data that all rows of an output share.
struct Block<'a> {
    group: &'a Convolution,
    planes: Planes,
    packed: &'a [u8],
    /// Positions of a tile, all in one row of the output.
    positions: usize,
}

impl Block<'_> {
    #[inline(always)]
    fn convolve<R: Ring, T: Tiles>(
        &self,
        tiles: &mut T,
        rows: Range<usize>,
        bytes: &[u8],
        output: &mut [R],
        sums: &mut Sums<R>,
    ) {
        let group = self.group;
        let of_row = group.output_width().div_ceil(self.positions);
        let total = rows.len() * of_row;
        let place = |tile: usize| [tile / of_row, tile % of_row * self.positions];
        let weights = self.packed.chunks_exact(pieces(group, &self.planes).count() * R::BYTES * TILE_BYTES);
        for (channel, weights) in (0..group.output_channels).step_by(TILE_CHANNELS).zip(weights) {
            for first in (0..total).step_by(PAIR) {
                // The last tile may have no partner, and is then its own.
                let places = [place(first), place((first + 1).min(total - 1))];
                sums.as_flattened_mut().fill(R::ZERO);
                self.sum_terms(
                    tiles,
                    places.map(|[row, column]| self.planes.position(group, row, column)),
                    bytes,
                    weights,
                    sums,
                );
                for (place, sums) in places.iter().zip(sums.chunks_exact(TILE_ROWS)).take(total - first) {
                    self.add(sums, channel, [rows.start + place[0], place[1]], output);
                }
            }
        }
    }

    /// The sums at two tiles of positions, `starts` in a plane, for the output channels of `weights`.
    #[inline(always)]
    fn sum_terms<R: Ring, T: Tiles>(
        &self,
        tiles: &mut T,
        starts: [usize; PAIR],
        bytes: &[u8],
        weights: &[u8],
        sums: &mut Sums<R>,
    ) {
        let mut diagonals = [[0; TILE_BYTES / 4]; PAIR * DIAGONALS];
        let mut offset = 0;
        while offset < weights.len() {
            let mut end = offset;
            for diagonal in (0..R::BYTES).step_by(DIAGONALS) {
                end = offset;
                let mut terms = 0;
                tiles.clear();
                for Piece { offset: start, len } in
                    pieces(self.group, &self.planes).skip(offset / (R::BYTES * TILE_BYTES))
                {
                    terms += len;
                    if terms > MAX_TERMS {
                        break;
                    }
                    let weights = &weights[end..][..R::BYTES * TILE_BYTES];
                    self.accumulate(tiles, diagonal, starts.map(|position| position + start), bytes, weights);
                    end += weights.len();
                }
                tiles.store(&mut diagonals);
                add_diagonals(diagonal, &diagonals, sums);
            }
            offset = end;
        }
        diagonals.as_flattened_mut().zeroize();
    }

    /// Adds the byte products of two diagonals, for one tile of terms.
    #[inline(always)]
    fn accumulate<T: Tiles>(
        &self,
        tiles: &mut T,
        diagonal: usize,
        starts: [usize; PAIR],
        bytes: &[u8],
        weights: &[u8],
    ) {
        let stride = self.planes.position_stride(self.group);
        for (j, tile) in weights.chunks_exact(TILE_BYTES).enumerate().take(diagonal + DIAGONALS) {
            tiles.load_weights(tile);
            for lane in 0..DIAGONALS {
                let Some(i) = (diagonal + lane).checked_sub(j) else { continue };
                for (partner, start) in starts.into_iter().enumerate() {
                    let rows = &bytes[i * self.planes.plane_len + start..];
                    tiles.accumulate(lane * PAIR + partner, rows, stride);
                }
            }
        }
    }

    /// Adds the sums of one tile to its part of the output.
    #[inline(always)]
    fn add<R: Ring>(&self, sums: &[[R; TILE_CHANNELS]], channel: usize, [row, column]: [usize; 2], output: &mut [R]) {
        let width = self.group.output_width();
        let plane = self.group.output_height() * width;
        let count = self.positions.min(width - column);
        let channels = TILE_CHANNELS.min(self.group.output_channels - channel);
        for lane in 0..channels {
            let target = &mut output[(channel + lane) * plane + row * width + column..][..count];
            for (target, sums) in target.iter_mut().zip(sums) {
                *target = target.wrapping_add(sums[lane]);
            }
        }
    }
}

/// Adds two diagonals, shifted to where they belong.
#[inline(always)]
fn add_diagonals<R: Ring>(diagonal: usize, diagonals: &[[u32; TILE_BYTES / 4]; PAIR * DIAGONALS], sums: &mut Sums<R>) {
    for (partner, sums) in sums.chunks_exact_mut(TILE_ROWS).enumerate() {
        let (low, high) = (&diagonals[partner], &diagonals[PAIR + partner]);
        for ((sum, &low), &high) in sums.as_flattened_mut().iter_mut().zip(low).zip(high) {
            let both = R::from_u64(u64::from(low)).wrapping_add(R::from_u64(u64::from(high)) << 8);
            *sum = sum.wrapping_add(both << (8 * diagonal as u32));
        }
    }
}

#[cfg(test)]
mod tests;
