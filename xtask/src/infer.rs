//! `cargo xtask infer`: a network runs between parties that learn nothing.

mod arguments;
pub mod check;
pub mod child;
mod clock;
mod collect;
mod error;
mod event;
pub mod inspect;
mod job;
mod memory;
mod memory_use;
mod network;
mod onnx;
mod orders;
mod picture;
mod processes;
mod progress;
mod reference;
mod results;
mod roles;
mod samples;
mod subject;
mod summary;
mod table;
mod timing;

use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use mpc_cli::files::{by_name, check_destinations};
use mpc_models::tensors::write_tensor;
use mpc_ring::{Ring, in_ring};
use serde::Serialize;

pub use arguments::InferArguments;
use arguments::TransportKind;
use error::{Failure, InputError, RunError};
use job::Job;
use mpc_cli::cost::Cost;
use progress::Progress;
use results::Results;
use subject::{Meaning, Subject};
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
    let subject = Subject::open(arguments)?;
    let job = Job::new(arguments, subject.graph)?;
    let cost = in_ring!(job.ring, R => Cost::new(&arguments.model, &job.plan::<R>()?));
    print(&if arguments.json { json(&cost) } else { cost.text() });
    Ok(ExitCode::SUCCESS)
}

fn infer(arguments: &InferArguments) -> Result<ExitCode, Failure> {
    let summary = in_ring!(arguments.ring, R => compare::<R>(arguments)?);
    print(&if arguments.json { json(&summary) } else { table::text(&summary, arguments) });
    if !summary.agree {
        eprintln!("error: the private results are not those of the network in the clear");
    }
    Ok(if summary.agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks everything, runs it privately and compares.
fn compare<R: Ring>(arguments: &InferArguments) -> Result<Summary, Failure> {
    let subject = Subject::open(arguments)?;
    let destinations = by_name("output", &arguments.output, &subject.outputs).map_err(InputError::from)?;
    check_destinations(destinations.values()).map_err(InputError::from)?;
    let mut job = Job::new(arguments, subject.graph.clone())?;
    let plan = job.plan::<R>()?;
    let source = subject.inputs.as_ref().ok_or_else(|| InputError::Named("--input is missing".to_owned()))?;
    let samples = source.read(|_| true)?;
    job.inferences = samples.inferences.len();
    let weights = subject.weights.read(plan.graph())?;
    let mut progress = Progress::new(&plan, job.inferences);
    progress.plaintext();
    let plain = reference::plain_outputs(&plan, &weights, &samples, |samples| progress.plaintext_done(samples))?;
    progress.setup();
    let owners = plan.input_owners();
    let run = match arguments.transport {
        TransportKind::Memory => {
            job.start_threads().map_err(|error| InputError::Named(error.to_string()))?;
            memory::run(&job, &owners, Arc::new(weights), Arc::new(samples.inferences.clone()), &mut progress)?
        }
        kind @ (TransportKind::Tcp | TransportKind::Tls) => {
            let secure = kind == TransportKind::Tls;
            processes::run(&job, secure, &owners, &subject.weights, source, &mut progress)?
        }
    };
    progress.clear();
    let results = Results::new(&run, &plain.outputs)?;
    let summary = summarise(arguments, &subject, &plan, &samples, &results, &run, plain.time)?;
    for (place, (name, output)) in subject.outputs.iter().zip(results.private()).enumerate() {
        if let Some(path) = destinations.get(name) {
            let shape = subject.output_shapes.get(place).map_or(output.shape(), Vec::as_slice);
            write_tensor(path, output, shape).map_err(|error| RunError::Write(error.to_string()))?;
        }
    }
    if subject.meaning == Meaning::Mask {
        picture::draw(&arguments.picture, &samples, &results).map_err(RunError::Write)?;
        eprintln!("{}: the image, the private mask and the mask in the clear", arguments.picture.display());
    }
    Ok(summary)
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
