//! The networks by name, for programs that let a user choose.

mod registry;
#[cfg(feature = "bundled")]
mod sample_set;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mpc_nn::{Graph, GraphError, Network, Weights};

use crate::random::{self, random_weights};
#[cfg(feature = "bundled")]
use crate::samples::{Samples, SamplesError};
use crate::weights::LoadError;
use registry::MODELS;
#[cfg(feature = "bundled")]
use sample_set::SampleSet;

/// A network of this crate.
///
/// ```
/// use mpc_models::Model;
/// let model = Model::by_name("resnet32")?;
/// assert_eq!(model.inputs()[0].shape, [3, 32, 32]);
/// assert_eq!(model.graph(4)?.batch(), 4);
/// assert!(Model::by_name("resnet33").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model {
    name: &'static str,
    description: &'static str,
    inputs: &'static [ModelInput],
    task: Task,
    classes: usize,
    graph: fn(usize, usize) -> Result<Graph, GraphError>,
    load: fn(&[u8], &Graph) -> Result<Weights, LoadError>,
    bundled: Option<&'static [u8]>,
    calibration: Option<&'static [u8]>,
    #[cfg(feature = "bundled")]
    samples: Option<SampleSet>,
}

/// An input of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelInput {
    /// The name of the node.
    pub name: &'static str,
    /// Its shape without the batch; for an image channels, height and width.
    pub shape: &'static [usize],
}

/// The meaning of a network's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task {
    /// Logits [batch, classes]; the largest is the class.
    Classification,
    /// Logits [batch, classes, height, width] of masks; a pixel whose logit is positive belongs to the mask.
    Segmentation,
}

/// A name that no network has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model is named `{name}`; the models are: {}", known.join(", "))]
pub struct UnknownModel {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<&'static str>,
}

impl Model {
    /// All networks.
    #[must_use]
    pub fn all() -> &'static [Self] {
        MODELS
    }

    /// The network of that name.
    ///
    /// # Errors
    /// No network has that name; the error lists those there are.
    pub fn by_name(name: &str) -> Result<&'static Self, UnknownModel> {
        let unknown =
            || UnknownModel { name: name.to_string(), known: MODELS.iter().map(|model| model.name).collect() };
        MODELS.iter().find(|model| model.name == name).ok_or_else(unknown)
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One line on what it is for and what it costs.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// The inputs, in the order of the graph's.
    #[must_use]
    pub fn inputs(&self) -> &'static [ModelInput] {
        self.inputs
    }

    /// Channels, height and width, if its only input is an image.
    ///
    /// ```
    /// use mpc_models::Model;
    /// assert_eq!(Model::by_name("lenet")?.image(), Some([1, 32, 32]));
    /// assert_eq!(Model::by_name("breast-cancer")?.image(), None);
    /// # Ok::<(), mpc_models::UnknownModel>(())
    /// ```
    #[must_use]
    pub fn image(&self) -> Option<[usize; 3]> {
        match self.inputs {
            [ModelInput { shape, .. }] => <[usize; 3]>::try_from(*shape).ok(),
            _ => None,
        }
    }

    /// The meaning of its output.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// The number of classes, unless [`graph_for`](Self::graph_for) asks for another.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The architecture for `batch` samples at a time.
    ///
    /// # Errors
    /// A batch of 0 or one that is too large.
    pub fn graph(&self, batch: usize) -> Result<Graph, GraphError> {
        self.graph_for(batch, self.classes)
    }

    /// The architecture with another number of classes, for weights that were trained for that.
    ///
    /// # Errors
    /// A batch or a number of classes of 0 or one that is too large.
    pub fn graph_for(&self, batch: usize, classes: usize) -> Result<Graph, GraphError> {
        (self.graph)(batch, classes)
    }

    /// The weights from a safetensors file.
    ///
    /// # Errors
    /// A file that is damaged, too large or not of this network.
    pub fn load(&self, bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
        (self.load)(bytes, graph)
    }

    /// The network of an architecture, with the weights from a safetensors file.
    ///
    /// ```
    /// use mpc_models::Model;
    /// let model = Model::by_name("lenet")?;
    /// let network = model.network(model.graph(2)?, model.bundled_weights().ok_or("built without weights")?)?;
    /// assert_eq!((network.inputs[0].name.as_str(), &network.outputs[0].shape[..]), ("image", &[2, 10][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn network(&self, graph: Graph, bytes: &[u8]) -> Result<Network, LoadError> {
        let weights = self.load(bytes, &graph)?;
        Ok(Network::new(graph, weights))
    }

    /// The weights file that comes with this crate, if one does and the feature `bundled` is on.
    #[must_use]
    pub fn bundled_weights(&self) -> Option<&'static [u8]> {
        self.bundled
    }

    /// The largest magnitudes of its values on bundled samples with the bundled weights, a
    /// [`Calibration`](mpc_nn::Calibration) in JSON, if one comes with this crate and the feature `bundled` is on.
    #[must_use]
    pub fn bundled_calibration(&self) -> Option<&'static [u8]> {
        self.calibration
    }

    /// The bundled weights, or where none are bundled [`random_weights`] of the seed [`random::SEED`].
    ///
    /// With random weights the network computes, but what it says means nothing: whoever shows it must say so.
    /// [`bundled_weights`](Self::bundled_weights) tells which they are.
    ///
    /// # Errors
    /// Bundled weights for another graph.
    pub fn default_weights(&self, graph: &Graph) -> Result<Weights, LoadError> {
        match self.bundled {
            Some(bytes) => self.load(bytes, graph),
            None => Ok(random_weights(graph, random::SEED)?),
        }
    }

    /// The number of bundled samples that the bundled weights were not trained on.
    ///
    /// # Errors
    /// The bundled files are damaged.
    #[cfg(feature = "bundled")]
    pub fn sample_count(&self) -> Result<usize, SamplesError> {
        self.samples.map_or(Ok(0), SampleSet::len)
    }

    /// Some of the bundled samples, with what the network should find in them.
    ///
    /// ```
    /// use mpc_models::{Model, Targets};
    /// let model = Model::by_name("unet")?;
    /// assert_eq!(model.sample_count()?, 64);
    /// let samples = model.samples(3..5)?;
    /// assert_eq!(samples.inputs[0].shape(), [2, 3, 32, 32]);
    /// assert!(matches!(samples.targets, Targets::Masks(masks) if masks.shape() == [2, 1, 32, 32]));
    /// assert!(model.samples(64..65).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A network without samples, an empty range or one beyond their end; the bundled files are damaged.
    #[cfg(feature = "bundled")]
    pub fn samples(&self, range: core::ops::Range<usize>) -> Result<Samples, SamplesError> {
        let none = SamplesError::Range { start: range.start, end: range.end, len: 0 };
        self.samples.ok_or(none)?.read(range)
    }
}
