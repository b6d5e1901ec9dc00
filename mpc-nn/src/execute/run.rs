//! The steps of one run at one party.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mpc_protocols::fixed_weights::{FixedWeightPair, FixedWeightShape, PreparedLayer};
use mpc_protocols::relu::{ReluMask, relu};
use mpc_protocols::truncation::{LiftMask, truncate};
use mpc_protocols::{CorrelationSource, Party, ProtocolError, maximum, sharing};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, SecretVec};
use mpc_transport::{Metered, Phase, Transport};
use ndarray::ArrayD;

use super::Observer;
use super::fixed_point::decode;
use super::model::{Layer, Model};
use crate::error::InferenceError;
use crate::graph::NodeId;
use crate::local;
use crate::plan::{Action, Plan, Step, WeightKnowledge};

/// The correlations of one step, drawn and made ready: consumed by the step.
pub(super) enum Material<R: Ring> {
    None,
    Linear(PreparedLayer<R>),
    Truncate(LiftMask<R>),
    Relu(Box<ReluMask<R>>),
    MaxPool(Vec<ReluMask<R>>),
}

/// One party's run: what it works with, and the values so far.
pub(super) struct Run<'a, R: Ring, T: Transport, L: Transport> {
    pub(super) party: &'a mut Party<Metered<T>>,
    pub(super) source: CorrelationSource<L>,
    pub(super) plan: &'a Plan<R>,
    pub(super) model: &'a Model<R>,
    pub(super) generator: &'a mut Prg,
    /// The value of each node, from when it is made until its last reader is done.
    pub(super) values: Vec<Option<ArithmeticShares<R>>>,
    pub(super) outputs: Vec<ArrayD<f64>>,
}

impl<R: Ring, T: Transport, L: Transport> Run<'_, R, T, L> {
    pub(super) async fn prepare_observed(
        &mut self,
        index: usize,
        step: &Step,
        observer: &mut impl Observer,
    ) -> Result<Material<R>, InferenceError> {
        observer.begin(Phase::Preprocessing, index);
        let material =
            self.prepare(step).await.map_err(|source| InferenceError::over_dealer_link(&step.name, source))?;
        observer.end(Phase::Preprocessing, index);
        Ok(material)
    }

    /// Draws a step's correlations and does what can be done before its input is there.
    async fn prepare(&mut self, step: &Step) -> Result<Material<R>, ProtocolError> {
        let source = &mut self.source;
        Ok(match &step.action {
            Action::Linear { layer, map } => {
                let pair: FixedWeightPair<R> = source.next(FixedWeightShape { mask: *layer, map: *map }).await?;
                Material::Linear(self.model.layers[*layer].weights.prepare(pair)?)
            }
            Action::Truncate(shape) => Material::Truncate(source.next(*shape).await?),
            Action::Relu { shape, .. } => Material::Relu(Box::new(source.next(*shape).await?)),
            Action::MaxPool { pool, parameters } => {
                let candidates = pool.kernel[0] * pool.kernel[1];
                let elements = step.shape.iter().product();
                let mut masks = Vec::new();
                for shape in maximum::tournament(candidates, elements, *parameters) {
                    masks.push(source.next(shape).await?);
                }
                Material::MaxPool(masks)
            }
            _ => Material::None,
        })
    }

    /// Does a step and stores its value.
    pub(super) async fn execute(
        &mut self,
        step: &Step,
        material: Material<R>,
        inputs: Option<&[SecretVec<R>]>,
    ) -> Result<(), InferenceError> {
        let protocol = |source| in_step(step, source);
        let settings = self.plan.settings();
        let value = match (&step.action, material) {
            (Action::Share { input }, Material::None) => {
                let secret = inputs.and_then(|inputs| inputs.get(*input)).map(|input| &**input);
                let owner = settings.roles.data_owner;
                sharing::share(self.party, owner, &step.shape, secret, self.generator).await.map_err(protocol)?
            }
            (Action::Linear { layer, .. }, Material::Linear(prepared)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let Layer { weights, bias } = &self.model.layers[*layer];
                let applied = match settings.weights {
                    WeightKnowledge::Shared => weights.apply(self.party, x, prepared).await,
                    WeightKnowledge::Owner => {
                        weights.apply_at_owner(self.party, settings.roles.model_owner, x, prepared).await
                    }
                };
                let mut y = applied.map_err(protocol)?;
                if let Some(bias) = bias {
                    local::add_bias(&mut y, bias);
                }
                y.reshape(&step.shape).map_err(|source| protocol(source.into()))?
            }
            (Action::Truncate(_), Material::Truncate(mask)) => {
                let x = own_value(&mut self.values, step)?;
                truncate(self.party, &x, settings.fractional_bits, mask).await.map_err(protocol)?
            }
            (Action::Relu { shift, .. }, Material::Relu(mask)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                relu(self.party, x, *shift, *mask).await.map_err(protocol)?
            }
            (Action::MaxPool { pool, .. }, Material::MaxPool(masks)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let candidates = local::window_candidates(x, pool, &step.shape).map_err(|e| protocol(e.into()))?;
                maximum::maximum_of(self.party, candidates, masks).await.map_err(protocol)?
            }
            (Action::Reveal { fractional_bits, divisor, .. }, Material::None) => {
                let x = self.values[step.node.index()].as_ref().ok_or_else(|| no_value(step))?;
                let owner = settings.roles.data_owner;
                let revealed = sharing::reveal(self.party, owner, x).await.map_err(protocol)?;
                if let Some(elements) = revealed {
                    self.outputs.push(decode(SecretVec::from(elements), *fractional_bits, *divisor, &step.shape));
                }
                return Ok(());
            }
            (action, _) => self.locally(step, action)?,
        };
        self.values[step.node.index()] = Some(value);
        Ok(())
    }

    /// The steps without a message.
    fn locally(&mut self, step: &Step, action: &Action) -> Result<ArithmeticShares<R>, InferenceError> {
        let shape = &step.shape;
        let fractional_bits = self.plan.settings().fractional_bits;
        if let Action::Divide { divisor } = action {
            return Ok(own_value(&mut self.values, step)?.scale(local::reciprocal(*divisor, fractional_bits)));
        }
        let inputs = self.plan.graph().node(step.node).inputs();
        let operands: Vec<_> =
            (0..inputs.len()).map(|i| operand(&self.values, self.plan, step, i)).collect::<Result<_, _>>()?;
        let first = *operands.first().ok_or_else(|| no_value(step))?;
        let result = match action {
            Action::SumPool(pool) => local::sum_windows(first, pool, shape),
            Action::MeanPool(pool) => local::mean_windows(first, pool, fractional_bits, shape),
            Action::Add { shifts } => local::add(first, operand(&self.values, self.plan, step, 1)?, *shifts),
            Action::Concat { axis, shifts } => local::concat(&operands, shifts, *axis, shape),
            Action::Reshape => local::copy(first).reshape(shape),
            Action::Pad { before } => local::pad(first, before, shape),
            Action::Slice { start, stop, step } => local::slice(first, [start, stop, step], shape),
            _ => return Err(no_value(step)),
        };
        result.map_err(|source| in_step(step, source.into()))
    }

    /// Drops the values that step was the last to read.
    pub(super) fn free(&mut self, node: NodeId, last_readers: &[Option<NodeId>]) {
        for input in self.plan.graph().node(node).inputs() {
            if last_readers[input.index()] == Some(node) {
                self.values[input.index()] = None;
            }
        }
    }
}

fn in_step(step: &Step, source: ProtocolError) -> InferenceError {
    InferenceError::Step { step: step.name.clone(), source }
}

fn no_value(step: &Step) -> InferenceError {
    InferenceError::NoValue { step: step.name.clone() }
}

/// The value of a step's input.
fn operand<'a, R: Ring>(
    values: &'a [Option<ArithmeticShares<R>>],
    plan: &Plan<R>,
    step: &Step,
    input: usize,
) -> Result<&'a ArithmeticShares<R>, InferenceError> {
    let id = plan.graph().node(step.node).inputs().get(input).ok_or_else(|| no_value(step))?;
    values[id.index()].as_ref().ok_or_else(|| no_value(step))
}

/// The value of a step that changes it in place.
fn own_value<R: Ring>(
    values: &mut [Option<ArithmeticShares<R>>],
    step: &Step,
) -> Result<ArithmeticShares<R>, InferenceError> {
    values[step.node.index()].take().ok_or_else(|| no_value(step))
}
