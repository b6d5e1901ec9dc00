//! A folder of models, each in a folder of its own with `model.onnx`, `input_0.pb`, … and `output_0.pb`, … as the
//! conformance tests of the `onnx` package lay them out: what is imported, and what of it agrees in floats.
//!
//!     ONNX_CASES=folder cargo test -p mpc-models --test onnx_folder -- --ignored --nocapture

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mpc_models::onnx::{Encoding, InputShapes, Network, OnnxFile};
use mpc_nn::evaluate;
use ndarray::ArrayD;
use rten_onnx::onnx::{DataType, TensorProto};
use rten_onnx::protobuf::{DecodeMessage, ValueReader};

fn tensor(path: &Path) -> Option<(String, ArrayD<f32>)> {
    let bytes = fs::read(path).ok()?;
    let tensor = TensorProto::decode(ValueReader::from_buf(bytes)).ok()?;
    let shape: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
    let raw = tensor.raw_data.as_ref().map(|raw| raw.borrow().clone()).unwrap_or_default();
    let values: Vec<f32> = match tensor.data_type? {
        DataType::FLOAT if raw.is_empty() => tensor.float_data.clone(),
        DataType::FLOAT => raw.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        DataType::DOUBLE => raw.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
        DataType::BFLOAT16 => raw.as_chunks::<2>().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect(),
        DataType::FLOAT16 => raw.as_chunks::<2>().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
        DataType::INT64 => raw.as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f32).collect(),
        DataType::INT32 => raw.as_chunks::<4>().0.iter().map(|&bytes| i32::from_le_bytes(bytes) as f32).collect(),
        DataType::BOOL | DataType::UINT8 => raw.iter().map(|&byte| byte.into()).collect(),
        DataType::INT8 => raw.iter().map(|&byte| (byte as i8).into()).collect(),
        _ => return None,
    };
    Some((tensor.name?, ArrayD::from_shape_vec(shape, values).ok()?))
}

fn tensors(folder: &Path, kind: &str) -> Vec<(String, ArrayD<f32>)> {
    (0..).map_while(|index| tensor(&folder.join(format!("{kind}_{index}.pb")))).collect()
}

fn encoded(network: &Network, inputs: &[(String, ArrayD<f32>)]) -> Result<Vec<ArrayD<f32>>, String> {
    let encode = |input: &mpc_models::onnx::NetworkInput| {
        let (_, array) = inputs.iter().find(|(name, _)| *name == input.name).ok_or("an input is missing")?;
        let id = network.graph.find(&input.name).ok_or("an input has no node")?;
        let shape = network.graph.node(id).shape().to_vec();
        let elements: Vec<f32> = match input.encoding {
            Encoding::OneHot(classes) => {
                let row = |&token: &f32| (0..classes).map(move |class| f32::from(u8::from(class == token as usize)));
                array.iter().flat_map(row).collect()
            }
            _ => array.iter().copied().collect(),
        };
        ArrayD::from_shape_vec(shape, elements).map_err(|error| error.to_string())
    };
    network.inputs.iter().map(encode).collect()
}

/// Why the case fails, if it does: by import or by value.
fn check(folder: &Path) -> Result<(), (&'static str, String)> {
    let file = OnnxFile::open(folder.join("model.onnx")).map_err(|error| ("open", error.to_string()))?;
    let inputs = tensors(folder, "input");
    let shapes = inputs.iter().fold(InputShapes::new(), |shapes, (name, array)| shapes.with(name, array.shape()));
    let network = file.import(&shapes).map_err(|error| ("import", error.to_string()))?;
    let values = encoded(&network, &inputs).map_err(|error| ("input", error))?;
    let outputs =
        evaluate(&network.graph, &network.weights, &values).map_err(|error| ("evaluate", error.to_string()))?;
    let expected = tensors(folder, "output");
    for (name, expected) in &expected {
        let place = network.outputs.iter().position(|output| output.name == *name);
        let Some(place) = place else { return Err(("compare", format!("no output {name}"))) };
        if network.outputs[place].shape != expected.shape() {
            let found = &network.outputs[place].shape;
            return Err(("compare", format!("{name} has shape {found:?}, not {:?}", expected.shape())));
        }
        let error = |(&y, &e): (&f32, &f32)| if y == e { 0.0 } else { (y - e).abs() / (2e-3 + 1e-3 * e.abs()) };
        let worst = outputs[place]
            .iter()
            .zip(expected)
            .map(error)
            .fold(0.0f32, |a, b| if b.is_nan() { f32::MAX } else { a.max(b) });
        if worst > 1.0 {
            return Err(("compare", format!("{name} is off by {worst} tolerances")));
        }
    }
    if expected.is_empty() { Err(("compare", "nothing to compare with".into())) } else { Ok(()) }
}

#[test]
#[ignore = "takes the folder of the environment variable ONNX_CASES"]
fn folder() {
    let root = PathBuf::from(std::env::var("ONNX_CASES").expect("ONNX_CASES names a folder"));
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match check(&folder) {
            Ok(()) => *counts.entry("pass").or_default() += 1,
            Err((stage, reason)) => {
                *counts.entry(stage).or_default() += 1;
                println!("{stage}: {name}: {reason}");
            }
        }
    }
    println!("{counts:?}");
}
