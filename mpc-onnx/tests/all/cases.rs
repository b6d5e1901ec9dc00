//! The cases of `conformance/`, and how to run one. `conformance/README.md` describes the format.

use std::any::Any;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use mpc_nn::{Encoding, Network, Plan, Settings, in_process};
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::ArrayD;
use serde_json::Value;
use zip::ZipArchive;

/// The threads that run cases; the parties of each are threads, too.
const WORKERS: usize = 2;

pub struct Tensor {
    pub name: String,
    /// NumPy's name of the type in the original case; the values are floats.
    pub dtype: String,
    /// The shape as the case has it: a scalar has none.
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    /// Whether the original has text there, which no number is the same as.
    pub is_text: bool,
}

pub struct Case {
    pub name: String,
    pub kind: String,
    pub model: Vec<u8>,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
    /// The largest error of a case whose outputs are not exact, as those of quantised networks.
    pub tolerance: f64,
}

/// A model that is no case, and why.
pub struct LeftOut {
    pub name: String,
    pub reason: String,
    pub model: Vec<u8>,
}

pub struct Cases {
    pub cases: Vec<Case>,
    pub left_out: Vec<LeftOut>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

pub fn read(file: &str) -> Cases {
    let mut archive = ZipArchive::new(File::open(folder().join(file)).unwrap()).unwrap();
    let mut entry = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let index: Value = serde_json::from_slice(&entry("index.json")).unwrap();
    let blob = &entry("blob");
    let entries = |key: &str| index[key].as_array().unwrap().clone();
    let case = |entry: &Value| Case {
        name: text(&entry["name"]),
        kind: text(&entry["kind"]),
        model: model(blob, entry),
        inputs: tensors(blob, &entry["inputs"]),
        outputs: tensors(blob, &entry["outputs"]),
        tolerance: entry["tolerance"].as_f64().unwrap_or(2e-3),
    };
    let left = |entry: &Value| LeftOut {
        name: text(&entry["name"]),
        reason: text(&entry["reason"]),
        model: model(blob, entry),
    };
    Cases {
        cases: entries("cases").iter().map(case).collect(),
        left_out: entries("left_out").iter().map(left).collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

/// The bytes at [offset, length].
fn piece<'a>(blob: &'a [u8], place: &Value) -> &'a [u8] {
    let place = numbers(place);
    &blob[place[0]..][..place[1]]
}

fn model(blob: &[u8], entry: &Value) -> Vec<u8> {
    entry["model"].as_array().unwrap().iter().flat_map(|place| piece(blob, place)).copied().collect()
}

fn tensors(blob: &[u8], list: &Value) -> Vec<Tensor> {
    let tensor = |entry: &Value| Tensor {
        name: text(&entry["name"]),
        dtype: text(&entry["dtype"]),
        shape: numbers(&entry["shape"]),
        is_text: entry["text"].as_bool().unwrap_or(false),
        values: piece(blob, &entry["data"])
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect(),
    };
    list.as_array().unwrap().iter().map(tensor).collect()
}

impl Case {
    /// The network, imported for the shapes of the case's inputs.
    pub fn import(&self) -> Result<Network, String> {
        self.network(&OnnxFile::from_bytes(&self.model).map_err(|error| error.to_string())?)
    }

    /// The same from a file that was read already.
    pub fn network(&self, file: &OnnxFile) -> Result<Network, String> {
        let shapes = self.inputs.iter().fold(InputShapes::new(), |shapes, x| shapes.with(&x.name, &x.shape));
        let network = file.import(&shapes).map_err(|error| error.to_string())?;
        let found: Vec<_> = network.outputs.iter().map(|y| y.shape.clone()).collect();
        let expected: Vec<_> = self.outputs.iter().map(|y| y.shape.clone()).collect();
        if found == expected { Ok(network) } else { Err(format!("shapes {found:?}, expected {expected:?}")) }
    }

    /// The case's inputs as the network's graph takes them.
    pub fn graph_inputs(&self, network: &Network) -> Vec<ArrayD<f32>> {
        let given = |name: &str| self.inputs.iter().find(|input| input.name == name).unwrap();
        let nodes = network.graph.inputs().iter().map(|&id| network.graph.node(id).shape().to_vec());
        let encoded = network.inputs.iter().map(|input| encode(&given(&input.name).values, input.encoding));
        nodes.zip(encoded).map(|(shape, values)| ArrayD::from_shape_vec(shape, values).unwrap()).collect()
    }

    /// The first output that differs from the expected by more than the bound of (output, value).
    pub fn compare(&self, found: &[Vec<f64>], bound: impl Fn(usize, f64) -> f64) -> Result<(), String> {
        let mut worst: Option<(f64, String)> = None;
        let numbers = found.iter().zip(&self.outputs).enumerate().filter(|(_, (_, output))| !output.is_text);
        for (index, (found, output)) in numbers {
            if found.len() != output.values.len() {
                return Err(format!("`{}` has {} elements", output.name, found.len()));
            }
            for (place, (&y, expected)) in found.iter().zip(&output.values).enumerate() {
                let expected = f64::from(*expected);
                let excess = (y - expected).abs() / bound(index, expected);
                if (excess.is_nan() || excess > 1.0) && worst.as_ref().is_none_or(|(most, _)| excess > *most) {
                    let text =
                        format!("`{}`[{place}] is {y}, expected {expected}: {excess:.1} times the bound", output.name);
                    worst = Some((excess, text));
                }
            }
        }
        worst.map_or(Ok(()), |(_, text)| Err(text))
    }
}

pub fn encode(values: &[f32], encoding: Encoding) -> Vec<f32> {
    let Some(rows) = encoding.rows() else { return values.to_vec() };
    let row = |&value: &f32| {
        let class = if value < 0.0 { value + rows.classes() as f32 } else { value };
        let mut places = vec![0.0; rows.len()];
        rows.write(class as usize, &mut places);
        places
    };
    values.iter().flat_map(row).collect()
}

/// The plan for two parties, f = 16, in Z_{2^64}.
pub fn plan(network: &Network) -> Result<Plan<u64>, String> {
    Plan::new(&network.graph, Settings::new(2)).map_err(|error| format!("plan: {error}"))
}

/// A private run of that plan.
pub fn infer(network: &Network, inputs: &[ArrayD<f32>]) -> Result<Vec<Vec<f64>>, String> {
    let outputs =
        in_process::infer(&plan(network)?, &network.weights, inputs).map_err(|error| format!("run: {error}"))?;
    Ok(outputs.into_iter().map(|output| output.into_iter().collect()).collect())
}

/// The network in the clear, in floating point.
pub fn evaluate(network: &Network, inputs: &[ArrayD<f32>]) -> Result<Vec<Vec<f64>>, String> {
    let outputs =
        mpc_nn::evaluate(&network.graph, &network.weights, inputs).map_err(|error| format!("clear: {error}"))?;
    Ok(outputs.into_iter().map(|output| output.into_iter().map(f64::from).collect()).collect())
}

/// Runs `check` on every item, some at a time, and fails with all that failed, by name.
pub fn check_all<T: Sync>(
    items: &[T],
    name: impl Fn(&T) -> &str + Sync,
    check: impl Fn(&T) -> Result<(), String> + Sync,
) {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(AssertUnwindSafe(|| check(item))).unwrap_or_else(|panic| Err(message(&*panic)));
            if let Err(reason) = result {
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{}: {reason}", name(item)));
            }
        }
    };
    thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), items.len(), failures.join("\n"));
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or_default())
}
