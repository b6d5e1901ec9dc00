//! A model owner that leaves shares of its model with servers, which compute without it from then on.

use mpc_nn::delegation::split_model;
use mpc_ring::{Ring, in_ring};
use mpc_shares::{Prg, Seed};
use mpc_transport::Connection;
use smol::future::FutureExt;

use crate::at_rest::packed_model::PrivateModel;
use crate::error::{ServiceError, in_link};
use crate::names::{Names, PlanDigest};
use crate::roles::client::check_servers;
use crate::terms::Topology;
use crate::wire::link::{Boxed, Endpoint, Peer};
use crate::wire::message::{self, Opening};

/// A model owner, and the servers that are to compute with its model.
#[derive(Clone, Debug)]
pub struct Depositor {
    /// The depositor's own identity, and how it waits.
    pub endpoint: Endpoint,
    /// The servers, by the index of their party.
    pub servers: Vec<Peer>,
}

impl Depositor {
    /// Leaves a share of a model with each server.
    ///
    /// # Security
    /// n−1 of the n shares are independent of the weights. Each server is sent its own, over its own connection.
    ///
    /// # Errors
    /// [`ServiceError`]; some servers may have kept their share then, which says nothing without the others'.
    pub fn deposit<'a>(&'a self, model: &'a PrivateModel) -> Boxed<'a, Result<PlanDigest, ServiceError>> {
        async move { in_ring!(model.public.terms.ring, R => self.deposit_in::<R>(model).await) }.boxed()
    }

    async fn deposit_in<R: Ring>(&self, model: &PrivateModel) -> Result<PlanDigest, ServiceError> {
        check_servers(&self.servers, &model.public)?;
        if model.public.terms.setting != Topology::Outsourced {
            return Err(ServiceError::NotOutsourced);
        }
        let plan = model.public.plan::<R>()?;
        let public = model.public.to_bytes();
        let mut generator = Prg::new(Seed::from_system()?);
        let shares = split_model(&plan, &model.weights, &mut generator)
            .map_err(|source| ServiceError::Session { source: source.into(), names: Names::default() })?;
        for (peer, share) in self.servers.iter().zip(shares) {
            let name = peer.name();
            let bytes = share.to_bytes();
            let opening = Opening::Deposit { public: public.len() as u64, share: bytes.len() as u64 };
            let mut link = self.endpoint.open(peer, &opening).await?;
            link.send(&public).await.map_err(in_link(&name))?;
            message::await_grant(&mut link, &name).await?;
            link.send(&bytes).await.map_err(in_link(&name))?;
            message::await_grant(&mut link, &name).await?;
            tracing::info!(peer = name, "has its share of the model");
        }
        Ok(PlanDigest(plan.digest()))
    }
}
