//! Conv in one, two and three dimensions.

pub(super) mod private;

use mpc_nn::ConvolutionOptions;
use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::geometry::Windows;
use crate::value::{Tensor, Value};

pub(super) fn convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.required(1)?.is_private() {
        return private::convolution(context, call);
    }
    let x = call.tensor(0)?;
    let mut weight = call.constant(1)?.array().clone();
    let (&[_, channels, ref input @ ..], &[outputs, _, ref kernel @ ..]) = (x.shape.as_slice(), weight.shape()) else {
        return invalid("its input or weight has fewer than two axes");
    };
    let groups = arrays::size(call.int("group", 1)?)?;
    let per_group = channels.checked_div(groups).filter(|&size| size * groups == channels && size == weight.shape()[1]);
    if per_group.is_none() || outputs % groups != 0 {
        return invalid("its groups or channels do not fit its weight");
    }
    if call.sizes("kernel_shape")?.is_some_and(|declared| declared != kernel) {
        return invalid("its kernel is not that of its weight");
    }
    let windows = Windows::new(call, kernel, input)?;
    let mut bias = bias(call, outputs)?;
    if let Some(norm) = &call.norm {
        bias = Some(norm.fold(&mut weight, bias, |element, shape| element / shape[1..].iter().product::<usize>())?);
    }
    Ok([convolve(context, x, weight, bias, &windows, groups)?.into()].into())
}

/// The bias of a layer, one entry for each output channel.
pub(super) fn bias(call: &Call<'_>, outputs: usize) -> Lowered<Option<Vec<f32>>> {
    let Some(bias) = call.optional_constant(2)? else { return Ok(None) };
    if bias.array().len() == outputs {
        Ok(Some(bias.array().iter().copied().collect()))
    } else {
        invalid("its bias has another length than its output channels")
    }
}

/// The convolution over one to three spatial axes.
pub(super) fn convolve(
    context: &mut Context,
    x: &Tensor,
    weight: ArrayD<f32>,
    bias: Option<Vec<f32>>,
    windows: &Windows,
    groups: usize,
) -> Lowered<Tensor> {
    match windows.kernel.len() {
        1 => {
            let &[n, c, l] = x.shape.as_slice() else { return invalid("its input is not a sequence") };
            let x = context.reshape(x, &[n, c, 1, l])?;
            let weight = weight.insert_axis(ndarray::Axis(2));
            let y = planar(context, &x, weight, bias, &windows.with_unit_axis(), groups)?;
            let (outputs, length) = (y.shape[1], y.shape[3]);
            context.reshape(&y, &[n, outputs, length])
        }
        2 => planar(context, x, weight, bias, windows, groups),
        3 => spatial(context, x, &weight, bias, windows, groups),
        _ => unsupported("convolutions of one to three dimensions are"),
    }
}

impl Windows {
    /// The same windows behind an axis of one window of size 1.
    pub(super) fn with_unit_axis(&self) -> Self {
        let with = |first: usize, list: &[usize]| [&[first], list].concat();
        Self {
            kernel: with(1, &self.kernel),
            stride: with(1, &self.stride),
            dilation: with(1, &self.dilation),
            before: with(0, &self.before),
            after: with(0, &self.after),
            count: with(1, &self.count),
            declared_after: with(0, &self.declared_after),
        }
    }

    /// The windows of all axes but the first.
    pub(super) fn without_first(&self) -> Self {
        let rest = |list: &[usize]| list[1..].to_vec();
        Self {
            kernel: rest(&self.kernel),
            stride: rest(&self.stride),
            dilation: rest(&self.dilation),
            before: rest(&self.before),
            after: rest(&self.after),
            count: rest(&self.count),
            declared_after: rest(&self.declared_after),
        }
    }
}

fn planar(
    context: &mut Context,
    x: &Tensor,
    weight: ArrayD<f32>,
    bias: Option<Vec<f32>>,
    windows: &Windows,
    groups: usize,
) -> Lowered<Tensor> {
    let pair = |list: &[usize]| [list[0], list[1]];
    let options = ConvolutionOptions {
        output_channels: weight.shape()[0],
        kernel: pair(&windows.kernel),
        stride: pair(&windows.stride),
        padding: [windows.before[0], windows.before[1], windows.after[0], windows.after[1]],
        dilation: pair(&windows.dilation),
        groups,
        bias: bias.is_some(),
    };
    context.convolution(x, weight, bias, options)
}

/// Three dimensions as two, over channels that hold the slices of a window's depth.
fn spatial(
    context: &mut Context,
    x: &Tensor,
    weight: &ArrayD<f32>,
    bias: Option<Vec<f32>>,
    windows: &Windows,
    groups: usize,
) -> Lowered<Tensor> {
    let &[n, c, _, h, w] = x.shape.as_slice() else { return invalid("its input is not a volume") };
    let (count, kernel) = (windows.count[0], windows.kernel[0]);
    let padding = |list: &[usize]| vec![0, 0, list[0], 0, 0];
    let padded = context.pad(x, &padding(&windows.before), &padding(&windows.after))?;
    context.charge(count.saturating_mul(kernel))?;
    let slice = |window: usize, i: usize| window * windows.stride[0] + i * windows.dilation[0];
    let slices: Vec<usize> = (0..count).flat_map(|window| (0..kernel).map(move |i| slice(window, i))).collect();
    let stacked = context.gather(&padded, 2, &slices)?;
    let stacked = context.reshape(&stacked, &[n, c, count, kernel, h, w])?;
    let stacked = context.transpose(&stacked, &[0, 2, 1, 3, 4, 5])?;
    let stacked = context.reshape(&stacked, &[n * count, c * kernel, h, w])?;
    let &[outputs, per_group, _, rows, columns] = weight.shape() else { return invalid("its weight is not a volume") };
    let weight = arrays::reshape(weight, &[outputs, per_group * kernel, rows, columns])?;
    let y = planar(context, &stacked, weight, bias, &windows.without_first(), groups)?;
    let (height, width) = (y.shape[2], y.shape[3]);
    let y = context.reshape(&y, &[n, count, outputs, height, width])?;
    context.transpose(&y, &[0, 2, 1, 3, 4])
}
