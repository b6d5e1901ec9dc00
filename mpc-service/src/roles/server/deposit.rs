//! Deposits: a server takes in its share of a model.

use mpc_nn::Plan;
use mpc_nn::delegation::ModelShare;
use mpc_ring::{Ring, in_ring};
use mpc_shares::SecretVec;
use mpc_transport::Connection;

use super::{Holdings, Server};
use crate::at_rest::model_shares::ModelShares;
use crate::at_rest::packed_model::{PackError, PublicModel};
use crate::error::{ServiceError, in_link};
use crate::names::{DepositId, Owner, PlanDigest, Refusal, Refused};
use crate::terms::Topology;
use crate::wire::limits::Grant;
use crate::wire::link::within;
use crate::wire::message::{self, Offer};
use crate::wire::opening::Caller;

impl Server {
    pub(super) async fn deposit(
        &self,
        mut caller: Caller,
        version: [u8; 16],
        public: usize,
        share: u64,
    ) -> Result<(), ServiceError> {
        let limit = self.capacity.limits().session_time;
        let late = ServiceError::too_long(&caller.name, limit);
        within(limit, late, self.take_in(&mut caller, version, public, share)).await
    }

    /// Says which versions of a model of the caller's are here.
    pub(super) async fn deposited(&self, mut caller: Caller, plan: PlanDigest) -> Result<(), ServiceError> {
        let Some(shares) = caller.answer(self.shares()).await? else { return Ok(()) };
        let own = Owner::from(&caller.certificate);
        let deposits = shares.deposits(plan)?.into_iter().filter(|(id, _)| id.owner == own).collect();
        message::send(&mut caller.link, &Offer { deposits, ..Offer::default() }, &caller.name).await
    }

    /// Uses a version of a model of the caller's from now on.
    pub(super) async fn switch(
        &self,
        mut caller: Caller,
        plan: PlanDigest,
        version: [u8; 16],
    ) -> Result<(), ServiceError> {
        let id = DepositId { owner: Owner::from(&caller.certificate), version };
        let switched = self.shares().and_then(|shares| match shares.switch(plan, id) {
            Ok(true) => Ok(()),
            Ok(false) => Err((Refusal::Replaced, format!("the model {id} is not here: leave it again"))),
            Err(error) => {
                tracing::error!(%error, "a model share cannot be used");
                Err((Refusal::Internal, "the model share cannot be used here".to_owned()))
            }
        });
        if caller.answer(switched).await?.is_some() {
            tracing::info!(peer = %caller.name, %plan, deposit = %id, "uses a share of a model");
        }
        Ok(())
    }

    fn shares(&self) -> Result<&ModelShares, Refused> {
        match &self.holdings {
            Holdings::Shares(shares) => Ok(shares),
            _ => Err((Refusal::Forbidden, "no shares of models are kept here".to_owned())),
        }
    }

    async fn take_in(
        &self,
        caller: &mut Caller,
        version: [u8; 16],
        public: usize,
        announced: u64,
    ) -> Result<(), ServiceError> {
        if let Err(refused) = self.shares() {
            caller.refuse(refused).await;
            return Ok(());
        }
        message::accept(&mut caller.link, &caller.name).await?;
        let bytes = caller.link.receive_bounded(public).await.map_err(in_link(&caller.name))?;
        let decision = self.admit_share(caller, &bytes, announced);
        let Some((public, _room)) = caller.answer(decision).await? else { return Ok(()) };
        match in_ring!(public.terms.ring, R => self.keep_share(caller, version, &public.plan::<R>()?, &bytes).await) {
            Ok(plan) => {
                tracing::info!(peer = %caller.name, %plan, "keeps a share of a model");
                message::accept(&mut caller.link, &caller.name).await
            }
            Err(error) => {
                let (refusal, reason) = match &error {
                    ServiceError::Arguments(reason) => (Refusal::Differs, reason.clone()),
                    _ => error.refusal(),
                };
                self.status.metrics().refused(refusal);
                message::refuse(&mut caller.link, refusal, &reason, &caller.name).await;
                Err(error)
            }
        }
    }

    /// Whether a share is what the plan of its model says, and room for it.
    fn admit_share(&self, caller: &Caller, bytes: &[u8], announced: u64) -> Result<(PublicModel, Grant), Refused> {
        let differs = |reason: String| (Refusal::Differs, reason);
        let public = PublicModel::from_bytes(bytes, &caller.name, &self.capacity.limits().graph);
        let public = public.map_err(|error| match error {
            PackError::TooLarge { source, .. } => (Refusal::Limit, source.to_string()),
            error => differs(error.to_string()),
        })?;
        if public.terms.setting != Topology::Outsourced || self.party >= public.terms.parties() {
            return Err(differs(format!("this server is party {}: the terms of the model are for others", self.party)));
        }
        let expected =
            in_ring!(public.terms.ring, R => public.plan::<R>().map(|plan| plan.model_share_bytes(self.party)));
        let expected = expected.map_err(|error| differs(error.to_string()))? as u64;
        if announced != expected {
            return Err(differs(format!("a share of {announced} bytes, where the plan says {expected}")));
        }
        let room = self.capacity.grant(caller.certificate.fingerprint(), expected, 1)?;
        Ok((public, room))
    }

    async fn keep_share<R: Ring>(
        &self,
        Caller { link, name, certificate, .. }: &mut Caller,
        version: [u8; 16],
        plan: &Plan<R>,
        public: &[u8],
    ) -> Result<PlanDigest, ServiceError> {
        let shares = self.shares().map_err(|(_, reason)| ServiceError::Arguments(reason))?;
        let mut share = SecretVec::zeros(plan.model_share_bytes(self.party));
        message::receive_share(link, &mut share, name).await?;
        ModelShare::from_bytes(plan, self.party, &share).map_err(|error| ServiceError::Arguments(error.to_string()))?;
        let digest = PlanDigest(plan.digest());
        shares.stage(digest, DepositId { owner: Owner::from(&*certificate), version }, public, &share)?;
        Ok(digest)
    }
}
