//! VGG-16 for images of 32×32 (Simonyan and Zisserman 2015, configuration D, with batch normalisation).

use alloc::format;

use mpc_nn::{Graph, GraphBuilder, GraphError, Pool, Weights};

use crate::layers::{batch_norm_of, convolution_and_relu, same};
use crate::weights::{LoadError, load_folded};

/// Channels, height and width of an image.
pub const INPUT: [usize; 3] = [3, 32, 32];
/// The number of classes.
pub const CLASSES: usize = 10;

/// The channels of the convolutions between one pooling and the next.
const STAGES: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];

/// VGG-16 on images [batch, 3, 32, 32]; gives logits [batch, classes].
///
/// The thirteen 3×3 convolutions of VGG-16 with five 2×2 maximum poolings, and in place of the three linear layers for
/// 224×224 images a single one, as is usual for CIFAR-10. Batch normalisation is part of the convolutions. Layers are
/// named as in PyTorch, where ReLUs and poolings count: `features.0`, `features.3`, `features.7`, …, `classifier`.
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn vgg16(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let [channels, height, width] = INPUT;
    let mut builder = GraphBuilder::new();
    let mut hidden = builder.input("image", &[batch, channels, height, width])?;
    let mut module = 0;
    for stage in STAGES {
        for &channels in stage {
            hidden = convolution_and_relu(&mut builder, &format!("features.{module}"), hidden, same(channels, 3))?;
            // Convolution, batch normalisation, ReLU.
            module += 3;
        }
        hidden = builder.max_pool(&format!("features.{module}"), hidden, Pool::new([2, 2]))?;
        module += 1;
    }
    let features = builder.flatten("flatten", hidden)?;
    let logits = builder.linear("classifier", features, classes, true)?;
    builder.finish(&[logits])
}

/// The weights of [`vgg16`] from a safetensors file with PyTorch's names: `features.{0,3,7,…}.weight` and, if there,
/// `.bias`, `features.{1,4,8,…}.{weight,bias,running_mean,running_var}`, `classifier.{weight,bias}`. Batch
/// normalisation is folded into the convolutions.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_vgg16(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, batch_norm_of)
}
