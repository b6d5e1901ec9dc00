//! ConvTranspose by sub-pixel convolution: each phase of the stride is a channel of a convolution of stride 1 (Shi et
//! al., *Is the deconvolution layer the same as a convolutional layer?*, 2016), so that no zeros are multiplied.

use ndarray::{ArrayD, IxDyn};

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::convolution::{bias, convolve, private};
use crate::rules::geometry::{Windows, factors, pads};
use crate::value::{Tensor, Value};

/// One spatial axis.
#[derive(Clone, Copy, Debug)]
struct Side {
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// The number of elements cut off at the start.
    before: usize,
    output: usize,
}

impl Side {
    /// The number of taps of a phase.
    fn taps(&self) -> usize {
        self.kernel.div_ceil(self.stride)
    }

    /// The blocks of `stride` positions that hold the output, from the first.
    fn blocks(&self) -> (usize, usize) {
        // Blocks before the first are cut off; without padding, the first block needs taps − 1 zeros in front.
        let first = (self.before / self.stride).min(self.taps() - 1);
        (first, (self.before + self.output).div_ceil(self.stride))
    }

    fn windows(&self) -> (usize, usize, usize) {
        let (first, end) = self.blocks();
        let before = self.taps() - 1 - first;
        let count = end - first;
        (before, (count + self.taps() - 1).saturating_sub(self.input + before), count)
    }
}

pub(super) fn transposed(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.required(1)?.is_private() {
        return private_kernel(context, call);
    }
    let x = call.tensor(0)?;
    let mut weight = call.constant(1)?.array().clone();
    let (&[_, channels, ref input @ ..], &[inputs, per_group, ref kernel @ ..]) = (x.shape.as_slice(), weight.shape())
    else {
        return invalid("its input or weight has fewer than two axes");
    };
    let groups = arrays::size(call.int("group", 1)?)?;
    if groups == 0 || channels != inputs || channels % groups != 0 || kernel.len() != input.len() || input.is_empty() {
        return invalid("its groups or channels do not fit its weight");
    }
    let kernel = kernel.to_vec();
    let sides = sides(call, input, &kernel)?;
    let Some(outputs) = per_group.checked_mul(groups) else { return invalid("it has too many channels") };
    let mut bias = bias(call, outputs)?;
    if let Some(norm) = &call.norm {
        let rows = inputs / groups;
        let channel = |element: usize, shape: &[usize]| {
            let spatial = shape[2..].iter().product::<usize>().max(1);
            element / spatial % per_group + element / (spatial * per_group) / rows * per_group
        };
        bias = Some(norm.fold(&mut weight, bias, channel)?);
    }
    let weight = dilated(context, weight, &sides)?;
    let sides: Vec<Side> =
        sides.iter().map(|side| Side { kernel: (side.kernel - 1) * side.dilation + 1, dilation: 1, ..*side }).collect();
    Ok([sub_pixel(context, x, &weight, bias, &sides, groups)?.into()].into())
}

/// The same with a kernel that depends on a private input, whose elements move as the places of their array do.
fn private_kernel(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (x, weight) = (context.tensor_of(call.required(0)?)?, context.tensor_of(call.required(1)?)?);
    let (&[_, channels, ref input @ ..], &[inputs, per_group, ref kernel @ ..]) =
        (x.shape.as_slice(), weight.shape.as_slice())
    else {
        return invalid("its input or weight has fewer than two axes");
    };
    let groups = arrays::size(call.int("group", 1)?)?;
    if groups == 0 || channels != inputs || channels % groups != 0 || kernel.len() != input.len() || input.is_empty() {
        return invalid("its groups or channels do not fit its weight");
    }
    // Floats count exactly that far.
    if weight.len() >= 1 << 24 {
        return unsupported("a private kernel of that many elements");
    }
    if call.norm.is_some() {
        return unsupported("a batch normalisation behind a convolution with a private kernel");
    }
    let sides = sides(call, input, kernel)?;
    context.charge(weight.len())?;
    let places = arrays::from_elements(&weight.shape, (1..=weight.len()).map(|place| place as f32).collect())?;
    let places = dilated(context, places, &sides)?;
    let sides: Vec<Side> =
        sides.iter().map(|side| Side { kernel: (side.kernel - 1) * side.dilation + 1, dilation: 1, ..*side }).collect();
    let places = phase_weights(context, &places, &sides, groups)?;
    // Place 0 is that of a zero in front of all elements.
    let flat = context.reshape(&weight, &[weight.len()])?;
    let flat = context.pad(&flat, &[1], &[0])?;
    let chosen: Vec<usize> = places.iter().map(|&place| place as usize).collect();
    let phases = context.gather(&flat, 0, &chosen)?;
    let phases = context.reshape(&phases, places.shape())?;
    let y = private::convolved(context, &x, &phases, &phase_windows(&sides))?;
    let y = interleave(context, &y, per_group * groups, &sides)?;
    Ok([private::with_bias(context, &y, call.input(2))?.into()].into())
}

fn sides(call: &Call<'_>, input: &[usize], kernel: &[usize]) -> Lowered<Vec<Side>> {
    let axes = input.len();
    let (stride, dilation) = (factors(call, "strides", axes)?, factors(call, "dilations", axes)?);
    let [before, after] = pads(call, axes)?;
    let extra = call.sizes("output_padding")?.unwrap_or_else(|| vec![0; axes]);
    let auto = call.string("auto_pad", "NOTSET")?;
    let mut wanted = call.sizes("output_shape")?;
    if wanted.is_none() && auto.starts_with("SAME") {
        wanted = Some((0..axes).map(|i| input[i].saturating_mul(stride[i])).collect());
    }
    if extra.len() != axes || wanted.as_ref().is_some_and(|wanted| wanted.len() != axes) {
        return invalid("its output_padding or output_shape has not one number for each axis");
    }
    let side = |i: usize| {
        let reach = (kernel[i].checked_sub(1)?).checked_mul(dilation[i])?.checked_add(1)?;
        let full = (input[i].checked_sub(1)?).checked_mul(stride[i])?.checked_add(reach)?.checked_add(extra[i])?;
        let (start, output) = match &wanted {
            Some(wanted) => {
                let total = full.saturating_sub(wanted[i]);
                let small = total / 2;
                (if auto == "SAME_UPPER" { small } else { total - small }, wanted[i])
            }
            None if auto == "VALID" => (0, full),
            None => (before[i], full.checked_sub(before[i])?.checked_sub(after[i])?),
        };
        let (input, kernel, stride, dilation) = (input[i], kernel[i], stride[i], dilation[i]);
        arrays::elements(&[start, output, stride, reach].map(|size| size.max(1))[..2]).ok()?;
        (output > 0 && reach <= mpc_nn::graph::MAX_ELEMENTS).then_some(Side {
            input,
            kernel,
            stride,
            dilation,
            before: start,
            output,
        })
    };
    (0..axes).map(side).collect::<Option<_>>().map_or_else(|| invalid("its output would be empty or too large"), Ok)
}

/// The weight with zeros between its elements, for dilations.
fn dilated(context: &mut Context, weight: ArrayD<f32>, sides: &[Side]) -> Lowered<ArrayD<f32>> {
    if sides.iter().all(|side| side.dilation == 1) {
        return Ok(weight);
    }
    let mut shape = weight.shape()[..2].to_vec();
    shape.extend(sides.iter().map(|side| (side.kernel - 1) * side.dilation + 1));
    context.charge(arrays::elements(&shape)?)?;
    let mut result = ArrayD::zeros(shape.as_slice());
    for (place, &value) in weight.indexed_iter() {
        let spread = |i: usize| if i < 2 { place[i] } else { place[i] * sides[i - 2].dilation };
        result[(0..shape.len()).map(spread).collect::<Vec<_>>().as_slice()] = value;
    }
    Ok(result)
}

/// The windows of the convolution that all phases are channels of.
fn phase_windows(sides: &[Side]) -> Windows {
    let each = |of: fn(&Side) -> usize| sides.iter().map(of).collect::<Vec<_>>();
    Windows {
        kernel: each(Side::taps),
        stride: vec![1; sides.len()],
        dilation: vec![1; sides.len()],
        before: each(|side| side.windows().0),
        after: each(|side| side.windows().1),
        count: each(|side| side.windows().2),
        declared_after: each(|side| side.windows().1),
    }
}

fn sub_pixel(
    context: &mut Context,
    x: &Tensor,
    weight: &ArrayD<f32>,
    bias: Option<Vec<f32>>,
    sides: &[Side],
    groups: usize,
) -> Lowered<Tensor> {
    let phases: Vec<usize> = sides.iter().map(|side| side.stride).collect();
    let phase_count = arrays::elements(&phases)?;
    let weight = phase_weights(context, weight, sides, groups)?;
    let bias = bias.map(|bias| bias.iter().flat_map(|&b| core::iter::repeat_n(b, phase_count)).collect::<Vec<_>>());
    context.charge(weight.shape()[0])?;
    let windows = phase_windows(sides);
    let outputs = weight.shape()[0] / phase_count;
    let y = convolve(context, x, weight, bias, &windows, groups)?;
    interleave(context, &y, outputs, sides)
}

/// [c, m/g, k…] → [m·phases, c/g, taps…]: tap t of phase r is element r + stride·(taps − 1 − t) of the kernel.
fn phase_weights(context: &mut Context, weight: &ArrayD<f32>, sides: &[Side], groups: usize) -> Lowered<ArrayD<f32>> {
    let (rows, per_group) = (weight.shape()[0] / groups, weight.shape()[1]);
    let phases: usize = sides.iter().map(|side| side.stride).product();
    let mut shape = vec![groups * per_group * phases, rows];
    shape.extend(sides.iter().map(Side::taps));
    context.charge(arrays::elements(&shape)?)?;
    Ok(ArrayD::from_shape_fn(IxDyn(&shape), |place| {
        let (channel, mut phase) = (place[0] / phases, place[0] % phases);
        let mut source = vec![channel / per_group * rows + place[1], channel % per_group];
        let mut tail = Vec::new();
        for (i, side) in sides.iter().enumerate().rev() {
            tail.push(phase % side.stride + side.stride * (side.taps() - 1 - place[2 + i]));
            phase /= side.stride;
        }
        source.extend(tail.into_iter().rev());
        weight.get(source.as_slice()).copied().unwrap_or(0.0)
    }))
}

/// [n, m·phases, q…] → [n, m, q·stride…], cut to the output.
fn interleave(context: &mut Context, y: &Tensor, outputs: usize, sides: &[Side]) -> Lowered<Tensor> {
    let (n, axes) = (y.shape[0], sides.len());
    if 2 + 2 * axes > mpc_nn::graph::MAX_RANK {
        return unsupported("transposed convolutions of one to three dimensions are");
    }
    let mut split = vec![n, outputs];
    split.extend(sides.iter().map(|side| side.stride));
    split.extend(&y.shape[2..]);
    let mut permutation = vec![0, 1];
    permutation.extend((0..axes).flat_map(|i| [2 + axes + i, 2 + i]));
    let mut joined = vec![n, outputs];
    joined.extend((0..axes).map(|i| y.shape[2 + i] * sides[i].stride));
    let y = context.reshape(y, &split)?;
    let y = context.transpose(&y, &permutation)?;
    let mut y = context.reshape(&y, &joined)?;
    for (i, side) in sides.iter().enumerate() {
        let start = side.before - side.blocks().0 * side.stride;
        y = context.slice(&y, 2 + i, start, start + side.output)?;
    }
    Ok(y)
}
