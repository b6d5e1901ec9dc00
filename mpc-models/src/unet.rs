//! A small U-Net (Ronneberger, Fischer, Brox 2015) that marks the pixels of a digit in a colour image.

use alloc::format;

use mpc_nn::{Graph, GraphBuilder, GraphError, NodeId, Pool, Weights};

use crate::layers::{batch_norm_of, convolution_and_relu, same, upsample_nearest};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 32, 32];
/// The number of masks.
pub const CLASSES: usize = 1;

/// The trained weights that come with this crate, a safetensors file with halves for [`load_unet`].
#[cfg(feature = "bundled")]
pub const BUNDLED_WEIGHTS: &[u8] = include_bytes!("../weights/unet.safetensors");

const POOL: Pool = Pool::new([2, 2]);

/// The U-Net on images [batch, 3, 32, 32]; gives a logit for each pixel, [batch, classes, 32, 32]: positive inside.
///
/// Two levels of 16 and 32 channels around a middle of 64. Down: two 3×3 convolutions with ReLUs, then 2×2 maximum
/// pooling. Up: each pixel becomes a square of 2×2 (nearest neighbour), a 3×3 convolution with a ReLU halves the
/// channels, the level's own output from the way down goes in front of them, and two more 3×3 convolutions follow.
/// Batch normalisation is part of the convolutions. Nearest neighbour takes no communication.
///
/// ```
/// let graph = mpc_models::unet(1, 1)?;
/// assert_eq!(graph.node(graph.outputs()[0]).shape(), [1, 1, 32, 32]);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn unet(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let image = builder.input("image", &[batch, channels, height, width])?;
    let skip1 = two_convolutions(&mut builder, "down1", image, 16)?;
    let hidden = builder.max_pool("pool1", skip1, POOL)?;
    let skip2 = two_convolutions(&mut builder, "down2", hidden, 32)?;
    let hidden = builder.max_pool("pool2", skip2, POOL)?;
    let hidden = two_convolutions(&mut builder, "middle", hidden, 64)?;
    let hidden = up(&mut builder, 2, hidden, skip2, 32)?;
    let hidden = up(&mut builder, 1, hidden, skip1, 16)?;
    let logits = builder.convolution("head", hidden, same(classes, 1))?;
    builder.finish(&[logits])
}

/// The weights of [`unet`] from a safetensors file: `{down1,down2,middle,join2,join1}.conv{1,2}.weight`,
/// `up{2,1}.conv.weight`, each with its `bn…`, and `head.{weight,bias}`. Batch normalisation is folded into the
/// convolutions.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_unet(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, batch_norm_of)
}

fn two_convolutions(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    channels: usize,
) -> Result<NodeId, GraphError> {
    let hidden = convolution_and_relu(builder, &format!("{name}.conv1"), input, same(channels, 3))?;
    convolution_and_relu(builder, &format!("{name}.conv2"), hidden, same(channels, 3))
}

/// The way up to a level: upsampling, the skip connection in front, two convolutions.
fn up(
    builder: &mut GraphBuilder,
    level: usize,
    input: NodeId,
    skip: NodeId,
    channels: usize,
) -> Result<NodeId, GraphError> {
    let enlarged = upsample_nearest(builder, &format!("up{level}"), input)?;
    let hidden = convolution_and_relu(builder, &format!("up{level}.conv"), enlarged, same(channels, 3))?;
    let joined = builder.concat(&format!("join{level}.concat"), &[skip, hidden], 1)?;
    two_convolutions(builder, &format!("join{level}"), joined, channels)
}
