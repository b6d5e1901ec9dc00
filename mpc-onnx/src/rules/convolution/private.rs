//! Conv with a kernel that depends on a private input: patches of the input times the kernel, a product of matrices.

use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::geometry::Windows;
use crate::value::{Tensor, Value};

pub(super) fn convolution(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (x, weight) = (context.tensor_of(call.required(0)?)?, context.tensor_of(call.required(1)?)?);
    let (Some((_, input)), Some((_, kernel))) =
        (x.shape.split_first_chunk::<2>(), weight.shape.split_first_chunk::<2>())
    else {
        return invalid("its input or weight has fewer than two axes");
    };
    if call.norm.is_some() {
        return unsupported("a batch normalisation behind a convolution with a private kernel");
    }
    let windows = Windows::new(call, kernel, input)?;
    let y = convolved(context, &x, &weight, &windows)?;
    Ok([with_bias(context, &y, call.input(2))?.into()].into())
}

/// The convolution of x with a kernel of [outputs, channels of a group, window].
pub(in crate::rules) fn convolved(
    context: &mut Context,
    x: &Tensor,
    weight: &Tensor,
    windows: &Windows,
) -> Lowered<Tensor> {
    let (&[n, channels, ref input @ ..], &[outputs, per_group, ..]) = (x.shape.as_slice(), weight.shape.as_slice())
    else {
        return invalid("its input or weight has fewer than two axes");
    };
    if per_group == 0 || channels % per_group != 0 || outputs % (channels / per_group) != 0 {
        return invalid("its groups or channels do not fit its weight");
    }
    if input.is_empty() || input.len() > 3 {
        return unsupported("convolutions of one to three dimensions are");
    }
    let groups = channels / per_group;
    let patches = patches(context, x, windows, [n, groups, per_group])?;
    let inner = patches.shape[2];
    let kernels = context.reshape(weight, &[1, groups, outputs / groups, inner])?;
    let product = context.matrix_product(&kernels, &patches)?;
    let shape: Vec<usize> = [n, outputs].into_iter().chain(windows.count.iter().copied()).collect();
    context.reshape(&product, &shape)
}

/// y and a bias for each of its channels, if there is one.
pub(in crate::rules) fn with_bias(context: &mut Context, y: &Tensor, bias: Option<&Value>) -> Lowered<Tensor> {
    let Some(bias) = bias else { return Ok(y.clone()) };
    let mut shape = vec![1; y.rank() - 1];
    shape[0] = y.shape[1];
    let bias = context.reshape_value(bias, &shape)?;
    let bias = context.tensor_of(&bias)?;
    context.add(y, &bias)
}

/// [n, groups, channels of a group · elements of a window, windows]
fn patches(
    context: &mut Context,
    x: &Tensor,
    windows: &Windows,
    [n, groups, per_group]: [usize; 3],
) -> Lowered<Tensor> {
    let axes = windows.kernel.len();
    let around = |list: &[usize]| [&[0, 0], list].concat();
    let mut y = context.pad(x, &around(&windows.before), &around(&windows.after))?;
    let mut split = [n * groups, per_group].to_vec();
    for axis in 0..axes {
        let (count, kernel) = (windows.count[axis], windows.kernel[axis]);
        context.charge(count.saturating_mul(kernel))?;
        let place = |window: usize, i: usize| window * windows.stride[axis] + i * windows.dilation[axis];
        let places: Vec<usize> = (0..count).flat_map(|window| (0..kernel).map(move |i| place(window, i))).collect();
        y = context.gather(&y, 2 + axis, &places)?;
        split.extend([count, kernel]);
    }
    let y = context.reshape(&y, &split)?;
    let kernels = (0..axes).map(|axis| 3 + 2 * axis);
    let counts = (0..axes).map(|axis| 2 + 2 * axis);
    let permutation: Vec<usize> = [0, 1].into_iter().chain(kernels).chain(counts).collect();
    let y = context.transpose(&y, &permutation)?;
    let inner = per_group * windows.kernel.iter().product::<usize>();
    context.reshape(&y, &[n, groups, inner, windows.count.iter().product()])
}
