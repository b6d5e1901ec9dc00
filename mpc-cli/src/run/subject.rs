//! The subject of a run: a graph, where its weights and inputs are, and what its outputs say.

use std::path::{Path, PathBuf};

use mpc_models::images::ImageFolder;
use mpc_models::tensors::Pixels;
use mpc_models::{Model, Task};
use mpc_nn::Graph;
use serde::Serialize;

use super::arguments::RunArguments;
use super::error::InputError;
use super::network::Network;
use super::onnx;
use super::samples::{ImageSource, SampleSource, WeightSource};
use crate::arguments::is_onnx;
use crate::files::FilesError;
use crate::widths::{CALIBRATED, bounded};

/// A network and its data, before anything of them is read but the architecture.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The architecture.
    pub graph: Graph,
    /// Where the weights are.
    pub weights: WeightSource,
    /// Where the inputs are; none for a plan alone.
    pub inputs: Option<SampleSource>,
    /// The names of the outputs.
    pub outputs: Vec<String>,
    /// The shapes of the outputs in an ONNX file; of a network by name none, as those of its graph are meant.
    pub output_shapes: Vec<Vec<usize>>,
    /// The meaning of the first output.
    pub meaning: Meaning,
    /// Whether the weights are the network's own, so that results mean something.
    pub is_trained: bool,
}

/// The facts that a summary has of a network.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The names of the outputs.
    pub outputs: &'a [String],
    /// The meaning of the first one.
    pub meaning: Meaning,
    /// Whether the weights are the network's own.
    pub is_trained: bool,
}

/// The meaning of a network's first output for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// Logits: the largest is the class.
    Class,
    /// A logit for each pixel: positive ones belong to the mask.
    Mask,
    /// Numbers.
    Values,
}

impl Subject {
    /// The facts that a summary has of it.
    pub fn about(&self) -> About<'_> {
        About { outputs: &self.outputs, meaning: self.meaning, is_trained: self.is_trained }
    }

    /// The subject that the arguments ask for. A plan needs no inputs of an ONNX file.
    pub fn open(arguments: &RunArguments, has_inputs: bool) -> Result<Self, InputError> {
        let subject = Self::bounded(arguments, has_inputs)?;
        if arguments.picture.is_some() && subject.meaning != Meaning::Mask {
            let reason =
                "--picture is for `unet`, which cuts out what a picture shows; --output writes a result as .npy";
            return Err(InputError::Named(reason.to_owned()));
        }
        Ok(subject)
    }

    fn bounded(arguments: &RunArguments, has_inputs: bool) -> Result<Self, InputError> {
        let (subject, widths) = (Self::unbounded(arguments, has_inputs)?, arguments.terms.widths.as_deref());
        if widths == Some(Path::new(CALIBRATED)) && arguments.weights.is_some() {
            let reason = "--widths calibrated is for the weights that come with a network; of others calibrate yours";
            return Err(InputError::Named(reason.to_owned()));
        }
        let graph = bounded(widths, Path::new(&arguments.model), subject.graph)?;
        Ok(Self { graph, ..subject })
    }

    /// The same, with the default bound for all values.
    fn unbounded(arguments: &RunArguments, has_inputs: bool) -> Result<Self, InputError> {
        if is_onnx(&arguments.model) {
            return onnx::open(arguments, has_inputs);
        }
        if !arguments.output.output.is_empty() {
            return Err(InputError::Named("--output needs an ONNX file".to_owned()));
        }
        let network = Network::by_name(&arguments.name())?;
        let graph = match (&network, folder(arguments)) {
            (Network::Model(model), Some(folder)) => {
                // As many classes as folders: the weights must have been trained for them.
                model.graph_for(arguments.batch(), ImageFolder::open(folder)?.classes().len())?
            }
            _ => network.graph(arguments.batch())?,
        };
        let outputs = graph.outputs().iter().map(|&id| graph.node(id).name().to_owned()).collect();
        let inputs = Some(SampleSource::Images(image_source(arguments)?));
        let weights = WeightSource {
            model: arguments.model.clone(),
            file: arguments.weights.clone().map(PathBuf::into_os_string),
            shapes: Vec::new(),
        };
        let (meaning, is_trained) = match network {
            Network::Model(model) => (meaning(model), arguments.weights.is_some() || model.bundled_weights().is_some()),
            Network::Layer(_) => (Meaning::Values, false),
        };
        Ok(Self { graph, weights, inputs, outputs, output_shapes: Vec::new(), meaning, is_trained })
    }
}

fn meaning(model: &Model) -> Meaning {
    match model.task() {
        Task::Classification => Meaning::Class,
        Task::Segmentation => Meaning::Mask,
        _ => Meaning::Values,
    }
}

/// The folder of `--input`, if it is one.
fn folder(arguments: &RunArguments) -> Option<&Path> {
    arguments.input.first().map(Path::new).filter(|path| path.is_dir())
}

fn image_source(arguments: &RunArguments) -> Result<ImageSource, InputError> {
    let RunArguments { accuracy, images, batch, input, .. } = arguments;
    let model = arguments.name().into_owned();
    let file = match &input[..] {
        [] => None,
        [file] => Some(file.clone()),
        _ => return Err(InputError::Named(format!("`{model}` takes one --input, a file of images"))),
    };
    let is_all = *accuracy || file.is_some();
    let count = images.or(if is_all { None } else { Some(batch.unwrap_or(1)) });
    let first = arguments.first_image;
    let pixels = arguments.pixels.pixels();
    if pixels != Pixels::default() && folder(arguments).is_none() {
        return Err(FilesError::NoImage.into());
    }
    Ok(ImageSource { model, file, pixels, first, count, batch: arguments.batch() })
}
