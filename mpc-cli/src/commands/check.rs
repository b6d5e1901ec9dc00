//! `mpc check`: a network in floating point, in plain fixed point and privately, layer by layer.

mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::slice;

use clap::Args;
use mpc_models::Targets;
use mpc_models::arrays::read_npy;
use mpc_models::read_file;
use mpc_models::tensors::InputFile;
use mpc_nn::{Calibration, Graph, InferenceError, NodeId, Op, Plan, Ranges, Weights, evaluate_with, ideal, in_process};
use mpc_onnx::OnnxFile;
use ndarray::{ArrayD, Axis};

use crate::arguments::{InputArguments, TermsArguments, is_onnx};
use crate::failure::Failure;
use crate::files::by_name;
use crate::output::{json, print};
use crate::precision::{departs, departure, larger, largest_difference};
use crate::run::Meaning;
use crate::run::RunArguments;
use crate::run::error::{InputError, NodeError, NodeFailure, RunError};
use crate::run::event::Node;
use crate::run::job::Job;
use crate::run::reference::class;
use crate::run::samples::{SampleSource, Samples};
use crate::run::subject::Subject;
use crate::widths;
pub use report::Report;
use report::{Accuracy, Layer, text};

/// The largest file of labels: as many as there may be samples.
const MAX_LABELS_FILE: usize = 1 << 24;

/// Compares a network's run in floating point, in plain fixed point and privately, layer by layer.
///
/// Prints the range of every layer's values with the errors of both other runs, the first layer that departs, and the
/// smallest k that the range allows. Every party is a thread of this process, which sees everything: for one's own
/// network and data, before it runs between organisations.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Exit codes:
  0  no layer departs, and all values stay within the range that the plan is made for
  1  a layer departs or leaves the range
  2  wrong arguments, weights or inputs")]
pub struct CheckArguments {
    /// The network: an ONNX file, or a name.
    #[arg(value_name = "NAME|FILE.onnx")]
    pub model: OsString,

    /// A tensor or image for each input, as for `run`; of an ONNX file with one input each file is an inference.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub input: Vec<OsString>,

    /// The true class of each sample, integers in an .npy file: for the accuracy of each run.
    #[arg(long, value_name = "FILE.npy")]
    pub labels: Option<PathBuf>,

    /// How many of a network's own samples to run, where --input gives none.
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,

    /// Where to write how large the values of each layer become on these inputs, for --widths of `run`, `plan` and `pack`.
    /// Give many inputs like those that will come, and calibrate again when the weights change.
    #[arg(long, value_name = "FILE.json", conflicts_with = "widths")]
    pub calibrate: Option<PathBuf>,

    /// With --calibrate: the largest value that is seen is rounded up to a power of two, and each bit of margin doubles that.
    #[arg(long, default_value_t = 1, value_name = "BITS", requires = "calibrate", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub margin: u8,

    /// The bounds of values, as for `run`: a layer that passes its own is named.
    #[arg(long, value_name = "FILE.json|calibrated")]
    pub widths: Option<PathBuf>,

    /// The number of parties, 2 to 8.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    pub parties: u8,

    /// f, the binary digits after the point.
    #[arg(long, default_value_t = 16, value_name = "F")]
    pub fractional_bits: u32,

    /// k, the bits in which values are compared [default: f + 16].
    #[arg(long, value_name = "K")]
    pub comparison_bits: Option<u32>,

    #[command(flatten)]
    pub pixels: InputArguments,

    /// Prints one JSON object on stdout, and nothing else there.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let report = report(arguments)?;
    print(&if arguments.json { json(&report) } else { text(&report) })?;
    let is_good = report.has_private && report.layers.iter().all(|layer| !layer.departs && !layer.out_of_range);
    let bad = || Failure::Own("a layer departs from floating point, or leaves the range: see above".to_owned());
    if is_good { Ok(()) } else { Err(bad()) }
}

fn run_arguments(arguments: &CheckArguments) -> RunArguments {
    let defaults = RunArguments::default();
    let terms = TermsArguments {
        parties: arguments.parties,
        fractional_bits: Some(arguments.fractional_bits),
        comparison_bits: arguments.comparison_bits,
        widths: arguments.widths.clone(),
        ..defaults.terms
    };
    let (model, input, pixels) = (arguments.model.clone(), arguments.input.clone(), arguments.pixels.clone());
    RunArguments { model, input, pixels, terms, images: arguments.images, ..defaults }
}

fn report(arguments: &CheckArguments) -> Result<Report, Failure> {
    let (mut run, further) = (run_arguments(arguments), further(arguments)?);
    run.input.truncate(arguments.input.len() - further.len());
    let subject = Subject::open(&run, true)?;
    let source = subject.inputs.as_ref().ok_or_else(|| InputError::Named("--input is missing".to_owned()))?;
    let samples = read(source, further)?;
    let weights = subject.weights.read(&subject.graph)?;
    let inferences = samples.inferences.iter().map(|inputs| inputs.iter().flatten().cloned().collect());
    let inferences: Vec<_> = inferences.collect();
    let subject = Checked { graph: &subject.graph, weights: &weights, classifies: subject.meaning == Meaning::Class };
    let calibrated = arguments.calibrate.as_ref().map(|file| calibrate(subject, &inferences, arguments.margin, file));
    let bound = calibrated.transpose()?;
    let report = check(&run, subject, &inferences, |classified| labels(arguments, &samples, classified))?;
    Ok(Report {
        calibration: arguments.calibrate.as_ref().map(|file| file.display().to_string()),
        calibrated_comparison_bits: bound.map(|bound| report.fractional_bits + 2 + bound.log2() as u32),
        ..report
    })
}

/// The files behind the first, of an ONNX file that takes one.
fn further(arguments: &CheckArguments) -> Result<&[OsString], InputError> {
    let Some((_, further)) = arguments.input.split_first().filter(|_| is_onnx(&arguments.model)) else {
        return Ok(&[]);
    };
    let is_one = !further.is_empty() && OnnxFile::open(&arguments.model)?.inputs().len() == 1;
    Ok(if is_one { further } else { &[] })
}

/// The samples of a source, and those of further files for its only input.
fn read(source: &SampleSource, further: &[OsString]) -> Result<Samples, InputError> {
    let mut samples = source.read(|_| true)?;
    if let SampleSource::Files(files) = source
        && let [first] = &files[..]
    {
        for file in further {
            for path in by_name("input", slice::from_ref(file), slice::from_ref(&first.name))?.into_values() {
                let further = InputFile { path, ..first.clone() }.read_all()?;
                samples.inferences.extend(further.into_iter().map(|input| vec![Some(input)]));
            }
        }
    }
    Ok(samples)
}

/// Writes how large a network's values become. Returns the largest bound that this gives a value.
///
/// # Errors
/// [`Failure`]: inputs that cannot be used, values beyond all bounds, and a file that cannot be written.
pub fn calibrate(
    network: Checked<'_>,
    inferences: &[Vec<ArrayD<f32>>],
    margin: u8,
    file: &Path,
) -> Result<f64, Failure> {
    let mut calibration = Calibration::new(network.graph, margin);
    for inputs in inferences {
        let observed = calibration.observe(network.graph, network.weights, inputs);
        observed.map_err(|error| InputError::Evaluate { samples: "the inputs".to_owned(), error })?;
    }
    let graph = widths::with_bounds(network.graph.clone(), &calibration, file)?;
    widths::write(file, &calibration)?;
    Ok(graph.iter().filter_map(|(_, node)| node.bound()).fold(1.0, f64::max))
}

/// A network to check.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// The architecture.
    pub graph: &'a Graph,
    /// The weights.
    pub weights: &'a Weights,
    /// Whether the first output is a logit for each class.
    pub classifies: bool,
}

/// Compares the three runs of a network on the inputs of each inference. The arguments give the name and the terms. `labels`
/// gives the true class of each of so many samples, where they are known.
///
/// # Errors
/// [`Failure`]: inputs that cannot be used, `labels` that fails, and a run that does.
pub fn check(
    run: &RunArguments,
    network: Checked<'_>,
    inferences: &[Vec<ArrayD<f32>>],
    labels: impl FnOnce(usize) -> Result<Option<Vec<usize>>, InputError>,
) -> Result<Report, Failure> {
    let job = Job::new(run, network.graph.with_all_outputs())?;
    let plan = job.plan::<u64>()?;
    let (mut layers, mut has_private) = (Vec::new(), true);
    let (mut predicted, mut departed) = ([Vec::new(), Vec::new(), Vec::new()], None);
    let first_output = network.graph.outputs().first().copied().filter(|_| network.classifies);
    for inputs in inferences {
        let runs = Runs::new(&plan, network.weights, inputs)?;
        runs.add_to(&plan, &mut layers);
        has_private &= runs.has_private();
        if departed.is_none() {
            let known = runs.first_departing(&plan);
            departed = known.and_then(|known| departure(&plan, network.weights, inputs, Some(known)));
        }
        if let Some(output) = first_output {
            runs.classes(&plan, output, &mut predicted);
        }
    }
    let labels = labels(predicted[0].len())?;
    let accuracy = labels.filter(|labels| labels.len() == predicted[0].len()).map(|labels| {
        let part = |predicted: &[usize]| {
            let right = predicted.iter().zip(&labels).filter(|(predicted, label)| predicted == label).count();
            right as f64 / labels.len().max(1) as f64
        };
        Accuracy { floating_point: part(&predicted[0]), fixed_point: part(&predicted[1]), private: part(&predicted[2]) }
    });
    let settings = plan.settings();
    // Squares in a normalisation may be larger.
    let bounded = layers.iter().filter(|layer: &&Layer| layer.bound <= settings.bound());
    let largest_magnitude = bounded.map(Layer::magnitude).fold(0.0, f64::max);
    let integer_bits = (2.0 * largest_magnitude).max(1.0).log2().ceil() as u32;
    Ok(Report {
        model: run.name().into_owned(),
        fractional_bits: settings.fractional_bits,
        comparison_bits: settings.comparison_bits,
        bound: settings.bound(),
        largest_magnitude,
        smallest_comparison_bits: settings.fractional_bits + 2 + integer_bits,
        first_departing: layers.iter().find(|layer| layer.departs).map(|layer| layer.name.clone()),
        departure: departed,
        has_private,
        accuracy,
        calibration: None,
        calibrated_comparison_bits: None,
        layers,
    })
}

/// The true classes of the samples, of which that many were classified.
fn labels(arguments: &CheckArguments, samples: &Samples, classified: usize) -> Result<Option<Vec<usize>>, InputError> {
    if let Some(path) = &arguments.labels {
        let wrong = |reason: String| InputError::Labelled { file: path.display().to_string(), reason };
        let labels = read_npy(&read_file(path, MAX_LABELS_FILE)?).map_err(|error| wrong(error.to_string()))?;
        if let Some(label) = labels.iter().find(|&&label| label < 0.0 || label.fract() != 0.0) {
            return Err(wrong(format!("{label} is no label; labels are integers from 0 on")));
        }
        if labels.len() != classified {
            let reason = format!("{} labels for {classified} samples; give one for each", labels.len());
            return Err(wrong(reason));
        }
        return Ok(Some(labels.iter().map(|&label| label as usize).collect()));
    }
    Ok(match &samples.targets {
        Some(Targets::Labels(labels)) => Some(labels.iter().map(|&label| label.into()).collect()),
        _ => None,
    })
}

/// One inference, three times. The outputs are those of every node but the inputs.
struct Runs {
    float: Vec<ArrayD<f32>>,
    fixed: Vec<ArrayD<f64>>,
    private: Vec<ArrayD<f64>>,
    ranges: Ranges,
}

impl Runs {
    fn new(plan: &Plan<u64>, weights: &Weights, inputs: &[ArrayD<f32>]) -> Result<Self, Failure> {
        let (mut float, mut ranges) = (Vec::new(), Ranges::default());
        let observe = |id: NodeId, value: &ArrayD<f32>| {
            ranges.add(id, value);
            if plan.graph().outputs().binary_search(&id).is_ok() {
                float.push(value.clone());
            }
        };
        let evaluated = evaluate_with(plan.graph(), weights, inputs, observe);
        evaluated.map_err(|error| InputError::Evaluate { samples: "the inputs".to_owned(), error })?;
        let failed = |node: Node, error: InferenceError| {
            let reason = NodeError::from(error).to_string();
            RunError::Nodes { failures: vec![NodeFailure { node, reason }] }
        };
        let fixed = ideal::evaluate(plan, weights, inputs, |_, _| ()).map_err(|error| failed(Node::Party(0), error))?;
        let private = match in_process::infer(plan, weights, inputs) {
            // Where a value is beyond the bound, a private run gives no results: no layer has any.
            Err(InferenceError::OutputBound { .. } | InferenceError::IndexRange { .. }) => {
                float.iter().map(|output| ArrayD::from_elem(output.shape(), f64::NAN)).collect()
            }
            results => results.map_err(|error| failed(Node::Party(1), error))?,
        };
        Ok(Self { float, fixed, private, ranges })
    }

    /// Adds to what is known of each layer.
    fn add_to(&self, plan: &Plan<u64>, layers: &mut Vec<Layer>) {
        for (at, &id) in plan.graph().outputs().iter().enumerate() {
            let node = plan.graph().node(id);
            let (float, fixed, private) = (&self.float[at], &self.fixed[at], &self.private[at]);
            let (smallest, largest) = float
                .iter()
                .fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(f64::from(x)), high.max(f64::from(x))));
            let layer = Layer {
                name: node.name().to_owned(),
                kind: kind(node.op()),
                smallest,
                largest,
                fixed_point_error: largest_difference(fixed, float),
                private_error: largest_difference(private, float),
                departs: departs(float, private),
                bound: plan.bound(id),
                calibrated: node.bound().is_some(),
                compared: plan.compared(&self.ranges, id),
                out_of_range: false,
            };
            match layers.get_mut(at) {
                None => layers.push(layer),
                Some(known) => {
                    known.smallest = known.smallest.min(layer.smallest);
                    known.largest = known.largest.max(layer.largest);
                    known.fixed_point_error = known.fixed_point_error.max(layer.fixed_point_error);
                    known.private_error = larger(known.private_error, layer.private_error);
                    known.departs |= layer.departs;
                    known.compared = known.compared.into_iter().chain(layer.compared).reduce(f64::max);
                }
            }
            let known = &mut layers[at];
            known.out_of_range = known.reaches_bound() || known.spread(plan.settings().bound()).is_some();
        }
    }

    /// Whether the private run gave results.
    fn has_private(&self) -> bool {
        !self.private.iter().flatten().any(|value| value.is_nan())
    }

    /// The first layer that departs in the private run, and its largest error.
    fn first_departing(&self, plan: &Plan<u64>) -> Option<(NodeId, f64)> {
        let mut outputs = plan.graph().outputs().iter().enumerate();
        let (at, &id) = outputs.find(|&(at, _)| departs(&self.float[at], &self.private[at]))?;
        Some((id, largest_difference(&self.private[at], &self.float[at])))
    }

    /// Adds the class of each sample in each run.
    fn classes(&self, plan: &Plan<u64>, output: NodeId, predicted: &mut [Vec<usize>; 3]) {
        let Some(at) = plan.graph().outputs().iter().position(|&id| id == output) else { return };
        fn classes<T: Copy + Into<f64>>(logits: &ArrayD<T>) -> impl Iterator<Item = usize> {
            let rows: Vec<_> = logits.axis_iter(Axis(0)).map(|row| row.iter().copied().collect::<Vec<_>>()).collect();
            rows.into_iter().map(|row| class(&row))
        }
        predicted[0].extend(classes(&self.float[at]));
        predicted[1].extend(classes(&self.fixed[at]));
        predicted[2].extend(classes(&self.private[at]));
    }
}

/// A word for an operation.
fn kind(op: &Op) -> &'static str {
    match op {
        Op::Convolution { .. } => "convolution",
        Op::Linear { .. } => "linear",
        Op::ScaleChannels(_) | Op::Scale { .. } => "scale",
        Op::OffsetChannels(_) | Op::Offset { .. } => "offset",
        Op::Relu => "relu",
        Op::Function(_) => "function",
        Op::MaxPool(_) => "max pool",
        Op::AveragePool(_) | Op::Mean { .. } => "mean",
        Op::Sum { .. } => "sum",
        Op::ArgMax => "arg max",
        Op::Add => "add",
        Op::Divide { .. } => "quotient",
        Op::Multiply | Op::Square | Op::MatrixProduct => "product",
        Op::Parameter => "parameter",
        _ => "shape",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mpc_nn::GraphBuilder;
    use ndarray::array;
    use tempfile::tempdir;

    use super::*;

    /// The digits of a rounding are other numbers in the clear, and were beyond the range of what is revealed.
    #[test]
    fn what_a_check_does_not_show_moves_no_layer() {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 3]).unwrap();
        let [largest, _] = builder.top_k("largest", x, 3).unwrap();
        let floor = builder.floor("floor", x).unwrap();
        let sum = builder.add("sum", floor, largest).unwrap();
        let graph = builder.finish(&[sum]).unwrap();
        let weights = Weights::for_graph(&graph, Default::default()).unwrap();
        let checked = Checked { graph: &graph, weights: &weights, classifies: false };
        let inferences = [vec![array![[-7.75, 0.5, 100.25]].into_dyn()]];
        let report = check(&RunArguments::default(), checked, &inferences, |_| Ok(None)).unwrap();
        let layers: Vec<_> = report.layers.iter().map(|layer| (&*layer.name, layer.smallest)).collect();
        assert_eq!(layers, [("largest/values", -7.75), ("floor", -8.0), ("sum", 0.5)]);
        assert!(report.has_private && report.layers.iter().all(|layer| layer.private_error < 1e-3));
    }

    #[test]
    fn a_calibration_beyond_all_bounds_is_not_written() {
        let (mut builder, folder) = (GraphBuilder::new(), tempdir().unwrap());
        let x = builder.input("x", &[1, 3]).unwrap();
        let square = builder.square("square", x).unwrap();
        let graph = builder.finish(&[square]).unwrap();
        let weights = Weights::for_graph(&graph, Default::default()).unwrap();
        let file = folder.path().join("widths.json");
        let checked = Checked { graph: &graph, weights: &weights, classifies: false };
        let calibrated = |x: f32| calibrate(checked, &[vec![array![[x, 0.0, 0.0]].into_dyn()]], 11, &file);
        fs::write(&file, "kept").unwrap();
        let error = calibrated(30_000.0).unwrap_err().to_string();
        assert!(error.contains("beyond 2^40"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        assert_eq!(calibrated(2.0).unwrap(), 16_384.0);
        assert_ne!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
