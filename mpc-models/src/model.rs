//! The networks by name, for programs that let a user choose.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mpc_nn::{Graph, GraphError, Weights};

use crate::minionn::{self, load_minionn};
use crate::resnet32::{self, load_resnet32};
use crate::weights::LoadError;

/// A network of this crate.
///
/// ```
/// use mpc_models::Model;
/// let model = Model::by_name("resnet32")?;
/// assert_eq!(model.input(), [3, 32, 32]);
/// assert_eq!(model.graph(4)?.batch(), 4);
/// assert!(Model::by_name("resnet33").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model {
    name: &'static str,
    description: &'static str,
    input: [usize; 3],
    classes: usize,
    graph: fn(usize) -> Result<Graph, GraphError>,
    load: fn(&[u8], &Graph) -> Result<Weights, LoadError>,
    bundled: Option<&'static [u8]>,
}

const MODELS: &[Model] = &[
    Model {
        name: "resnet32",
        description: "ResNet-32 for 32×32 colour images in 10 classes, 68.9 million multiplications, 303,104 ReLUs",
        input: resnet32::INPUT,
        classes: resnet32::CLASSES,
        graph: resnet32::resnet32,
        load: load_resnet32,
        #[cfg(feature = "bundled")]
        bundled: Some(resnet32::BUNDLED_WEIGHTS),
        #[cfg(not(feature = "bundled"))]
        bundled: None,
    },
    Model {
        name: "minionn",
        description: "MiniONN's network for 32×32 colour images in 10 classes, 61.1 million multiplications, \
                      173,056 ReLUs",
        input: minionn::INPUT,
        classes: minionn::CLASSES,
        graph: minionn::minionn,
        load: load_minionn,
        #[cfg(feature = "bundled")]
        bundled: Some(minionn::BUNDLED_WEIGHTS),
        #[cfg(not(feature = "bundled"))]
        bundled: None,
    },
];

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

    /// Channels, height and width of an image.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// The number of classes, and of logits for an image.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The architecture for `batch` images at a time.
    ///
    /// # Errors
    /// A batch of 0 or one that is too large.
    pub fn graph(&self, batch: usize) -> Result<Graph, GraphError> {
        (self.graph)(batch)
    }

    /// The weights from a safetensors file.
    ///
    /// # Errors
    /// A file that is damaged, too large or not of this network.
    pub fn load(&self, bytes: &[u8], graph: &Graph) -> Result<Weights, LoadError> {
        (self.load)(bytes, graph)
    }

    /// The weights file that comes with this crate, if one does and the feature `bundled` is on.
    #[must_use]
    pub fn bundled_weights(&self) -> Option<&'static [u8]> {
        self.bundled
    }
}
