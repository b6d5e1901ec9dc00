//! Tensors in files: the inputs of a network, and its outputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mpc_nn::OneHot;
use mpc_nn::file::{FileError, read_file};
use mpc_nn::graph::MAX_ELEMENTS;
use ndarray::{ArrayD, Axis, Dimension, IxDyn};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::arrays::{read_npy, read_npz, write_npy};
use crate::images::{ImageChannels, ImageOptions, decode_image};

/// The largest file: a tensor of as many 64-bit numbers as a graph allows, and its header.
const MAX_FILE: usize = 8 * MAX_ELEMENTS + 4096;
/// How `.npy` files begin.
const NPY: &[u8] = b"\x93NUMPY";
/// How `.npz` archives begin.
const ZIP: &[u8] = b"PK";

/// Why a file cannot be an input of a network, or an output not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that is no tensor, or not one that the input takes.
    #[error("input {file}: {reason}")]
    Content {
        /// The file.
        file: String,
        /// The fault.
        reason: String,
    },
    /// An output that cannot be written.
    #[error("cannot write {file}: {reason}")]
    Write {
        /// The file.
        file: String,
        /// The operating system's message.
        reason: String,
    },
}

/// A file for one input of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputFile {
    /// The place among the graph's inputs.
    pub input: usize,
    /// The name of the input.
    pub name: String,
    /// The file.
    #[serde(with = "any_path")]
    pub path: PathBuf,
    /// The shape of the graph's input.
    pub shape: Vec<usize>,
    /// The rows that elements become, for an input of integers that are given to the graph as such.
    pub rows: Option<OneHot>,
    /// The bound that each of its elements must be below, where the bounds differ; else empty.
    pub limits: Vec<usize>,
    /// How pixels become numbers.
    pub pixels: Pixels,
}

/// How the pixels of an image become numbers: (pixel / 255 − mean) / deviation, for each channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pixels {
    /// The means; none are zeros.
    pub mean: Vec<f32>,
    /// The standard deviations; none are ones.
    pub deviation: Vec<f32>,
}

impl InputFile {
    /// Reads the tensors of one inference or several: of more samples than the graph takes at a time, those of each.
    ///
    /// # Errors
    /// [`TensorError::File`], [`TensorError::Content`].
    pub fn read_all(&self) -> Result<Vec<ArrayD<f32>>, TensorError> {
        let tensor = read_tensor(&self.path, &self.name, &self.shape, &self.pixels)?;
        match self.batches(tensor.shape()) {
            Some(count) => {
                let batch = tensor.len_of(Axis(0)) / count;
                tensor.axis_chunks_iter(Axis(0), batch).map(|part| self.fit(part.to_owned())).collect()
            }
            None => Ok(vec![self.fit(tensor)?]),
        }
    }

    /// The number of the graph's batches that a tensor of a shape is, if it is not one.
    fn batches(&self, shape: &[usize]) -> Option<usize> {
        let taken = self.taken();
        let ((&samples, sample), (&batch, taken_sample)) = (shape.split_first()?, taken.split_first()?);
        let is_one = squeezed(shape) == squeezed(taken) || squeezed(sample) != squeezed(taken_sample);
        if is_one || samples == 0 || batch == 0 || !samples.is_multiple_of(batch) {
            None
        } else {
            Some(samples / batch)
        }
    }

    /// The shape before integers become rows.
    fn taken(&self) -> &[usize] {
        &self.shape[..self.shape.len().saturating_sub(usize::from(self.rows.is_some()))]
    }

    /// A tensor that was read, in the shape of the graph's input and encoded as that takes it.
    ///
    /// # Errors
    /// [`TensorError::Content`].
    pub fn fit(&self, tensor: ArrayD<f32>) -> Result<ArrayD<f32>, TensorError> {
        // Before rows are made, which may be thousands of times as large.
        let is_other_row = self.rows.is_some_and(|rows| self.shape.last() != Some(&rows.len()));
        if is_other_row || squeezed(tensor.shape()) != squeezed(self.taken()) {
            let (expected, found) = (self.taken(), tensor.shape());
            return Err(self.wrong(&format!("it has shape {found:?}, but the network takes {expected:?}")));
        }
        let tensor = match self.rows {
            None => tensor,
            Some(rows) => self.one_hot(&tensor, rows)?,
        };
        Ok(tensor.into_shape_with_order(IxDyn(&self.shape)).expect("as many elements"))
    }

    fn one_hot(&self, tensor: &ArrayD<f32>, rows: OneHot) -> Result<ArrayD<f32>, TensorError> {
        let mut encoded = ArrayD::zeros([tensor.shape(), &[rows.len()]].concat());
        let each = encoded.as_slice_mut().into_iter().flat_map(|encoded| encoded.chunks_exact_mut(rows.len()));
        for (place, ((index, &value), places)) in tensor.indexed_iter().zip(each).enumerate() {
            let limit = self.limits.get(place).map_or(rows.classes(), |&limit| limit.min(rows.classes()));
            if value < 0.0 && !rows.takes_negative() {
                let index = index.slice();
                let reason =
                    format!("the element at {index:?} is {value}, which its readers count from different ends");
                return Err(self.wrong(&reason));
            }
            let class = if value < 0.0 { value + limit as f32 } else { value };
            if value.fract() != 0.0 || !(0.0..limit as f32).contains(&class) {
                let index = index.slice();
                return Err(self.wrong(&format!("the element at {index:?} is {value}, no integer below {limit}")));
            }
            rows.write(class as usize, places);
        }
        Ok(encoded)
    }

    fn wrong(&self, reason: &str) -> TensorError {
        TensorError::Content { file: self.path.display().to_string(), reason: reason.to_owned() }
    }
}

/// A shape without axes of size 1: a sample without its batch, and a scalar, have the elements but not the axes.
fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&size| size != 1).collect()
}

/// A tensor from an `.npy` or `.npz` file or an image, which is resized to the last two sizes of `shape`.
///
/// # Errors
/// [`TensorError::File`], [`TensorError::Content`].
pub fn read_tensor(path: &Path, name: &str, shape: &[usize], pixels: &Pixels) -> Result<ArrayD<f32>, TensorError> {
    let wrong = |reason: String| TensorError::Content { file: path.display().to_string(), reason };
    let bytes = read_input(path)?;
    if bytes.starts_with(NPY) {
        return read_npy(&bytes).map_err(|error| wrong(error.to_string()));
    }
    if bytes.starts_with(ZIP) {
        // Of an archive with one tensor its name does not matter.
        let only = read_npz(&bytes, None);
        return only.or_else(|_| read_npz(&bytes, Some(name))).map_err(|error| wrong(error.to_string()));
    }
    if let Some(reason) = no_image(&bytes) {
        return Err(wrong(reason));
    }
    let options = pixels.options(shape).map_err(wrong)?;
    options.check().map_err(|error| wrong(error.to_string()))?;
    let image = decode_image(&bytes, &options).map_err(|error| wrong(error.to_string()))?;
    Ok(if is_channels_last(shape) { image.permuted_axes(vec![0, 2, 3, 1]) } else { image })
}

/// The kind of a file that is neither a tensor nor an image; `None` if it may be an image.
fn no_image(bytes: &[u8]) -> Option<String> {
    let start = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    if start.is_empty() {
        return Some("the file is empty".to_owned());
    }
    if bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\xff\xd8") {
        return None;
    }
    let is_text = is_utf8(start) && !start.contains(&0);
    let what = if is_text { "it is text" } else { "it is of another kind" };
    Some(format!("{what}; an input is a tensor (.npy, .npz: numpy.save, numpy.savez) or a PNG or JPEG image"))
}

/// Whether bytes are the beginning of a text in UTF-8.
fn is_utf8(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Whether the shape is that of an image whose channels are its last axis.
fn is_channels_last(shape: &[usize]) -> bool {
    !matches!(shape, [.., 1 | 3, _, _]) && matches!(shape, [.., _, _, 1 | 3])
}

/// The bytes read from pipes, which give them once only; zeroised on drop, which is the end of the process.
static PIPED: Mutex<BTreeMap<PathBuf, Zeroizing<Vec<u8>>>> = Mutex::new(BTreeMap::new());

/// The bytes of a file, or of a pipe or standard input (`-`), which is read once and remembered.
fn read_input(path: &Path) -> Result<Zeroizing<Vec<u8>>, TensorError> {
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    if !is_pipe(path) {
        return Ok(read_file(path, MAX_FILE)?);
    }
    let mut piped = PIPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = piped.get(path) {
        return Ok(bytes.clone());
    }
    let bytes = read_file(path, MAX_FILE)?;
    piped.insert(path.to_owned(), bytes.clone());
    Ok(bytes)
}

/// Whether a file gives its bytes once only, so that no other process can read them as well.
#[must_use]
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// The shape of the tensor in a file; `None` for an image, which has any.
///
/// # Errors
/// [`TensorError::File`], [`TensorError::Content`].
pub fn tensor_shape(path: &Path, name: &str) -> Result<Option<Vec<usize>>, TensorError> {
    let bytes = read_input(path)?;
    if bytes.starts_with(NPY) || bytes.starts_with(ZIP) {
        return Ok(Some(read_tensor(path, name, &[], &Pixels::default())?.shape().to_vec()));
    }
    Ok(None)
}

impl Pixels {
    /// How the images of a folder become inputs: as the training script reads them, unless means and deviations are given.
    ///
    /// # Errors
    /// A number of means or deviations that is neither 1 nor 3.
    pub fn of_folder(&self, image: [usize; 3]) -> Result<ImageOptions, String> {
        if self.mean.is_empty() && self.deviation.is_empty() {
            let size = [image[1], image[2]];
            let channels = if image[0] == 1 { ImageChannels::Grey } else { ImageChannels::GreyThrice };
            return Ok(ImageOptions { size, channels, ..ImageOptions::GREY_32 });
        }
        self.options(&image)
    }

    /// How an image becomes an input of that shape.
    fn options(&self, shape: &[usize]) -> Result<ImageOptions, String> {
        let channels = match shape {
            [.., 1, _, _] => ImageChannels::Grey,
            [.., 3, _, _] | [.., _, _, 3] => ImageChannels::Colour,
            [.., _, _, 1] => ImageChannels::Grey,
            _ => return Err("it is an image, but the input is none of 1 or 3 channels, height and width".to_owned()),
        };
        let of = |what: &str, values: &[f32], neutral: f32| match *values {
            [] => Ok([neutral; 3]),
            [all] => Ok([all; 3]),
            [red, green, blue] => Ok([red, green, blue]),
            _ => Err(format!("the {what} of pixels is one number, or three")),
        };
        let behind = usize::from(is_channels_last(shape));
        let size = [shape[shape.len() - 2 - behind], shape[shape.len() - 1 - behind]];
        let (mean, deviation) = (of("mean", &self.mean, 0.0)?, of("deviation", &self.deviation, 1.0)?);
        Ok(ImageOptions { size, channels, mean, deviation })
    }
}

/// Writes a tensor as `.npy`, in the shape that the file of the network gives it, as a graph's scalars have an axis: under
/// its name once it is complete, never in part.
///
/// # Errors
/// [`TensorError::Write`].
pub fn write_tensor(path: &Path, tensor: &ArrayD<f64>, shape: &[usize]) -> Result<(), TensorError> {
    let failed = |reason: String| TensorError::Write { file: path.display().to_string(), reason };
    let tensor = tensor.mapv(|value| value as f32);
    let bytes = write_npy(&tensor.to_shape(shape).map_err(|error| failed(error.to_string()))?.into_owned());
    write_whole(path, &bytes)
}

/// Writes a file: under its name once it is complete, never in part.
///
/// # Errors
/// [`TensorError::Write`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TensorError> {
    let failed = |reason: String| TensorError::Write { file: path.display().to_string(), reason };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error.to_string())
    })
}

/// A path as the system's bytes, since a path may not be UTF-8.
mod any_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn an_output_that_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("y.npy");
        assert!(
            write_tensor(&path, &ArrayD::zeros(vec![1]), &[1]).is_err_and(|error| error.to_string().contains("y.npy"))
        );
        write_tensor(&folder.path().join("y.npy"), &ArrayD::zeros(vec![1]), &[1]).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    fn input(shape: &[usize], classes: Option<usize>) -> InputFile {
        let (path, pixels, rows) = ("x".into(), Pixels::default(), classes.map(OneHot::whole));
        InputFile { input: 0, name: "x".into(), path, shape: shape.to_vec(), rows, limits: Vec::new(), pixels }
    }

    #[test]
    fn more_samples_than_a_batch_are_several() {
        let images = input(&[1, 3, 8, 8], None);
        assert_eq!(images.batches(&[5, 3, 8, 8]), Some(5));
        for one in [&[1, 3, 8, 8][..], &[3, 8, 8], &[5, 3, 8, 7], &[0, 3, 8, 8], &[3, 3, 8], &[]] {
            assert_eq!(images.batches(one), None, "{one:?}");
        }
        assert_eq!(input(&[2, 3], None).batches(&[6, 3]), Some(3));
        assert_eq!(input(&[2, 3], None).batches(&[5, 3]), None);
        assert_eq!(input(&[1, 1, 28, 28], None).batches(&[4, 28, 28]), Some(4));
        // Of integers the last axis of the graph's input is that of the classes.
        assert_eq!(input(&[1, 7, 10], Some(10)).batches(&[4, 7]), Some(4));
        assert_eq!(input(&[1, 10], Some(10)).batches(&[4]), Some(4));
        assert_eq!(input(&[10], Some(10)).batches(&[]), None);
    }

    #[test]
    fn rows_of_categories_below_the_limit_of_each() {
        let file = InputFile { limits: vec![2, 3], ..input(&[2, 3], Some(3)) };
        let rows = file.fit(array![-1.0, 2.0].into_dyn()).unwrap();
        assert_eq!(rows, array![[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].into_dyn());
        for wrong in [array![2.0, 0.0], array![0.0, 3.0], array![0.5, 0.0], array![-3.0, 0.0]] {
            assert!(file.fit(wrong.into_dyn()).is_err_and(|error| error.to_string().contains("no integer below")));
        }
    }

    #[test]
    fn a_negative_category_of_several_readers_is_refused() {
        let file = InputFile { rows: Some(OneHot::whole(3).without_negative()), ..input(&[2, 3], None) };
        assert!(file.fit(array![0.0, 2.0].into_dyn()).is_ok());
        let error = file.fit(array![0.0, -1.0].into_dyn()).unwrap_err();
        assert!(error.to_string().contains("[1] is -1, which its readers count from different ends"), "{error}");
    }

    #[test]
    fn integers_of_another_shape_are_refused_before_they_become_rows() {
        let file = InputFile { rows: Some(OneHot::whole(usize::MAX)), ..input(&[3, usize::MAX], None) };
        let error = file.fit(array![0.0, 2.0].into_dyn()).unwrap_err();
        assert!(error.to_string().contains("it has shape [2], but the network takes [3]"), "{error}");
        let file = InputFile { rows: Some(OneHot::whole(4)), ..input(&[1, 8], None) };
        assert!(file.fit(array![3.0].into_dyn()).is_err());
    }

    #[test]
    fn of_many_categories_each_is_two_rows() {
        let rows = OneHot::for_table(1000, 2);
        assert_eq!((rows.low(), rows.high()), (15, 67));
        let file = InputFile { rows: Some(rows), ..input(&[3, 82], None) };
        let encoded = file.fit(array![0.0, 37.0, -1.0].into_dyn()).unwrap();
        let ones = |row: usize| (0..82).filter(|&place| encoded[[row, place]] == 1.0).collect::<Vec<_>>();
        assert_eq!([ones(0), ones(1), ones(2)], [[0, 67], [2, 67 + 7], [66, 67 + 9]]);
        assert!(file.fit(array![0.0, 1000.0, 0.0].into_dyn()).is_err());
        assert_eq!(file.batches(&[6]), Some(2));
    }
}
