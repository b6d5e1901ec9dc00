use alloc::string::String;
use alloc::vec::Vec;

use mpc_ring::ShapeError;

/// Why a node could not be added to a graph, or a graph not be finished.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A node without a name.
    #[error("a node has an empty name; give each node a name of its own")]
    EmptyName,
    /// Two nodes of one name.
    #[error("two nodes are named `{name}`; give each node a name of its own")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// An id that this builder did not give out.
    #[error("`{name}` refers to node {index}, which this builder has not made; use ids of the same builder")]
    UnknownNode {
        /// The node that was being added, or "outputs".
        name: String,
        /// The id's position.
        index: usize,
    },
    /// A tensor with the wrong number of axes.
    #[error("`{name}` takes a tensor of {expected} axes, but its input has shape {found:?}")]
    Rank {
        /// The node that was being added.
        name: String,
        /// The number of axes that it takes.
        expected: usize,
        /// The shape that it was given.
        found: Vec<usize>,
    },
    /// A tensor with more axes than [`MAX_RANK`](super::MAX_RANK), or none.
    #[error("`{name}` has shape {shape:?}; a tensor has 1 to 8 axes")]
    AxisCount {
        /// The node that was being added.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor without elements.
    #[error("`{name}` would have shape {shape:?}, which has no elements; every size must be at least 1")]
    Empty {
        /// The node that was being added.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor with more elements than [`MAX_ELEMENTS`](super::MAX_ELEMENTS).
    #[error("`{name}` would have shape {shape:?}, more than 2^28 elements; use a smaller batch or image")]
    TooLarge {
        /// The node that was being added.
        name: String,
        /// The shape of its output, of its weight, of all windows of a maximum, or of the patches of the input that a row
        /// of the output needs.
        shape: Vec<usize>,
    },
    /// Tensors of different shapes where they must agree.
    #[error("`{name}` joins shapes {left:?} and {right:?}, which do not fit together")]
    Mismatch {
        /// The node that was being added.
        name: String,
        /// The shape of its first input.
        left: Vec<usize>,
        /// The shape of the input that does not fit.
        right: Vec<usize>,
    },
    /// A concatenation of nothing.
    #[error("`{name}` joins no tensors; give it at least one")]
    NoInput {
        /// The node that was being added.
        name: String,
    },
    /// An axis that the tensor has not, or that is named twice.
    #[error("`{name}` works along axis {axis} of a tensor of {rank} axes; name each of 0 to {last} at most once", last = rank.saturating_sub(1))]
    Axis {
        /// The node that was being added.
        name: String,
        /// The axis.
        axis: usize,
        /// The number of axes.
        rank: usize,
    },
    /// Sizes of a convolution that do not fit together.
    #[error("convolution `{name}`: {source}")]
    Convolution {
        /// The node that was being added.
        name: String,
        /// The misfit.
        source: ShapeError,
    },
    /// A pooling window that does not fit its input.
    #[error(
        "pooling `{name}`: windows of {kernel:?} with stride {stride:?} and padding {padding:?} do not fit an input of \
         {input:?}; kernel and stride must be at least 1, each padding smaller than the kernel, and the kernel at most \
         the padded input"
    )]
    Pool {
        /// The node that was being added.
        name: String,
        /// The window.
        kernel: [usize; 2],
        /// The distance of the windows.
        stride: [usize; 2],
        /// Top, left, bottom, right.
        padding: [usize; 4],
        /// Height and width of the input.
        input: [usize; 2],
    },
    /// Padding, a slice or positions that do not fit the input.
    #[error(
        "`{name}` does not fit an input of shape {shape:?} along axis {axis}; give one entry for each axis, for a slice \
         start < stop <= size and step >= 1, and no position beyond the size"
    )]
    Bounds {
        /// The node that was being added.
        name: String,
        /// The first axis that does not fit.
        axis: usize,
        /// The shape of the input.
        shape: Vec<usize>,
    },
    /// A public number that is NaN, infinite or too large.
    #[error("`{name}` has a coefficient that is not finite or larger than 2^15 in magnitude; export the model again")]
    Coefficient {
        /// The node that was being added.
        name: String,
    },
    /// A calibration of another network.
    #[error("the calibration is another network's; calibrate this network")]
    OtherCalibration,
    /// A bound of a value that cannot be.
    #[error("`{name}` cannot be bounded: {reason}; calibrate this network anew")]
    Bound {
        /// The node.
        name: String,
        /// The fault.
        reason: &'static str,
    },
    /// Tied parameters of different shapes.
    #[error("`{name}` shares the parameter `{parameter}` with a node that needs it in another shape")]
    Tied {
        /// The node that was being added.
        name: String,
        /// The parameter.
        parameter: String,
    },
    /// A graph that was read and is not what its nodes make.
    #[error("`{name}` is not what its inputs make of it; the graph was changed or comes from another version")]
    Inconsistent {
        /// The node.
        name: String,
    },
    /// A graph without outputs.
    #[error("the graph has no output; name at least one node as its output")]
    NoOutput,
    /// A node named as an output twice.
    #[error("`{name}` is an output twice; name each output once")]
    DuplicateOutput {
        /// The node.
        name: String,
    },
    /// An input that no output depends on.
    #[error("no output depends on the input `{name}`; use it or leave it out")]
    UnusedInput {
        /// The input.
        name: String,
    },
}
