//! The layers that the architectures have in common.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mpc_nn::{ConvolutionOptions, GraphBuilder, GraphError, NodeId};

/// Square filters with as much padding as keeps the size at stride 1.
pub(crate) const fn same(output_channels: usize, kernel: usize) -> ConvolutionOptions {
    let options = ConvolutionOptions::new(output_channels, [kernel; 2]);
    ConvolutionOptions { padding: [kernel / 2; 4], ..options }
}

/// As [`same`], at every `stride`-th pixel.
pub(crate) const fn strided(output_channels: usize, kernel: usize, stride: usize) -> ConvolutionOptions {
    ConvolutionOptions { stride: [stride; 2], ..same(output_channels, kernel) }
}

/// A convolution and the ReLU behind it, `{name}.relu`.
pub(crate) fn convolution_and_relu(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    options: ConvolutionOptions,
) -> Result<NodeId, GraphError> {
    let hidden = builder.convolution(name, input, options)?;
    builder.relu(&format!("{name}.relu"), hidden)
}

/// A linear layer and the ReLU behind it, `{name}.relu`.
pub(crate) fn linear_and_relu(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    outputs: usize,
) -> Result<NodeId, GraphError> {
    let hidden = builder.linear(name, input, outputs, true)?;
    builder.relu(&format!("{name}.relu"), hidden)
}

/// Global average pooling `pool` and a linear layer: [b, c, h, w] → [b, classes].
pub(crate) fn pooled_classifier(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    classes: usize,
) -> Result<NodeId, GraphError> {
    let means = builder.global_average_pool("pool", input)?;
    let features = builder.flatten("flatten", means)?;
    builder.linear(name, features, classes, true)
}

/// Each pixel of [b, c, h, w] as a square of 2×2, in two nodes: `{name}.rows` and `{name}.columns`.
pub(crate) fn upsample_nearest(builder: &mut GraphBuilder, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
    let shape = builder.shape(input)?;
    let twice = |size: usize| (0..size.saturating_mul(2)).map(|position| position / 2).collect::<Vec<_>>();
    let (rows, columns) = (twice(shape[2]), twice(shape[3]));
    let tall = builder.gather(&format!("{name}.rows"), input, 2, &rows)?;
    builder.gather(&format!("{name}.columns"), tall, 3, &columns)
}

/// The batch normalisation behind a convolution as PyTorch's networks name it: `layer1.0.conv2` → `layer1.0.bn2`, and
/// in a sequence the next module, `features.7` → `features.8`.
pub(crate) fn batch_norm_of(convolution: &str) -> Option<String> {
    let (block, last) = convolution.rsplit_once('.').unwrap_or(("", convolution));
    let norm = match (last.strip_prefix("conv"), last.parse::<usize>()) {
        (Some(number), _) => format!("bn{number}"),
        (None, Ok(number)) => format!("{}", number.checked_add(1)?),
        (None, Err(_)) => return None,
    };
    Some(if block.is_empty() { norm } else { format!("{block}.{norm}") })
}
