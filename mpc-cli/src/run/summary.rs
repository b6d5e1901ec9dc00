//! The results and the cost of a run, checked against the plan.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cost::kind;
use mpc_nn::{Plan, WeightKnowledge};
use mpc_ring::Ring;
use mpc_transport::Traffic;
use serde::Serialize;

use super::arguments::{PreprocessingMode, RunArguments, TransportKind};
use super::clock;
use super::collect::{PartyRecord, RunRecord};
use super::error::RunError;
use super::event::Node;
use super::results::Results;
use super::samples::Samples;
use super::subject::{About, Meaning};
use super::timing::{self, StepTime};
use crate::arguments::is_onnx;
use crate::link::LinkArgument;
use crate::precision::Departure;

/// The part of the pixels of masks that must agree.
const PIXEL_AGREEMENT: f64 = 0.999;

/// The result of a run: what `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The network.
    pub model: String,
    /// The number of parties.
    pub parties: usize,
    /// How messages travelled.
    pub transport: TransportKind,
    /// The links that were imitated.
    pub link: LinkArgument,
    /// The variant of comparisons.
    pub comparisons: String,
    /// Whether the model owner computed with its weights in the clear.
    pub owner_computes: bool,
    /// Whether two parties made their correlations themselves.
    pub no_dealer: bool,
    /// When correlations were drawn.
    pub preprocessing_mode: PreprocessingMode,
    /// ℓ.
    pub ring_bits: u32,
    /// f.
    pub fractional_bits: u32,
    /// k.
    pub comparison_bits: u32,
    /// Images per inference.
    pub batch: usize,
    /// The number of images.
    pub count: usize,
    /// Whether the private results are the plaintext model's: every label, of masks 99.9 % of the pixels, else every value.
    pub agree: bool,
    /// Where values keep too few bits, if outputs depart from those in the clear by more than results of the usual fixed point do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub departure: Option<Departure>,
    /// The meaning of the first output.
    pub meaning: Meaning,
    /// Whether the weights are the network's own, so that results mean something.
    pub is_trained: bool,
    /// The number of samples with the plaintext model's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_agreeing: Option<usize>,
    /// The part of the pixels that are in both masks or in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_agreement: Option<f64>,
    /// The private masks' intersection over union with the true ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_iou: Option<f64>,
    /// The same of the masks in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plain_iou: Option<f64>,
    /// The part of the images with the true label, privately; none where it is not known.
    pub private_accuracy: Option<f64>,
    /// The same in the clear.
    pub plain_accuracy: Option<f64>,
    /// The largest difference of an element of the first output.
    pub max_logit_error: f64,
    /// Each output.
    pub outputs: Vec<OutputResult>,
    /// The cost of each phase, over all images.
    pub phases: Phases,
    /// Evaluating the network in the clear on one thread, for all images.
    pub plain_seconds: f64,
    /// The times of each inference.
    pub per_inference: Vec<InferenceTime>,
    /// That measured bytes and rounds are the planned ones. Never false: a difference is an error.
    pub matches_plan: bool,
    /// The most memory that a process held.
    pub peak_memory_bytes: Option<u64>,
    /// The same of each process, where there is more than one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub peak_memory_by_process: BTreeMap<String, u64>,
    /// Each image.
    pub images: Vec<ImageResult>,
    /// Each step of the plan, over all images.
    pub per_layer: Vec<LayerCost>,
}

/// An output's result, over all inferences.
#[derive(Clone, Debug, Serialize)]
pub struct OutputResult {
    /// Its name.
    pub name: String,
    /// Its shape in one inference.
    pub shape: Vec<usize>,
    /// The largest magnitude in the clear.
    pub max_magnitude: f64,
    /// The largest difference to the value in the clear.
    pub max_error: f64,
}

/// One sample's result.
#[derive(Clone, Debug, Serialize)]
pub struct ImageResult {
    /// Its index in the source.
    pub index: usize,
    /// The true label, where known.
    pub label: Option<u8>,
    /// The private prediction.
    pub predicted: usize,
    /// The plaintext prediction.
    pub plain_predicted: usize,
    /// The largest difference of a logit.
    pub max_logit_error: f64,
}

/// How long one inference took, on the critical path.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct InferenceTime {
    /// Waiting for correlations.
    pub preprocessing_seconds: f64,
    /// From the images to the results.
    pub online_seconds: f64,
}

/// The phases of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Phases {
    /// From the start until the last party has loaded the model.
    pub setup: PhaseCost,
    /// Correlations.
    pub preprocessing: PhaseCost,
    /// From the images to the results.
    pub online: PhaseCost,
}

/// The cost of a phase. Bytes are those on the wire, with the headers of frames.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseCost {
    /// Time on the critical path.
    pub seconds: f64,
    /// Sent by each party.
    pub bytes_sent: Vec<u64>,
    /// Received by each party, from the others and from the dealer, if there is one.
    pub bytes_received: Vec<u64>,
    /// The most that a party waited for others.
    pub rounds: u64,
}

/// The cost of a step, over all images.
#[derive(Clone, Debug, Serialize)]
pub struct LayerCost {
    /// The step.
    pub name: String,
    /// The kind of layer.
    pub kind: &'static str,
    /// Online, on the critical path.
    pub seconds: f64,
    /// Waiting for correlations, on the critical path.
    pub preprocessing_seconds: f64,
    /// Sent online by each party.
    pub bytes_sent: Vec<u64>,
    /// Received online by each party.
    pub bytes_received: Vec<u64>,
    /// Received by the last party from the dealer, or for correlations from the other one.
    pub dealt_bytes: u64,
    /// Rounds online.
    pub rounds: u64,
}

/// Sums up a run.
///
/// # Errors
/// [`RunError::PlanDiffers`] where a party sent, received or waited otherwise than planned; [`RunError::Report`] where
/// results are missing.
pub fn summarise(
    arguments: &RunArguments,
    about: About<'_>,
    plan: &Plan<impl Ring>,
    samples: &Samples,
    results: &Results,
    run: &RunRecord,
    plain_time: Duration,
) -> Result<Summary, RunError> {
    for (party, record) in run.parties.iter().enumerate() {
        check_plan(plan, party, record)?;
    }
    let outputs = results.outputs(about.outputs);
    let images = if about.meaning == Meaning::Class { results.classes(samples) } else { Vec::new() };
    let masks = (about.meaning == Meaning::Mask).then(|| results.masks(samples));
    let times = timing::step_times(run, arguments.preprocessing_mode());
    let labels_agreeing = images.iter().filter(|image| image.predicted == image.plain_predicted).count();
    let agree = match (&masks, about.meaning) {
        (Some(masks), _) => masks.agreement >= PIXEL_AGREEMENT,
        // That the output of a file is logits is a guess: its values are what counts, and all outputs.
        (None, Meaning::Class) if !is_onnx(&arguments.model) => labels_agreeing == images.len(),
        _ => results.values_agree(),
    };
    let (settings, batch) = (plan.settings(), plan.graph().batch());
    Ok(Summary {
        model: arguments.name().into_owned(),
        parties: settings.parties,
        transport: arguments.transport,
        link: arguments.terms.link,
        comparisons: settings.comparisons.to_string(),
        owner_computes: settings.weights == WeightKnowledge::Owner,
        no_dealer: arguments.terms.no_dealer,
        preprocessing_mode: arguments.preprocessing_mode(),
        ring_bits: plan.ring_bits(),
        fractional_bits: settings.fractional_bits,
        comparison_bits: settings.comparison_bits,
        batch,
        count: samples.inferences.len() * batch,
        agree,
        departure: None,
        meaning: about.meaning,
        is_trained: about.is_trained,
        labels_agreeing: (about.meaning == Meaning::Class).then_some(labels_agreeing),
        pixel_agreement: masks.as_ref().map(|masks| masks.agreement),
        private_iou: masks.as_ref().and_then(|masks| masks.private_iou),
        plain_iou: masks.as_ref().and_then(|masks| masks.plain_iou),
        private_accuracy: accuracy(&images, |image| image.predicted),
        plain_accuracy: accuracy(&images, |image| image.plain_predicted),
        max_logit_error: outputs.first().map_or(0.0, |output| output.max_error),
        outputs,
        phases: phases(run, &times),
        plain_seconds: plain_time.as_secs_f64(),
        per_inference: times.iter().map(|steps| inference_time(steps)).collect(),
        matches_plan: true,
        peak_memory_bytes: run.peak_memory.iter().map(|&(_, bytes)| bytes).max(),
        peak_memory_by_process: memory_by_process(&run.peak_memory),
        images,
        per_layer: layers(plan, &times),
    })
}

/// Compares what a party's meters counted with the plan.
fn check_plan(plan: &Plan<impl Ring>, party: usize, record: &PartyRecord) -> Result<(), RunError> {
    let check = |what: String, planned: Traffic, measured: Traffic| {
        let differ = || RunError::PlanDiffers { party, what, planned: planned.into(), measured: measured.into() };
        if planned == measured { Ok(()) } else { Err(differ()) }
    };
    check("setup".to_owned(), plan.setup(party), record.loaded.load)?;
    check("setup of correlations".to_owned(), plan.preparing_setup(party), record.loaded.making)?;
    for (inferred, preprocessing) in record.inferences.iter().zip(plan.preprocessings(party)) {
        let of = format!("of inference {}", inferred.inference);
        check(format!("preprocessing {of}"), preprocessing, inferred.preprocessing)?;
        for (step, measured) in plan.steps().iter().zip(&inferred.steps) {
            let planned = step.online.get(party).copied().unwrap_or_default();
            check(format!("step `{}` {of}", step.name), planned, measured.traffic)?;
        }
        check(format!("online phase {of}"), plan.online(party), inferred.online)?;
    }
    Ok(())
}

fn accuracy(images: &[ImageResult], prediction: fn(&ImageResult) -> usize) -> Option<f64> {
    let right = |image: &ImageResult| Some(usize::from(image.label?) == prediction(image));
    let right = images.iter().map(right).collect::<Option<Vec<_>>>().filter(|right| !right.is_empty())?;
    Some(right.iter().filter(|&&right| right).count() as f64 / right.len() as f64)
}

fn phases(run: &RunRecord, times: &[Vec<StepTime>]) -> Phases {
    let sum = |part: fn(&StepTime) -> u64| times.iter().flatten().map(part).sum::<u64>();
    let over_parties = |seconds: f64, traffic: &dyn Fn(&PartyRecord) -> Traffic| {
        let traffic: Vec<_> = run.parties.iter().map(traffic).collect();
        PhaseCost {
            seconds,
            bytes_sent: traffic.iter().map(Traffic::bytes_sent).collect(),
            bytes_received: traffic.iter().map(Traffic::bytes_received).collect(),
            rounds: traffic.iter().map(|traffic| traffic.rounds).max().unwrap_or(0),
        }
    };
    let setup = clock::seconds(run.started, timing::loaded_at(run));
    Phases {
        setup: over_parties(setup, &|party| party.loaded.parties + party.loaded.dealer),
        preprocessing: over_parties(clock::seconds(0, sum(|time| time.preprocessing)), &|party| {
            party.inferences.iter().map(|inferred| inferred.preprocessing).sum()
        }),
        online: over_parties(clock::seconds(0, sum(|time| time.online)), &|party| {
            party.inferences.iter().map(|inferred| inferred.online).sum()
        }),
    }
}

fn inference_time(steps: &[StepTime]) -> InferenceTime {
    let sum = |part: fn(&StepTime) -> u64| clock::seconds(0, steps.iter().map(part).sum());
    InferenceTime { preprocessing_seconds: sum(|time| time.preprocessing), online_seconds: sum(|time| time.online) }
}

/// The figure of the party that has most.
pub fn largest(values: &[u64]) -> u64 {
    values.iter().copied().max().unwrap_or(0)
}

fn layers(plan: &Plan<impl Ring>, times: &[Vec<StepTime>]) -> Vec<LayerCost> {
    let inferences = times.len() as u64;
    let last = plan.settings().parties - 1;
    let mut dealt: Vec<u64> =
        plan.steps().iter().map(|step| inferences * step.preprocessing.bytes_received()).collect();
    if let Some(mut schedule) = plan.schedule() {
        // No two inferences need be the same.
        dealt.fill(0);
        for _ in times {
            let steps = plan.preprocessing_next_by_step(last, &mut schedule);
            dealt.iter_mut().zip(&steps).for_each(|(sum, step)| *sum += step.bytes_received());
        }
    }
    let layer = |(at, step): (usize, &mpc_nn::Step)| {
        let sum = |part: fn(&StepTime) -> u64| clock::seconds(0, times.iter().map(|steps| part(&steps[at])).sum());
        // The meters were found equal to the plan, step by step.
        let over_parties =
            |part: fn(&Traffic) -> u64| step.online.iter().map(move |traffic| inferences * part(traffic));
        LayerCost {
            name: step.name.clone(),
            kind: kind(plan, step),
            seconds: sum(|time| time.online),
            preprocessing_seconds: sum(|time| time.preprocessing),
            bytes_sent: over_parties(Traffic::bytes_sent).collect(),
            bytes_received: over_parties(Traffic::bytes_received).collect(),
            dealt_bytes: dealt[at],
            rounds: over_parties(|traffic| traffic.rounds).max().unwrap_or(0),
        }
    };
    plan.steps().iter().enumerate().map(layer).collect()
}

fn memory_by_process(peak_memory: &[(Node, u64)]) -> BTreeMap<String, u64> {
    if peak_memory.len() < 2 {
        return BTreeMap::new();
    }
    peak_memory.iter().map(|&(node, bytes)| (node.to_string(), bytes)).collect()
}
