//! The weights as tiles of bytes, in the order in which they are multiplied.

use super::planes::Planes;
use super::{TILE_BYTES, TILE_CHANNELS, TILE_ROW_BYTES};
use crate::kernels::convolution::Convolution;
use crate::ring::Ring;

/// Terms that one tile multiplies, side by side in a plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where they begin, from a position on.
    pub(super) offset: usize,
    /// How many they are, padding channels included.
    pub(super) len: usize,
}

/// The taps of a row of the kernel that meet consecutive bytes.
pub(super) fn run_channels(group: &Convolution) -> usize {
    if group.dilation[1] == 1 { group.kernel[1] } else { 1 }
}

/// The first tap of each run.
fn runs(group: &Convolution) -> impl Iterator<Item = [usize; 2]> + use<> {
    let ([height, width], taps) = (group.kernel, run_channels(group));
    (0..height).flat_map(move |ky| (0..width).step_by(taps).map(move |kx| [ky, kx]))
}

/// The starts of the pieces of a run.
fn starts(group: &Convolution) -> impl Iterator<Item = usize> + use<> {
    (0..run_channels(group) * Planes::channels(group)).step_by(TILE_ROW_BYTES)
}

/// The pieces in the order in which their weights are packed.
pub(super) fn pieces(group: &Convolution, planes: &Planes) -> impl Iterator<Item = Piece> + use<> {
    let run = run_channels(group) * Planes::channels(group);
    let (group, planes) = (*group, *planes);
    runs(&group).flat_map(move |tap| {
        let offset = planes.tap(&group, tap);
        starts(&group).map(move |start| Piece { offset: offset + start, len: TILE_ROW_BYTES.min(run - start) })
    })
}

/// The bytes that [`pack`] writes.
pub(crate) fn packed_len<R: Ring>(group: &Convolution) -> usize {
    let pieces = runs(group).count() * starts(group).count();
    group.output_channels.div_ceil(TILE_CHANNELS) * pieces * R::BYTES * TILE_BYTES
}

/// Packs the weights of one group: for each 16 output channels, each piece and each byte of an element a tile, whose row r
/// has four terms from 4·r on of each channel.
pub(crate) fn pack<R: Ring>(group: &Convolution, weights: &[R], packed: &mut [u8]) {
    let of_channel = weights.len() / group.output_channels;
    let mut tiles = packed.chunks_exact_mut(R::BYTES * TILE_BYTES);
    for weights in weights.chunks(TILE_CHANNELS * of_channel) {
        for tap in runs(group) {
            for start in starts(group) {
                let Some(tiles) = tiles.next() else { return };
                pack_piece(group, weights, tap, start, tiles);
            }
        }
    }
}

fn pack_piece<R: Ring>(group: &Convolution, weights: &[R], tap: [usize; 2], start: usize, tiles: &mut [u8]) {
    let of_channel = group.input_channels * group.kernel[0] * group.kernel[1];
    let padded = Planes::channels(group);
    for (channel, weights) in (0..TILE_CHANNELS).map(|channel| (channel, weights.get(channel * of_channel..))) {
        for term in 0..TILE_ROW_BYTES {
            let (kx, source) = ((start + term) / padded, (start + term) % padded);
            let weight = weights
                .filter(|weights| !weights.is_empty() && kx < run_channels(group) && source < group.input_channels);
            let weight = weight.map_or(R::ZERO, |weights| {
                weights[(source * group.kernel[0] + tap[0]) * group.kernel[1] + tap[1] + kx]
            });
            let place = term / 4 * TILE_ROW_BYTES + channel * 4 + term % 4;
            for (byte, tile) in tiles.chunks_exact_mut(TILE_BYTES).enumerate() {
                tile[place] = (weight >> (8 * byte as u32)).low_u64() as u8;
            }
        }
    }
}
