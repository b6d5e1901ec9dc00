//! The weights as tiles of bytes, in the order in which they are multiplied.

use super::planes::rows;
use super::{GROUP, TILE_BYTES, TILE_CHANNELS, TILE_ROW_BYTES, TILE_ROWS};
use crate::kernels::convolution::Convolution;
use crate::ring::Ring;

/// Tiles of weights for one row of the kernel, of one byte and 16 output channels.
pub(super) fn pieces(group: &Convolution) -> usize {
    rows(group).div_ceil(TILE_ROWS)
}

/// The bytes that [`pack`] writes for 16 output channels.
pub(super) fn packed_channels_len<R: Ring>(group: &Convolution) -> usize {
    group.kernel[0] * pieces(group) * R::BYTES * TILE_BYTES
}

/// The bytes that [`pack`] writes.
pub(crate) fn packed_len<R: Ring>(group: &Convolution) -> usize {
    group.output_channels.div_ceil(TILE_CHANNELS) * packed_channels_len::<R>(group)
}

/// Packs the weights of one group: for each 16 output channels, each piece of each row of the kernel and each byte of an
/// element a tile. It has a row for each channel, of four terms for each row of a plane.
pub(crate) fn pack<R: Ring>(group: &Convolution, weights: &[R], packed: &mut [u8]) {
    let of_channel = weights.len() / group.output_channels;
    let mut tiles = packed.chunks_exact_mut(R::BYTES * TILE_BYTES);
    for weights in weights.chunks(TILE_CHANNELS * of_channel) {
        for row in 0..group.kernel[0] {
            for piece in 0..pieces(group) {
                let Some(tiles) = tiles.next() else { return };
                pack_piece(group, weights, row, piece, tiles);
            }
        }
    }
}

fn pack_piece<R: Ring>(group: &Convolution, weights: &[R], row: usize, piece: usize, tiles: &mut [u8]) {
    let [height, width] = group.kernel;
    let of_channel = group.input_channels * height * width;
    let groups = group.input_channels.div_ceil(GROUP);
    for channel in 0..TILE_CHANNELS {
        let weights = weights.get(channel * of_channel..).filter(|weights| !weights.is_empty());
        for term in 0..TILE_ROW_BYTES {
            let place = piece * TILE_ROWS + term / GROUP;
            let (column, source) = (place / groups, place % groups * GROUP + term % GROUP);
            let weight = weights.filter(|_| column < width && source < group.input_channels);
            let weight = weight.map_or(R::ZERO, |weights| weights[(source * height + row) * width + column]);
            for (byte, tile) in tiles.chunks_exact_mut(TILE_BYTES).enumerate() {
                tile[channel * TILE_ROW_BYTES + term] = (weight >> (8 * byte as u32)).low_u64() as u8;
            }
        }
    }
}
