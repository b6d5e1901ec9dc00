//! Networks from ONNX files: any exporter's, opsets 7 to 28, with weights in the file or beside it.
//!
//! An import walks the nodes once, for inputs of fixed shapes. Each value is one of three:
//!
//! * **public integers**: shapes, indices, Booleans, and all that is computed from them; evaluated at once;
//! * **constants**: real numbers of the model owner's, f16, bf16 and f64 converted to f32, int8 of quantised models
//!   read as the real values that they stand for; operators on constants alone are evaluated at once;
//! * **private values**: what depends on an input; each of their operators becomes nodes of a [`Graph`].
//!
//! # What is public
//! The graph, with all shapes and integers, is known to every party. Of the constants, those with exactly one element
//! that scale, shift, limit or otherwise parameterise a private value (the 6 of a ReLU6, the √d of an attention, the ε
//! of a normalisation) are part of the graph, too, and so are quantisation scales of activations. All others are
//! private weights.
//!
//! # What changes
//! * Batch normalisation is folded into the convolution, transposed convolution or Gemm before it, if nothing else
//!   reads that one's output; elsewhere it is a scale and an offset for each channel.
//! * Entries below −1024 of a constant that is added before a softmax, such as −∞, become −1024: e^−1024 is 0 in
//!   fixed point, so that the result is the same as long as the scores differ by less than 1000.
//! * `QuantizeLinear` of a private value limits it to what the quantised type can stand for, but does not round it; a
//!   `DequantizeLinear` with the same parameters is the identity. Values keep what quantisation would cost them, so that
//!   results differ from those of a quantised run by up to a step of each quantisation.
//! * Comparisons of private values are those of fixed-point numbers, which rounding has moved by a few units in the last
//!   place; their results are private numbers 0 or 1.
//! * `Dropout`, casts between floats, and checks for NaN and infinity have no effect.
//! * `Power` with a fractional exponent takes its argument to be positive, as ONNX does.
//! * Linear `Upsample` and `Resize` of opsets below 11, which cannot say how positions are counted, count them by
//!   half-pixels, as PyTorch means it when it writes such a file.
//!
//! # Security
//! Files are untrusted. Lengths, nesting, shapes and element counts are checked before anything is allocated, data in
//! other files is read from the model's own folder only, and what constants may be computed in all is bounded by the
//! size of the file.

mod arrays;
mod call;
mod error;
mod file;
mod import;
mod integer;
mod lower;
mod lowering;
mod tensor;
mod topology;
mod value;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

use mpc_nn::{Graph, Weights};

pub use error::{ImportError, OnnxError, Reason};
pub use file::{Dimension, MAX_FILE, OnnxFile, TensorInfo};

/// The first version of the operators that is read.
pub const FIRST_OPSET: i64 = 7;
/// The last version of the operators that is read.
pub const LAST_OPSET: i64 = 28;

/// The shapes of inputs, by name, where a file leaves them open. A size that is not given is 1.
///
/// ```
/// use mpc_models::onnx::InputShapes;
/// let shapes = InputShapes::new().with("image", &[4, 3, 32, 32]);
/// assert_eq!(shapes.get("image"), Some([4, 3, 32, 32].as_slice()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputShapes(BTreeMap<String, Vec<usize>>);

impl InputShapes {
    /// Every open size is 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These shapes, and one for the input `name`.
    #[must_use]
    pub fn with(mut self, name: &str, shape: &[usize]) -> Self {
        self.0.insert(name.into(), shape.to_vec());
        self
    }

    /// The shape that was given for an input.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(Vec::as_slice)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// How the data owner writes an input down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Each element as a number.
    Plain,
    /// Each element, an integer below the number of classes, as a row of that many elements, all 0 but a 1 at its place: the
    /// graph's input has an axis more. A negative number counts from the end.
    OneHot(usize),
}

/// An input of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInput {
    /// The name, the same in the file and the graph.
    pub name: String,
    /// The shape in the file, before encoding. The graph's has an axis of classes more if the encoding is one-hot, and one
    /// axis of size 1 for a scalar.
    pub shape: Vec<usize>,
    /// How its elements are given to the graph.
    pub encoding: Encoding,
    /// Of a one-hot input that several tables are read by, for each element the number of rows of the smallest table that
    /// it chooses from: it must be below that. Empty for others.
    pub limits: Vec<usize>,
}

/// An output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkOutput {
    /// The name in the file.
    pub name: String,
    /// The shape in the file; the graph's is the same, but one axis of size 1 for a scalar.
    pub shape: Vec<usize>,
}

/// An imported network.
#[derive(Debug)]
pub struct Network {
    /// The architecture, public.
    pub graph: Graph,
    /// The model owner's weights.
    pub weights: Weights,
    /// The inputs, in the order of the graph's, which may differ from the file's. Inputs of the file that no output
    /// depends on are missing.
    pub inputs: Vec<NetworkInput>,
    /// The outputs, in the order of the file's.
    pub outputs: Vec<NetworkOutput>,
}

impl Network {
    /// Reads and imports a file; sizes that it leaves open, such as the batch, are 1.
    ///
    /// # Errors
    /// A file that cannot be read; all reasons at once why it cannot be imported.
    pub fn from_onnx(path: impl AsRef<Path>) -> Result<Self, ImportError> {
        OnnxFile::open(path)?.import(&InputShapes::new())
    }
}
