//! ResNet-32 for 32×32 images in ten classes (He et al. 2016, section 4.2, n = 5).

use alloc::format;

use mpc_nn::{Graph, GraphBuilder, GraphError, NodeId, Weights};

use crate::layers::{batch_norm_of, pooled_classifier, strided};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 32, 32];
/// The number of classes.
pub const CLASSES: usize = 10;

/// The trained weights that come with this crate, a safetensors file with halves for [`load_resnet32`].
#[cfg(feature = "bundled")]
pub const BUNDLED_WEIGHTS: &[u8] = include_bytes!("../weights/resnet32.safetensors");

const STAGES: [usize; 3] = [16, 32, 64];
const BLOCKS: usize = 5;

/// ResNet-32 on images [batch, 3, 32, 32]; gives logits [batch, classes].
///
/// Batch normalisation is part of the convolutions, each of which therefore has a bias. Shortcuts are parameter-free
/// (option A): where a stage begins, every second row and column, with zero channels before and behind. Layers are
/// named as in PyTorch: `conv1`, `layer1.0.conv1`, …, `linear`.
///
/// ```
/// let graph = mpc_models::resnet32(1, 10)?;
/// assert_eq!(graph.relu_count(), 303_104);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn resnet32(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let image = builder.input("image", &[batch, channels, height, width])?;
    let hidden = builder.convolution("conv1", image, strided(STAGES[0], 3, 1))?;
    let mut hidden = builder.relu("relu1", hidden)?;
    for (stage, channels) in STAGES.into_iter().enumerate() {
        for block in 0..BLOCKS {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            hidden = basic_block(&mut builder, &name, hidden, channels, stride)?;
        }
    }
    let logits = pooled_classifier(&mut builder, "linear", hidden, classes)?;
    builder.finish(&[logits])
}

/// The weights of [`resnet32`] from a safetensors file with PyTorch's names: `conv1.weight`,
/// `bn1.{weight,bias,running_mean,running_var}`, `layer{1,2,3}.{0..4}.conv{1,2}.weight`, `layer{…}.{…}.bn{1,2}.…`,
/// `linear.weight`, `linear.bias`. Batch normalisation is folded into the convolutions.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_resnet32(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, batch_norm_of)
}

fn basic_block(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    channels: usize,
    stride: usize,
) -> Result<NodeId, GraphError> {
    let hidden = builder.convolution(&format!("{name}.conv1"), input, strided(channels, 3, stride))?;
    let hidden = builder.relu(&format!("{name}.relu1"), hidden)?;
    let hidden = builder.convolution(&format!("{name}.conv2"), hidden, strided(channels, 3, 1))?;
    let shortcut = shortcut(builder, name, input, channels, stride)?;
    let sum = builder.add(&format!("{name}.add"), hidden, shortcut)?;
    builder.relu(&format!("{name}.relu2"), sum)
}

/// The input itself, or in a block that halves the image: every `stride`-th pixel and zeros for the new channels, half
/// of them before and half behind.
fn shortcut(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    channels: usize,
    stride: usize,
) -> Result<NodeId, GraphError> {
    if stride == 1 {
        return Ok(input);
    }
    let shape = builder.shape(input)?.to_vec();
    let new = channels.saturating_sub(shape[1]);
    let steps = [1, 1, stride, stride];
    let pixels = builder.slice(&format!("{name}.shortcut.slice"), input, &[0; 4], &shape, &steps)?;
    builder.pad(&format!("{name}.shortcut.pad"), pixels, &[0, new / 2, 0, 0], &[0, new - new / 2, 0, 0])
}
