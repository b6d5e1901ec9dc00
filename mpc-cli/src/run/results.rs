//! The private outputs beside those in the clear.

use mpc_models::{Overlap, Targets};
use ndarray::{ArrayD, ArrayView1, Axis, ShapeError, concatenate};

use super::collect::RunRecord;
use super::error::RunError;
use super::event::{Node, Output};
use super::reference::class;
use super::samples::Samples;
use super::summary::{ImageResult, OutputResult};
use crate::precision::{departs, largest_difference};

/// The party that learns the result.
const DATA_OWNER: usize = 1;

/// The largest difference that a value may have to the one in the clear, and the part of its magnitude that may come on
/// top.
const TOLERANCE: f64 = 1.0 / 128.0;

/// The outputs of all inferences, those of all inferences one after the other along the first axis.
pub struct Results {
    private: Vec<ArrayD<f64>>,
    plain: Vec<ArrayD<f32>>,
    /// The same in the clear for inputs that are rounded as private inference has them, where that was looked at.
    rounded: Option<Vec<ArrayD<f32>>>,
}

/// How private masks compare.
pub struct Masks {
    /// The part of the pixels that are in both masks or in none.
    pub agreement: f64,
    /// Intersection over union with the true masks, where those are known.
    pub private_iou: Option<f64>,
    /// The same in the clear.
    pub plain_iou: Option<f64>,
}

impl Results {
    /// The data owner's reports, checked against the shapes in the clear.
    ///
    /// # Errors
    /// [`RunError::Report`] where outputs are missing, have other shapes or are not finite.
    pub fn new(run: &RunRecord, plain: &[Vec<ArrayD<f32>>]) -> Result<Self, RunError> {
        let wrong = |what: &str| RunError::Report { node: Node::Party(DATA_OWNER), what: what.to_owned() };
        let inferences = run.parties.get(DATA_OWNER).map(|record| &record.inferences[..]).unwrap_or_default();
        let mut private = Vec::new();
        for (inferred, plain) in inferences.iter().zip(plain) {
            let outputs = inferred.outputs.as_deref().unwrap_or_default();
            let tensors: Vec<_> = outputs.iter().filter_map(Output::tensor).collect();
            let fits = tensors.len() == plain.len()
                && tensors.iter().zip(plain).all(|(private, plain)| private.shape() == plain.shape());
            if !fits || tensors.iter().flatten().any(|value| !value.is_finite()) {
                return Err(wrong("other outputs than the network has"));
            }
            private.push(tensors);
        }
        if private.len() != plain.len() {
            return Err(wrong("fewer results than there were inferences"));
        }
        let differ = "the outputs of all inferences have one shape";
        let (private, plain) = (joined(&private).expect(differ), joined(plain).expect(differ));
        Ok(Self { private, plain, rounded: None })
    }

    /// The private outputs, in the order of the graph's.
    pub fn private(&self) -> &[ArrayD<f64>] {
        &self.private
    }

    /// The private outputs, in the order of the graph's.
    pub fn into_private(self) -> Vec<ArrayD<f64>> {
        self.private
    }

    /// Each sample's first output, private and in the clear.
    pub fn samples(&self) -> impl Iterator<Item = (ndarray::ArrayViewD<'_, f64>, ndarray::ArrayViewD<'_, f32>)> {
        let first = self.private.first().zip(self.plain.first());
        first.into_iter().flat_map(|(private, plain)| private.outer_iter().zip(plain.outer_iter()))
    }

    /// The differences of each output.
    pub fn outputs(&self, names: &[String]) -> Vec<OutputResult> {
        let output = |((private, plain), name): ((&ArrayD<f64>, &ArrayD<f32>), &String)| OutputResult {
            name: name.clone(),
            shape: plain.shape().to_vec(),
            max_magnitude: plain.iter().fold(0.0, |largest, value| f64::from(value.abs()).max(largest)),
            max_error: largest_difference(private, plain),
        };
        self.private.iter().zip(&self.plain).zip(names).map(output).collect()
    }

    /// Also compares with the outputs in the clear for rounded inputs: what rounding makes of an input is no fault of what
    /// comes after it, as of a normalisation of values of a few units.
    pub fn compare_rounded(&mut self, rounded: &[Vec<ArrayD<f32>>]) {
        self.rounded = joined(rounded).ok();
    }

    /// Whether every value of every output is near that in the clear.
    pub fn values_agree(&self) -> bool {
        let near = |(&private, &plain): (&f64, &f32)| {
            let plain = f64::from(plain);
            (private - plain).abs() <= TOLERANCE * (1.0 + plain.abs())
        };
        let all_near = |clear: &Vec<ArrayD<f32>>| {
            self.private.iter().zip(clear).all(|(private, plain)| private.iter().zip(plain).all(near))
        };
        all_near(&self.plain) || self.rounded.as_ref().is_some_and(all_near)
    }

    /// Whether a value of an output is further from that in the clear than fixed point is where it keeps enough.
    pub fn depart(&self) -> bool {
        self.private.iter().zip(&self.plain).any(|(private, plain)| departs(plain, private))
    }

    /// The class of each sample.
    pub fn classes(&self, samples: &Samples) -> Vec<ImageResult> {
        let labels = match &samples.targets {
            Some(Targets::Labels(labels)) => &labels[..],
            _ => &[],
        };
        let sample = |(at, (private, plain)): (usize, (ndarray::ArrayViewD<'_, f64>, ndarray::ArrayViewD<'_, f32>))| {
            let max_logit_error = largest_difference(&private, &plain);
            let (private, plain): (Vec<f64>, Vec<f32>) =
                (private.iter().copied().collect(), plain.iter().copied().collect());
            ImageResult {
                index: samples.first + at,
                label: labels.get(at).copied(),
                predicted: class(&private),
                plain_predicted: class(&plain),
                max_logit_error,
            }
        };
        self.samples().enumerate().map(sample).collect()
    }

    /// The masks of all samples together.
    pub fn masks(&self, samples: &Samples) -> Masks {
        let private: Vec<f32> = self.private.first().into_iter().flatten().map(|&logit| logit as f32).collect();
        let plain: Vec<f32> = self.plain.first().into_iter().flatten().copied().collect();
        let same = private.iter().zip(&plain).filter(|(x, y)| (**x > 0.0) == (**y > 0.0)).count();
        let truth: Option<Vec<u8>> = match &samples.targets {
            Some(Targets::Masks(masks)) => Some(masks.iter().copied().collect()),
            _ => None,
        };
        let iou = |logits: &[f32]| {
            let truth = truth.as_ref().filter(|truth| truth.len() == logits.len())?;
            Some(Overlap::of(ArrayView1::from(logits), ArrayView1::from(&truth[..])).iou())
        };
        Masks {
            agreement: same as f64 / private.len().max(1) as f64,
            private_iou: iou(&private),
            plain_iou: iou(&plain),
        }
    }
}

/// Each output of several inferences, one after the other along the first axis, in standard layout.
///
/// # Errors
/// [`ShapeError`] where inferences have outputs of different shapes.
pub fn joined<T: Copy>(inferences: &[impl AsRef<[ArrayD<T>]>]) -> Result<Vec<ArrayD<T>>, ShapeError> {
    let count = inferences.first().map_or(0, |outputs| outputs.as_ref().len());
    let output = |at: usize| {
        let parts: Vec<_> = inferences.iter().filter_map(|outputs| Some(outputs.as_ref().get(at)?.view())).collect();
        Ok(concatenate(Axis(0), &parts)?.as_standard_layout().into_owned())
    };
    (0..count).map(output).collect()
}
