//! A model owner that leaves shares of its model with servers, which compute without it from then on.

use mpc_nn::delegation::split_model;
use mpc_ring::{Ring, in_ring};
use mpc_shares::{Prg, Seed};
use mpc_transport::Connection;
use smol::future::FutureExt;

use crate::at_rest::packed_model::PrivateModel;
use crate::at_rest::private_file::random;
use crate::error::{ServiceError, in_link};
use crate::names::{DepositId, Names, Owner, PlanDigest};
use crate::roles::client::{check_servers, common};
use crate::terms::Topology;
use crate::wire::link::{Boxed, Endpoint, Peer};
use crate::wire::message::{self, MAX_OFFER_BYTES, Offer, Opening};

/// A model that was left with servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposited {
    /// Its plan.
    pub plan: PlanDigest,
    /// Its identity.
    pub deposit: DepositId,
}

/// A model owner, and the servers that are to compute with its model.
#[derive(Clone, Debug)]
pub struct Depositor {
    /// The depositor's own identity, and how it waits.
    pub endpoint: Endpoint,
    /// The servers, by the index of their party.
    pub servers: Vec<Peer>,
}

impl Depositor {
    /// Leaves a share of a model with each server, and then has all of them use it in place of the one before.
    ///
    /// # Security
    /// n−1 of the n shares are independent of the weights. Each server is sent its own, over its own connection.
    ///
    /// # Errors
    /// [`ServiceError`]. Where one server has not got its share, all go on with the model before. Where one has not been
    /// told to use it after another was, sessions use the new one all the same, which all have.
    pub fn deposit<'a>(&'a self, model: &'a PrivateModel) -> Boxed<'a, Result<Deposited, ServiceError>> {
        async move { in_ring!(model.public.terms.ring, R => self.deposit_in::<R>(model).await) }.boxed()
    }

    async fn deposit_in<R: Ring>(&self, model: &PrivateModel) -> Result<Deposited, ServiceError> {
        check_servers(&self.servers, &model.public)?;
        if model.public.terms.setting != Topology::Outsourced {
            return Err(ServiceError::NotOutsourced);
        }
        let plan = model.public.plan::<R>()?;
        let digest = PlanDigest(plan.digest());
        self.finish_last(digest).await?;
        let mut generator = Prg::new(Seed::from_system()?);
        let shares = split_model(&plan, &model.weights, &mut generator)
            .map_err(|source| ServiceError::Session { source: source.into(), names: Names::default() })?;
        let version = random()?;
        let public = model.public.to_bytes();
        for (peer, share) in self.servers.iter().zip(shares) {
            self.leave(peer, version, &public, &share.to_bytes()).await?;
        }
        self.switch(digest, version).await?;
        let owner = Owner::from(self.endpoint.identity.certificate());
        Ok(Deposited { plan: digest, deposit: DepositId { owner, version } })
    }

    /// Leaves a share with a server, which does not use it yet.
    async fn leave(&self, peer: &Peer, version: [u8; 16], public: &[u8], share: &[u8]) -> Result<(), ServiceError> {
        let name = peer.name();
        let opening = Opening::Deposit { version, public: public.len() as u64, share: share.len() as u64 };
        let mut link = self.endpoint.open(peer, &opening).await?;
        link.send(public).await.map_err(in_link(&name))?;
        message::await_grant(&mut link, &name).await?;
        message::send_share(&mut link, share, &name).await?;
        message::await_grant(&mut link, &name).await?;
        tracing::info!(peer = name, "has its share of the model");
        Ok(())
    }

    /// Has all servers use a version that all have.
    async fn switch(&self, plan: PlanDigest, version: [u8; 16]) -> Result<(), ServiceError> {
        for peer in &self.servers {
            self.endpoint.open(peer, &Opening::Switch { plan, version }).await?;
        }
        Ok(())
    }

    /// Finishes a deposit that was interrupted when some servers had switched, so that no share of what sessions use is
    /// replaced; and finds out whether all servers are there.
    async fn finish_last(&self, plan: PlanDigest) -> Result<(), ServiceError> {
        let mut offers = Vec::with_capacity(self.servers.len());
        for peer in &self.servers {
            let mut link = self.endpoint.open(peer, &Opening::Deposited(plan)).await?;
            offers.push(message::receive::<_, Offer>(&mut link, MAX_OFFER_BYTES, &peer.name()).await?.deposits);
        }
        for id in common(&offers) {
            if offers.iter().flatten().any(|(other, is_used)| *other == id && !is_used) {
                self.switch(plan, id.version).await?;
            }
        }
        Ok(())
    }
}
