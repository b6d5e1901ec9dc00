//! LeNet-5 for grey images of 32×32 (LeCun, Bottou, Bengio, Haffner 1998).

use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, GraphError, Pool, Weights};

use crate::layers::{convolution_and_relu, linear_and_relu};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [1, 32, 32];
/// The number of classes.
pub const CLASSES: usize = 10;

/// The trained weights that come with this crate, a safetensors file with halves for [`load_lenet`].
#[cfg(feature = "bundled")]
pub const BUNDLED_WEIGHTS: &[u8] = include_bytes!("../weights/lenet.safetensors");

const POOL: Pool = Pool::new([2, 2]);

/// LeNet-5 on images [batch, 1, 32, 32]; gives logits [batch, classes].
///
/// With ReLUs and maximum pooling, as in most later versions: two 5×5 convolutions without padding, each pooled 2×2,
/// and three linear layers. Images of 28×28 need two pixels of padding on each side. Layers are named `conv{1,2}`,
/// `fc{1,2,3}`.
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn lenet(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let image = builder.input("image", &[batch, channels, height, width])?;
    let hidden = convolution_and_relu(&mut builder, "conv1", image, ConvolutionOptions::new(6, [5, 5]))?;
    let hidden = builder.max_pool("pool1", hidden, POOL)?;
    let hidden = convolution_and_relu(&mut builder, "conv2", hidden, ConvolutionOptions::new(16, [5, 5]))?;
    let hidden = builder.max_pool("pool2", hidden, POOL)?;
    let hidden = builder.flatten("flatten", hidden)?;
    let hidden = linear_and_relu(&mut builder, "fc1", hidden, 120)?;
    let hidden = linear_and_relu(&mut builder, "fc2", hidden, 84)?;
    let logits = builder.linear("fc3", hidden, classes, true)?;
    builder.finish(&[logits])
}

/// The weights of [`lenet`] from a safetensors file: `conv{1,2}.{weight,bias}`, `fc{1,2,3}.{weight,bias}`.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_lenet(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, |_| None)
}
