//! Plain Rust, in an order that compilers vectorise.

use crate::kernels::tile::{Columns, Tile, TileShape};
use crate::ring::Ring;

const LANES: usize = 8;

/// The largest tile.
pub(crate) const SHAPE: TileShape = TileShape { rows: 4, lanes: LANES, vectors: 1 };

/// Adds the tile's product to its output.
pub(crate) fn accumulate_tile<R: Ring>(mut tile: Tile<'_, R>) {
    tile.check(SHAPE);
    match tile.rows {
        1 => accumulate_rows::<R, 1>(&mut tile),
        2 => accumulate_rows::<R, 2>(&mut tile),
        3 => accumulate_rows::<R, 3>(&mut tile),
        _ => accumulate_rows::<R, 4>(&mut tile),
    }
}

/// The sum of products.
#[inline(always)]
pub(crate) fn dot<R: Ring>(left: &[R], right: &[R]) -> R {
    left.iter().zip(right).fold(R::ZERO, |sum, (&a, &b)| sum.wrapping_add(a.wrapping_mul(b)))
}

fn accumulate_rows<R: Ring, const ROWS: usize>(tile: &mut Tile<'_, R>) {
    let columns = tile.columns[0];
    let sums = if columns.count == LANES {
        sum_products::<R, ROWS>(tile, |start| tile.right[start..].first_chunk().copied().unwrap_or([R::ZERO; LANES]))
    } else {
        sum_products::<R, ROWS>(tile, |start| {
            let mut lanes = [R::ZERO; LANES];
            lanes[..columns.count].copy_from_slice(&tile.right[start..start + columns.count]);
            lanes
        })
    };
    write_sums(tile, columns, &sums);
}

#[inline(always)]
fn sum_products<R: Ring, const ROWS: usize>(
    tile: &Tile<'_, R>,
    load: impl Fn(usize) -> [R; LANES],
) -> [[R; LANES]; ROWS] {
    let offsets = tile.offsets.as_slice();
    let left: [&[R]; ROWS] = core::array::from_fn(|row| &tile.left[row * tile.left_stride..][..offsets.len()]);
    let mut sums = [[R::ZERO; LANES]; ROWS];
    for (k, &offset) in offsets.iter().enumerate() {
        let right = load(tile.columns[0].right + offset);
        for (sum, left) in sums.iter_mut().zip(left) {
            let factor = left[k];
            for (sum, right) in sum.iter_mut().zip(right) {
                *sum = sum.wrapping_add(factor.wrapping_mul(right));
            }
        }
    }
    sums
}

#[inline(always)]
fn write_sums<R: Ring, const ROWS: usize>(tile: &mut Tile<'_, R>, columns: Columns, sums: &[[R; LANES]; ROWS]) {
    for (row, sums) in sums.iter().enumerate() {
        let start = row * tile.output_stride + columns.output;
        for (output, &sum) in tile.output[start..start + columns.count].iter_mut().zip(sums) {
            *output = output.wrapping_add(sum);
        }
    }
}
