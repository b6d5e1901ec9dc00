//! One party's run of a plan.

pub(crate) mod context;
mod data;
mod drawing;
pub(crate) mod fixed_point;
mod group;
mod model;
mod reach;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use mpc_protocols::{CorrelationSource, Party};
use mpc_ring::Ring;
use mpc_shares::Prg;
use mpc_transport::Phase;
use ndarray::ArrayD;

use crate::encoding::{Header, Kind};
use crate::error::InferenceError;
use crate::ops::needs::Material;
use crate::ops::values::Values;
use crate::plan::schedule::groups_of;
use crate::plan::{Owner, Plan};

pub use crate::plan::Preprocessing;
pub use data::{Inputs, Outputs};
pub use model::{Model, ModelSource};

use context::{Input, Run};
use drawing::{Correlations, Drawing};
use fixed_point::encode_inputs;

/// Labels of what is counted outside the steps.
pub mod labels {
    /// The weights' shares and their opening under masks.
    pub const LOAD: &str = "load model";
    /// The handshake.
    pub const HANDSHAKE: &str = mpc_protocols::session::HANDSHAKE;
    /// The needs of two parties that make correlations: base transfers, and the hints of a model.
    pub const MAKE_SETUP: [&str; 2] = [mpc_ot::OPENING, mpc_protocols::own::MAKE];
    /// The commitments of a dealer, and the seeds that it tells.
    pub const AUDIT: &str = "audit of the dealer";
    /// The dealer's seeds and corrections.
    pub const DEAL: &str = "deal correlations";
}

/// Checks inputs as an inference will, before anybody takes part: those of `owner`, in the order of the graph's. What follows from
/// them alone, without weights, is computed in the clear and checked, too, such as the number that a one-hot integer stands for.
///
/// # Errors
/// [`InferenceError::Input`], [`InferenceError::Bound`], [`InferenceError::Range`], [`InferenceError::Reach`],
/// [`InferenceError::Spread`].
pub fn check_inputs<R: Ring>(plan: &Plan<R>, owner: Owner, inputs: &[ArrayD<f32>]) -> Result<(), InferenceError> {
    encode_inputs(plan, owner, inputs)?;
    reach::check_values(plan, owner, inputs)
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

/// One party's inferences with a loaded model.
#[derive(Clone, Copy, Debug)]
pub struct Inference<'a, R: Ring> {
    /// The steps to run; the same at every party.
    pub plan: &'a Plan<R>,
    /// This party's share of the model.
    pub model: &'a Model<R>,
    /// When correlations are drawn.
    pub preprocessing: Preprocessing,
}

impl<R: Ring> Inference<'_, R> {
    /// Runs one inference at one party, which gets the outputs if it is to learn them, and a share of them if somebody
    /// outside is.
    ///
    /// `source` is a session dealt to [`Plan::requests`].
    ///
    /// # Security
    /// Semi-honest, against any n−1 colluding parties apart from the dealer: every opened value is masked by fresh
    /// uniform dealt randomness, and the outputs' shares go to those alone who are to learn them.
    ///
    /// # Rounds and communication
    /// Exactly [`Plan::online`], counted under each step's name.
    ///
    /// # Errors
    /// [`InferenceError`]; the inputs are checked before anything is sent, and outputs beyond the plan's bound, and indices
    /// that are none, are an error where they are revealed ([`InferenceError::OutputBound`], [`InferenceError::IndexRange`]),
    /// not a result.
    pub async fn run(
        &self,
        party: &mut Party,
        source: CorrelationSource<'_>,
        inputs: Inputs<'_, R>,
        generator: &mut Prg,
        observer: &mut impl Observer,
    ) -> Result<Outputs<R>, InferenceError> {
        let Self { plan, model, preprocessing } = *self;
        let inputs = self.checked(party, inputs)?;
        let drawing = Drawing { plan, model, source };
        let correlations = match preprocessing {
            Preprocessing::Streamed => Correlations::Streamed(Box::new(drawing)),
            Preprocessing::Ahead => Correlations::Prepared(drawing.all(observer).await?),
        };
        self.run_with(party, correlations, inputs, generator, observer).await
    }

    /// Draws the correlations of one inference, all of them, whatever [`preprocessing`](Self::preprocessing) says: for
    /// [`run_prepared`](Self::run_prepared).
    ///
    /// # Rounds and communication
    /// No message to the other parties; from the dealer [`Plan::preprocessing`].
    ///
    /// # Errors
    /// [`InferenceError`] over the link to the dealer.
    pub async fn prepare(
        &self,
        source: CorrelationSource<'_>,
        observer: &mut impl Observer,
    ) -> Result<Prepared<R>, InferenceError> {
        let drawing = Drawing { plan: self.plan, model: self.model, source };
        Ok(Prepared { header: self.model.header, materials: drawing.all(observer).await? })
    }

    /// As [`run`](Self::run), with correlations that were drawn before.
    ///
    /// # Errors
    /// As for [`run`](Self::run); [`InferenceError::Encoding`] for those of another plan or party.
    pub async fn run_prepared(
        &self,
        party: &mut Party,
        prepared: Prepared<R>,
        inputs: Inputs<'_, R>,
        generator: &mut Prg,
        observer: &mut impl Observer,
    ) -> Result<Outputs<R>, InferenceError> {
        prepared.header.check(Kind::Model, Header::new(self.plan, party.index()))?;
        let inputs = self.checked(party, inputs)?;
        self.run_with(party, Correlations::Prepared(prepared.materials), inputs, generator, observer).await
    }

    /// The inputs as they will be used, if the model and they are right.
    fn checked(&self, party: &Party, inputs: Inputs<'_, R>) -> Result<Vec<Option<Input<R>>>, InferenceError> {
        self.model.header.check(Kind::Model, Header::new(self.plan, party.index()))?;
        inputs.prepare(self.plan, party.index())
    }

    async fn run_with(
        &self,
        party: &mut Party,
        mut correlations: Correlations<'_, R>,
        inputs: Vec<Option<Input<R>>>,
        generator: &mut Prg,
        observer: &mut impl Observer,
    ) -> Result<Outputs<R>, InferenceError> {
        let Self { plan, model, .. } = *self;
        let (graph, outputs) = (plan.graph(), data::collected(plan));
        let (settings, steps, values) = (plan.settings(), plan.steps(), Values::new(graph));
        let Model { weights, constants, .. } = model;
        let generator = Some(generator);
        let mut run = Run { party, settings, steps, weights, constants, generator, inputs, values, outputs };
        let mut first = 0;
        for group in groups_of(steps) {
            let mut materials = Vec::with_capacity(group.len());
            for (index, step) in (first..).zip(group) {
                materials.push(correlations.next(index, step, observer).await?);
            }
            // The time of all is the first's.
            observer.begin(Phase::Online, first);
            run.group(group, materials).await?;
            group.iter().for_each(|step| run.values.free(step));
            observer.end(Phase::Online, first);
            for index in first + 1..first + group.len() {
                observer.begin(Phase::Online, index);
                observer.end(Phase::Online, index);
            }
            first += group.len();
        }
        correlations.finish()?;
        // After the last message, so that no other party waits for one.
        data::finish(run.outputs, plan, run.party.index())
    }
}

/// One party's correlations of one inference, drawn and made ready for its online phase: consumed by it. Zeroised on drop,
/// never printed.
pub struct Prepared<R: Ring> {
    header: Header,
    materials: VecDeque<Material<R>>,
}

impl<R: Ring> fmt::Debug for Prepared<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Prepared").field("party", &self.header.party).finish_non_exhaustive()
    }
}
