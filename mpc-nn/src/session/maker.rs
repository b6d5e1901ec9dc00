//! The maker of a session's correlations: a dealer, or the two parties.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mpc_protocols::own::{Own, OwnPlan};
use mpc_protocols::{CorrelationSource, Place, Request, correlation};
use mpc_ring::Ring;
use mpc_transport::{Link, Meter, Phase, RecordingError};

use crate::error::InferenceError;
use crate::plan::Plan;
use crate::run::{Observer, labels};

/// The maker of a party's correlations in a session.
#[derive(Debug)]
pub enum CorrelationMaker {
    /// A dealer, at the other end of this link.
    Dealer(Link),
    /// Two parties that make [their own](Own).
    Parties(Box<Own>),
}

impl CorrelationMaker {
    /// Begins to make the correlations of one inference.
    pub(super) async fn begin_inference<'l, R: Ring>(
        &'l mut self,
        place: Place,
        plan: &'l Plan<R>,
    ) -> Result<CorrelationSource<'l>, InferenceError> {
        match self {
            Self::Dealer(link) => {
                link.begin(Phase::Preprocessing, labels::DEAL);
                begin(link, place, &plan.requests()).await
            }
            Self::Parties(own) => Ok(CorrelationSource::new(own.begin(own_of(plan)?), &plan.requests())),
        }
    }

    /// Has the correlations of one inference kept. `progress` is given the number of the plan's requests that are.
    pub(super) async fn record<R: Ring>(
        &mut self,
        place: Place,
        plan: &Plan<R>,
        keep: impl FnMut(&[u8]) -> Result<(), RecordingError> + Send,
        progress: impl FnMut(usize) + Send,
    ) -> Result<(), InferenceError> {
        match self {
            Self::Dealer(link) => {
                link.begin(Phase::Preprocessing, labels::DEAL);
                let recorded = correlation::record::<R>(link, place, &plan.requests(), keep, progress).await;
                recorded.map_err(|source| InferenceError::over_dealer_link(labels::DEAL, source))
            }
            Self::Parties(own) => {
                let recorded = own.record::<R>(own_of(plan)?, &plan.requests(), keep, progress).await;
                recorded.map_err(|source| InferenceError::over_preparing_link(labels::DEAL, source))
            }
        }
    }

    /// The link to the dealer.
    pub(super) fn dealer(&mut self) -> Result<&mut Link, InferenceError> {
        match self {
            Self::Dealer(link) => Ok(link),
            Self::Parties(_) => Err(InferenceError::Role { reason: "there is no dealer to audit" }),
        }
    }

    /// The traffic over the link for them.
    pub(super) fn meter(&self) -> &Meter {
        match self {
            Self::Dealer(link) => link.meter(),
            Self::Parties(own) => own.transport().meter(),
        }
    }

    /// The same, to be cleared.
    pub(super) fn meter_mut(&mut self) -> &mut Meter {
        match self {
            Self::Dealer(link) => link.meter_mut(),
            Self::Parties(own) => own.transport_mut().meter_mut(),
        }
    }
}

/// How two parties make a plan's correlations.
fn own_of<R: Ring>(plan: &Plan<R>) -> Result<&OwnPlan, InferenceError> {
    plan.own().ok_or(InferenceError::Role { reason: "the plan is one with a dealer" })
}

/// Tells an observer which steps' correlations are kept.
pub(super) struct Progress<'o, O: Observer> {
    observer: &'o mut O,
    /// Of each step the number of requests up to its end.
    ends: Vec<usize>,
    /// The step whose correlations come next.
    step: usize,
}

impl<'o, O: Observer> Progress<'o, O> {
    pub(super) fn new<R: Ring>(plan: &Plan<R>, observer: &'o mut O) -> Self {
        let mut end = 0;
        let ends = plan.steps().iter().map(|step| {
            end += step.requests.len();
            end
        });
        let ends = ends.collect();
        observer.begin(Phase::Preprocessing, 0);
        let mut progress = Self { observer, ends, step: 0 };
        // The first steps may need none.
        progress.see(0);
        progress
    }

    pub(super) fn see(&mut self, kept: usize) {
        while self.ends.get(self.step).is_some_and(|&end| kept >= end) {
            self.observer.end(Phase::Preprocessing, self.step);
            self.step += 1;
            if self.step < self.ends.len() {
                self.observer.begin(Phase::Preprocessing, self.step);
            }
        }
    }
}

/// Refuses a plan whose correlations two parties make themselves.
pub(super) fn check_dealt<R: Ring>(plan: &Plan<R>) -> Result<(), InferenceError> {
    let reason = "the plan is one without a dealer: open the session with a second link between the two parties";
    if plan.own().is_some() { Err(InferenceError::Role { reason }) } else { Ok(()) }
}

/// Begins to draw correlations from the dealer's link.
pub(super) async fn begin<'l>(
    link: &'l mut Link,
    place: Place,
    requests: &[Request],
) -> Result<CorrelationSource<'l>, InferenceError> {
    let begun = CorrelationSource::begin(link, place, requests).await;
    begun.map_err(|source| InferenceError::over_dealer_link(labels::DEAL, source))
}
