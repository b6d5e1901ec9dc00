//! The transforms of inputs, weights and sums.
#![expect(clippy::needless_range_loop, reason = "points and lanes by their numbers, as in the matrices")]

use core::ops::Range;

use super::{Block, POINTS, distance};
use crate::kernels::Work;
use crate::kernels::convolution::shape::Convolution;
use crate::ring::Ring;

/// Tiles or weights that are transformed side by side.
pub(super) const LANES: usize = 4;
/// Transformed in loops, as closures of the library are not compiled for this machine's vectors.
type Lanes<R> = [R; LANES];

/// Point p of channel c of tile t goes to place c · tiles + t of the p-th points.
pub(super) struct TransformInputs<'a, R> {
    pub(super) block: &'a Block<'a>,
    pub(super) input: &'a [R],
    pub(super) points: &'a mut [R],
    pub(super) lines: &'a mut [R],
}

impl<R: Ring> Work for TransformInputs<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { block, input, points, lines } = self;
        let (group, line, tiles) = (block.group, block.cuts.line(), block.tiles());
        let distance = distance(group.input_channels * tiles);
        let plane = group.height * group.width;
        for channel in 0..group.input_channels {
            for (row, lines) in block.rows.clone().zip(lines.chunks_exact_mut(POINTS * line)) {
                let (image, row) = block.place(row);
                let plane = &input[(image * group.input_channels + channel) * plane..][..plane];
                block.copy_lines(row * block.cuts.outputs, plane, lines);
                transform_columns(lines, line);
            }
            for first in (0..tiles).step_by(LANES) {
                let lanes = LANES.min(tiles - first);
                let mut corners = [0; LANES];
                for lane in 0..lanes {
                    corners[lane] = block.corner(first + lane);
                }
                for i in 0..POINTS {
                    let mut row = [[R::ZERO; LANES]; POINTS];
                    for lane in 0..lanes {
                        let values: &[R; POINTS] = lines[corners[lane] + i * line..].first_chunk().expect("all points");
                        for j in 0..POINTS {
                            row[j][lane] = values[j];
                        }
                    }
                    let row = input_points(row);
                    for j in 0..POINTS {
                        put(&mut points[(i * POINTS + j) * distance + channel * tiles + first..], &row[j], lanes);
                    }
                }
            }
        }
    }
}

/// Transforms six lines along the columns, in place.
#[inline(always)]
fn transform_columns<R: Ring>(lines: &mut [R], line: usize) {
    for x in (0..line).step_by(LANES) {
        let mut column = [[R::ZERO; LANES]; POINTS];
        for i in 0..POINTS {
            column[i] = get(&lines[i * line + x..], LANES);
        }
        let column = input_points(column);
        for i in 0..POINTS {
            put(&mut lines[i * line + x..], &column[i], LANES);
        }
    }
}

/// Point p of the weights from input channel c to channel k goes to place k · input channels + c of the p-th points.
pub(super) struct TransformWeights<'a, R, const TAPS: usize> {
    pub(super) group: &'a Convolution,
    pub(super) channels: Range<usize>,
    pub(super) weights: &'a [R],
    pub(super) points: &'a mut [R],
}

impl<R: Ring, const TAPS: usize> Work for TransformWeights<'_, R, TAPS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { group, channels, weights, points } = self;
        let count = channels.len() * group.input_channels;
        let weights =
            &weights.as_chunks::<TAPS>().0.as_chunks::<TAPS>().0[channels.start * group.input_channels..][..count];
        let ninth = inverse_of_nine::<R>();
        for (block, weights) in weights.chunks(LANES).enumerate() {
            let mut columns = [[[R::ZERO; LANES]; TAPS]; TAPS];
            for (lane, weights) in weights.iter().enumerate() {
                for y in 0..TAPS {
                    for x in 0..TAPS {
                        columns[x][y][lane] = weights[y][x];
                    }
                }
            }
            let mut transformed = [[[R::ZERO; LANES]; POINTS]; TAPS];
            for x in 0..TAPS {
                for y in 0..TAPS {
                    for lane in 0..LANES {
                        columns[x][y][lane] = columns[x][y][lane].wrapping_mul(ninth);
                    }
                }
                transformed[x] = weight_points(columns[x]);
            }
            for i in 0..POINTS {
                let mut row = [[R::ZERO; LANES]; TAPS];
                for x in 0..TAPS {
                    row[x] = transformed[x][i];
                }
                let row = weight_points(row);
                for j in 0..POINTS {
                    put(&mut points[(i * POINTS + j) * distance(count) + block * LANES..], &row[j], weights.len());
                }
            }
        }
    }
}

/// Transforms the sums back, and adds them to the outputs that there are.
pub(super) struct AddOutputs<'a, R, const OUTPUTS: usize> {
    pub(super) block: &'a Block<'a>,
    pub(super) channels: Range<usize>,
    pub(super) sums: &'a [R],
    pub(super) output: &'a mut [R],
    pub(super) lines: &'a mut [R],
}

impl<R: Ring, const OUTPUTS: usize> Work for AddOutputs<'_, R, OUTPUTS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { block, channels, sums, output, lines } = self;
        let (line, tiles) = (block.cuts.line(), block.tiles());
        let distance = distance(channels.len() * tiles);
        for (k, channel) in channels.enumerate() {
            for first in (0..tiles).step_by(LANES) {
                let lanes = LANES.min(tiles - first);
                let mut rows = [[[R::ZERO; LANES]; OUTPUTS]; POINTS];
                for i in 0..POINTS {
                    let mut points = [[R::ZERO; LANES]; POINTS];
                    for j in 0..POINTS {
                        points[j] = get(&sums[(i * POINTS + j) * distance + k * tiles + first..], lanes);
                    }
                    rows[i] = outputs(points);
                }
                let mut values = [[[R::ZERO; OUTPUTS]; OUTPUTS]; LANES];
                for x in 0..OUTPUTS {
                    let mut column = [[R::ZERO; LANES]; POINTS];
                    for i in 0..POINTS {
                        column[i] = rows[i][x];
                    }
                    let column: [Lanes<R>; OUTPUTS] = outputs(column);
                    for lane in 0..LANES {
                        for y in 0..OUTPUTS {
                            values[lane][y][x] = column[y][lane];
                        }
                    }
                }
                for (lane, values) in values.iter().enumerate().take(lanes) {
                    let corner = &mut lines[block.corner(first + lane)..][..(OUTPUTS - 1) * line + OUTPUTS];
                    for (y, values) in values.iter().enumerate() {
                        corner[y * line..][..OUTPUTS].copy_from_slice(values);
                    }
                }
            }
            block.add_lines(channel, lines, output);
        }
    }
}

/// The first lanes of what is left of a row.
#[inline(always)]
fn get<R: Ring>(values: &[R], lanes: usize) -> Lanes<R> {
    match values.first_chunk() {
        Some(values) if lanes == LANES => *values,
        _ => {
            let mut some = [R::ZERO; LANES];
            some[..lanes].copy_from_slice(&values[..lanes]);
            some
        }
    }
}

/// Writes the first lanes.
#[inline(always)]
fn put<R: Ring>(to: &mut [R], values: &Lanes<R>, lanes: usize) {
    match to.first_chunk_mut() {
        Some(to) if lanes == LANES => *to = *values,
        _ => to[..lanes].copy_from_slice(&values[..lanes]),
    }
}

#[inline(always)]
fn add<R: Ring>(mut x: Lanes<R>, y: Lanes<R>) -> Lanes<R> {
    for lane in 0..LANES {
        x[lane] = x[lane].wrapping_add(y[lane]);
    }
    x
}

#[inline(always)]
fn sub<R: Ring>(mut x: Lanes<R>, y: Lanes<R>) -> Lanes<R> {
    for lane in 0..LANES {
        x[lane] = x[lane].wrapping_sub(y[lane]);
    }
    x
}

/// x·2^K.
#[inline(always)]
fn times<R: Ring, const K: u32>(mut x: Lanes<R>) -> Lanes<R> {
    for lane in 0..LANES {
        x[lane] = x[lane] << K;
    }
    x
}

/// B^T·d.
#[inline(always)]
fn input_points<R: Ring>([a, b, c, d, e, f]: [Lanes<R>; POINTS]) -> [Lanes<R>; POINTS] {
    let five = |x| add(times::<R, 2>(x), x);
    let (even, odd) = (sub(e, times::<R, 2>(c)), sub(d, times::<R, 2>(b)));
    let (even_at_2, odd_at_2) = (sub(e, c), times::<R, 1>(sub(d, b)));
    [
        add(sub(times::<R, 2>(a), five(c)), e),
        add(even, odd),
        sub(even, odd),
        add(even_at_2, odd_at_2),
        sub(even_at_2, odd_at_2),
        add(sub(times::<R, 2>(b), five(d)), f),
    ]
}

/// 24·G·g: the value of the polynomial with the coefficients g at each point, by the point's factor.
#[inline(always)]
fn weight_points<R: Ring, const TAPS: usize>(taps: [Lanes<R>; TAPS]) -> [Lanes<R>; POINTS] {
    // Of odd length: c + d·x + e·x² + …, evaluated from the last pair on.
    let (mut even, mut odd) = (taps[TAPS - 1], [R::ZERO; LANES]);
    let (mut even_at_2, mut odd_at_2) = (even, odd);
    for k in (0..TAPS / 2).rev() {
        even = add(even, taps[2 * k]);
        odd = add(odd, taps[2 * k + 1]);
        even_at_2 = add(times::<R, 2>(even_at_2), taps[2 * k]);
        odd_at_2 = add(times::<R, 2>(odd_at_2), times::<R, 1>(taps[2 * k + 1]));
    }
    let (first, last) = (taps[0], taps[TAPS - 1]);
    [
        add(times::<R, 2>(first), times::<R, 1>(first)),
        times::<R, 2>(sub([R::ZERO; LANES], add(even, odd))),
        times::<R, 2>(sub(odd, even)),
        add(even_at_2, odd_at_2),
        sub(even_at_2, odd_at_2),
        add(times::<R, 4>(last), times::<R, 3>(last)),
    ]
}

/// A^T·s: output k is the sum of x^k·s over the finite points x, and the last one has that of ∞ besides.
#[inline(always)]
fn outputs<R: Ring, const OUTPUTS: usize>([a, b, c, d, e, f]: [Lanes<R>; POINTS]) -> [Lanes<R>; OUTPUTS] {
    let (even, odd, even_at_2, odd_at_2) = (add(b, c), sub(b, c), add(d, e), sub(d, e));
    let mut values = [[R::ZERO; LANES]; OUTPUTS];
    for k in 0..OUTPUTS {
        let (at_1, at_2) = if k % 2 == 0 { (even, even_at_2) } else { (odd, odd_at_2) };
        values[k] = at_1;
        for lane in 0..LANES {
            values[k][lane] = values[k][lane].wrapping_add(at_2[lane] << k as u32);
        }
    }
    values[0] = add(values[0], a);
    values[OUTPUTS - 1] = add(values[OUTPUTS - 1], f);
    values
}

/// The inverse of 9 modulo 2^ℓ.
fn inverse_of_nine<R: Ring>() -> R {
    // Newton: each step doubles the bits that are right, of which 9·9 = 81 = 1 modulo 2^4 gives the first four.
    let nine = R::from_u64(9);
    let step = |x: R| x.wrapping_mul(R::from_u64(2).wrapping_sub(nine.wrapping_mul(x)));
    (0..5).fold(nine, |x, _| step(x))
}
