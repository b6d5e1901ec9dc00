//! ResNet-18 and ResNet-50 for images of 224×224 (He, Zhang, Ren, Sun 2015, table 1).

use alloc::format;

use mpc_nn::{Graph, GraphBuilder, GraphError, NodeId, Pool, Weights};

use crate::layers::{batch_norm_of, convolution_and_relu, pooled_classifier, strided};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 224, 224];
/// The number of classes of ImageNet.
pub const CLASSES: usize = 1000;

/// The channels of the 3×3 convolutions of each stage.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];

/// The kind of block that a stage is made of.
#[derive(Clone, Copy)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions, the last with four times the channels.
    Bottleneck,
}

impl Block {
    /// The channels that come out, for each channel of a 3×3 convolution.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// ResNet-18 on images [batch, 3, 224, 224]; gives logits [batch, classes].
///
/// Batch normalisation is part of the convolutions. Shortcuts to other sizes are 1×1 convolutions (option B). Layers
/// are named as in PyTorch: `conv1`, `layer1.0.conv1`, …, `layer2.0.downsample.0`, …, `fc`.
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn resnet18(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    resnet(batch, classes, Block::Basic, [2, 2, 2, 2])
}

/// ResNet-50 on images [batch, 3, 224, 224]; gives logits [batch, classes].
///
/// As [`resnet18`], with blocks of three convolutions. Blocks that halve the image do so in their 3×3 convolution
/// ("version 1.5", as in PyTorch).
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn resnet50(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    resnet(batch, classes, Block::Bottleneck, [3, 4, 6, 3])
}

/// The weights of [`resnet18`] or [`resnet50`] from a safetensors file with PyTorch's names; batch normalisation is
/// folded into the convolutions.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_resnet(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, batch_norm_of)
}

fn resnet(batch: usize, classes: usize, block: Block, counts: [usize; 4]) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let image = builder.input("image", &[batch, channels, height, width])?;
    let hidden = convolution_and_relu(&mut builder, "conv1", image, strided(CHANNELS[0], 7, 2))?;
    let pool = Pool { stride: [2, 2], padding: [1; 4], ..Pool::new([3, 3]) };
    let mut hidden = builder.max_pool("maxpool", hidden, pool)?;
    for (stage, (channels, count)) in CHANNELS.into_iter().zip(counts).enumerate() {
        for number in 0..count {
            let stride = if stage > 0 && number == 0 { 2 } else { 1 };
            let name = format!("layer{}.{number}", stage + 1);
            hidden = residual(&mut builder, &name, hidden, block, channels, stride)?;
        }
    }
    let logits = pooled_classifier(&mut builder, "fc", hidden, classes)?;
    builder.finish(&[logits])
}

fn residual(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    block: Block,
    channels: usize,
    stride: usize,
) -> Result<NodeId, GraphError> {
    let part = |which: &str| format!("{name}.{which}");
    let outputs = channels * block.expansion();
    let hidden = match block {
        Block::Basic => {
            let hidden = convolution_and_relu(builder, &part("conv1"), input, strided(channels, 3, stride))?;
            builder.convolution(&part("conv2"), hidden, strided(outputs, 3, 1))?
        }
        Block::Bottleneck => {
            let hidden = convolution_and_relu(builder, &part("conv1"), input, strided(channels, 1, 1))?;
            let hidden = convolution_and_relu(builder, &part("conv2"), hidden, strided(channels, 3, stride))?;
            builder.convolution(&part("conv3"), hidden, strided(outputs, 1, 1))?
        }
    };
    let is_same = stride == 1 && builder.shape(input)?[1] == outputs;
    let shortcut =
        if is_same { input } else { builder.convolution(&part("downsample.0"), input, strided(outputs, 1, stride))? };
    let sum = builder.add(&part("add"), hidden, shortcut)?;
    builder.relu(&part("relu"), sum)
}
