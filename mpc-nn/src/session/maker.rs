//! The maker of a session's correlations: a dealer, or the two parties.

use mpc_protocols::own::Own;
use mpc_protocols::{CorrelationSource, Place, Request};
use mpc_ring::Ring;
use mpc_transport::{Link, Meter, Phase};

use crate::error::InferenceError;
use crate::plan::Plan;
use crate::run::labels;

/// The maker of a party's correlations in a session: a link to the dealer, or two parties that make [their own](Own).
pub trait CorrelationMaker: Send {
    /// Begins to make the correlations of one inference.
    fn begin_inference<'l, R: Ring>(
        &'l mut self,
        place: Place,
        plan: &'l Plan<R>,
    ) -> impl Future<Output = Result<CorrelationSource<'l>, InferenceError>> + Send;

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
        let reason = "the plan is one with a dealer";
        let own = plan.own().ok_or(InferenceError::Role { reason })?;
        Ok(CorrelationSource::new(self.begin(own), &plan.requests()))
    }

    fn meter(&self) -> &Meter {
        self.transport().meter()
    }

    fn meter_mut(&mut self) -> &mut Meter {
        self.transport_mut().meter_mut()
    }
}

/// Refuses a plan whose correlations two parties make themselves.
pub(crate) fn check_dealt<R: Ring>(plan: &Plan<R>) -> Result<(), InferenceError> {
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
