//! MiniONN's network for 32×32 images in ten classes (Liu, Juuti, Lu, Asokan 2017, figure 13).

use alloc::format;

use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, GraphError, NodeId, Pool, Weights};

use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 32, 32];
/// The number of classes.
pub const CLASSES: usize = 10;

/// The trained weights that come with this crate, a safetensors file with halves for [`load_minionn`].
#[cfg(feature = "bundled")]
pub const BUNDLED_WEIGHTS: &[u8] = include_bytes!("../weights/minionn.safetensors");

/// A convolution and the ReLU behind it; the image keeps its size.
struct Layer {
    channels: usize,
    kernel: usize,
}

/// The layers between one pooling and the next.
const STAGES: [&[Layer]; 3] = [
    &[Layer { channels: 64, kernel: 3 }, Layer { channels: 64, kernel: 3 }],
    &[Layer { channels: 64, kernel: 3 }, Layer { channels: 64, kernel: 3 }],
    &[Layer { channels: 64, kernel: 3 }, Layer { channels: 64, kernel: 1 }, Layer { channels: 16, kernel: 1 }],
];
const POOL: Pool = Pool::new([2, 2]);

/// MiniONN's network on images [batch, 3, 32, 32]; gives logits [batch, 10].
///
/// Seven convolutions with biases, each with a ReLU behind it, and two average poolings that halve the image; no batch
/// normalisation. Layers are named as in PyTorch: `conv1`, …, `conv7`, `linear`.
///
/// ```
/// let graph = mpc_models::minionn(1)?;
/// assert_eq!(graph.relu_count(), 173_056);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
///
/// # Errors
/// A batch of 0, or one so large that a tensor exceeds [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn minionn(batch: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let mut hidden = builder.input("image", &[batch, channels, height, width])?;
    let mut number = 0;
    for (stage, layers) in STAGES.into_iter().enumerate() {
        if stage > 0 {
            hidden = builder.average_pool(&format!("pool{stage}"), hidden, POOL)?;
        }
        for layer in layers {
            number += 1;
            hidden = convolution_and_relu(&mut builder, number, hidden, layer)?;
        }
    }
    let features = builder.flatten("flatten", hidden)?;
    let logits = builder.linear("linear", features, CLASSES, true)?;
    builder.finish(&[logits])
}

/// The weights of [`minionn`] from a safetensors file with PyTorch's names: `conv{1..7}.{weight,bias}`,
/// `linear.{weight,bias}`.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_minionn(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, |_| None)
}

fn convolution_and_relu(
    builder: &mut GraphBuilder,
    number: usize,
    input: NodeId,
    &Layer { channels, kernel }: &Layer,
) -> Result<NodeId, GraphError> {
    let options = ConvolutionOptions { padding: [kernel / 2; 4], ..ConvolutionOptions::new(channels, [kernel; 2]) };
    let hidden = builder.convolution(&format!("conv{number}"), input, options)?;
    builder.relu(&format!("relu{number}"), hidden)
}
