//! SqueezeNet 1.1 for images of 224×224 (Iandola et al. 2016; version 1.1 is the authors' later one).

use alloc::format;

use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, GraphError, NodeId, Pool, Weights};

use crate::layers::{convolution_and_relu, same};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 224, 224];
/// The number of classes of ImageNet.
pub const CLASSES: usize = 1000;

/// A place in PyTorch's `features`.
enum Module {
    Pool,
    /// The channels of the squeezing convolution, and of each of the two expanding ones.
    Fire(usize, usize),
}

/// The modules from `features.2` on.
const MODULES: [Module; 11] = [
    Module::Pool,
    Module::Fire(16, 64),
    Module::Fire(16, 64),
    Module::Pool,
    Module::Fire(32, 128),
    Module::Fire(32, 128),
    Module::Pool,
    Module::Fire(48, 192),
    Module::Fire(48, 192),
    Module::Fire(64, 256),
    Module::Fire(64, 256),
];

/// SqueezeNet 1.1 on images [batch, 3, 224, 224]; gives logits [batch, classes].
///
/// No batch normalisation. Layers are named as in PyTorch: `features.0`, `features.3.squeeze`,
/// `features.3.expand{1x1,3x3}`, …, `classifier.1`, which is a convolution.
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn squeezenet(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let image = builder.input("image", &[batch, channels, height, width])?;
    let first = ConvolutionOptions { stride: [2, 2], ..ConvolutionOptions::new(64, [3, 3]) };
    let mut hidden = convolution_and_relu(&mut builder, "features.0", image, first)?;
    for (number, module) in (2..).zip(&MODULES) {
        let name = format!("features.{number}");
        hidden = match *module {
            Module::Pool => builder.max_pool(&name, hidden, Pool { stride: [2, 2], ..Pool::new([3, 3]) })?,
            Module::Fire(squeezed, expanded) => fire(&mut builder, &name, hidden, squeezed, expanded)?,
        };
    }
    let scores = convolution_and_relu(&mut builder, "classifier.1", hidden, same(classes, 1))?;
    let means = builder.global_average_pool("pool", scores)?;
    let logits = builder.flatten("flatten", means)?;
    builder.finish(&[logits])
}

/// The weights of [`squeezenet`] from a safetensors file with PyTorch's names.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_squeezenet(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, |_| None)
}

fn fire(
    builder: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    squeezed: usize,
    expanded: usize,
) -> Result<NodeId, GraphError> {
    let hidden = convolution_and_relu(builder, &format!("{name}.squeeze"), input, same(squeezed, 1))?;
    let narrow = convolution_and_relu(builder, &format!("{name}.expand1x1"), hidden, same(expanded, 1))?;
    let wide = convolution_and_relu(builder, &format!("{name}.expand3x3"), hidden, same(expanded, 3))?;
    builder.concat(&format!("{name}.concat"), &[narrow, wide], 1)
}
