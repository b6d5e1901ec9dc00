//! `cargo xtask infer`: a network classifies images between parties that learn nothing.

mod arguments;
pub mod child;
mod clock;
mod collect;
mod cost;
mod error;
mod event;
mod format;
mod job;
mod memory;
mod memory_use;
mod network;
mod orders;
mod processes;
mod progress;
mod reference;
mod roles;
mod samples;
mod summary;
mod table;
mod timing;

use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use mpc_nn::plan::Action;
use mpc_nn::{Op, Plan, Step};
use serde::Serialize;

pub use arguments::InferArguments;
use arguments::TransportKind;
use collect::RunRecord;
use cost::Cost;
use error::{Failure, InputError, RunError};
use job::Job;
use orders::Ownership;
use progress::Progress;
use samples::{ImageSource, Samples, read_weights};
use summary::{Summary, summarise};

/// Runs the command.
pub fn run(arguments: &InferArguments) -> ExitCode {
    let outcome = if arguments.plan { show_plan(arguments) } else { infer(arguments) };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        failure.code().into()
    })
}

fn show_plan(arguments: &InferArguments) -> Result<ExitCode, Failure> {
    let cost = Cost::new(arguments, &Job::new(arguments, 1)?.plan()?);
    print(&if arguments.json { json(&cost) } else { cost.text() });
    Ok(ExitCode::SUCCESS)
}

fn infer(arguments: &InferArguments) -> Result<ExitCode, Failure> {
    let summary = classify(arguments)?;
    print(&if arguments.json { json(&summary) } else { table::text(&summary, arguments) });
    if !summary.agree {
        let Summary { labels_agreeing, count, .. } = summary;
        eprintln!("error: only {labels_agreeing} of {count} private labels are those of the plaintext model");
    }
    Ok(if summary.agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks everything, runs it privately and compares.
fn classify(arguments: &InferArguments) -> Result<Summary, Failure> {
    let mut job = Job::new(arguments, 1)?;
    let network = job.network()?;
    let plan = job.plan()?;
    let source = image_source(arguments);
    let samples = source.read(network)?;
    job.inferences = inferences(samples.len(), job.batch)?;
    let weights = read_weights(arguments.weights.as_ref(), network, plan.graph())?;
    let mut progress = Progress::new(&plan, job.inferences);
    progress.plaintext();
    let plain = reference::plain_logits(&plan, &weights, &samples, |images| progress.plaintext_done(images))?;
    progress.setup();
    let run = match arguments.transport {
        TransportKind::Memory => run_in_memory(&job, weights, &samples, &mut progress)?,
        TransportKind::Tcp => {
            let owned_weights = Ownership::Weights(arguments.weights.clone());
            processes::run(&job, owned_weights, Ownership::Images(source), &mut progress)?
        }
    };
    progress.clear();
    Ok(summarise(arguments, network, &plan, &samples, &plain, &run)?)
}

fn run_in_memory(
    job: &Job,
    weights: mpc_nn::Weights,
    samples: &Samples,
    progress: &mut Progress,
) -> Result<RunRecord, RunError> {
    memory::run(job, Arc::new(weights), Arc::new(samples.images.clone()), progress)
}

fn image_source(arguments: &InferArguments) -> ImageSource {
    let InferArguments { accuracy, images, batch, .. } = arguments;
    let is_all = *accuracy || arguments.input.is_some();
    let count = images.or(if is_all { None } else { Some(batch.unwrap_or(1)) });
    ImageSource { file: arguments.input.clone(), first: arguments.first_image, count }
}

fn inferences(images: usize, batch: usize) -> Result<usize, InputError> {
    if batch > 0 && images.is_multiple_of(batch) {
        Ok(images / batch)
    } else {
        Err(InputError::Batches { images, batch })
    }
}

/// The kind of layer that a step belongs to, for tables.
fn kind(plan: &Plan<u64>, step: &Step) -> &'static str {
    match (&step.action, plan.graph().node(step.node).op()) {
        (Action::Linear { .. }, Op::Convolution { .. }) => "convolution",
        (action, _) => action.kind(),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("reports have only string keys, so they always encode") + "\n"
}

/// Writes to stdout; whoever reads it may have seen enough, as `head` does.
fn print(text: &str) {
    let mut stdout = stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: cannot write to stdout: {error}");
    }
}
