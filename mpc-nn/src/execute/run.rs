//! The steps of one run at one party.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use mpc_protocols::beaver::{BeaverTriple, SquarePair};
use mpc_protocols::fixed_weights::{
    FixedWeightPair, FixedWeightProduct, FixedWeightShape, OpenedInput, PreparedLayer, PreparedProduct,
};
use mpc_protocols::function::FunctionMaterial;
use mpc_protocols::relu::{ReluMask, relu};
use mpc_protocols::sign::SignShape;
use mpc_protocols::truncation::{LiftMask, truncate};
use mpc_protocols::{CorrelationSource, Party, ProtocolError, beaver, maximum, sharing, sort};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg};
use mpc_transport::Phase;

use super::Observer;
use super::data::{Collected, Input};
use super::model::Model;
use crate::error::InferenceError;
use crate::local;
use crate::plan::{Action, Format, Owner, Plan, Step};

/// The correlations of one step, drawn and made ready: consumed by the step.
pub(super) enum Material<R: Ring> {
    None,
    /// With those of the steps that have the same input.
    Linear(PreparedLayer<R>, Vec<PreparedProduct<R>>),
    Truncate(LiftMask<R>),
    Relu(Box<ReluMask<R>>),
    Function(Box<FunctionMaterial<R>>),
    Maximum(Vec<ReluMask<R>>),
    Multiply(BeaverTriple<R>),
    Square(SquarePair<R>),
}

/// A party's correlations of one inference as they come from the dealer, or from a recording.
pub(super) struct Drawing<'a, R: Ring> {
    pub(super) plan: &'a Plan<R>,
    pub(super) model: &'a Model<R>,
    pub(super) source: CorrelationSource<'a>,
}

impl<R: Ring> Drawing<'_, R> {
    /// Draws all that is left.
    pub(super) async fn all(mut self, observer: &mut impl Observer) -> Result<VecDeque<Material<R>>, InferenceError> {
        let mut materials = VecDeque::with_capacity(self.plan.steps().len());
        for (index, step) in self.plan.steps().iter().enumerate() {
            materials.push_back(self.next(index, step, observer).await?);
        }
        self.finish()?;
        Ok(materials)
    }

    async fn next(
        &mut self,
        index: usize,
        step: &Step,
        observer: &mut impl Observer,
    ) -> Result<Material<R>, InferenceError> {
        observer.begin(Phase::Preprocessing, index);
        let material = self.draw(step).await.map_err(|source| InferenceError::over_dealer_link(&step.name, source))?;
        observer.end(Phase::Preprocessing, index);
        Ok(material)
    }

    fn finish(self) -> Result<(), InferenceError> {
        let at_the_end = |source| InferenceError::Step { step: "end of the run".to_owned(), source };
        self.source.finish().map_err(at_the_end)
    }

    /// Draws a step's correlations and does what can be done before its input is there.
    async fn draw(&mut self, step: &Step) -> Result<Material<R>, ProtocolError> {
        let source = &mut self.source;
        let elements = step.shape.iter().product();
        Ok(match &step.action {
            // An earlier step did it, and drew for it.
            _ if step.is_branch => Material::None,
            Action::Linear { weight, map, .. } => {
                let pair: FixedWeightPair<R> = source.next(FixedWeightShape { mask: *weight, map: *map }).await?;
                let first = self.model.weights[*weight].prepare(pair)?;
                let mut others = Vec::with_capacity(step.branches.len());
                for &branch in &step.branches {
                    let Action::Linear { weight, map, .. } = &self.plan.steps()[branch].action else { continue };
                    let product: FixedWeightProduct<R> =
                        source.next(FixedWeightShape { mask: *weight, map: *map }).await?;
                    others.push(self.model.weights[*weight].prepare_again(&first, product)?);
                }
                Material::Linear(first, others)
            }
            Action::Truncate { shape, .. } | Action::WithoutIndex { shape, .. } => {
                Material::Truncate(source.next(*shape).await?)
            }
            Action::Relu { shape, .. } => Material::Relu(Box::new(source.next(*shape).await?)),
            Action::Function(function) => Material::Function(Box::new(function.draw(source).await?)),
            Action::MaxPool { pool, parameters } => {
                let candidates = pool.kernel[0] * pool.kernel[1];
                Material::Maximum(draw_all(source, maximum::tournament(candidates, elements, *parameters)).await?)
            }
            Action::ArgMax { count, parameters, .. } => {
                Material::Maximum(draw_all(source, maximum::tournament(*count, elements, *parameters)).await?)
            }
            Action::Rank { count, rows, parameters, .. } => {
                Material::Maximum(draw_all(source, sort::shapes(*count, *rows, *parameters)).await?)
            }
            Action::Multiply { map } => Material::Multiply(source.next(*map).await?),
            Action::Square => Material::Square(source.next(elements).await?),
            _ => Material::None,
        })
    }
}

/// Where a run has each step's correlations from.
pub(super) enum Correlations<'a, R: Ring> {
    /// Drawn just before the step.
    Streamed(Box<Drawing<'a, R>>),
    /// Drawn before the run.
    Prepared(VecDeque<Material<R>>),
}

impl<R: Ring> Correlations<'_, R> {
    pub(super) async fn next(
        &mut self,
        index: usize,
        step: &Step,
        observer: &mut impl Observer,
    ) -> Result<Material<R>, InferenceError> {
        match self {
            Self::Streamed(drawing) => drawing.next(index, step, observer).await,
            Self::Prepared(materials) => materials.pop_front().ok_or_else(|| no_value(step)),
        }
    }

    pub(super) fn finish(self) -> Result<(), InferenceError> {
        match self {
            Self::Streamed(drawing) => drawing.finish(),
            Self::Prepared(_) => Ok(()),
        }
    }
}

/// One party's run: what it works with, and the values so far.
pub(super) struct Run<'a, R: Ring> {
    pub(super) party: &'a mut Party,
    pub(super) plan: &'a Plan<R>,
    pub(super) model: &'a Model<R>,
    pub(super) generator: &'a mut Prg,
    /// What this party brings, for each input of the graph.
    pub(super) inputs: Vec<Option<Input<R>>>,
    /// The value of each node, from when it is made until its last reader is done.
    pub(super) values: Vec<Option<ArithmeticShares<R>>>,
    pub(super) outputs: Collected<R>,
}

impl<R: Ring> Run<'_, R> {
    /// Does a step and stores its value.
    pub(super) async fn execute(&mut self, step: &Step, material: Material<R>) -> Result<(), InferenceError> {
        if step.is_branch {
            return Ok(());
        }
        let protocol = |source| in_step(step, source);
        let settings = self.plan.settings();
        let value = match (&step.action, material) {
            (Action::Share { input }, Material::None) => {
                let brought = self.inputs.get_mut(*input).and_then(Option::take);
                match (settings.roles.input_owner(*input), brought) {
                    (Owner::Outside, Some(Input::Share(share))) => {
                        share.reshape(&step.shape).map_err(|source| protocol(source.into()))?
                    }
                    (Owner::Party(owner), Some(Input::Secret(secret))) => {
                        let shared = sharing::share(self.party, owner, &step.shape, Some(&secret), self.generator);
                        shared.await.map_err(protocol)?
                    }
                    (Owner::Party(owner), None) => {
                        let shared = sharing::share(self.party, owner, &step.shape, None, self.generator);
                        shared.await.map_err(protocol)?
                    }
                    _ => return Err(no_value(step)),
                }
            }
            (Action::Linear { .. }, Material::Linear(first, others)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let (first, opened) = first.open(self.party, settings.clear_owner(), x).await.map_err(protocol)?;
                for (&branch, product) in step.branches.iter().zip(others) {
                    let branch = &self.plan.steps()[branch];
                    self.values[branch.node.index()] = Some(self.multiply(branch, &opened, product)?);
                }
                self.multiply(step, &opened, first)?
            }
            (Action::Truncate { shift, .. }, Material::Truncate(mask)) => {
                let x = own_value(&mut self.values, step)?;
                truncate(self.party, &x, *shift, mask).await.map_err(protocol)?
            }
            (Action::Relu { shift, .. }, Material::Relu(mask)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                relu(self.party, x, *shift, *mask).await.map_err(protocol)?
            }
            (Action::Function(function), Material::Function(material)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                function.apply(self.party, x, *material).await.map_err(protocol)?
            }
            (Action::MaxPool { pool, .. }, Material::Maximum(masks)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let candidates = local::window_candidates(x, pool, &step.shape).map_err(|e| protocol(e.into()))?;
                maximum::maximum_of(self.party, candidates, masks).await.map_err(protocol)?
            }
            (Action::ArgMax { count, index_bits, .. }, Material::Maximum(masks)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let candidates = local::indexed_candidates(x, *count, *index_bits, self.party.index(), &step.shape);
                maximum::maximum_of(self.party, candidates.map_err(|e| protocol(e.into()))?, masks)
                    .await
                    .map_err(protocol)?
            }
            (Action::Rank { count, rows, index_bits, .. }, Material::Maximum(masks)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let candidates = local::indexed_candidates(x, *count, *index_bits, self.party.index(), &[*rows]);
                let candidates = candidates.map_err(|e| protocol(e.into()))?;
                let sorted = sort::sort(self.party, candidates, masks).await.map_err(protocol)?;
                local::interleave(&sorted, &step.shape).map_err(|e| protocol(e.into()))?
            }
            (Action::WithoutIndex { shift, .. }, Material::Truncate(mask)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                truncate(self.party, x, *shift, mask).await.map_err(protocol)?
            }
            (Action::Multiply { .. }, Material::Multiply(triple)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                let y = operand(&self.values, self.plan, step, 1)?;
                let product = beaver::multiply(self.party, x, y, triple).await.map_err(protocol)?;
                product.reshape(&step.shape).map_err(|source| protocol(source.into()))?
            }
            (Action::Square, Material::Square(pair)) => {
                let x = operand(&self.values, self.plan, step, 0)?;
                beaver::square(self.party, x, pair).await.map_err(protocol)?
            }
            (Action::Reveal { .. }, Material::None) => {
                let x = self.values[step.node.index()].as_ref().ok_or_else(|| no_value(step))?;
                return match &step.format {
                    Format::Number(_) => self.outputs.reveal(self.party, step, x).await,
                    // What is above the index is not part of the result.
                    Format::Index(index) | Format::Ranked(index) => {
                        self.outputs.reveal(self.party, step, &local::low_bits(x, index.bits)).await
                    }
                };
            }
            (action, _) => self.locally(step, action)?,
        };
        self.values[step.node.index()] = Some(value);
        Ok(())
    }

    /// The value of a linear step whose input has been opened.
    fn multiply(
        &self,
        step: &Step,
        opened: &OpenedInput<R>,
        product: PreparedProduct<R>,
    ) -> Result<ArithmeticShares<R>, InferenceError> {
        let Action::Linear { weight, bias, .. } = &step.action else { return Err(no_value(step)) };
        let multiplied = self.model.weights[*weight].multiply(opened, product);
        let mut y = multiplied.map_err(|source| in_step(step, source))?;
        if let Some((constant, map)) = bias {
            local::add_channels(&mut y, &self.model.constants[*constant], *map);
        }
        y.reshape(&step.shape).map_err(|source| in_step(step, source.into()))
    }

    /// The steps without a message.
    fn locally(&mut self, step: &Step, action: &Action) -> Result<ArithmeticShares<R>, InferenceError> {
        if let Action::Rescale { factor } = action {
            return Ok(own_value(&mut self.values, step)?.scale(R::from_i128(i128::from(*factor))));
        }
        let inputs = self.plan.graph().node(step.node).inputs();
        let operands: Vec<_> =
            (0..inputs.len()).map(|i| operand(&self.values, self.plan, step, i)).collect::<Result<_, _>>()?;
        let result = local::apply(action, &operands, &self.model.constants, self.party.index(), &step.shape);
        result.ok_or_else(|| no_value(step))?.map_err(|source| in_step(step, source.into()))
    }
}

/// The correlations of comparisons that come one after the other.
async fn draw_all<R: Ring>(
    source: &mut CorrelationSource<'_>,
    shapes: Vec<SignShape>,
) -> Result<Vec<ReluMask<R>>, ProtocolError> {
    let mut masks = Vec::with_capacity(shapes.len());
    for shape in shapes {
        masks.push(source.next(shape).await?);
    }
    Ok(masks)
}

pub(super) fn in_step(step: &Step, source: ProtocolError) -> InferenceError {
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
