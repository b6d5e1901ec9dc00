//! Convolution as a matrix product over patches of the image.

use core::ops::Range;

use mpc_ring::Convolution;
use ndarray::{Array2, Array4, ArrayD, ArrayView1, ArrayView3, ArrayViewMut2, Ix4, s};

/// The largest number of patch elements that are laid out at a time: 256 KiB, to stay in the cache.
const BLOCK: usize = 1 << 16;

pub(super) fn apply(
    shape: &Convolution,
    input: &ArrayD<f32>,
    weight: &ArrayD<f32>,
    bias: Option<ArrayView1<'_, f32>>,
) -> ArrayD<f32> {
    let input = input.view().into_dimensionality::<Ix4>().expect("the graph has checked the shapes");
    let (rows, columns) = (shape.output_height(), shape.output_width());
    let (group_inputs, group_outputs) = (shape.input_channels / shape.groups, shape.output_channels / shape.groups);
    let patch = group_inputs * shape.kernel[0] * shape.kernel[1];
    let filters = weight.to_shape((shape.output_channels, patch)).expect("the graph has checked the shapes");

    let rows_at_once = (BLOCK / (patch * columns)).clamp(1, rows);
    let mut patches = Array2::zeros((patch, rows_at_once * columns));
    let mut output = Array4::zeros((shape.batch, shape.output_channels, rows, columns));
    for (sample, mut output) in input.outer_iter().zip(output.outer_iter_mut()) {
        for group in 0..shape.groups {
            let channels = sample.slice(s![group * group_inputs..(group + 1) * group_inputs, .., ..]);
            let filters = filters.slice(s![group * group_outputs..(group + 1) * group_outputs, ..]);
            for top in (0..rows).step_by(rows_at_once) {
                let block = top..rows.min(top + rows_at_once);
                let mut patches = patches.slice_mut(s![.., ..block.len() * columns]);
                lay_out(shape, channels, block.clone(), patches.view_mut());
                let product = filters.dot(&patches);
                let product = product.to_shape((group_outputs, block.len(), columns)).expect("as many elements");
                output.slice_mut(s![group * group_outputs..(group + 1) * group_outputs, block, ..]).assign(&product);
            }
        }
    }
    if let Some(bias) = bias {
        output += &bias.to_shape((1, shape.output_channels, 1, 1)).expect("as many elements");
    }
    output.into_dyn()
}

/// One row of `patches` for each element of a filter, one column for each position of the filter.
fn lay_out(shape: &Convolution, image: ArrayView3<'_, f32>, block: Range<usize>, mut patches: ArrayViewMut2<'_, f32>) {
    let [kernel_rows, kernel_columns] = shape.kernel;
    let columns = shape.output_width();
    for (element, mut line) in patches.outer_iter_mut().enumerate() {
        let channel = image.index_axis(ndarray::Axis(0), element / (kernel_rows * kernel_columns));
        let (down, across) = (element / kernel_columns % kernel_rows, element % kernel_columns);
        let inside = columns_inside(shape, across);
        for (index, row) in block.clone().enumerate() {
            let mut target = line.slice_mut(s![index * columns..(index + 1) * columns]);
            let y = (row * shape.stride[0] + down * shape.dilation[0]).wrapping_sub(shape.padding[0]);
            if y >= shape.height || inside.is_empty() {
                target.fill(0.0);
                continue;
            }
            let first = inside.start * shape.stride[1] + across * shape.dilation[1] - shape.padding[1];
            target.slice_mut(s![..inside.start]).fill(0.0);
            target.slice_mut(s![inside.end..]).fill(0.0);
            let source = channel.slice(s![y, first..; shape.stride[1]]);
            target.slice_mut(s![inside.clone()]).assign(&source.slice(s![..inside.len()]));
        }
    }
}

/// The output columns for which a filter's column lies inside the image and not in the padding.
fn columns_inside(shape: &Convolution, across: usize) -> Range<usize> {
    let (offset, stride) = (across * shape.dilation[1], shape.stride[1]);
    let start = shape.padding[1].saturating_sub(offset).div_ceil(stride);
    let stop = (shape.width + shape.padding[1]).saturating_sub(offset).div_ceil(stride).min(shape.output_width());
    start..stop.max(start)
}
