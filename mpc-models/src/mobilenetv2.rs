//! MobileNetV2 for images of 224×224 (Sandler, Howard, Zhu, Zhmoginov, Chen 2018, table 2).

use alloc::format;

use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, GraphError, NodeId, Weights};
use mpc_protocols::function::Function;

use crate::layers::{batch_norm_of, pooled_classifier, strided};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 224, 224];
/// The number of classes of ImageNet.
pub const CLASSES: usize = 1000;

/// min(max(x, 0), 6).
const RELU6: Function = Function::Clip { low: 0.0, high: 6.0 };

/// Inverted residual blocks of one size.
struct Stage {
    /// How many times as many channels a block has inside as it takes.
    expansion: usize,
    channels: usize,
    blocks: usize,
    /// Of the first block.
    stride: usize,
}

const fn stage(expansion: usize, channels: usize, blocks: usize, stride: usize) -> Stage {
    Stage { expansion, channels, blocks, stride }
}

const STAGES: [Stage; 7] = [
    stage(1, 16, 1, 1),
    stage(6, 24, 2, 2),
    stage(6, 32, 3, 2),
    stage(6, 64, 4, 2),
    stage(6, 96, 3, 1),
    stage(6, 160, 3, 2),
    stage(6, 320, 1, 1),
];

/// MobileNetV2 of width 1 on images [batch, 3, 224, 224]; gives logits [batch, classes].
///
/// Batch normalisation is part of the convolutions; activations are ReLU6. Layers are named as in PyTorch:
/// `features.0.0`, `features.1.conv.0.0`, …, `features.18.0`, `classifier.1`.
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn mobilenetv2(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let image = builder.input("image", &[batch, channels, height, width])?;
    let mut hidden = activated(&mut builder, "features.0.0", image, strided(32, 3, 2))?;
    let mut number = 0;
    for stage in &STAGES {
        for block in 0..stage.blocks {
            number += 1;
            let stride = if block == 0 { stage.stride } else { 1 };
            hidden = inverted_residual(&mut builder, number, hidden, stage, stride)?;
        }
    }
    let hidden = activated(&mut builder, "features.18.0", hidden, strided(1280, 1, 1))?;
    let logits = pooled_classifier(&mut builder, "classifier.1", hidden, classes)?;
    builder.finish(&[logits])
}

/// The weights of [`mobilenetv2`] from a safetensors file with PyTorch's names; batch normalisation is folded into the
/// convolutions.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_mobilenetv2(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, batch_norm_of)
}

/// A 1×1 convolution to more channels, a 3×3 one for each channel by itself, a 1×1 one to fewer, and the input if it
/// has the shape of the result.
fn inverted_residual(
    builder: &mut GraphBuilder,
    number: usize,
    input: NodeId,
    stage: &Stage,
    stride: usize,
) -> Result<NodeId, GraphError> {
    let name = |rest: &str| format!("features.{number}.{rest}");
    let inputs = builder.shape(input)?[1];
    let inner = inputs.saturating_mul(stage.expansion);
    let depthwise = ConvolutionOptions { groups: inner, ..strided(inner, 3, stride) };
    let projected = if stage.expansion == 1 {
        let hidden = activated(builder, &name("conv.0.0"), input, depthwise)?;
        builder.convolution(&name("conv.1"), hidden, strided(stage.channels, 1, 1))?
    } else {
        let hidden = activated(builder, &name("conv.0.0"), input, strided(inner, 1, 1))?;
        let hidden = activated(builder, &name("conv.1.0"), hidden, depthwise)?;
        builder.convolution(&name("conv.2"), hidden, strided(stage.channels, 1, 1))?
    };
    if stride == 1 && inputs == stage.channels { builder.add(&name("add"), projected, input) } else { Ok(projected) }
}

fn activated(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    options: ConvolutionOptions,
) -> Result<NodeId, GraphError> {
    let hidden = builder.convolution(name, input, options)?;
    builder.function(&format!("{name}.relu6"), hidden, RELU6)
}
