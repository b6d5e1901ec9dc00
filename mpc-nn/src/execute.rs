//! One party's run of a plan.

pub(crate) mod fixed_point;
mod model;
mod run;

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use mpc_protocols::{CorrelationSource, Party};
use mpc_ring::Ring;
use mpc_shares::Prg;
use mpc_transport::{Metered, Phase, Transport};
use ndarray::ArrayD;

use crate::error::InferenceError;
use crate::plan::Plan;

pub use model::Model;

use fixed_point::{check_outputs, encode_inputs};
use run::Run;

/// Labels of what is counted outside the steps.
pub mod labels {
    /// The weights' shares and their opening under masks.
    pub const LOAD: &str = "load model";
    /// The handshake.
    pub const HANDSHAKE: &str = "handshake";
    /// The dealer's seeds and corrections.
    pub const DEAL: &str = "deal correlations";
}

/// Watches a run, for progress and timings.
pub trait Observer: Send {
    /// Step `step` of the plan begins in a phase: [`Phase::Preprocessing`] or [`Phase::Online`].
    fn begin(&mut self, phase: Phase, step: usize) {
        let _ = (phase, step);
    }
    /// Step `step` of the plan ended in a phase.
    fn end(&mut self, phase: Phase, step: usize) {
        let _ = (phase, step);
    }
}

impl Observer for () {}

/// When correlations are drawn from the dealer's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preprocessing {
    /// Step by step, just before each is used: memory is bounded by the largest layer.
    #[default]
    Streamed,
    /// All before the first online message: the online phase waits for nobody's dealer.
    Ahead,
}

/// One party's inferences with a loaded model.
#[derive(Clone, Copy, Debug)]
pub struct Inference<'a, R: Ring> {
    /// What will be done; the same at every party.
    pub plan: &'a Plan<R>,
    /// This party's share of the model.
    pub model: &'a Model<R>,
    /// When correlations are drawn.
    pub preprocessing: Preprocessing,
}

impl<R: Ring> Inference<'_, R> {
    /// Runs one inference at one party; the data owner gets the outputs, the others `None`.
    ///
    /// `source` is a session dealt to [`Plan::requests`]; `inputs` are those that this party owns, in the order of the
    /// graph's inputs, and `None` at a party that owns none.
    ///
    /// # Security
    /// Semi-honest, against any n−1 colluding parties apart from the dealer: every opened value is masked by fresh
    /// uniform dealt randomness, and the outputs' shares go to the data owner alone.
    ///
    /// # Rounds and communication
    /// Exactly [`Plan::online`], counted under each step's name.
    ///
    /// # Errors
    /// [`InferenceError`]; the input is checked before anything is sent, and outputs beyond the plan's bound are an error
    /// at the data owner ([`InferenceError::OutputBound`]), not a result.
    pub async fn run<T: Transport, L: Transport>(
        &self,
        party: &mut Party<Metered<T>>,
        source: CorrelationSource<L>,
        inputs: Option<&[ArrayD<f32>]>,
        generator: &mut Prg,
        observer: &mut impl Observer,
    ) -> Result<Option<Vec<ArrayD<f64>>>, InferenceError> {
        let Self { plan, model, preprocessing } = *self;
        let (loaded, planned) = (model.weights.len(), plan.weights().len());
        if loaded != planned {
            return Err(InferenceError::OtherModel { loaded, planned });
        }
        let is_data_owner = party.index() == plan.settings().roles.data_owner;
        let inputs = encode_inputs(plan, party.index(), inputs.unwrap_or_default())?;
        let values = plan.graph().nodes().iter().map(|_| None).collect();
        let mut run = Run { party, source, plan, model, generator, values, outputs: Vec::new() };
        let mut materials = VecDeque::new();
        if preprocessing == Preprocessing::Ahead {
            for (index, step) in plan.steps().iter().enumerate() {
                materials.push_back(run.prepare_observed(index, step, observer).await?);
            }
        }
        let last_readers = plan.graph().last_readers();
        for (index, step) in plan.steps().iter().enumerate() {
            let material = match materials.pop_front() {
                Some(material) => material,
                None => run.prepare_observed(index, step, observer).await?,
            };
            observer.begin(Phase::Online, index);
            run.party.transport_mut().begin(Phase::Online, &step.name);
            run.execute(step, material, &inputs).await?;
            plan.graph().free_inputs(step.node, &last_readers, &mut run.values);
            observer.end(Phase::Online, index);
        }
        let at_the_end = |source| InferenceError::Step { step: "end of the run".to_owned(), source };
        run.source.finish().map_err(at_the_end)?;
        // After the last message, so that no other party waits for one.
        check_outputs(plan, &run.outputs)?;
        Ok(is_data_owner.then_some(run.outputs))
    }
}
