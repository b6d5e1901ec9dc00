use std::borrow::ToOwned;
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

use ndarray::{ArrayD, Axis, concatenate};

use super::{ImageError, ImageOptions, MAX_CLASSES, MAX_FILE, decode_image};
use crate::npy::MAX_IMAGES;
use mpc_nn::file::read_file;

/// The files of a data set that has a folder for each class.
///
/// ```text
/// chest/covid/1.png, chest/covid/2.jpg, chest/normal/1.png, …
/// ```
///
/// Classes, and the files of each, are in the order of the bytes of their names, as in the training script. Files that
/// do not end in `.png`, `.jpg` or `.jpeg` are passed over, and so are folders inside of a class's. Images are read
/// when they are asked for.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    /// Each with its class.
    files: Vec<(PathBuf, usize)>,
}

impl ImageFolder {
    /// The classes and files of a folder.
    ///
    /// # Errors
    /// A folder that cannot be read, that has no folders in it or more than [`MAX_CLASSES`]; a class without images;
    /// more than [`MAX_IMAGES`] in all; a name that is not UTF-8.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ImageError> {
        let folder = folder.as_ref();
        let folders = entries(folder, Path::is_dir)?;
        if !(1..=MAX_CLASSES).contains(&folders.len()) {
            return Err(count(folder, "folders", folders.len(), "one for each class, at most 4096"));
        }
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for (class, path) in folders.into_iter().enumerate() {
            classes.push(utf8_name(&path)?);
            let images = entries(&path, |path| path.is_file() && is_image(path))?;
            if images.is_empty() {
                return Err(count(&path, "PNG or JPEG files", 0, "at least one"));
            }
            files.extend(images.into_iter().map(|file| (file, class)));
            if files.len() > MAX_IMAGES {
                return Err(count(folder, "images or more", files.len(), "at most 65536"));
            }
        }
        Ok(Self { classes, files })
    }

    /// The names of the classes.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Always false: folders without images are refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files in order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|(file, _)| file.as_path())
    }

    /// The class of each image, its position in [`classes`](Self::classes).
    pub fn labels(&self) -> impl ExactSizeIterator<Item = usize> {
        self.files.iter().map(|&(_, class)| class)
    }

    /// Reads several images, [number of images, channels, height, width].
    ///
    /// # Errors
    /// An empty range or images that are not there; a file that cannot be read, is too large or no image; options that
    /// cannot be met.
    pub fn batch(&self, range: Range<usize>, options: &ImageOptions) -> Result<ArrayD<f32>, ImageError> {
        options.check()?;
        let Range { start, end } = range;
        let files = self.files.get(start..end).filter(|files| !files.is_empty());
        let files = files.ok_or(ImageError::Range { start, end, len: self.len() })?;
        let images = files.iter().map(|(file, _)| read_image(file, options)).collect::<Result<Vec<_>, _>>()?;
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        // All of the shape that the options say.
        concatenate(Axis(0), &views).map_err(|error| ImageError::Format { reason: error.to_string() })
    }
}

fn read_image(file: &Path, options: &ImageOptions) -> Result<ArrayD<f32>, ImageError> {
    let inside = |error: ImageError| ImageError::In { path: file.display().to_string(), error: error.into() };
    decode_image(&read_file(file, MAX_FILE)?, options).map_err(inside)
}

/// The wanted entries of a folder, in the order of the bytes of their names.
fn entries(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, ImageError> {
    let read_error =
        |error: std::io::Error| ImageError::Read { path: folder.display().to_string(), reason: error.to_string() };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if is_wanted(&path) {
            paths.push(path);
        }
        if paths.len() > MAX_IMAGES {
            return Err(count(folder, "entries or more", paths.len(), "at most 65536"));
        }
    }
    paths.sort_by(|a, b| name(a).as_encoded_bytes().cmp(name(b).as_encoded_bytes()));
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let endings = ["png", "jpg", "jpeg"];
    path.extension().is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn utf8_name(path: &Path) -> Result<String, ImageError> {
    let unreadable = || ImageError::Name { path: path.display().to_string() };
    name(path).to_str().map(ToOwned::to_owned).ok_or_else(unreadable)
}

fn count(path: &Path, what: &'static str, found: usize, expected: &'static str) -> ImageError {
    ImageError::Count { path: path.display().to_string(), what, found, expected }
}
