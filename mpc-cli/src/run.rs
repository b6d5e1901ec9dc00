//! `mpc run`: a network runs between parties that learn nothing.

mod arguments;
pub(crate) mod child;
mod clock;
mod collect;
pub(crate) mod error;
pub(crate) mod event;
mod heard;
pub(crate) mod job;
mod local;
mod memory;
mod memory_use;
mod network;
mod onnx;
mod orders;
mod page;
mod picture;
mod processes;
mod progress;
pub(crate) mod reference;
pub(crate) mod results;
mod roles;
pub(crate) mod samples;
pub(crate) mod services;
pub(crate) mod subject;
mod summary;
pub(crate) mod table;
mod timing;
mod watch;
mod working;

use std::path::Path;
use std::sync::Arc;

use crate::files::{by_name, check_destinations};
use mpc_models::tensors::{write_tensor, write_whole};
use mpc_nn::{Plan, Weights};
use mpc_ring::{Ring, in_ring};

pub use crate::arguments::{InputArguments, OutputArguments, RevealArgument, RevealToArgument, TermsArguments};
use crate::arguments::{is_onnx, is_page};
use crate::failure::Failure;
use crate::output::json;
use crate::precision::{self, Departure};
pub use arguments::{PreprocessingMode, RunArguments, TransportKind};
use collect::RunRecord;
pub use error::{InputError, NodeFailure, RunError};
pub use event::Node;
use job::Job;
pub use local::{Local, Position, run_local};
use progress::Progress;
use reference::Plain;
use results::Results;
pub use results::joined;
use samples::Samples;
pub use subject::Meaning;
use subject::Subject;
use summary::summarise;
pub use summary::{ImageResult, InferenceTime, LayerCost, OutputResult, PhaseCost, Phases, Summary};

/// Where the pictures of a segmentation go unless `--picture` says it.
const PICTURE: &str = "target/unet.png";
/// The most inferences in which the reason of a departure is looked for.
const MOST_SEARCHED: usize = 8;

/// Runs a network privately in this process or in processes of this program, and compares the result with the network in
/// the clear.
///
/// Progress goes to stderr. Outputs and the picture are written where the arguments say; nothing goes to stdout.
///
/// # Errors
/// [`Failure`]: arguments, weights or inputs that cannot be used; a run that failed; bytes or rounds that are not those of
/// the plan. Results that differ from those in the clear are no error: see [`Summary::agree`].
pub fn run(arguments: &RunArguments) -> Result<Summary, Failure> {
    in_ring!(arguments.terms.ring, R => compare::<R>(arguments))
}

/// Checks before anything is sent that every input is within what the plan was made for.
fn check_range<R: Ring>(plan: &Plan<R>, samples: &Samples) -> Result<(), InputError> {
    let bound = plan.settings().bound();
    for inputs in &samples.inferences {
        for (input, &id) in inputs.iter().zip(plan.graph().inputs()) {
            let beyond = |value: f32| f64::from(value.abs()) >= bound;
            let values = input.iter().flatten();
            if let Some((place, value)) = values.copied().enumerate().find(|&(_, value)| beyond(value)) {
                let input = plan.graph().node(id).name().to_owned();
                return Err(InputError::Beyond { input, value, place, bound });
            }
        }
    }
    Ok(())
}

/// The results of a run beside those in the clear; where they are not near, also beside those for inputs that are rounded.
fn compared<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    samples: &Samples,
    run: &RunRecord,
    plain: &Plain,
) -> Result<Results, Failure> {
    let mut results = Results::new(run, &plain.outputs)?;
    // Rounded inputs may be where the network has no value, as the logarithm of 0: then there is nothing else to compare with.
    if !results.values_agree()
        && let Ok(rounded) = reference::outputs_of_rounded(plan, weights, samples)
    {
        results.compare_rounded(&rounded);
    }
    Ok(results)
}

/// The reason why outputs depart from those in the clear, if they do.
fn departure<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    samples: &Samples,
    results: &Results,
    summary: &Summary,
) -> Option<Departure> {
    if !results.depart() {
        return None;
    }
    let inputs = samples.inferences.iter().map(|inputs| inputs.iter().flatten().cloned().collect::<Vec<_>>());
    let found = inputs.take(MOST_SEARCHED).find_map(|inputs| precision::departure(plan, weights, &inputs, None));
    found.or_else(|| {
        let furthest = summary.outputs.iter().max_by(|a, b| a.max_error.total_cmp(&b.max_error))?;
        let (layer, error) = (furthest.name.clone(), furthest.max_error);
        let fractional_bits = summary.fractional_bits;
        Some(Departure { layer, error, coarse: None, fractional_bits, enough: None, ring: None })
    })
}

/// Checks everything, runs it privately and compares.
fn compare<R: Ring>(arguments: &RunArguments) -> Result<Summary, Failure> {
    let subject = Subject::open(arguments, true)?;
    let destinations = by_name("output", &arguments.output.output, &subject.outputs).map_err(InputError::from)?;
    check_destinations(destinations.values()).map_err(InputError::from)?;
    let mut job = Job::new(arguments, subject.graph.clone())?;
    let plan = job.plan::<R>()?;
    let source = subject.inputs.as_ref().ok_or_else(|| InputError::Named("--input is missing".to_owned()))?;
    let samples = source.read(|_| true)?;
    check_range(&plan, &samples)?;
    job.inferences = samples.inferences.len();
    let weights = Arc::new(subject.weights.read(plan.graph())?);
    let mut progress = Progress::new(&plan, job.inferences);
    progress.plaintext();
    let plain = reference::plain_outputs(&plan, &weights, &samples, |samples| progress.plaintext_done(samples))?;
    progress.setup();
    let owners = plan.input_owners();
    let run = match arguments.transport {
        TransportKind::Memory => {
            job.start_threads().map_err(|error| InputError::Named(error.to_string()))?;
            memory::run(&job, &owners, Arc::clone(&weights), Arc::new(samples.inferences.clone()), &mut progress)?
        }
        TransportKind::Services => {
            return Err(InputError::Named(
                "services report to their client alone, and have no such summary".to_owned(),
            )
            .into());
        }
        kind @ (TransportKind::Tcp | TransportKind::Tls) => {
            let secure = kind == TransportKind::Tls;
            processes::run(&job, secure, &owners, &subject.weights, source, &mut progress)?
        }
    };
    drop(progress);
    let results = compared(&plan, &weights, &samples, &run, &plain)?;
    let mut summary = summarise(arguments, subject.about(), &plan, &samples, &results, &run, plain.time)?;
    if is_onnx(&arguments.model) {
        summary.departure = departure(&plan, &weights, &samples, &results, &summary);
    }
    for (place, (name, output)) in subject.outputs.iter().zip(results.private()).enumerate() {
        if let Some(path) = destinations.get(name) {
            // Of several inferences one after the other along the first axis.
            let own = subject.output_shapes.get(place).filter(|_| samples.inferences.len() == 1);
            let shape = own.map_or(output.shape(), Vec::as_slice);
            write_tensor(path, output, shape).map_err(|error| RunError::Write(error.to_string()))?;
        }
    }
    if subject.meaning == Meaning::Mask {
        let picture = arguments.picture.as_deref().unwrap_or(Path::new(PICTURE));
        picture::draw(picture, &samples, &results).map_err(RunError::Write)?;
        eprintln!("{}: the image, the private mask and the mask in the clear", picture.display());
    }
    if let Some(path) = &arguments.output.report {
        let text = if is_page(path) { page::page(&summary, arguments, &plan) } else { json(&summary) };
        write_whole(path, text.as_bytes()).map_err(|error| RunError::Write(error.to_string()))?;
    }
    Ok(summary)
}
