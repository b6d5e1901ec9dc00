//! Convolution over images, in floating point as a matrix product over patches of the image.

use core::ops::Range;

use mpc_ring::Convolution;
use ndarray::{Array4, ArrayView1, ArrayView2, Axis, Ix4, Slice};

use super::prelude::*;
use super::weighted;
use crate::graph::ConvolutionOptions;

impl GraphBuilder {
    /// A two-dimensional convolution of [b, c, h, w].
    ///
    /// # Errors
    /// Another number of axes, sizes that do not fit together or are too large; a name that is taken.
    pub fn convolution(
        &mut self,
        name: &str,
        input: NodeId,
        options: ConvolutionOptions,
    ) -> Result<NodeId, GraphError> {
        let sizes = shape::axes(name, self.shape_for(name, input)?)?;
        let shape = options.applied_to(sizes);
        shape.validate().map_err(|source| GraphError::Convolution { name: name.to_owned(), source })?;
        shape::check(name, &weight_shape(&shape))?;
        // A kernel computes at least a row of the output at a time, with a patch of the input for each of its pixels.
        let patch = shape.weight_len() / shape.output_channels;
        shape::check(name, &[shape.output_width(), patch])?;
        let output = vec![shape.batch, shape.output_channels, shape.output_height(), shape.output_width()];
        self.push(name, Op::Convolution { shape, bias: options.bias }, vec![input], output)
    }
}

/// [output channels, input channels of a group, kernel height, kernel width].
fn weight_shape(shape: &Convolution) -> Vec<usize> {
    vec![shape.output_channels, shape.input_channels / shape.groups, shape.kernel[0], shape.kernel[1]]
}

pub(super) struct Convolve<'a> {
    pub(super) shape: &'a Convolution,
    pub(super) bias: bool,
}

impl Operation for Convolve<'_> {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        let Convolution { output_channels, kernel, stride, padding, dilation, groups, .. } = *self.shape;
        let bias = self.bias;
        let options = ConvolutionOptions { output_channels, kernel, stride, padding, dilation, groups, bias };
        builder.convolution(node.name(), node.input(0), options)
    }

    fn parameters(&self, _node: &Node) -> Vec<(ParameterKind, Vec<usize>)> {
        let weight = (ParameterKind::Weight, weight_shape(self.shape));
        let bias = self.bias.then(|| (ParameterKind::Bias, vec![self.shape.output_channels]));
        [weight].into_iter().chain(bias).collect()
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::multiplications(self.shape.multiplications())
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        apply(self.shape, x.input(0), x.weight(), x.bias())
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        weighted::plan(walk, node, *self.shape)
    }
}

/// The largest number of patch elements that are laid out at a time: 256 KiB, to stay in the cache.
const BLOCK: usize = 1 << 16;

fn apply(
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
    let mut patches = vec![0.0; patch * rows_at_once * columns];
    let mut output = Array4::zeros((shape.batch, shape.output_channels, rows, columns));
    for (sample, mut output) in input.outer_iter().zip(output.outer_iter_mut()) {
        for group in 0..shape.groups {
            let channels = sample.slice_axis(Axis(0), Slice::from(group * group_inputs..(group + 1) * group_inputs));
            let channels = channels.to_slice().expect("tensors are in row-major order");
            let group_outputs_range = Slice::from(group * group_outputs..(group + 1) * group_outputs);
            let filters = filters.slice_axis(Axis(0), group_outputs_range);
            for top in (0..rows).step_by(rows_at_once) {
                let block = top..rows.min(top + rows_at_once);
                let patches = &mut patches[..patch * block.len() * columns];
                lay_out(shape, channels, block.clone(), patches);
                let patches =
                    ArrayView2::from_shape((patch, block.len() * columns), patches).expect("as many elements");
                let product = filters.dot(&patches);
                let product = product.to_shape((group_outputs, block.len(), columns)).expect("as many elements");
                let mut of_group = output.slice_axis_mut(Axis(0), group_outputs_range);
                of_group.slice_axis_mut(Axis(1), Slice::from(block)).assign(&product);
            }
        }
    }
    if let Some(bias) = bias {
        output += &bias.to_shape((1, shape.output_channels, 1, 1)).expect("as many elements");
    }
    output.into_dyn()
}

/// One line of `patches` for each element of a filter, with an entry for each position of the filter.
fn lay_out(shape: &Convolution, image: &[f32], block: Range<usize>, patches: &mut [f32]) {
    let [kernel_rows, kernel_columns] = shape.kernel;
    let columns = shape.output_width();
    let channel_len = shape.height * shape.width;
    for (element, line) in patches.chunks_exact_mut(block.len() * columns).enumerate() {
        let channel = &image[element / (kernel_rows * kernel_columns) * channel_len..][..channel_len];
        let (down, across) = (element / kernel_columns % kernel_rows, element % kernel_columns);
        let inside = columns_inside(shape, across);
        for (target, row) in line.chunks_exact_mut(columns).zip(block.clone()) {
            target.fill(0.0);
            let y = (row * shape.stride[0] + down * shape.dilation[0]).wrapping_sub(shape.padding[0]);
            if y < shape.height && !inside.is_empty() {
                let first = inside.start * shape.stride[1] + across * shape.dilation[1] - shape.padding[1];
                copy(
                    &channel[y * shape.width + first..(y + 1) * shape.width],
                    shape.stride[1],
                    &mut target[inside.clone()],
                );
            }
        }
    }
}

/// Copies every `stride`-th element of `source`.
fn copy(source: &[f32], stride: usize, target: &mut [f32]) {
    if stride == 1 {
        target.copy_from_slice(&source[..target.len()]);
    } else {
        target.iter_mut().zip(source.iter().step_by(stride)).for_each(|(target, &source)| *target = source);
    }
}

/// The output columns for which a filter's column lies inside the image and not in the padding.
fn columns_inside(shape: &Convolution, across: usize) -> Range<usize> {
    let (offset, stride) = (across * shape.dilation[1], shape.stride[1]);
    let start = shape.padding[1].saturating_sub(offset).div_ceil(stride);
    let stop = (shape.width + shape.padding[1]).saturating_sub(offset).div_ceil(stride).min(shape.output_width());
    start..stop.max(start)
}
