//! A network over a table whose columns two owners hold: tumours, malignant or benign.

use mpc_nn::{Graph, GraphBuilder, GraphError, Weights};

use crate::layers::linear_and_relu;
use crate::weights::{LoadError, load_folded};

/// The number of columns of each owner.
pub const COLUMNS: [usize; 2] = [15, 15];
/// The number of classes: malignant and benign.
pub const CLASSES: usize = 2;

/// The trained weights that come with this crate, a safetensors file with halves for [`load_breast_cancer`].
#[cfg(feature = "bundled")]
pub const BUNDLED_WEIGHTS: &[u8] = include_bytes!("../weights/breast-cancer.safetensors");

/// A multilayer perceptron of 30, 16, 8 and `classes` features with ReLUs, on two inputs [batch, 15]; gives logits
/// [batch, classes].
///
/// The inputs `size_and_surface` and `shape` are of one owner each, and joined in this order; values are standardised,
/// (x − mean) / deviation, by each owner before they are shared.
///
/// ```
/// let graph = mpc_models::breast_cancer(4, 2)?;
/// assert_eq!(graph.inputs().len(), 2);
/// assert_eq!(graph.node(graph.outputs()[0]).shape(), [4, 2]);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
///
/// # Errors
/// A batch or a number of classes of 0, or one so large that a tensor exceeds
/// [`MAX_ELEMENTS`](mpc_nn::graph::MAX_ELEMENTS).
pub fn breast_cancer(batch: usize, classes: usize) -> Result<Graph, GraphError> {
    let mut builder = GraphBuilder::new();
    let first = builder.input("size_and_surface", &[batch, COLUMNS[0]])?;
    let second = builder.input("shape", &[batch, COLUMNS[1]])?;
    let row = builder.concat("row", &[first, second], 1)?;
    let hidden = linear_and_relu(&mut builder, "fc1", row, 16)?;
    let hidden = linear_and_relu(&mut builder, "fc2", hidden, 8)?;
    let logits = builder.linear("fc3", hidden, classes, true)?;
    builder.finish(&[logits])
}

/// The weights of [`breast_cancer`] from a safetensors file: `fc{1,2,3}.{weight,bias}`.
///
/// `graph` may be for any batch.
///
/// # Errors
/// A file that is damaged, too large or not of this network; see [`LoadError`].
pub fn load_breast_cancer(bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
    load_folded(bytes, graph, |_| None)
}
