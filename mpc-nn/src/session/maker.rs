//! The maker of a session's correlations: a dealer, or the two parties.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mpc_protocols::own::Own;
use mpc_protocols::{CorrelationSource, Place, Request, correlation};
use mpc_ring::Ring;
use mpc_transport::{Link, Meter, Phase, RecordingError};

use crate::error::InferenceError;
use crate::plan::Plan;
use crate::run::{Observer, labels};

/// Takes the bytes of a recording as they come.
pub type Keep<'k> = dyn FnMut(&[u8]) -> Result<(), RecordingError> + Send + 'k;

/// The maker of a party's correlations in a session: a link to the dealer, or two parties that make [their own](Own).
pub trait CorrelationMaker: Send {
    /// Begins to make the correlations of one inference.
    fn begin_inference<'l, R: Ring>(
        &'l mut self,
        place: Place,
        plan: &'l Plan<R>,
    ) -> impl Future<Output = Result<CorrelationSource<'l>, InferenceError>> + Send;

    /// Has the correlations of one inference kept. `progress` is given the number of the plan's requests that are.
    fn record<R: Ring>(
        &mut self,
        place: Place,
        plan: &Plan<R>,
        keep: &mut Keep<'_>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> impl Future<Output = Result<(), InferenceError>> + Send;

    /// The traffic over the link for them.
    fn meter(&self) -> &Meter;

    /// The same, to be cleared.
    fn meter_mut(&mut self) -> &mut Meter;
}

impl CorrelationMaker for Link {
    async fn begin_inference<'l, R: Ring>(
        &'l mut self,
        place: Place,
        plan: &'l Plan<R>,
    ) -> Result<CorrelationSource<'l>, InferenceError> {
        self.begin(Phase::Preprocessing, labels::DEAL);
        begin(self, place, &plan.requests()).await
    }

    async fn record<R: Ring>(
        &mut self,
        place: Place,
        plan: &Plan<R>,
        keep: &mut Keep<'_>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), InferenceError> {
        self.begin(Phase::Preprocessing, labels::DEAL);
        let recorded = correlation::record::<R>(self, place, &plan.requests(), keep, progress).await;
        recorded.map_err(|source| InferenceError::over_dealer_link(labels::DEAL, source))
    }

    fn meter(&self) -> &Meter {
        Self::meter(self)
    }

    fn meter_mut(&mut self) -> &mut Meter {
        Self::meter_mut(self)
    }
}

impl CorrelationMaker for Own {
    async fn begin_inference<'l, R: Ring>(
        &'l mut self,
        _place: Place,
        plan: &'l Plan<R>,
    ) -> Result<CorrelationSource<'l>, InferenceError> {
        let own = plan.own().ok_or(DEALT)?;
        Ok(CorrelationSource::new(self.begin(own), &plan.requests()))
    }

    async fn record<R: Ring>(
        &mut self,
        _place: Place,
        plan: &Plan<R>,
        keep: &mut Keep<'_>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), InferenceError> {
        let own = plan.own().ok_or(DEALT)?;
        let recorded = Self::record::<R>(self, own, &plan.requests(), keep, progress).await;
        recorded.map_err(|source| InferenceError::over_preparing_link(labels::DEAL, source))
    }

    fn meter(&self) -> &Meter {
        self.transport().meter()
    }

    fn meter_mut(&mut self) -> &mut Meter {
        self.transport_mut().meter_mut()
    }
}

/// Either maker, for those whose code is to be generated once.
#[derive(Debug)]
pub enum AnyMaker {
    /// A dealer, at the other end of this link.
    Dealer(Link),
    /// Two parties themselves.
    Parties(Box<Own>),
}

impl From<Link> for AnyMaker {
    fn from(link: Link) -> Self {
        Self::Dealer(link)
    }
}

impl From<Own> for AnyMaker {
    fn from(own: Own) -> Self {
        Self::Parties(Box::new(own))
    }
}

impl CorrelationMaker for AnyMaker {
    async fn begin_inference<'l, R: Ring>(
        &'l mut self,
        place: Place,
        plan: &'l Plan<R>,
    ) -> Result<CorrelationSource<'l>, InferenceError> {
        match self {
            Self::Dealer(link) => link.begin_inference(place, plan).await,
            Self::Parties(own) => own.begin_inference(place, plan).await,
        }
    }

    async fn record<R: Ring>(
        &mut self,
        place: Place,
        plan: &Plan<R>,
        keep: &mut Keep<'_>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), InferenceError> {
        match self {
            Self::Dealer(link) => CorrelationMaker::record(link, place, plan, keep, progress).await,
            Self::Parties(own) => CorrelationMaker::record(&mut **own, place, plan, keep, progress).await,
        }
    }

    fn meter(&self) -> &Meter {
        match self {
            Self::Dealer(link) => link.meter(),
            Self::Parties(own) => CorrelationMaker::meter(&**own),
        }
    }

    fn meter_mut(&mut self) -> &mut Meter {
        match self {
            Self::Dealer(link) => link.meter_mut(),
            Self::Parties(own) => CorrelationMaker::meter_mut(&mut **own),
        }
    }
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
        Self { observer, ends, step: 0 }
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

/// The error of a session without a dealer whose plan is dealt.
const DEALT: InferenceError = InferenceError::Role { reason: "the plan is one with a dealer" };

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
