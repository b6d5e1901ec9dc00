//! Deposits: a server takes in its share of a model.

use mpc_nn::delegation::ModelShare;
use mpc_ring::in_ring;
use mpc_shares::SecretVec;
use mpc_transport::Transport;

use super::{Holdings, Server};
use crate::at_rest::model_shares::ModelShares;
use crate::at_rest::packed_model::PublicModel;
use crate::error::{ServiceError, in_link};
use crate::names::{PlanDigest, Refusal};
use crate::terms::Setting;
use crate::wire::link::CALLER;
use crate::wire::message;
use crate::wire::opening::Caller;

impl Server {
    pub(super) async fn deposit(&self, mut caller: Caller, public: usize, share: u64) -> Result<(), ServiceError> {
        let Holdings::Shares(shares) = &self.holdings else { return Ok(()) };
        let Caller { link, name, .. } = &mut caller;
        message::accept(link, name).await?;
        let bytes = link.receive_bounded(CALLER, public).await.map_err(in_link(name))?;
        let kept = self.keep_share(&mut caller, shares, &bytes, share).await;
        let Caller { link, name, .. } = &mut caller;
        match kept {
            Ok(plan) => {
                tracing::info!(peer = %name, %plan, "keeps a share of a model");
                message::accept(link, name).await
            }
            Err(error) => {
                let reason = match &error {
                    ServiceError::Pack(error) => error.to_string(),
                    ServiceError::Arguments(reason) => reason.clone(),
                    _ => error.refusal().1,
                };
                message::refuse(link, Refusal::Differs, &reason, name).await;
                Err(error)
            }
        }
    }

    async fn keep_share(
        &self,
        Caller { link, name, .. }: &mut Caller,
        shares: &ModelShares,
        bytes: &[u8],
        announced: u64,
    ) -> Result<PlanDigest, ServiceError> {
        let public = PublicModel::from_bytes(bytes, name, &self.capacity.limits().graph)?;
        in_ring!(public.terms.ring, R => {
            let plan = public.plan::<R>()?;
            if public.terms.setting != Setting::Outsourced || self.party >= public.terms.parties() {
                let reason = format!("this server is party {}: the terms of the model are for others", self.party);
                return Err(ServiceError::Arguments(reason));
            }
            let expected = plan.model_share_bytes(self.party);
            if announced != expected as u64 {
                let reason = format!("a share of {announced} bytes, where the plan says {expected}");
                return Err(ServiceError::Arguments(reason));
            }
            message::accept(link, name).await?;
            let mut share = SecretVec::zeros(expected);
            link.receive(CALLER, &mut share).await.map_err(in_link(name))?;
            ModelShare::from_bytes(&plan, self.party, &share)
                .map_err(|error| ServiceError::Arguments(error.to_string()))?;
            let digest = PlanDigest(plan.digest());
            shares.keep(digest, bytes, &share)?;
            Ok(digest)
        })
    }
}
