//! Queries: with correlations that are made now, or with prepared inferences.

use std::sync::Arc;

use mpc_nn::run::{Inputs, ModelSource, Outputs, check_inputs};
use mpc_nn::{Model, Plan};
use mpc_ring::Ring;
use ndarray::ArrayD;

use super::prepared::{Chosen, Unusable};
use super::{Called, Client, Correlations, Results, Revealed};
use crate::at_rest::packed_model::PublicModel;
use crate::at_rest::prepared::{Hold, tidy};
use crate::error::ServiceError;
use crate::names::Refusal;
use crate::roles::agreed::Agreed;
use crate::roles::report::{Event, InferenceReport, Watch};
use crate::roles::session::{Exchange, PartyRun};
use crate::terms::Topology;
use crate::wire::message::Work;

/// A session that all servers have granted: the connections to them, and the prepared inferences that it is to use.
struct Granted<'s> {
    called: Called,
    stored: Option<Chosen<'s>>,
}

impl Client {
    pub(super) async fn query_in<R: Ring>(
        &self,
        model: &PublicModel,
        inputs: &[Vec<ArrayD<f32>>],
        correlations: Correlations<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Results, ServiceError> {
        self.check(model)?;
        let plan = model.plan::<R>()?;
        let owner = model.terms.data_owner();
        inputs.iter().try_for_each(|inputs| check_inputs(&plan, owner, inputs)).map_err(ServiceError::unfit)?;
        let inferences = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
        match correlations {
            Correlations::Live => {
                let mut agreed = self.agreed(model, Work::Live, inferences)?;
                let called = self.call_servers(&plan, &mut agreed, None).await?;
                self.run(&plan, model, &agreed, Granted { called, stored: None }, inputs, watch).await
            }
            Correlations::Store(store) => {
                let mut unusable = Unusable::default();
                loop {
                    let chosen = self.hold(&plan, store, model, inputs.len(), &unusable)?;
                    let batch = chosen.batch;
                    let mut agreed = self.agreed(model, Work::Prepared(batch), inferences)?;
                    match self.call_servers(&plan, &mut agreed, Some(&chosen)).await {
                        Err(
                            error @ (ServiceError::Replaced { .. }
                            | ServiceError::Refused { refusal: Refusal::Replaced, .. }),
                        ) => {
                            tracing::warn!(%batch, %error, "prepared inferences of a model that was replaced");
                            unusable.replaced.push(batch);
                        }
                        // A server that lost what this side still has: never to be used.
                        Err(ServiceError::Refused { refusal: Refusal::Used, reason, .. }) => {
                            tracing::warn!(%batch, reason, "prepared inferences are passed over");
                            unusable.passed_over += 1;
                            chosen.holds.into_iter().try_for_each(Hold::burn)?;
                            tidy(store, batch);
                        }
                        called => {
                            let granted = Granted { called: called?, stored: Some(chosen) };
                            return self.run(&plan, model, &agreed, granted, inputs, watch).await;
                        }
                    }
                }
            }
        }
    }

    async fn run<R: Ring>(
        &self,
        plan: &Plan<R>,
        model: &PublicModel,
        agreed: &Agreed,
        granted: Granted<'_>,
        inputs: &[Vec<ArrayD<f32>>],
        watch: &mut dyn Watch,
    ) -> Result<Results, ServiceError> {
        watch.see(Event::Connected);
        let Granted { called, stored } = granted;
        let used = stored.as_ref().map(|chosen| (chosen.batch, chosen.holds.iter().map(Hold::index).collect()));
        let store = stored.as_ref().map(|chosen| (chosen.store, chosen.batch));
        let (outputs, reports) = match model.terms.setting {
            Topology::Direct => self.take_part(plan, agreed, called, inputs, stored, watch).await?,
            Topology::Outsourced => self.run_delegated(plan, agreed, called.links, inputs, stored, watch).await?,
        };
        if let Some((store, batch)) = store {
            tidy(store, batch);
        }
        Ok(Results { outputs, reports, used, deposit: agreed.deposit })
    }

    /// Takes part in a session as its last party.
    async fn take_part<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        Called { links, at }: Called,
        inputs: &[Vec<ArrayD<f32>>],
        stored: Option<Chosen<'_>>,
        watch: &mut dyn Watch,
    ) -> Result<(Revealed, Vec<InferenceReport>), ServiceError> {
        let party = plan.settings().parties - 1;
        let mut links: Vec<_> = links.into_iter().map(Some).chain([None]).collect();
        let mut exchange = Own { inputs, outputs: Vec::new(), reports: Vec::new() };
        let maker = match stored {
            None => Some(self.call_maker(plan, agreed, &at, &mut links).await?),
            Some(_) => None,
        };
        let network = self.endpoint.network(party, links, agreed.names());
        let run = PartyRun { plan, agreed, party, network, watch };
        if let Some(maker) = maker {
            run.live(maker, ModelSource::Peer, &mut exchange).await?;
        } else if let Some(Chosen { store, batch, holds, .. }) = stored {
            let bytes = store.model(batch, plan.model_bytes())?;
            let model = Model::from_bytes(plan, party, &bytes).map_err(agreed.in_encoding())?;
            run.prepared(Arc::new(model), batch, holds, Some(store), &mut exchange).await?;
        }
        Ok((exchange.outputs, exchange.reports))
    }
}

/// The inputs of a data owner that is a party, and what it learns.
struct Own<'a> {
    inputs: &'a [Vec<ArrayD<f32>>],
    outputs: Revealed,
    reports: Vec<InferenceReport>,
}

impl<R: Ring> Exchange<R> for Own<'_> {
    async fn inputs(&mut self, inference: u32) -> Result<Inputs<'_, R>, ServiceError> {
        Ok(self.inputs.get(inference as usize).map_or_else(Inputs::none, Inputs::from))
    }

    async fn outputs(&mut self, outputs: Outputs<R>, report: InferenceReport) -> Result<(), ServiceError> {
        self.outputs.push(outputs.revealed);
        self.reports.push(report);
        Ok(())
    }
}
