//! `--model FILE.onnx`: a network of one's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::files::{by_name, input_files};
use mpc_models::tensors::{is_pipe, tensor_shape};
use mpc_nn::Network;
use mpc_onnx::{Dimension, OnnxFile, TensorInfo};

use super::arguments::{RunArguments, TransportKind};
use super::error::InputError;
use super::samples::{SampleSource, WeightSource};
use super::subject::{Meaning, Subject};
use crate::inspect::{input_shapes, named_shapes};

type Paths = BTreeMap<String, PathBuf>;
type Shapes = Vec<(String, Vec<usize>)>;

/// Imports the file of `--model` for the tensors of `--input`.
pub fn open(arguments: &RunArguments, has_inputs: bool) -> Result<Subject, InputError> {
    let RunArguments { model, images, batch, first_image, accuracy, weights, .. } = arguments;
    if images.is_some() || batch.is_some() || *first_image != 0 || *accuracy || weights.is_some() {
        let reason = "--images, --first-image, --batch, --accuracy and --weights are for the networks by name; of an \
                      ONNX file all of --input runs";
        return Err(InputError::Named(reason.to_owned()));
    }
    let file = OnnxFile::open(model)?;
    let (paths, shapes) = given(arguments, &file, &arguments.input)?;
    if let Some(pipe) = paths.values().find(|path| is_pipe(path) && arguments.transport != TransportKind::Memory) {
        let reason = format!("{} is a pipe, which only one process can read: use --transport memory", pipe.display());
        return Err(InputError::Named(reason));
    }
    let weights = WeightSource { model: model.clone(), file: None, shapes };
    let network = weights.import(&file)?;
    let described = network.inputs.iter().map(|input| (&*input.name, input.encoding.rows(), &*input.limits));
    let files = has_inputs.then(|| input_files(&network.graph, described, &paths, &arguments.pixels.pixels()));
    let inputs = files.transpose()?.map(SampleSource::Files);
    let outputs: Vec<String> = network.outputs.iter().map(|output| output.name.clone()).collect();
    let meaning = match network.outputs.first().map(|output| &output.shape[..]) {
        Some([_, classes]) if *classes > 1 => Meaning::Class,
        _ => Meaning::Values,
    };
    let output_shapes = network.outputs.into_iter().map(|output| output.shape).collect();
    Ok(Subject { graph: network.graph, weights, inputs, outputs, output_shapes, meaning, is_trained: true })
}

/// The network of `--model` as services serve it for `--input`, and the files of that without those for inputs that it does not
/// read.
pub fn served(arguments: &RunArguments) -> Result<(Network, Vec<OsString>), InputError> {
    let file = OnnxFile::open(&arguments.model)?;
    // Of a network with one input each file has inferences of its own.
    let of_one = if file.inputs().len() == 1 { 1 } else { arguments.input.len() };
    let (paths, shapes) = given(arguments, &file, arguments.input.get(..of_one).unwrap_or_default())?;
    let network = file.import(&input_shapes(&shapes))?;
    let read = network.inputs.iter().filter_map(|input| Some(named_file(&input.name, paths.get(&input.name)?)));
    let further = arguments.input.get(of_one..).unwrap_or_default().iter().cloned();
    let files = read.chain(further).collect();
    Ok((network, files))
}

/// Files by the inputs that the network file declares, and the shapes that they and `--shape` give.
fn given(arguments: &RunArguments, file: &OnnxFile, files: &[OsString]) -> Result<(Paths, Shapes), InputError> {
    let declared = file.inputs();
    let names: Vec<_> = declared.iter().map(|input| input.name.clone()).collect();
    let paths = by_name("input", files, &names)?;
    let mut shapes = named_shapes(&arguments.shape)?;
    for input in &declared {
        let Some(path) = paths.get(&input.name) else { continue };
        // A tensor without its batch says nothing of the sizes; one that does not fit is an error when it is read.
        let shape = tensor_shape(path, &input.name)?.filter(|shape| is_one_of(shape, input));
        shapes.extend(shape.map(|shape| (input.name.clone(), shape)));
    }
    Ok((paths, shapes))
}

/// NAME=FILE.
fn named_file(name: &str, path: &Path) -> OsString {
    let mut file = OsString::from(format!("{name}="));
    file.push(path);
    file
}

impl WeightSource {
    /// Imports a file for the shapes of this source.
    pub fn import(&self, file: &OnnxFile) -> Result<Network, InputError> {
        Ok(file.import(&input_shapes(&self.shapes))?)
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
