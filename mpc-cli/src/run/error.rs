//! Why there is no result.

use std::fmt;

use crate::files::FilesError;
use crate::fixed_point::planned;
use crate::inspect::InspectError;
use mpc_models::images::ImageError;
use mpc_models::tensors::TensorError;
use mpc_models::{FileError, LoadError, NpyError, SamplesError, UnknownModel};
use mpc_nn::{EvaluateError, GraphError, InferenceError, PlanError};
use mpc_onnx::{ImportError, OnnxError};
use mpc_shares::ShareError;
use mpc_transport::tls::{CertificateError, SecureError};
use mpc_transport::{Traffic, TransportError};

use super::event::Node;

/// Arguments, weights or images that cannot be used; found before anything starts.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// `--model`.
    #[error(transparent)]
    Model(#[from] UnknownModel),
    /// `--batch`.
    #[error("a batch of this size: {0}")]
    Graph(#[from] GraphError),
    /// `--parties`, `--fractional-bits`.
    #[error("{}", planned(.0))]
    Plan(#[from] PlanError),
    /// An ONNX file that cannot be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// An ONNX file that cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An ONNX file that cannot run privately.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// A folder of images.
    #[error(transparent)]
    Folder(#[from] ImageError),
    /// A network that comes without samples.
    #[error("no samples come with `{model}`; give images with --input")]
    NoSamples {
        /// The model.
        model: String,
    },
    /// A network that does not take images.
    #[error("`{model}` takes no images; run it on its bundled samples")]
    NotImages {
        /// The model.
        model: String,
    },
    /// `--input` or `--output`: which of several.
    #[error("{0}")]
    Named(String),
    /// An input that the plan was not made for.
    #[error(
        "input `{input}` has the value {value} (element {place}), but private values must be below {bound} in magnitude: scale \
         the input down, or give --comparison-bits a larger number"
    )]
    Beyond {
        /// Its name.
        input: String,
        /// The first value that is too large, and its place.
        value: f32,
        /// In row-major order.
        place: usize,
        /// The bound.
        bound: f64,
    },
    /// The files for inputs or outputs.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file for an input or an output.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A folder of images for each class, or a file of labels.
    #[error("input {file}: {reason}")]
    Labelled {
        /// The file.
        file: String,
        /// The fault.
        reason: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Weights that are not the model's.
    #[error("weights {source_name}: {error}")]
    Weights {
        /// Where they come from.
        source_name: String,
        /// The fault.
        error: LoadError,
    },
    /// The bundled samples, or a choice among them.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// `--input`.
    #[error("images {file}: {error}")]
    Images {
        /// The file.
        file: String,
        /// The fault.
        error: NpyError,
    },
    /// A range that the images do not have.
    #[error("--images {count} from --first-image {first} is not within the {len} images there are, counted from 0")]
    Range {
        /// The first image asked for.
        first: usize,
        /// The number asked for.
        count: usize,
        /// The number of images.
        len: usize,
    },
    /// No images.
    #[error("--images 0 leaves nothing to do; ask for at least 1")]
    NoImages,
    /// A number of images that batches do not make up.
    #[error("{images} images are no whole number of batches of {batch}; change --images or --batch")]
    Batches {
        /// The number of images.
        images: usize,
        /// Images per batch.
        batch: usize,
    },
    /// The plaintext run failed.
    #[error("in the clear, {samples}: {error}")]
    Evaluate {
        /// The samples of the inference.
        samples: String,
        /// Why.
        error: EvaluateError,
    },
    /// A value that fixed point cannot hold.
    #[error(
        "in the clear, {samples}: the output of `{layer}` reaches {magnitude:.2}, but private values must stay below \
         {bound}; raise --comparison-bits, calibrate on inputs like this, normalise the inputs, or rescale the weights"
    )]
    Magnitude {
        /// The samples of the inference.
        samples: String,
        /// The layer.
        layer: String,
        /// The magnitude that it reaches.
        magnitude: f32,
        /// The bound.
        bound: f64,
    },
    /// Values that are compared with each other and differ by more than fixed point can hold.
    #[error(
        "in the clear, {samples}: values that `{layer}` compares differ by {spread:.0}, but private ones must differ by less \
         than {bound}; raise --comparison-bits, normalise the inputs, or rescale the weights"
    )]
    Spread {
        /// The samples of the inference.
        samples: String,
        /// The layer.
        layer: String,
        /// The largest difference.
        spread: f64,
        /// The bound.
        bound: f64,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {reason}")]
    Randomness {
        /// The reason that it gives.
        reason: String,
    },
}

/// Why a party or the dealer stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A step of the run.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// No randomness.
    #[error(transparent)]
    Seed(#[from] ShareError),
    /// No connection.
    #[error("connecting: {0}")]
    Connect(#[from] TransportError),
    /// No secure link.
    #[error("connecting: {0}")]
    Secure(#[from] SecureError),
    /// Keys and certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Weights or images that were good before the start.
    #[error("{0} (it was not so when the run began)")]
    Input(#[from] InputError),
    /// The orders that the starting process sent.
    #[error("the orders of the process that started this one cannot be read: {reason}")]
    Orders {
        /// Why.
        reason: String,
    },
    /// No port.
    #[error("cannot listen on 127.0.0.1: {reason}")]
    Listen {
        /// The reason that the operating system gives.
        reason: String,
    },
}

/// A party or dealer that did not finish, and why.
#[derive(Clone, Debug)]
pub struct NodeFailure {
    /// The participant.
    pub node: Node,
    /// Why.
    pub reason: String,
}

impl fmt::Display for NodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.reason)
    }
}

/// A run that started and gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Parties or the dealer failed; the first is the first that said so.
    #[error("the run failed\n{}", lines(failures))]
    Nodes {
        /// All that failed.
        failures: Vec<NodeFailure>,
    },
    /// A run that was to go on no longer.
    #[error("the run was stopped")]
    Stopped,
    /// A process that cannot be started.
    #[error("cannot start the process of {node}: {reason}")]
    Start {
        /// The participant whose process it is.
        node: Node,
        /// The reason that the operating system gives.
        reason: String,
    },
    /// A report that lacks something.
    #[error("{node} reported {what}: this is a bug, please report it")]
    Report {
        /// The participant that reported it.
        node: Node,
        /// The fault.
        what: String,
    },
    /// A result that cannot be written.
    #[error("{0}")]
    Write(String),
    /// A meter that differs from the plan.
    #[error("{what} of party {party}: the plan says {planned:?}, measured were {measured:?}; please report this bug")]
    PlanDiffers {
        /// The party.
        party: usize,
        /// The phase or step.
        what: String,
        /// The plan's traffic.
        planned: Box<Traffic>,
        /// The meter's.
        measured: Box<Traffic>,
    },
}

fn lines(failures: &[NodeFailure]) -> String {
    failures.iter().map(|failure| format!("  {failure}")).collect::<Vec<_>>().join("\n")
}
