//! A server between the parties and a data owner that computes nothing.

use mpc_nn::Plan;
use mpc_nn::delegation::InputShare;
use mpc_nn::run::{Inputs, Outputs};
use mpc_ring::Ring;
use mpc_shares::SecretVec;
use mpc_transport::Connection;
use mpc_transport::tls::SecureLink;

use super::Recipient;
use crate::at_rest::prepared::StoreError;
use crate::error::{ServiceError, in_link};
use crate::names::SessionId;
use crate::roles::report::InferenceReport;
use crate::roles::session::Exchange;
use crate::wire::message::{self, Audited};

/// A data owner that computes nothing, whose shares of inputs and outputs a server passes on. Without a link the data owner
/// is a party, and the server brings nothing in.
pub(super) struct DataOwner<'a, R: Ring> {
    pub(super) plan: &'a Plan<R>,
    pub(super) party: usize,
    pub(super) link: Option<SecureLink>,
    pub(super) name: String,
    pub(super) session: SessionId,
    /// How many inferences have ended.
    pub(super) inference: u32,
    /// Takes what is revealed to this side.
    pub(super) recipient: Option<&'a dyn Recipient>,
}

impl<R: Ring> DataOwner<'_, R> {
    /// Tells a data owner that computes nothing that all is prepared, but for the places that were audited, and waits until it has
    /// its list.
    pub(super) async fn last_word(&mut self, audited: Vec<u32>) -> Result<(), ServiceError> {
        match &mut self.link {
            Some(link) => {
                message::accept(link, &self.name).await?;
                message::send(link, &Audited(audited), &self.name).await?;
                message::await_grant(link, &self.name).await
            }
            None => Ok(()),
        }
    }

    /// Tells a data owner that computes nothing why there is no batch.
    pub(super) async fn refuse(&mut self, error: &ServiceError) {
        if let Some(link) = &mut self.link {
            let (refusal, reason) = error.refusal();
            message::refuse(link, refusal, &reason, &self.name).await;
        }
    }

    /// Tells a data owner that computes nothing that all is done.
    pub(super) async fn end(self) -> Result<(), ServiceError> {
        match self.link {
            Some(mut link) => message::accept(&mut link, &self.name).await,
            None => Ok(()),
        }
    }
}

impl<R: Ring> Exchange<R> for DataOwner<'_, R> {
    async fn inputs(&mut self, _: u32) -> Result<Inputs<'_, R>, ServiceError> {
        let Some(link) = &mut self.link else { return Ok(Inputs::none()) };
        let mut bytes = SecretVec::zeros(self.plan.input_share_bytes(self.party));
        link.receive(&mut bytes).await.map_err(in_link(&self.name))?;
        let share = InputShare::from_bytes(self.plan, self.party, &bytes);
        Ok(share.map_err(|error| ServiceError::Arguments(error.to_string()))?.into())
    }

    async fn outputs(&mut self, outputs: Outputs<R>, report: InferenceReport) -> Result<(), ServiceError> {
        tracing::debug!(seconds = report.online_seconds, sent = report.online.bytes_sent(), "inference");
        if let (Some(recipient), Some(revealed)) = (self.recipient, &outputs.revealed) {
            recipient.take(self.session, self.inference, revealed).map_err(StoreError::from)?;
        }
        self.inference += 1;
        match (&mut self.link, outputs.share) {
            (Some(link), Some(share)) => link.send(&share.to_bytes()).await.map_err(in_link(&self.name)),
            _ => Ok(()),
        }
    }
}
