//! The model owner's weights and the data owner's images, read and checked.

use std::path::PathBuf;

use mpc_models::npy::MAX_IMAGES;
use mpc_models::{Digits, Model, file_limit, read_file, read_npy_images};
use mpc_nn::{Graph, Weights};
use ndarray::{ArrayD, Axis, Slice};
use serde::{Deserialize, Serialize};

use super::error::InputError;
use super::network::{Network, made_up_inputs, made_up_weights};

/// Which images to classify.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageSource {
    /// A file, or none for the bundled digits.
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
            (Network::Model(_), None) => self.read_digits(),
            (Network::Layer(layer), _) => {
                let count = self.checked_count(MAX_IMAGES)?;
                Ok(Samples { images: made_up_inputs(layer, count), labels: None, first: self.first })
            }
        }
    }

    fn read_digits(&self) -> Result<Samples, InputError> {
        let digits = Digits::bundled()?;
        let count = self.checked_count(digits.len())?;
        let images = digits.batch(self.first..self.first + count)?;
        let labels = Some(digits.labels().skip(self.first).take(count).collect());
        Ok(Samples { images, labels, first: self.first })
    }

    fn read_npy(&self, file: &PathBuf, model: &Model) -> Result<Samples, InputError> {
        let image_bytes: usize = size_of::<f32>() * model.input().into_iter().product::<usize>();
        let bytes = read_file(file, image_bytes.saturating_mul(MAX_IMAGES + 1))?;
        let wrong = |error| InputError::Images { file: file.display().to_string(), error };
        let all = read_npy_images(&bytes, model.input()).map_err(wrong)?;
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

/// Reads the weights from a file, or those that come with the model, and checks them against its graph.
pub fn read_weights(file: Option<&PathBuf>, network: Network, graph: &Graph) -> Result<Weights, InputError> {
    let Network::Model(model) = network else {
        let wrong = |error| InputError::Weights { source_name: "made up for the layer".to_owned(), error };
        return made_up_weights(graph).map_err(wrong);
    };
    let Some(file) = file else {
        let missing = || InputError::NoWeights { model: model.name().to_owned() };
        let bytes = model.bundled_weights().ok_or_else(missing)?;
        let wrong = |error| InputError::Weights { source_name: "bundled with the model".to_owned(), error };
        return model.load(bytes, graph).map_err(wrong);
    };
    let bytes = read_file(file, file_limit(graph))?;
    model.load(&bytes, graph).map_err(|error| InputError::Weights { source_name: file.display().to_string(), error })
}
