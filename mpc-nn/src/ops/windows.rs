//! The common part of pooling layers: windows over [batch, channels, height, width].

use ndarray::{ArrayView2, Axis, Dimension, Ix4, Slice};

use super::prelude::*;
use crate::graph::{MAX_ELEMENTS, Pool};

/// [b, c, h, w] → [b, c, number of windows down, number of windows across].
pub(super) fn shape(name: &str, input: &[usize], pool: &Pool) -> Result<Vec<usize>, GraphError> {
    let [batch, channels, height, width] = shape::axes(name, input)?;
    let Pool { kernel, stride, padding: [top, left, bottom, right], dilation, .. } = *pool;
    let rows = windows(height, [kernel[0], dilation[0], stride[0]], top, bottom);
    let columns = windows(width, [kernel[1], dilation[1], stride[1]], left, right);
    let area = kernel[0].checked_mul(kernel[1]).filter(|&area| area <= MAX_ELEMENTS);
    match (rows, columns, area) {
        (Some(rows), Some(columns), Some(_)) => Ok(vec![batch, channels, rows, columns]),
        _ => Err(GraphError::Pool {
            name: name.to_owned(),
            kernel,
            stride,
            padding: pool.padding,
            input: [height, width],
        }),
    }
}

/// The number of windows along one axis, each of which covers at least one element of the input.
fn windows(size: usize, [kernel, dilation, stride]: [usize; 3], before: usize, after: usize) -> Option<usize> {
    if before >= kernel || after >= kernel || dilation == 0 {
        return None;
    }
    let reach = (kernel - 1).checked_mul(dilation)?.checked_add(1)?;
    let padded = size.checked_add(before)?.checked_add(after)?;
    // With gaps in a window, all of it may lie in the padding: of the elements `dilation` apart one must be inside.
    if dilation > size && before + after > 0 {
        return None;
    }
    padded.checked_sub(reach)?.checked_div(stride)?.checked_add(1)
}

/// An output of the given shape, each element of it from its window and the window's divisor.
pub(super) fn over_windows(
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
