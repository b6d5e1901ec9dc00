//! `--model FILE.onnx`: a network of one's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mpc_models::onnx::{Dimension, Encoding, InputShapes, Network, OnnxFile, TensorInfo};

use super::arguments::InferArguments;
use super::error::InputError;
use super::files::{InputFile, tensor_shape};
use super::samples::{SampleSource, WeightSource};
use super::subject::{Meaning, Subject};

/// Whether a `--model` is a file and not a name.
pub fn is_file(model: &str) -> bool {
    Path::new(model).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

/// Imports the file of `--model` for the tensors of `--input`.
pub fn open(arguments: &InferArguments) -> Result<Subject, InputError> {
    let InferArguments { model, images, batch, first_image, accuracy, weights, .. } = arguments;
    if images.is_some() || batch.is_some() || *first_image != 0 || *accuracy || weights.is_some() {
        let reason = "--images, --first-image, --batch, --accuracy and --weights are for the networks by name; of an \
                      ONNX file all of --input is one inference";
        return Err(InputError::Named(reason.to_owned()));
    }
    let file = OnnxFile::open(model)?;
    let declared = file.inputs();
    let names: Vec<_> = declared.iter().map(|input| input.name.clone()).collect();
    let paths = by_name("input", &arguments.input, &names)?;
    let mut shapes = Vec::new();
    for input in &declared {
        let Some(path) = paths.get(&input.name) else { continue };
        // A tensor without its batch says nothing of the sizes; one that does not fit is an error when it is read.
        let shape = tensor_shape(path, &input.name)?.filter(|shape| is_one_of(shape, input));
        shapes.extend(shape.map(|shape| (input.name.clone(), shape)));
    }
    let weights = WeightSource { model: model.clone(), file: None, shapes };
    let network = weights.import(&file)?;
    let inputs = if arguments.plan { None } else { Some(files(arguments, &network, &paths)?) };
    let outputs: Vec<String> = network.outputs.iter().map(|output| output.name.clone()).collect();
    let meaning = match network.outputs.first().map(|output| &output.shape[..]) {
        Some([_, classes]) if *classes > 1 => Meaning::Class,
        _ => Meaning::Values,
    };
    let output_shapes = network.outputs.into_iter().map(|output| output.shape).collect();
    Ok(Subject { graph: network.graph, weights, inputs, outputs, output_shapes, meaning, is_trained: true })
}

impl WeightSource {
    /// Imports a file for the shapes of this source.
    pub fn import(&self, file: &OnnxFile) -> Result<Network, InputError> {
        let given = |shapes: InputShapes, (name, shape): &(String, Vec<usize>)| shapes.with(name, shape);
        let shapes = self.shapes.iter().fold(InputShapes::new(), given);
        Ok(file.import(&shapes)?)
    }
}

/// Whether a shape is one that the file declares for an input.
fn is_one_of(shape: &[usize], input: &TensorInfo) -> bool {
    let fits = |(&size, declared): (&usize, &Dimension)| match declared {
        Dimension::Fixed(fixed) => size == *fixed,
        _ => true,
    };
    let declared = input.shape.as_deref();
    declared.is_none_or(|declared| shape.len() == declared.len() && shape.iter().zip(declared).all(fits))
}

/// A file for each input of the graph.
fn files(
    arguments: &InferArguments,
    network: &Network,
    paths: &BTreeMap<String, PathBuf>,
) -> Result<SampleSource, InputError> {
    let places = network.inputs.iter().zip(network.graph.inputs()).enumerate();
    let file = |(input, (of_file, &id)): (usize, (&mpc_models::onnx::NetworkInput, &mpc_nn::NodeId))| {
        let name = of_file.name.clone();
        let missing = || InputError::Named(format!("the input `{name}` needs a file: --input {name}=FILE"));
        let path = paths.get(&name).ok_or_else(missing)?.clone();
        let classes = match of_file.encoding {
            Encoding::OneHot(classes) => Some(classes),
            _ => None,
        };
        let shape = network.graph.node(id).shape().to_vec();
        let limits = of_file.limits.clone();
        Ok(InputFile { input, name, path, shape, classes, limits, pixels: arguments.pixels() })
    };
    Ok(SampleSource::Files(places.map(file).collect::<Result<_, InputError>>()?))
}

/// The files of `--input` or `--output` by the name of the tensor; those without a name in the order of `names`.
pub fn by_name(what: &str, files: &[String], names: &[String]) -> Result<BTreeMap<String, PathBuf>, InputError> {
    let mut by_name = BTreeMap::new();
    let mut unnamed = Vec::new();
    for file in files {
        match file.split_once('=') {
            Some((name, path)) if names.iter().any(|known| known == name) => {
                if by_name.insert(name.to_owned(), PathBuf::from(path)).is_some() {
                    return Err(InputError::Named(format!("--{what} has two files for `{name}`; give one")));
                }
            }
            // A file may have such a name, too: one that is there to be read, or one in a folder.
            Some((name, _)) if !name.contains(['/', '\\']) && !(what == "input" && Path::new(file).exists()) => {
                let known = names.join("`, `");
                return Err(InputError::Named(format!(
                    "--{what} {file}: the network has no {what} `{name}`, but `{known}`"
                )));
            }
            _ => unnamed.push(PathBuf::from(file)),
        }
    }
    let free: Vec<_> = names.iter().filter(|name| !by_name.contains_key(*name)).cloned().collect();
    if unnamed.len() > free.len() {
        let (known, last) = (names.join("`, `"), unnamed.last().map(|path| path.display().to_string()));
        let last = last.unwrap_or_default();
        return Err(InputError::Named(format!("--{what} {last} is one too many: the network has `{known}`")));
    }
    by_name.extend(free.into_iter().zip(unnamed));
    Ok(by_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_name_and_in_order() {
        let names = ["a".to_owned(), "b".to_owned()];
        let files = |files: &[&str]| {
            let files: Vec<_> = files.iter().map(ToString::to_string).collect();
            by_name("input", &files, &names)
                .map(|files| files.into_iter().map(|(name, path)| format!("{name}:{}", path.display())).collect())
        };
        let given: Vec<String> = files(&["x.npy", "a=y=z.npy"]).unwrap();
        assert_eq!(given, ["a:y=z.npy", "b:x.npy"]);
        let given: Vec<String> = files(&["folder/c=x.npy"]).unwrap();
        assert_eq!(given, ["a:folder/c=x.npy"]);
        for (wrong, text) in [(&["c=x.npy"][..], "no input `c`, but `a`, `b`"), (&["a=x", "a=y"], "two files for `a`")]
        {
            assert!(files(wrong).is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
        assert!(files(&["x", "y", "z"]).is_err_and(|error| error.to_string().contains("--input z is one too many")));
    }

    #[test]
    fn names_and_files_of_models() {
        assert!(is_file("net.onnx") && is_file("a/b.ONNX") && !is_file("resnet32") && !is_file("relu:10"));
    }
}
