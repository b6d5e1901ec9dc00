//! The data that a step works with, at a party and in the clear.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use mpc_protocols::fixed_weights::FixedWeights;
use mpc_protocols::joint::{self, Joint, JointFuture};
use mpc_protocols::{Party, ProtocolError, sharing};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, SecretVec};
use mpc_transport::Phase;
use ndarray::ArrayD;

use crate::error::InferenceError;
use crate::graph::NodeId;
use crate::ops::needs::Material;
use crate::ops::values::{Failure, Operands, Values};
use crate::plan::schedule::ways_of;
use crate::plan::settings::Settings;
use crate::plan::step::Step;

/// One party's run: what it works with, and the values so far.
pub(crate) struct Run<'a, R: Ring> {
    pub(crate) party: &'a mut Party,
    pub(crate) settings: &'a Settings,
    pub(crate) steps: &'a [Step],
    pub(crate) weights: &'a [FixedWeights<R>],
    pub(crate) constants: &'a [ArithmeticShares<R>],
    pub(crate) generator: &'a mut Prg,
    /// This party's part of each input of the graph.
    pub(crate) inputs: Vec<Option<Input<R>>>,
    pub(crate) values: Values<'a, R>,
    pub(crate) outputs: Collected<R>,
}

impl<R: Ring> Run<'_, R> {
    /// Runs the ways of a group, which wait for nothing of each other, in the same rounds; or a step alone.
    pub(super) async fn group(&mut self, group: &[Step], materials: Vec<Material<R>>) -> Result<(), InferenceError> {
        let ways = ways_of(group);
        if ways.len() == 1 { self.one(group, materials).await } else { self.together(ways, materials).await }
    }

    /// Runs steps one after the other.
    async fn one(&mut self, steps: &[Step], materials: Vec<Material<R>>) -> Result<(), InferenceError> {
        for (step, material) in steps.iter().zip(materials) {
            self.party.transport_mut().begin(Phase::Online, &step.name);
            // An earlier step did it otherwise.
            if !step.is_branch {
                let value = step.run(self, material).await.map_err(|failure| failure.in_step(step))?;
                self.set(step, value);
            }
        }
        Ok(())
    }

    async fn together(&mut self, ways: Vec<&[Step]>, materials: Vec<Material<R>>) -> Result<(), InferenceError> {
        let changed = ways.iter().map(|way| self.take_changed(way)).collect::<Result<Vec<_>, _>>()?;
        let (joint, mut lanes) = Joint::new(self.party, ways.len());
        let mut generators: Vec<Prg> = ways.iter().map(|_| Prg::new(self.generator.seed())).collect();
        let Self { party, settings, steps, weights, constants, values, .. } = self;
        let own = lanes.iter_mut().zip(&mut generators).zip(changed);
        let mut runs: Vec<Run<'_, R>> = own
            .map(|((party, generator), changed)| {
                let (inputs, outputs, values) = (Vec::new(), Collected::default(), values.beside(changed));
                Run { party, settings, steps, weights, constants, generator, inputs, values, outputs }
            })
            .collect();
        let mut materials = materials.into_iter();
        let protocols = runs.iter_mut().zip(&ways).map(|(run, way)| {
            let materials = materials.by_ref().take(way.len()).collect();
            Box::pin(run.one(way, materials)) as JointFuture<'_, (), InferenceError>
        });
        let protocols = protocols.collect();
        joint.run(party, protocols).await?;
        let made: Vec<_> = runs.into_iter().map(|run| run.values.into_made()).collect();
        made.into_iter().for_each(|made| self.values.take_in(made));
        joint::count(self.party, Phase::Online, &lanes);
        Ok(())
    }

    /// The values from before that a way changes in place.
    fn take_changed(&mut self, way: &[Step]) -> Result<BTreeMap<NodeId, ArithmeticShares<R>>, InferenceError> {
        let mut made = BTreeSet::new();
        let mut changed = BTreeMap::new();
        for step in way {
            if made.insert(step.node) && step.action.in_place() {
                let value = self.values.take(step).map_err(|failure| failure.in_step(step))?;
                changed.insert(step.node, value);
            }
        }
        Ok(changed)
    }

    /// Stores the value that a step gives.
    pub(crate) fn set(&mut self, step: &Step, mut value: ArithmeticShares<R>) {
        if cfg!(debug_assertions) {
            disturb(value.elements_mut(), step.width, self.party.index());
        }
        self.values.set(step, value);
    }
}

/// Changes the bits of a share that nobody may read, so that every test of an inference finds a step that does.
fn disturb<R: Ring>(elements: &mut [R], width: u32, party: usize) {
    let low = R::low_mask(width);
    let mut noise = R::from_u64(2 * party as u64 + 1);
    for element in elements {
        noise = noise.wrapping_mul(R::from_u128(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15));
        *element = (*element & low) | (noise & !low);
    }
}

/// The data that a step works with where nothing is shared.
pub(crate) struct Ideal<'a, R: Ring> {
    pub(crate) operands: Operands<'a, R>,
    /// The value of the step's own node, for a step that changes it in place.
    pub(crate) own: Option<ArithmeticShares<R>>,
    pub(crate) weights: &'a [&'a [R]],
    /// The inputs of the graph.
    pub(crate) inputs: &'a mut [Option<SecretVec<R>>],
}

impl<R: Ring> Ideal<'_, R> {
    /// The elements of an operand.
    pub(crate) fn elements(&self, at: usize) -> Result<&[R], Failure> {
        Ok(self.operands.values.get(at).ok_or(Failure::NoValue)?.elements())
    }

    /// The value of the step's own node.
    pub(crate) fn take(&mut self) -> Result<ArithmeticShares<R>, Failure> {
        self.own.take().ok_or(Failure::NoValue)
    }
}

/// A party's part of one input.
pub(crate) enum Input<R: Ring> {
    /// It is its owner.
    Secret(SecretVec<R>),
    /// It was sent a share.
    Share(ArithmeticShares<R>),
}

/// The outputs so far.
#[derive(Default)]
pub(crate) struct Collected<R: Ring> {
    pub(super) recipients: Vec<usize>,
    pub(super) revealed: Vec<ArrayD<f64>>,
    /// This party's shares, if they go outside, and how many there are so far.
    pub(super) shares: Option<(SecretVec<R>, usize)>,
}

impl<R: Ring> Collected<R> {
    /// Reveals an output to the parties that are to learn it, and keeps the share that goes outside.
    pub(crate) async fn reveal(
        &mut self,
        party: &mut Party,
        step: &Step,
        x: &ArithmeticShares<R>,
    ) -> Result<(), ProtocolError> {
        if let Some((shares, len)) = &mut self.shares {
            shares[*len..][..x.len()].copy_from_slice(x.elements());
            *len += x.len();
        }
        if let Some(elements) = sharing::reveal_to(party, &self.recipients, x).await?.map(SecretVec::from) {
            self.revealed.push(step.format.decode(&elements, &step.shape));
        }
        Ok(())
    }
}
