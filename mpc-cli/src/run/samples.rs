//! The inputs that their owners read, and the model owner's weights: read and checked.

use std::ffi::OsString;
use std::path::Path;

use mpc_models::images::ImageFolder;
use mpc_models::npy::MAX_IMAGES;
use mpc_models::tensors::{InputFile, Pixels};
use mpc_models::{Model, Targets, file_limit, random, random_weights, read_file, read_npy_images};
use mpc_nn::{Graph, Weights, WeightsError};
use mpc_onnx::OnnxFile;
use ndarray::{ArrayD, Axis, Slice};
use serde::{Deserialize, Serialize};

use super::error::InputError;
use super::network::{Network, made_up_inputs};
use crate::arguments::is_onnx;
use crate::files::inferences;

/// Which inputs to run the network on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SampleSource {
    /// Bundled samples of a network, an `.npy` file of images, or made-up inputs of a layer.
    Images(ImageSource),
    /// A file for each input: one inference, or as many as they have samples for.
    Files(Vec<InputFile>),
}

/// Which images to classify.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageSource {
    /// The network's name.
    pub model: String,
    /// A file or a folder with a folder of images for each class, or none for the bundled samples.
    pub file: Option<OsString>,
    /// How pixels become numbers, of a folder.
    pub pixels: Pixels,
    /// The first image.
    pub first: usize,
    /// How many; none for all of them.
    pub count: Option<usize>,
    /// Images per inference.
    pub batch: usize,
}

/// The inputs of inferences, and what is true of them where that is known.
#[derive(Clone, Debug)]
pub struct Samples {
    /// For each inference the inputs in the order of the graph's; `None` for those that were not asked for.
    pub inferences: Vec<Vec<Option<ArrayD<f32>>>>,
    /// The true labels or masks of all samples.
    pub targets: Option<Targets>,
    /// The index of the first sample in its source.
    pub first: usize,
}

impl SampleSource {
    /// Reads and checks the inputs for whose place `is_owned` is true.
    pub fn read(&self, is_owned: impl Fn(usize) -> bool) -> Result<Samples, InputError> {
        match self {
            Self::Images(source) => source.read(is_owned),
            Self::Files(files) => Ok(Samples { inferences: inferences(files, is_owned)?, targets: None, first: 0 }),
        }
    }
}

impl ImageSource {
    fn read(&self, is_owned: impl Fn(usize) -> bool) -> Result<Samples, InputError> {
        let (inputs, targets) = match (Network::by_name(&self.model)?, self.file.as_ref().map(Path::new)) {
            (Network::Model(model), Some(folder)) if folder.is_dir() => self.read_folder(folder, model)?,
            (Network::Model(model), Some(file)) => (vec![self.read_npy(file, model)?], None),
            (Network::Model(model), None) => self.read_bundled(model)?,
            (Network::Layer(layer), _) => (vec![made_up_inputs(layer, self.checked_count(MAX_IMAGES)?)], None),
        };
        let count = inputs.first().map_or(0, |input| input.len_of(Axis(0)));
        let inferences = self.inferences(count)?;
        let one = |inference: usize| {
            let owned = inputs.iter().enumerate();
            owned.map(|(place, input)| is_owned(place).then(|| part(input, self.batch, inference))).collect()
        };
        Ok(Samples { inferences: (0..inferences).map(one).collect(), targets, first: self.first })
    }

    fn read_bundled(&self, model: &Model) -> Result<(Vec<ArrayD<f32>>, Option<Targets>), InputError> {
        let len = model.sample_count()?;
        if len == 0 {
            return Err(InputError::NoSamples { model: model.name().to_owned() });
        }
        let count = self.checked_count(len)?;
        let samples = model.samples(self.first..self.first + count)?;
        Ok((samples.inputs, Some(samples.targets)))
    }

    fn read_folder(&self, folder: &Path, model: &Model) -> Result<(Vec<ArrayD<f32>>, Option<Targets>), InputError> {
        let image = model.image().ok_or_else(|| InputError::NotImages { model: model.name().to_owned() })?;
        let wrong = |reason: String| InputError::Labelled { file: folder.display().to_string(), reason };
        let images = ImageFolder::open(folder)?;
        let count = self.checked_count(images.len())?;
        let options = self.pixels.of_folder(image).map_err(wrong)?;
        let samples = images.batch(self.first..self.first + count, &options)?;
        let labels = images.labels().skip(self.first).take(count).map(u8::try_from);
        let labels = labels.collect::<Result<_, _>>().map_err(|_| wrong("more than 256 classes".to_owned()))?;
        Ok((vec![samples], Some(Targets::Labels(labels))))
    }

    fn read_npy(&self, file: &Path, model: &Model) -> Result<ArrayD<f32>, InputError> {
        let image = model.image().ok_or_else(|| InputError::NotImages { model: model.name().to_owned() })?;
        let image_bytes: usize = size_of::<f32>() * image.into_iter().product::<usize>();
        let bytes = read_file(file, image_bytes.saturating_mul(MAX_IMAGES + 1))?;
        let wrong = |error| InputError::Images { file: file.display().to_string(), error };
        let all = read_npy_images(&bytes, image).map_err(wrong)?;
        let count = self.checked_count(all.len_of(Axis(0)))?;
        Ok(all.slice_axis(Axis(0), Slice::from(self.first..self.first + count)).to_owned())
    }

    fn checked_count(&self, len: usize) -> Result<usize, InputError> {
        let first = self.first;
        let count = self.count.unwrap_or_else(|| len.saturating_sub(first));
        match first.checked_add(count) {
            _ if self.count == Some(0) => Err(InputError::NoImages),
            Some(end) if end <= len && count > 0 => Ok(count),
            _ => Err(InputError::Range { first, count, len }),
        }
    }

    fn inferences(&self, images: usize) -> Result<usize, InputError> {
        if self.batch > 0 && images.is_multiple_of(self.batch) {
            Ok(images / self.batch)
        } else {
            Err(InputError::Batches { images, batch: self.batch })
        }
    }
}

/// The samples of one inference.
fn part(samples: &ArrayD<f32>, batch: usize, inference: usize) -> ArrayD<f32> {
    let start = inference * batch;
    samples.slice_axis(Axis(0), Slice::from(start..start + batch)).to_owned()
}

/// Where a network's weights come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WeightSource {
    /// The network's name, or its file.
    pub model: OsString,
    /// A file, or none for those that come with the network.
    pub file: Option<OsString>,
    /// The shapes of inputs, for a network that is itself a file.
    pub shapes: Vec<(String, Vec<usize>)>,
}

impl WeightSource {
    /// Reads the weights and checks them against the network's graph.
    pub fn read(&self, graph: &Graph) -> Result<Weights, InputError> {
        if is_onnx(&self.model) {
            let network = self.import(&OnnxFile::open(&self.model)?)?;
            // The file was read before, for its architecture.
            let changed = || InputError::Named(format!("{} has changed since it was read", self.model.display()));
            return if network.graph == graph.clone().without_bounds() { Ok(network.weights) } else { Err(changed()) };
        }
        let Network::Model(model) = Network::by_name(&self.model.to_string_lossy())? else {
            let wrong = |error: WeightsError| InputError::Weights {
                source_name: "made up for the layer".to_owned(),
                error: error.into(),
            };
            return random_weights(graph, random::SEED).map_err(wrong);
        };
        let Some(file) = self.file.as_ref().map(Path::new) else {
            let wrong = |error| InputError::Weights { source_name: "bundled with the model".to_owned(), error };
            return model.default_weights(graph).map_err(wrong);
        };
        let bytes = read_file(file, file_limit(graph))?;
        let wrong = |error| InputError::Weights { source_name: file.display().to_string(), error };
        model.load(&bytes, graph).map_err(wrong)
    }
}
