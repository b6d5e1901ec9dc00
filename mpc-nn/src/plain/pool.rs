//! Maxima and means over windows.

use ndarray::{ArrayD, ArrayView2, Axis, Dimension, Ix4, Slice};

use crate::graph::Pool;

pub(super) fn maximum(pool: &Pool, input: &ArrayD<f32>, shape: &[usize]) -> ArrayD<f32> {
    over_windows(pool, input, shape, |window, _| window.fold(f32::NEG_INFINITY, |largest, &x| largest.max(x)))
}

pub(super) fn mean(pool: &Pool, input: &ArrayD<f32>, shape: &[usize]) -> ArrayD<f32> {
    over_windows(pool, input, shape, |window, divisor| window.sum() / divisor as f32)
}

/// An output of the given shape, each element of it from its window and the window's divisor.
fn over_windows(
    pool: &Pool,
    input: &ArrayD<f32>,
    shape: &[usize],
    reduce: impl Fn(ArrayView2<'_, f32>, usize) -> f32,
) -> ArrayD<f32> {
    let input = input.view().into_dimensionality::<Ix4>().expect("the graph has checked the shapes");
    let (_, _, height, width) = input.dim();
    ArrayD::from_shape_fn(shape, |index| {
        let index = index.as_array_view();
        let output = [index[2], index[3]];
        let [rows, columns] = pool.window(output, [height, width]);
        let image = input.index_axis(Axis(0), index[0]);
        let channel = image.index_axis(Axis(0), index[1]);
        let of_rows = channel.slice_axis(Axis(0), positions(rows, pool.dilation[0]));
        reduce(of_rows.slice_axis(Axis(1), positions(columns, pool.dilation[1])), pool.divisor(output, [height, width]))
    })
}

/// The same positions for slicing; a window is never empty.
fn positions(mut window: impl ExactSizeIterator<Item = usize>, dilation: usize) -> Slice {
    let len = window.len();
    let start = window.next().unwrap_or_default();
    let stop = start + (len - 1) * dilation + 1;
    Slice::from(start..stop).step_by(dilation as isize)
}
