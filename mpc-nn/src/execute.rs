//! One party's run of a plan.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use mpc_protocols::fixed_weights::{FixedWeightPair, FixedWeights, PreparedLayer, WeightMask};
use mpc_protocols::relu::{ReluMask, relu};
use mpc_protocols::truncation::{LiftMask, truncate};
use mpc_protocols::{CorrelationSource, Party, ProtocolError, maximum, sharing};
use mpc_ring::{FixedPoint, Ring};
use mpc_shares::{ArithmeticShares, Prg, SecretVec, ShareError};
use mpc_transport::{Metered, Phase, Transport};
use ndarray::{ArrayD, IxDyn};

use crate::error::InferenceError;
use crate::graph::NodeId;
use crate::local;
use crate::plain::check_inputs;
use crate::plan::{Action, LayerParameters, Plan, Step, WeightKnowledge, pair_shape};
use crate::weights::Weights;

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

/// A party's share of a loaded model, which serves any number of inferences.
#[derive(Debug)]
pub struct Model<R: Ring> {
    layers: Vec<Layer<R>>,
}

#[derive(Debug)]
struct Layer<R: Ring> {
    weights: FixedWeights<R>,
    bias: Option<ArithmeticShares<R>>,
}

impl<R: Ring> Model<R> {
    /// Loads a model: the model owner shares its weights, and all open them under their masks, once.
    ///
    /// `source` is a session dealt to [`Plan::setup_requests`]. `weights` is `Some` at the model owner alone.
    ///
    /// # Security
    /// The other parties hold uniformly random shares; Δ = W − B is uniform.
    ///
    /// # Rounds and communication
    /// [`Plan::setup`]: 32 bytes to each other party, then one opening of ℓ/8 bytes per weight.
    ///
    /// # Errors
    /// [`InferenceError::Weights`], [`InferenceError::Range`], [`InferenceError::Step`].
    pub async fn load<T: Transport, L: Transport>(
        party: &mut Party<Metered<T>>,
        mut source: CorrelationSource<L>,
        plan: &Plan<R>,
        weights: Option<&Weights>,
        generator: &mut Prg,
    ) -> Result<Self, InferenceError> {
        let in_load = |source| InferenceError::Step { step: labels::LOAD.to_owned(), source };
        let owner = plan.settings().roles.model_owner;
        let secret = if party.index() == owner { Some(encode_weights(plan, weights)?) } else { None };
        party.transport_mut().begin(Phase::Setup, labels::LOAD);
        let len = plan.layers().iter().map(|layer| layer.weight_len + layer.bias_len).sum();
        let shares = match plan.settings().weights {
            WeightKnowledge::Shared => {
                sharing::share(party, owner, &[len], secret.as_deref(), generator).await.map_err(in_load)?
            }
            WeightKnowledge::Owner => {
                let own = secret.unwrap_or_else(|| SecretVec::zeros(len));
                ArithmeticShares::from_elements(own.into_vec())
            }
        };
        let mut rest = shares.elements();
        let (mut masked, mut biases) = (Vec::new(), Vec::new());
        for layer in plan.layers() {
            let (weight, others) = rest.split_at(layer.weight_len);
            let (bias, others) = others.split_at(layer.bias_len);
            rest = others;
            let mask = source.next::<R, WeightMask<R>>(layer.weight_len).await.map_err(in_load)?;
            masked.push((ArithmeticShares::from_elements(weight.to_vec()), mask));
            biases.push(layer.bias.is_some().then(|| ArithmeticShares::from_elements(bias.to_vec())));
        }
        let weights = FixedWeights::load(party, masked).await.map_err(in_load)?;
        source.finish().map_err(in_load)?;
        let layers = weights.into_iter().zip(biases).map(|(weights, bias)| Layer { weights, bias });
        Ok(Self { layers: layers.collect() })
    }
}

/// All weights and biases in fixed point, in the order of the plan's layers.
fn encode_weights<R: Ring>(plan: &Plan<R>, weights: Option<&Weights>) -> Result<SecretVec<R>, InferenceError> {
    let single = FixedPoint::new(plan.settings().fractional_bits);
    let double = FixedPoint::new(2 * plan.settings().fractional_bits);
    let mut encoded = Vec::with_capacity(plan.layers().iter().map(|layer| layer.weight_len + layer.bias_len).sum());
    let mut append = |name: &str, len: usize, fixed: FixedPoint, divisor: usize| -> Result<(), InferenceError> {
        let missing = || InferenceError::Weights { tensor: name.to_owned(), expected: len };
        let tensor = weights.and_then(|weights| weights.get(name)).filter(|tensor| tensor.len() == len);
        for &value in tensor.ok_or_else(missing)? {
            let element = fixed.encode(f64::from(value) / divisor as f64);
            encoded.push(element.map_err(|source| InferenceError::Range { tensor: name.to_owned(), source })?);
        }
        Ok(())
    };
    for LayerParameters { weight, weight_len, bias, bias_len, divisor } in plan.layers() {
        append(weight, *weight_len, single, *divisor)?;
        if let Some(bias) = bias {
            append(bias, *bias_len, double, 1)?;
        }
    }
    Ok(encoded.into())
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
    /// `source` is a session dealt to [`Plan::requests`]; `inputs` are `Some` at the data owner alone.
    ///
    /// # Security
    /// Semi-honest, against any n−1 colluding parties apart from the dealer: every opened value is masked by fresh
    /// uniform dealt randomness, and the outputs' shares go to the data owner alone.
    ///
    /// # Rounds and communication
    /// Exactly [`Plan::online`], counted under each step's name.
    ///
    /// # Errors
    /// [`InferenceError`]; the input is checked before anything is sent.
    pub async fn run<T: Transport, L: Transport>(
        &self,
        party: &mut Party<Metered<T>>,
        source: CorrelationSource<L>,
        inputs: Option<&[ArrayD<f32>]>,
        generator: &mut Prg,
        observer: &mut impl Observer,
    ) -> Result<Option<Vec<ArrayD<f64>>>, InferenceError> {
        let Self { plan, model, preprocessing } = *self;
        let (loaded, planned) = (model.layers.len(), plan.layers().len());
        if loaded != planned {
            return Err(InferenceError::OtherModel { loaded, planned });
        }
        let is_data_owner = party.index() == plan.settings().roles.data_owner;
        let inputs = match inputs {
            Some(inputs) if is_data_owner => Some(encode_inputs(plan, inputs)?),
            None if is_data_owner => Some(encode_inputs(plan, &[])?),
            _ => None,
        };
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
            run.execute(step, material, inputs.as_deref()).await?;
            run.free(step.node, &last_readers);
            observer.end(Phase::Online, index);
        }
        let at_the_end = |source| InferenceError::Step { step: "end of the run".to_owned(), source };
        run.source.finish().map_err(at_the_end)?;
        Ok(is_data_owner.then_some(run.outputs))
    }
}

/// The inputs in fixed point, checked against the graph and the plan's bound.
fn encode_inputs<R: Ring>(plan: &Plan<R>, inputs: &[ArrayD<f32>]) -> Result<Vec<SecretVec<R>>, InferenceError> {
    check_inputs(plan.graph(), inputs)?;
    let fixed = FixedPoint::new(plan.settings().fractional_bits);
    let bound = plan.settings().bound();
    let names = plan.graph().inputs().iter().map(|&id| plan.graph().node(id).name());
    let encode = |(input, name): (&ArrayD<f32>, &str)| {
        if let Some(index) = input.iter().position(|value| f64::from(value.abs()) >= bound) {
            return Err(InferenceError::Bound { input: name.to_owned(), index, bound });
        }
        let range = |source| InferenceError::Range { tensor: name.to_owned(), source };
        let mut elements = Vec::with_capacity(input.len());
        for &value in input {
            elements.push(fixed.encode(f64::from(value)).map_err(range)?);
        }
        Ok(SecretVec::from(elements))
    };
    inputs.iter().zip(names).map(encode).collect()
}

/// The correlations of one step, drawn and made ready: consumed by the step.
enum Material<R: Ring> {
    None,
    Linear(PreparedLayer<R>),
    Truncate(LiftMask<R>),
    Relu(ReluMask<R>),
    MaxPool(Vec<ReluMask<R>>),
}

struct Run<'a, R: Ring, T: Transport, L: Transport> {
    party: &'a mut Party<Metered<T>>,
    source: CorrelationSource<L>,
    plan: &'a Plan<R>,
    model: &'a Model<R>,
    generator: &'a mut Prg,
    /// The value of each node, from when it is made until its last reader is done.
    values: Vec<Option<ArithmeticShares<R>>>,
    outputs: Vec<ArrayD<f64>>,
}

impl<R: Ring, T: Transport, L: Transport> Run<'_, R, T, L> {
    async fn prepare_observed(
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
                let pair: FixedWeightPair<R> = source.next(pair_shape(*layer, *map)).await?;
                Material::Linear(self.model.layers[*layer].weights.prepare(pair)?)
            }
            Action::Truncate(shape) => Material::Truncate(source.next(*shape).await?),
            Action::Relu { shape, .. } => Material::Relu(source.next(*shape).await?),
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
    async fn execute(
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
                relu(self.party, x, *shift, mask).await.map_err(protocol)?
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
            Action::Add { shifts } => add(&operands, *shifts),
            Action::Concat { axis, shifts } => local::concat(&operands, shifts, *axis, shape),
            Action::Reshape => local::copy(first).reshape(shape),
            Action::Pad { before } => local::pad(first, before, shape),
            Action::Slice { start, stop, step } => local::slice(first, [start, stop, step], shape),
            _ => return Err(no_value(step)),
        };
        result.map_err(|source| in_step(step, source.into()))
    }

    /// Drops the values that step was the last to read.
    fn free(&mut self, node: NodeId, last_readers: &[Option<NodeId>]) {
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

fn add<R: Ring>(operands: &[&ArithmeticShares<R>], shifts: [u32; 2]) -> Result<ArithmeticShares<R>, ShareError> {
    let [x, y] = [0, 1].map(|i| {
        let mut shifted = local::copy(operands[i]);
        local::shift_left(&mut shifted, shifts[i]);
        shifted
    });
    let mut sum = x;
    sum.add(&y)?;
    Ok(sum)
}

fn decode<R: Ring>(elements: SecretVec<R>, fractional_bits: u32, divisor: usize, shape: &[usize]) -> ArrayD<f64> {
    let fixed = FixedPoint::new(fractional_bits);
    let values: Vec<f64> = elements.iter().map(|&x| fixed.decode(x) / divisor as f64).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("a step has as many elements as its shape")
}
