//! A group of a plan's steps: one alone, or ways that run in the same rounds.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use mpc_protocols::joint::{self, Joint, JointFuture};
use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use mpc_transport::Phase;

use super::context::{Collected, Run};
use crate::error::InferenceError;
use crate::graph::NodeId;
use crate::ops::needs::Material;
use crate::plan::schedule::ways_of;
use crate::plan::step::Step;

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
        let Self { party, settings, steps, weights, constants, values, .. } = self;
        let mut runs: Vec<Run<'_, R>> = lanes
            .iter_mut()
            .zip(changed)
            .map(|(party, changed)| {
                let (inputs, outputs, values) = (Vec::new(), Collected::default(), values.beside(changed));
                Run { party, settings, steps, weights, constants, generator: None, inputs, values, outputs }
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
}
