//! How a convolution is cut for its transforms, and whether they pay.

use super::transforms::LANES;
use super::{ALL_POINTS, POINTS, distance, outputs_of};
use crate::kernels::Backend;
use crate::kernels::convolution::shape::Convolution;

/// The taps along each axis of kernels that are transformed so.
const TAPS: [usize; 2] = [3, 5];
/// Elements of a block's transformed input, or of a chunk's transformed weights: both stay in the second-level cache.
const SMALL: usize = 1 << 14;
/// Those of a block if weights are transformed for each block again, which a large block repays.
const LARGE: usize = 1 << 16;
/// Transformed weights that are kept for all blocks.
const KEPT: usize = 1 << 18;

/// The time that transforms take, in products of the backend's tiles: measured, and rounded up.
#[derive(Clone, Copy)]
struct Costs {
    /// Columns of a vector, which are computed together.
    lanes: usize,
    /// The products that a tile takes no matter how many terms its sums have, for each.
    tile: usize,
    /// A weight to all points.
    weight: usize,
    /// A tile of one channel, to all points or back.
    tile_of_channel: usize,
}

impl Costs {
    /// With vectors of 256 bits, and without.
    const SHORT: Self = Self { lanes: 4, tile: 12, weight: 180, tile_of_channel: 200 };
    /// With vectors of 512 bits products take two fifths of the time.
    const LONG: Self = Self { lanes: 8, tile: 24, weight: 450, tile_of_channel: 500 };

    fn of(backend: Backend) -> Self {
        match backend {
            Backend::Portable | Backend::Avx2 => Self::SHORT,
            Backend::Avx512 | Backend::Amx => Self::LONG,
        }
    }
}

/// The cuts of one group of a convolution.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels::convolution) struct Cuts {
    /// Outputs of a tile along each axis.
    pub(super) outputs: usize,
    /// Tiles of an image, vertically and horizontally.
    pub(super) tiles: [usize; 2],
    /// Rows of tiles in a block.
    pub(super) rows: usize,
    /// Output channels in a chunk.
    pub(super) channels: usize,
}

impl Cuts {
    /// The cuts of `group`, of so many images, or nothing where fewer multiplications do not pay with a backend.
    pub(in crate::kernels::convolution) fn new(backend: Backend, group: &Convolution, images: usize) -> Option<Self> {
        let Convolution { input_channels, output_channels, kernel: [taps, _], .. } = *group;
        if group.kernel != [taps; 2] || !TAPS.contains(&taps) || group.stride != [1; 2] || group.dilation != [1; 2] {
            return None;
        }
        let outputs = outputs_of(taps);
        let tiles = [group.output_height(), group.output_width()].map(|extent| extent.div_ceil(outputs));
        let all_rows = images * tiles[0];
        // As many rows more as it takes for their tiles to fill vectors: one that is not full takes as long, and its loads and
        // stores several times as long.
        let full = (1..LANES).find(|rows| (rows * tiles[1]).is_multiple_of(LANES)).unwrap_or(LANES);
        let rows = |target: usize| {
            let rows = target / (ALL_POINTS * input_channels * tiles[1]);
            rows.max(1).next_multiple_of(full).min(all_rows)
        };
        let chunk = (SMALL / (ALL_POINTS * input_channels)).next_multiple_of(8).max(8).min(output_channels);
        let (rows, channels) = if rows(SMALL) == all_rows {
            (all_rows, chunk)
        } else if ALL_POINTS * input_channels * output_channels <= KEPT {
            (rows(SMALL), output_channels)
        } else {
            (rows(LARGE), chunk)
        };
        let cuts = Self { outputs, tiles, rows, channels };
        cuts.pay(group, images, &Costs::of(backend)).then_some(cuts)
    }

    /// Whether a quarter of the time is saved.
    fn pay(&self, group: &Convolution, images: usize, costs: &Costs) -> bool {
        // Of the largest shape a product of these does not fit 64 bits.
        let [inputs, outputs, rows] = [group.input_channels, group.output_channels, images * self.tiles[0]].map(wide);
        let [lanes, tile, weight, of_channel] =
            [costs.lanes, costs.tile, costs.weight, costs.tile_of_channel].map(wide);
        let tiles = wide(self.rows * self.tiles[1]);
        let blocks = rows.div_ceil(wide(self.rows));
        let times = if self.channels == group.output_channels { 1 } else { blocks };
        let products = wide(ALL_POINTS) * outputs * (inputs + tile) * tiles.next_multiple_of(lanes) * blocks;
        let transforms = inputs * outputs * weight * times + (inputs + outputs) * tiles * blocks * of_channel;
        let direct = wide(images) * u128::from(group.multiplications());
        products + transforms <= direct / 4 * 3
    }

    /// The columns of the input under a row of tiles, and those of its outputs, which are fewer: whole lanes.
    pub(super) fn line(&self) -> usize {
        (self.tiles[1] * self.outputs + POINTS - self.outputs).next_multiple_of(LANES)
    }

    /// Elements of the transformed inputs and weights, of the sums, and of the lines of a block.
    pub(super) fn lens(&self, group: &Convolution) -> [usize; 4] {
        let tiles = self.rows * self.tiles[1];
        let [inputs, weights, sums] =
            [group.input_channels * tiles, group.input_channels * self.channels, self.channels * tiles]
                .map(|len| ALL_POINTS * distance(len));
        [inputs, weights, sums, self.rows * POINTS * self.line()]
    }

    pub(in crate::kernels::convolution) fn scratch_len(&self, group: &Convolution) -> usize {
        self.lens(group).iter().sum()
    }
}

fn wide(len: usize) -> u128 {
    len as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_vectors_or_have_all_rows() {
        let mut cut = 0;
        for (channels, size) in [(16, 32), (32, 16), (64, 8), (64, 12), (64, 7), (32, 28), (256, 4), (512, 7), (64, 56)]
        {
            let valid = Convolution::valid([channels; 2], [size; 2], [3; 2]);
            let group = Convolution { padding: [1; 4], ..valid };
            for backend in [Backend::Avx2, Backend::Avx512] {
                for images in [1, 3, 16] {
                    let Some(cuts) = Cuts::new(backend, &group, images) else { continue };
                    let tiles = cuts.rows * cuts.tiles[1];
                    assert!(
                        cuts.rows == images * cuts.tiles[0] || tiles.is_multiple_of(LANES),
                        "{channels}, {size}: {cuts:?}"
                    );
                    cut += usize::from(cuts.rows < images * cuts.tiles[0]);
                }
            }
        }
        assert!(cut > 20, "{cut}");
    }
}
