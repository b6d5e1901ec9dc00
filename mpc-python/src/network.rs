//! A network: its cost, its check, its runs, and its packing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mpc_cli::run::{InputError, RunArguments, joined, run_local};
use mpc_cli::widths::{calibration, with_bounds};
use mpc_cli::{Checked, calibrate, check, cost_json, is_onnx, network};
use mpc_nn::{Calibration, NetworkOutput, Plan, evaluate_with, ideal};
use mpc_onnx::{Dimension, InputShapes, OnnxFile, TensorInfo};
use mpc_ring::in_ring;
use ndarray::ArrayD;
use pyo3::prelude::*;
use serde::Serialize;

use crate::arrays::{Arrays, Arrays64, Declared, Given, Outputs, Shapes, Taken, arrange, encode, owned, to_python};
use crate::error::Fault;
use crate::packed;
use crate::settings::{Settings, choice};
use crate::work::{self, Watch};

/// How a network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// In floating point.
    Clear,
    /// In fixed point, in the clear.
    Simulate,
    /// Privately, every party a thread of this process.
    Local,
}

/// A network, from a file or by name.
#[pyclass(frozen)]
pub struct Network(Arc<Inner>);

struct Inner {
    name: String,
    source: Source,
    /// The latest import, which serves for inputs of the same shapes and the same bounds.
    last: Mutex<Option<Imported>>,
}

struct Imported {
    shapes: Shapes,
    bounds: Option<Calibration>,
    network: Arc<mpc_nn::Network>,
}

/// The inputs of each inference.
type Inferences = Vec<Vec<ArrayD<f32>>>;

enum Source {
    File(Mutex<OnnxFile>),
    /// One that comes with weights.
    Named(PathBuf),
}

#[derive(Serialize)]
struct Description {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    shape: Option<Vec<Size>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Size {
    Fixed(usize),
    Open(String),
}

#[pymethods]
impl Network {
    /// Reads an ONNX file, or takes a network by its name. What is wrong with it for a batch of 1 is said at once.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = work::run(py, None, move |_| Inner::open(&path))?;
        Ok(Self(Arc::new(inner)))
    }

    /// The inputs and outputs, as JSON.
    fn describe(&self) -> PyResult<String> {
        Ok(json(&self.0.description()?)?)
    }

    /// The cost of an inference, as JSON.
    fn cost(&self, py: Python<'_>, settings: &Settings, shapes: Shapes) -> PyResult<String> {
        let (inner, settings) = (Arc::clone(&self.0), settings.clone());
        work::run(py, None, move |_| {
            let network = inner.import(shapes, settings.widths())?;
            Ok(cost_json(&settings.arguments(&inner.name), &network)?)
        })
    }

    /// Floating point, fixed point and private, layer by layer, as JSON.
    #[pyo3(signature = (settings, given, labels, calibrate))]
    fn check(
        &self,
        py: Python<'_>,
        settings: &Settings,
        given: Given<'_>,
        labels: Option<Vec<usize>>,
        calibrate: Option<(PathBuf, u8)>,
    ) -> PyResult<String> {
        if calibrate.is_some() && settings.widths().is_some() {
            return Err(Fault::input("calibrate writes bounds, widths takes them: give one of the two").into());
        }
        let (inner, settings, arrays) = (Arc::clone(&self.0), settings.clone(), owned(&given));
        work::run(py, None, move |watch| inner.check(&settings, &arrays, labels, calibrate, watch))
    }

    /// The outputs by name, and of a private run its report as JSON.
    fn run<'py>(
        &self,
        py: Python<'py>,
        settings: &Settings,
        given: Given<'_>,
        mode: &str,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Outputs<'py>, Option<String>)> {
        let mode = choice::<Mode>("mode", mode)?;
        let (inner, settings, arrays) = (Arc::clone(&self.0), settings.clone(), owned(&given));
        let (outputs, report) = work::run(py, progress, move |watch| inner.run(&settings, &arrays, mode, watch))?;
        Ok((to_python(py, outputs), report))
    }

    /// The public part and the private one.
    fn pack(
        &self,
        py: Python<'_>,
        settings: &Settings,
        shapes: Shapes,
    ) -> PyResult<(packed::PublicModel, packed::PrivateModel)> {
        let (inner, settings) = (Arc::clone(&self.0), settings.clone());
        let model = work::run(py, None, move |_| {
            // A fresh import, whose weights the private part keeps.
            Ok(settings.0.terms.packed(inner.fresh(&shapes, &inner.bounds(settings.widths())?)?)?)
        })?;
        Ok((packed::PublicModel(Arc::new(model.public.clone())), packed::PrivateModel(Arc::new(model))))
    }
}

impl Inner {
    fn open(path: &Path) -> Result<Self, Fault> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let last = Mutex::new(None);
        if !is_onnx(path) {
            let network = Arc::new(network(path, &[])?);
            let shapes = network.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
            return Ok(Self {
                name,
                source: Source::Named(path.to_owned()),
                last: Mutex::new(Some(Imported { shapes, bounds: None, network })),
            });
        }
        let file = OnnxFile::open(path)?;
        let is_open =
            |input: &TensorInfo| input.shape.iter().flatten().skip(1).any(|size| !matches!(size, Dimension::Fixed(_)));
        let is_open = file.inputs().iter().any(is_open);
        let inner = Self { name, source: Source::File(Mutex::new(file)), last };
        // With other open sizes than that of the batch, what is wrong for 1 may be right for those meant.
        if !is_open {
            inner.import(Vec::new(), None)?;
        }
        Ok(inner)
    }

    /// The network for inputs of the given shapes, with the bounds that `widths` names; open sizes are else 1.
    fn import(&self, shapes: Shapes, widths: Option<&Path>) -> Result<Arc<mpc_nn::Network>, Fault> {
        let bounds = self.bounds(widths)?;
        let last = || locked(&self.last);
        if let Some(known) = &*last()
            && known.shapes == shapes
            && known.bounds == bounds.as_ref().map(|(_, calibration)| calibration.clone())
        {
            return Ok(Arc::clone(&known.network));
        }
        let network = Arc::new(self.fresh(&shapes, &bounds)?);
        let bounds = bounds.map(|(_, calibration)| calibration);
        *last() = Some(Imported { shapes, bounds, network: Arc::clone(&network) });
        Ok(network)
    }

    /// The bounds of values and where they are from.
    fn bounds(&self, widths: Option<&Path>) -> Result<Option<(PathBuf, Calibration)>, Fault> {
        let Some(widths) = widths else { return Ok(None) };
        let model = match &self.source {
            Source::File(_) => Path::new(&self.name).with_extension("onnx"),
            Source::Named(name) => name.clone(),
        };
        Ok(Some((widths.to_owned(), calibration(widths, &model)?)))
    }

    fn fresh(&self, shapes: &Shapes, bounds: &Option<(PathBuf, Calibration)>) -> Result<mpc_nn::Network, Fault> {
        let mut network = self.unbounded(shapes)?;
        if let Some((file, calibration)) = bounds {
            network.graph = with_bounds(network.graph, calibration, file)?;
        }
        Ok(network)
    }

    fn unbounded(&self, shapes: &Shapes) -> Result<mpc_nn::Network, Fault> {
        match &self.source {
            Source::File(file) => {
                let shapes = shapes.iter().fold(InputShapes::new(), |all, (name, shape)| all.with(name, shape));
                Ok(locked(file).import(&shapes)?)
            }
            Source::Named(path) => Ok(network(path, &[])?),
        }
    }

    fn declared(&self) -> Result<Vec<Declared>, Fault> {
        let fixed = |size: &Dimension| if let Dimension::Fixed(size) = size { Some(*size) } else { None };
        Ok(match &self.source {
            Source::File(file) => {
                let input = |input: TensorInfo| Declared {
                    name: input.name,
                    shape: input.shape.map(|shape| shape.iter().map(fixed).collect()),
                };
                locked(file).inputs().into_iter().map(input).collect()
            }
            Source::Named(_) => {
                let network = self.import(Vec::new(), None)?;
                let input = |input: &mpc_nn::NetworkInput| Declared {
                    name: input.name.clone(),
                    shape: Some(input.shape.iter().copied().map(Some).collect()),
                };
                network.inputs.iter().map(input).collect()
            }
        })
    }

    fn description(&self) -> Result<Description, Fault> {
        Ok(match &self.source {
            Source::File(file) => {
                let file = locked(file);
                Description {
                    inputs: file.inputs().into_iter().map(Tensor::of_file).collect(),
                    outputs: file.outputs().into_iter().map(Tensor::of_file).collect(),
                }
            }
            Source::Named(_) => {
                let network = self.import(Vec::new(), None)?;
                let tensor = |name: &str, shape: &[usize]| Tensor {
                    name: name.to_owned(),
                    kind: "FLOAT".to_owned(),
                    shape: Some(shape.iter().copied().map(Size::Fixed).collect()),
                };
                Description {
                    inputs: network.inputs.iter().map(|input| tensor(&input.name, &input.shape)).collect(),
                    outputs: network.outputs.iter().map(|output| tensor(&output.name, &output.shape)).collect(),
                }
            }
        })
    }

    /// The network for arrays, and the inputs of each inference.
    fn inputs(&self, arrays: &Arrays, widths: Option<&Path>) -> Result<(Arc<mpc_nn::Network>, Inferences), Fault> {
        let arrangement = arrange(&self.declared()?, arrays)?;
        let network = self.import(arrangement.shapes, widths)?;
        let taken = network.inputs.iter().map(|input| Taken {
            name: &input.name,
            rows: input.encoding.rows(),
            limits: &input.limits,
        });
        let inputs = encode(&network.graph, &taken.collect::<Vec<_>>(), arrays, arrangement.inferences)?;
        Ok((network, inputs))
    }

    fn check(
        &self,
        settings: &Settings,
        arrays: &Arrays,
        labels: Option<Vec<usize>>,
        written: Option<(PathBuf, u8)>,
        watch: &Watch,
    ) -> Result<String, Fault> {
        let (network, inputs) = self.inputs(arrays, settings.widths())?;
        let classifies =
            matches!(network.outputs.first().map(|output| &output.shape[..]), Some([_, classes]) if *classes > 1);
        if let (Some(_), false) = (&labels, classifies) {
            return Err(Fault::input("labels are for a network whose first output has the shape [samples, classes]"));
        }
        let checked = Checked { graph: &network.graph, weights: &network.weights, classifies };
        if let Some((file, margin)) = written {
            calibrate(checked, &inputs, margin, &file)?;
        }
        let run = settings.arguments(&self.name);
        let report = check(&run, checked, &inputs, |classified| {
            watch.check();
            match labels.as_ref().map(Vec::len).filter(|&len| len != classified) {
                Some(len) => {
                    Err(InputError::Named(format!("{len} labels for {classified} samples; give one for each")))
                }
                None => Ok(labels),
            }
        })?;
        json(&report)
    }

    fn run(
        &self,
        settings: &Settings,
        arrays: &Arrays,
        mode: Mode,
        watch: &Watch,
    ) -> Result<(Arrays64, Option<String>), Fault> {
        let (network, inputs) = self.inputs(arrays, settings.widths())?;
        let arguments = settings.arguments(&self.name);
        let (outputs, report) = match mode {
            Mode::Clear => (clear(&network, &inputs, watch)?, None),
            Mode::Simulate => (simulate(&network, &arguments, &inputs, watch)?, None),
            Mode::Local => {
                let is_one = inputs.len() == 1;
                let local = run_local(&arguments, &network, inputs, &mut |position| watch.position(position))?;
                let outputs = named(&network.outputs, local.outputs, is_one);
                return Ok((outputs, Some(json(&local.summary)?)));
            }
        };
        let is_one = outputs.len() == 1;
        let joined = joined(&outputs).map_err(|error| Fault::input(error.to_string()))?;
        Ok((named(&network.outputs, joined, is_one), report))
    }
}

/// The outputs of each inference in floating point.
fn clear(
    network: &mpc_nn::Network,
    inputs: &[Vec<ArrayD<f32>>],
    watch: &Watch,
) -> Result<Vec<Vec<ArrayD<f64>>>, Fault> {
    let each = |inputs: &Vec<ArrayD<f32>>| {
        let outputs = evaluate_with(&network.graph, &network.weights, inputs, |_, _| watch.check())?;
        Ok(outputs.into_iter().map(|output| output.mapv(f64::from)).collect())
    };
    inputs.iter().map(each).collect()
}

/// The outputs of each inference in fixed point, in the clear.
fn simulate(
    network: &mpc_nn::Network,
    arguments: &RunArguments,
    inputs: &[Vec<ArrayD<f32>>],
    watch: &Watch,
) -> Result<Vec<Vec<ArrayD<f64>>>, Fault> {
    let terms = arguments.terms.terms();
    in_ring!(terms.ring, R => {
        let plan = Plan::<R>::new(&network.graph, terms.settings()?)?;
        let each = |inputs: &Vec<ArrayD<f32>>| Ok(ideal::evaluate(&plan, &network.weights, inputs, |_, _| watch.check())?);
        inputs.iter().map(each).collect()
    })
}

/// Outputs with their names; those of one inference in the shapes that the network's file has.
fn named(outputs: &[NetworkOutput], arrays: Vec<ArrayD<f64>>, is_one: bool) -> Arrays64 {
    let named = outputs.iter().zip(arrays).map(|(output, array)| {
        let is_same = array.len() == output.shape.iter().product::<usize>();
        let shape = if is_one && is_same { output.shape.clone() } else { array.shape().to_vec() };
        let array = array.into_shape_with_order(shape).expect("as many elements, in standard layout");
        (output.name.clone(), array)
    });
    named.collect()
}

impl Tensor {
    fn of_file(info: TensorInfo) -> Self {
        let size = |size: Dimension| match size {
            Dimension::Fixed(size) => Size::Fixed(size),
            Dimension::Symbolic(name) => Size::Open(name),
            _ => Size::Open(String::new()),
        };
        Self {
            name: info.name,
            kind: info.element_type,
            shape: info.shape.map(|shape| shape.into_iter().map(size).collect()),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::input(error.to_string()))
}
