//! Files of a command line for the inputs and outputs of a network.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use mpc_models::tensors::{InputFile, Pixels, TensorError};
use mpc_nn::{Graph, OneHot};
use ndarray::ArrayD;
use os_str_bytes::OsStrBytesExt as _;

/// Why files do not suit the inputs or outputs of a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A file too many.
    #[error("--{what} {file} is one too many: the network has `{}`", known.join("`, `"))]
    TooMany {
        /// `input` or `output`.
        what: &'static str,
        /// The file.
        file: String,
        /// The names of the network's.
        known: Vec<String>,
    },
    /// A name that the network has no input or output of.
    #[error("--{what} {name}=…: the network has no {what} `{name}`, but `{}`", known.join("`, `"))]
    Unknown {
        /// `input` or `output`.
        what: &'static str,
        /// The name.
        name: String,
        /// The names of the network's.
        known: Vec<String>,
    },
    /// A name with two files.
    #[error("--{what} has two files for `{name}`; give one")]
    Twice {
        /// `input` or `output`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An input without a file.
    #[error("the input `{name}` needs a file: {name}=FILE")]
    Missing {
        /// The name.
        name: String,
    },
    /// Arguments for images, without one.
    #[error(
        "--mean and --deviation are for images, and no file of --input is one: leave them out, and normalise the tensors before"
    )]
    NoImage,
    /// Inputs of different numbers of samples.
    #[error(
        "the file for `{}` has samples for {} inferences, that for `{}` for {}; give each input as many",
        names[0], counts[0], names[1], counts[1]
    )]
    Samples {
        /// The names of two inputs.
        names: [String; 2],
        /// The inferences that their files are for.
        counts: [usize; 2],
    },
    /// A file that cannot be read, or is not for its input.
    #[error(transparent)]
    Read(#[from] TensorError),
    /// A place that no output can be written to.
    #[error("--output {file}: {reason}")]
    Destination {
        /// The file.
        file: String,
        /// Why.
        reason: &'static str,
    },
}

/// A file for each input of a graph, in their order. `inputs` are the name of each, the rows that its elements become if it is one
/// of integers, and what each of these must be below.
///
/// # Errors
/// [`FilesError::Missing`], [`FilesError::NoImage`].
pub fn input_files<'a>(
    graph: &Graph,
    inputs: impl Iterator<Item = (&'a str, Option<OneHot>, &'a [usize])>,
    paths: &BTreeMap<String, PathBuf>,
    pixels: &Pixels,
) -> Result<Vec<InputFile>, FilesError> {
    if *pixels != Pixels::default() && paths.values().all(|path| is_tensor(path)) {
        return Err(FilesError::NoImage);
    }
    let mut files = Vec::with_capacity(paths.len());
    for (input, ((name, rows, limits), &id)) in inputs.zip(graph.inputs()).enumerate() {
        let path = paths.get(name).ok_or_else(|| FilesError::Missing { name: name.to_owned() })?.clone();
        let (shape, limits) = (graph.node(id).shape().to_vec(), limits.to_vec());
        files.push(InputFile { input, name: name.to_owned(), path, shape, rows, limits, pixels: pixels.clone() });
    }
    Ok(files)
}

/// Whether a file is named as one of tensors.
fn is_tensor(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["npy", "npz"].iter().any(|tensor| ending.eq_ignore_ascii_case(tensor)))
}

/// The inputs of each inference that files have, in their order; `None` for those for whose place `is_owned` is false. A file
/// with more samples than the network takes at a time has several.
///
/// # Errors
/// [`FilesError::Samples`] where files have samples for different numbers of inferences, [`FilesError::Read`].
pub fn inferences(
    files: &[InputFile],
    is_owned: impl Fn(usize) -> bool,
) -> Result<Vec<Vec<Option<ArrayD<f32>>>>, FilesError> {
    let mut first: Option<(&InputFile, usize)> = None;
    let mut inputs = Vec::with_capacity(files.len());
    for file in files {
        let parts = if is_owned(file.input) { Some(file.read_all()?) } else { None };
        if let Some(parts) = &parts {
            let (other, count) = *first.get_or_insert((file, parts.len()));
            if count != parts.len() {
                let names = [other.name.clone(), file.name.clone()];
                return Err(FilesError::Samples { names, counts: [count, parts.len()] });
            }
        }
        inputs.push(parts.map(Vec::into_iter));
    }
    let count = first.map_or(1, |(_, count)| count);
    let mut one = || inputs.iter_mut().map(|parts| parts.as_mut().and_then(Iterator::next)).collect();
    Ok((0..count).map(|_| one()).collect())
}

/// The files for inputs or outputs by the name of the tensor: `NAME=FILE`, and those without a name in the order of `names`.
///
/// # Errors
/// [`FilesError::TooMany`], [`FilesError::Twice`], [`FilesError::Unknown`].
pub fn by_name(
    what: &'static str,
    files: &[OsString],
    names: &[String],
) -> Result<BTreeMap<String, PathBuf>, FilesError> {
    let mut by_name = BTreeMap::new();
    let mut unnamed = Vec::new();
    for file in files {
        match split_name(file, names) {
            Some((name, path)) if names.iter().any(|known| **known == *name) => {
                if by_name.insert(name.clone(), PathBuf::from(path)).is_some() {
                    return Err(FilesError::Twice { what, name });
                }
            }
            // A file may have such a name, too: one that is there to be read, or one in a folder.
            Some((name, _)) if !name.contains(['/', '\\']) && (what != "input" || !Path::new(file).exists()) => {
                return Err(FilesError::Unknown { what, name, known: names.to_vec() });
            }
            _ => unnamed.push(PathBuf::from(file)),
        }
    }
    let free: Vec<_> = names.iter().filter(|name| !by_name.contains_key(*name)).cloned().collect();
    if unnamed.len() > free.len() {
        let file = unnamed.last().map(|path| path.display().to_string()).unwrap_or_default();
        return Err(FilesError::TooMany { what, file, known: names.to_vec() });
    }
    by_name.extend(free.into_iter().zip(unnamed));
    Ok(by_name)
}

/// The name and the file of NAME=FILE: of the names that the text begins with the longest, as a name may have a `=`.
fn split_name<'a>(text: &'a OsStr, names: &[String]) -> Option<(String, &'a OsStr)> {
    let behind = |name: &String| Some((name.clone(), text.strip_prefix(name.as_str())?.strip_prefix('=')?));
    let known = names.iter().filter_map(behind).max_by_key(|(name, _)| name.len());
    known.or_else(|| text.split_once('=').map(|(name, path)| (name.to_string_lossy().into_owned(), path)))
}

/// Checks before a run that its outputs can be written: as `.npy`, in folders that are there.
///
/// # Errors
/// [`FilesError::Destination`].
pub fn check_destinations<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<(), FilesError> {
    for path in paths {
        let wrong = |reason| Err(FilesError::Destination { file: path.display().to_string(), reason });
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy")) {
            return wrong("outputs are written as .npy; name the file so");
        }
        if !folder.is_dir() {
            return wrong("its folder is not there; make it first");
        }
        if path.is_dir() {
            return wrong("it is a folder; name a file");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_name_and_in_order() {
        let names = ["a".to_owned(), "b".to_owned()];
        let files = |files: &[&str]| {
            let files: Vec<_> = files.iter().map(OsString::from).collect();
            by_name("input", &files, &names)
                .map(|files| files.into_iter().map(|(name, path)| format!("{name}:{}", path.display())).collect())
        };
        let given: Vec<String> = files(&["x.npy", "a=y=z.npy"]).unwrap();
        assert_eq!(given, ["a:y=z.npy", "b:x.npy"]);
        let names = ["a".to_owned(), "a=1".to_owned()];
        let given = by_name("input", &["a=1=x.npy".into(), "a=y.npy".into()], &names).unwrap();
        assert_eq!((given["a=1"].as_path(), given["a"].as_path()), (Path::new("x.npy"), Path::new("y.npy")));
        let given: Vec<String> = files(&["folder/c=x.npy"]).unwrap();
        assert_eq!(given, ["a:folder/c=x.npy"]);
        for (wrong, text) in [(&["c=x.npy"][..], "no input `c`, but `a`, `b`"), (&["a=x", "a=y"], "two files for `a`")]
        {
            assert!(files(wrong).is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
        assert!(files(&["x", "y", "z"]).is_err_and(|error| error.to_string().contains("--input z is one too many")));
    }

    #[test]
    fn outputs_are_npy_files_in_folders_that_are_there() {
        let check = |path: &str| check_destinations([PathBuf::from(path)].iter());
        assert!(check("y.npy").is_ok());
        for (path, reason) in [("y.npz", "written as .npy"), ("y", "written as .npy"), ("no/such/y.npy", "not there")] {
            assert!(check(path).is_err_and(|error| error.to_string().contains(reason)), "{path}");
        }
    }
}
