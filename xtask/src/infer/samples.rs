//! The model owner's weights and the data owner's images, read and checked.

use std::path::PathBuf;

use mpc_models::npy::MAX_IMAGES;
use mpc_models::{Model, Targets, Task, file_limit, read_file, read_npy_images};
use mpc_nn::{Graph, Weights};
use ndarray::{ArrayD, Axis, Slice};
use serde::{Deserialize, Serialize};

use super::error::InputError;
use super::network::{Network, made_up_inputs, made_up_weights};

/// Which images to classify.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageSource {
    /// A file, or none for the bundled samples.
    pub file: Option<PathBuf>,
    /// The first image.
    pub first: usize,
    /// How many; none for all of them.
    pub count: Option<usize>,
}

/// Images, and what they show where that is known.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The images [count, channels, height, width].
    pub images: ArrayD<f32>,
    /// The true labels.
    pub labels: Option<Vec<u8>>,
    /// The index of the first one in its source.
    pub first: usize,
}

impl Samples {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.images.len_of(Axis(0))
    }
}

impl ImageSource {
    /// Reads the images and checks them against the model.
    pub fn read(&self, network: Network) -> Result<Samples, InputError> {
        match (network, &self.file) {
            (Network::Model(model), Some(file)) => self.read_npy(file, model),
            (Network::Model(model), None) => self.read_samples(model),
            (Network::Layer(layer), _) => self.make_up(&layer.input()),
        }
    }

    fn make_up(&self, shape: &[usize]) -> Result<Samples, InputError> {
        let count = self.checked_count(MAX_IMAGES)?;
        Ok(Samples { images: made_up_inputs(shape, count), labels: None, first: self.first })
    }

    fn read_samples(&self, model: &Model) -> Result<Samples, InputError> {
        let image = image_of(model)?;
        let len = model.sample_count()?;
        if len == 0 {
            return self.make_up(&image);
        }
        let count = self.checked_count(len)?;
        let mut samples = model.samples(self.first..self.first + count)?;
        let labels = if let Targets::Labels(labels) = samples.targets { Some(labels) } else { None };
        Ok(Samples { images: samples.inputs.remove(0), labels, first: self.first })
    }

    fn read_npy(&self, file: &PathBuf, model: &Model) -> Result<Samples, InputError> {
        let image = image_of(model)?;
        let image_bytes: usize = size_of::<f32>() * image.into_iter().product::<usize>();
        let bytes = read_file(file, image_bytes.saturating_mul(MAX_IMAGES + 1))?;
        let wrong = |error| InputError::Images { file: file.display().to_string(), error };
        let all = read_npy_images(&bytes, image).map_err(wrong)?;
        let count = self.checked_count(all.len_of(Axis(0)))?;
        let images = all.slice_axis(Axis(0), Slice::from(self.first..self.first + count)).to_owned();
        Ok(Samples { images, labels: None, first: self.first })
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
}

/// Channels, height and width of an image that a model classifies.
fn image_of(model: &Model) -> Result<[usize; 3], InputError> {
    let image = model.image().filter(|_| model.task() == Task::Classification);
    image.ok_or_else(|| InputError::NotImages { model: model.name().to_owned() })
}

/// Reads the weights from a file, or those that come with the model, and checks them against its graph.
pub fn read_weights(file: Option<&PathBuf>, network: Network, graph: &Graph) -> Result<Weights, InputError> {
    let Network::Model(model) = network else {
        let wrong = |error| InputError::Weights { source_name: "made up for the layer".to_owned(), error };
        return made_up_weights(graph).map_err(wrong);
    };
    let Some(file) = file else {
        let wrong = |error| InputError::Weights { source_name: "bundled with the model".to_owned(), error };
        return model.default_weights(graph).map_err(wrong);
    };
    let bytes = read_file(file, file_limit(graph))?;
    model.load(&bytes, graph).map_err(|error| InputError::Weights { source_name: file.display().to_string(), error })
}
