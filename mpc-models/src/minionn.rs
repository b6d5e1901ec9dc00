//! MiniONN's network for 32×32 images in ten classes (Liu, Juuti, Lu, Asokan 2017, figure 13), with ReLUs or squares.

use alloc::format;

use mpc_nn::{Graph, GraphBuilder, GraphError, Pool, Weights};

use crate::layers::{batch_norm_of, same};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 32, 32];
/// The number of classes.
pub const CLASSES: usize = 10;

/// The trained weights that come with this crate, a safetensors file with halves for [`load_minionn`].
#[cfg(feature = "bundled")]
pub const BUNDLED_WEIGHTS: &[u8] = include_bytes!("../weights/minionn.safetensors");

/// The trained weights of [`minionn_square`] that come with this crate, for [`load_minionn_square`].
#[cfg(feature = "bundled")]
pub const BUNDLED_SQUARE_WEIGHTS: &[u8] = include_bytes!("../weights/minionn-square.safetensors");

/// The function behind each convolution.
#[derive(Clone, Copy)]
enum Activation {
    Relu,
    Square,
}

/// A convolution and its activation; the image keeps its size.
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

/// MiniONN's network on images [batch, 3, 32, 32]; gives logits [batch, classes].
///
/// Seven convolutions with biases, each with a ReLU behind it, and two average poolings that halve the image; no batch
/// normalisation. Layers are named as in PyTorch: `conv1`, …, `conv7`, `linear`.
///
/// ```
/// let graph = mpc_models::minionn(1, 10)?;
/// assert_eq!(graph.relu_count(), 173_056);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn minionn(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    network(batch, classes, Activation::Relu)
}

/// MiniONN's network with x² in place of each ReLU, as CryptoNets and Delphi have it; gives logits [batch, classes].
///
/// A square is one multiplication of secret values, where a ReLU is a comparison. The file of its weights has batch
/// normalisation in front of each square, which becomes part of the convolutions: layers, sizes and names are those of
/// [`minionn`].
///
/// ```
/// let graph = mpc_models::minionn_square(1, 10)?;
/// assert_eq!(graph.relu_count(), 0);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
///
/// # Errors
/// As [`minionn`].
pub fn minionn_square(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    network(batch, classes, Activation::Square)
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

/// The weights of [`minionn_square`] from a safetensors file: `conv{1..7}.weight`,
/// `bn{1..7}.{weight,bias,running_mean,running_var}`, `linear.{weight,bias}`. Batch normalisation is folded into the
/// convolutions.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_minionn_square(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, batch_norm_of)
}

fn network(batch: usize, classes: usize, activation: Activation) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let mut hidden = builder.input("image", &[batch, channels, height, width])?;
    let mut number = 0;
    for (stage, layers) in STAGES.into_iter().enumerate() {
        if stage > 0 {
            hidden = builder.average_pool(&format!("pool{stage}"), hidden, POOL)?;
        }
        for &Layer { channels, kernel } in layers {
            number += 1;
            hidden = builder.convolution(&format!("conv{number}"), hidden, same(channels, kernel))?;
            hidden = match activation {
                Activation::Relu => builder.relu(&format!("relu{number}"), hidden)?,
                Activation::Square => builder.square(&format!("square{number}"), hidden)?,
            };
        }
    }
    let features = builder.flatten("flatten", hidden)?;
    let logits = builder.linear("linear", features, classes, true)?;
    builder.finish(&[logits])
}
