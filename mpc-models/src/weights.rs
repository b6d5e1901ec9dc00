//! Weights from safetensors files, with batch normalisation folded into the convolutions.

mod fold;
mod tensors;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mpc_nn::{Graph, Node, Op, Parameter, ParameterKind, Weights, WeightsError};
use ndarray::ArrayD;
use zeroize::Zeroizing;

pub use fold::{BatchNorm, FoldError, fold_batch_norm};
use tensors::Tensors;

/// The number that PyTorch adds to a variance before it divides by the root.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Why a file is not the weights of a network. No message contains a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file larger than [`file_limit`].
    #[error("the weights file has {found} bytes, but this model needs at most {limit}; load the weights of this model")]
    TooLarge {
        /// The size in bytes.
        found: usize,
        /// The largest size in bytes.
        limit: usize,
    },
    /// A file that is not safetensors, or is cut short or damaged.
    #[error("not a complete safetensors file: {reason}; download or export it again")]
    Format {
        /// The fault.
        reason: String,
    },
    /// A tensor that is not there.
    #[error("the weights file has no tensor `{name}`, which the model needs with shape {expected:?}")]
    Missing {
        /// The tensor.
        name: String,
        /// The shape that it must have.
        expected: Vec<usize>,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, but the model needs {expected:?}; load the weights of this model")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A tensor that is not of floating-point numbers.
    #[error("tensor `{name}` is of type {found}; store it as F16, BF16, F32 or F64")]
    Type {
        /// The tensor.
        name: String,
        /// Its type, as the file names it.
        found: String,
    },
    /// A tensor that the model does not use.
    #[error("tensor `{name}` belongs to no layer of the model; load the weights of this model")]
    Unknown {
        /// The tensor.
        name: String,
    },
    /// An element that is NaN or infinite.
    #[error("tensor `{name}` is NaN or infinite at {index:?}; export the model again")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The first such element.
        index: Vec<usize>,
    },
    /// A batch normalisation that divides by the root of a number that is not positive.
    #[error("tensor `{name}` has a negative variance for channel {channel}; export the model again")]
    NegativeVariance {
        /// The tensor.
        name: String,
        /// The first such channel.
        channel: usize,
    },
    /// A convolution that must take up a batch normalisation, but has no bias in the graph.
    #[error("convolution `{name}` has no bias to fold batch normalisation into; give it one in the graph")]
    NoBias {
        /// The convolution.
        name: String,
    },
    /// Weights that do not suit the graph once they are folded, for example because they are out of range.
    #[error("after folding of batch normalisation: {0}")]
    Weights(#[from] WeightsError),
}

/// The largest weights file that is read for a graph, in bytes.
///
/// Room for every parameter as an `f64`, for the four vectors of a batch normalisation in place of a bias, and for 1
/// MiB of names.
#[must_use]
pub fn file_limit(graph: &Graph) -> usize {
    let elements = |shape: Vec<usize>| shape.into_iter().fold(1, usize::saturating_mul);
    let elements = graph.parameters().into_iter().map(|parameter| elements(parameter.shape));
    elements.fold(0, usize::saturating_add).saturating_mul(4 * size_of::<f64>()).saturating_add(1 << 20)
}

/// The weights of a graph from a safetensors file.
///
/// `batch_norm` gives for a convolution the name of the batch normalisation behind it in the file, which is folded into
/// it with [`BATCH_NORM_EPSILON`]; its tensors are `weight`, `bias`, `running_mean` and `running_var`, and a
/// `num_batches_tracked` is passed over. A bias that such a convolution has of its own is taken account of. Other
/// layers have a `weight`, and a `bias` where the graph says so.
///
/// # Errors
/// See [`LoadError`]; tensors are looked at in the order of the graph.
pub fn load_folded(
    bytes: &[u8],
    graph: &Graph,
    batch_norm: impl Fn(&str) -> Option<String>,
) -> Result<Weights, LoadError> {
    let limit = file_limit(graph);
    if bytes.len() > limit {
        return Err(LoadError::TooLarge { found: bytes.len(), limit });
    }
    let mut file = Tensors::parse(bytes)?;
    let mut tensors = Vec::new();
    for weight in graph.parameters().into_iter().filter(|parameter| parameter.kind == ParameterKind::Weight) {
        let node = graph.node(weight.node);
        let norm = if let Op::Convolution { .. } = node.op() { batch_norm(node.name()) } else { None };
        match norm {
            Some(norm) => tensors.extend(folded(&mut file, node, weight, &norm)?),
            None => tensors.extend(as_stored(&mut file, node, weight)?),
        }
    }
    file.check_all_used()?;
    // Only now, as arrays would not be zeroised if a later tensor was at fault.
    let arrays = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor.to_array()));
    Ok(Weights::for_graph(graph, arrays.collect())?)
}

/// A parameter's values on their way from the file to the graph.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: Zeroizing<Vec<f64>>,
}

impl Tensor {
    fn to_array(&self) -> ArrayD<f32> {
        let mut values = self.values.iter();
        // As many values as the shape has elements, which `Tensors::take` has checked.
        ArrayD::from_shape_simple_fn(self.shape.as_slice(), || values.next().copied().unwrap_or_default() as f32)
    }
}

/// A layer's weight and, if it has one, its bias.
fn as_stored(file: &mut Tensors<'_>, node: &Node, weight: Parameter) -> Result<Vec<Tensor>, LoadError> {
    let outputs = weight.shape[0];
    let mut take = |name: String, shape: Vec<usize>| {
        let values = file.take(&name, &shape)?;
        Ok::<_, LoadError>(Tensor { name, shape, values })
    };
    let mut layer = vec![take(weight.name, weight.shape)?];
    if let Some(bias) = node.bias_name() {
        layer.push(take(bias, vec![outputs])?);
    }
    Ok(layer)
}

/// A convolution's weight and bias once the batch normalisation `norm` is part of them.
fn folded(file: &mut Tensors<'_>, node: &Node, weight: Parameter, norm: &str) -> Result<Vec<Tensor>, LoadError> {
    let bias_name = node.bias_name().ok_or_else(|| LoadError::NoBias { name: node.name().to_owned() })?;
    let channels = weight.shape[0];
    let mut weights = file.take(&weight.name, &weight.shape)?;
    let own_bias = file.take_if_there(&bias_name, &[channels])?;
    let mut biases = own_bias.unwrap_or_else(|| Zeroizing::new(vec![0.0; channels]));
    let variance_name = format!("{norm}.running_var");
    let scale = file.take(&format!("{norm}.weight"), &[channels])?;
    let shift = file.take(&format!("{norm}.bias"), &[channels])?;
    let mean = file.take(&format!("{norm}.running_mean"), &[channels])?;
    let variance = file.take(&variance_name, &[channels])?;
    file.pass_over(&format!("{norm}.num_batches_tracked"));
    let norm =
        BatchNorm { scale: &scale, shift: &shift, mean: &mean, variance: &variance, epsilon: BATCH_NORM_EPSILON };
    fold_batch_norm(&mut weights, &mut biases, &norm).map_err(|error| match error {
        FoldError::Variance { channel } => LoadError::NegativeVariance { name: variance_name, channel },
        FoldError::Lengths => LoadError::Format { reason: format!("{error}") },
    })?;
    let weight = Tensor { name: weight.name, shape: weight.shape, values: weights };
    Ok(vec![weight, Tensor { name: bias_name, shape: vec![channels], values: biases }])
}
