//! A party's correlations of one inference, step by step or all before.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

use mpc_protocols::CorrelationSource;
use mpc_ring::Ring;
use mpc_transport::Phase;

use super::Observer;
use super::model::Model;
use crate::error::InferenceError;
use crate::ops::needs::Material;
use crate::ops::values::Failure;
use crate::plan::{Plan, Step};

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
        let needs = step.needs(self.plan.steps());
        let drawn = needs.draw(step.correlation_width(), &mut self.source, &self.model.weights).await;
        let failed = |source| match self.plan.own() {
            Some(_) => InferenceError::over_preparing_link(&step.name, source),
            None => InferenceError::over_dealer_link(&step.name, source),
        };
        let material = drawn.map_err(failed)?;
        observer.end(Phase::Preprocessing, index);
        Ok(material)
    }

    fn finish(self) -> Result<(), InferenceError> {
        let at_the_end = |source| InferenceError::Step { step: "end of the run".to_owned(), source };
        self.source.finish().map_err(at_the_end)
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
            Self::Prepared(materials) => materials.pop_front().ok_or_else(|| Failure::NoValue.in_step(step)),
        }
    }

    pub(super) fn finish(self) -> Result<(), InferenceError> {
        match self {
            Self::Streamed(drawing) => drawing.finish(),
            Self::Prepared(_) => Ok(()),
        }
    }
}
