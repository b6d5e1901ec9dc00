//! Prepared inferences at the data owner: how they are made, and which of them a query holds.

use mpc_nn::Plan;
use mpc_nn::run::ModelSource;
use mpc_ring::Ring;

use super::Client;
use crate::at_rest::packed_model::PublicModel;
use crate::at_rest::prepared::{Description, Hold, Store, StoreError};
use crate::at_rest::private_file::random;
use crate::error::ServiceError;
use crate::names::{BatchId, PlanDigest};
use crate::roles::report::{Event, Watch};
use crate::roles::session::PartyRun;
use crate::terms::Topology;
use crate::wire::link::Peer;
use crate::wire::message::{self, Opening, Work};

/// In place of its party's index in the description of a batch of a data owner who is none.
const OUTSIDE: usize = u32::MAX as usize;

/// How many prepared inferences in a row may turn out to be unusable at the servers.
const MAX_PASSED_OVER: usize = 1000;

impl Client {
    pub(super) async fn prepare_in<R: Ring>(
        &self,
        model: &PublicModel,
        inferences: u32,
        store: &Store,
        watch: &mut dyn Watch,
    ) -> Result<BatchId, ServiceError> {
        self.check(model)?;
        let plan = model.plan::<R>()?;
        let batch = BatchId(random().map_err(StoreError::from)?);
        let agreed = self.agreed(model, Work::Prepare(batch), inferences)?;
        self.tell_dropped(store).await;
        let fingerprint = |peer: &Peer| *peer.certificate.fingerprint().as_bytes();
        let note = store.note(batch, self.servers.iter().map(fingerprint).collect())?;
        let mut links = self.call_servers(&plan, &agreed, None).await?;
        watch.see(Event::Connected);
        match model.terms.setting {
            Topology::Direct => {
                let party = plan.settings().parties - 1;
                let mut links: Vec<_> = links.into_iter().map(Some).chain([None]).collect();
                let dealer = self.call_dealer(&plan, &agreed, &mut links).await?;
                let network = self.endpoint.network(party, links, agreed.names());
                let run = PartyRun { plan: &plan, agreed: &agreed, party, network, watch };
                run.prepare(dealer, ModelSource::Peer, batch, store).await?;
            }
            Topology::Outsourced => {
                for (peer, link) in self.servers.iter().zip(&mut links) {
                    message::await_grant(link, &peer.name()).await?;
                }
                // Here there is nothing but which are left.
                let writer = store.begin(batch)?;
                for index in 0..inferences {
                    writer.inference(index)?.finish().map_err(StoreError::from)?;
                }
                writer.finish(&agreed.description(OUTSIDE, &plan), &[])?;
                watch.see(Event::Stored { inferences });
            }
        }
        note.forget()?;
        Ok(batch)
    }

    /// Tells servers which batches they keep for nothing. What fails is tried again next time.
    async fn tell_dropped(&self, store: &Store) {
        let told = async {
            for note in store.notes()? {
                let server = |fingerprint: &[u8; 32]| {
                    self.servers.iter().find(|peer| peer.certificate.fingerprint().as_bytes() == fingerprint)
                };
                // Others are told when something is prepared with them.
                let Some(servers) = note.servers.iter().map(server).collect::<Option<Vec<_>>>() else { continue };
                for peer in servers {
                    self.endpoint.open(peer, &Opening::Drop(note.batch)).await?;
                }
                note.forget()?;
            }
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "not all servers were told which batches were dropped");
        }
    }

    /// Holds prepared inferences of one batch that suits; `passed_over` says how often some turned out to be unusable.
    pub(super) fn hold<'s, R: Ring>(
        &self,
        plan: &Plan<R>,
        store: &'s Store,
        model: &PublicModel,
        count: usize,
        passed_over: usize,
    ) -> Result<(BatchId, Vec<Hold<'s>>), ServiceError> {
        let nothing = || ServiceError::NothingPrepared { plan: PlanDigest(plan.digest()) };
        if passed_over > MAX_PASSED_OVER {
            return Err(nothing());
        }
        for batch in store.batches()? {
            let Ok(described) = store.describe(batch) else { continue };
            if !self.suits(&described, plan, model) {
                continue;
            }
            let mut holds = Vec::with_capacity(count);
            while holds.len() < count {
                match store.hold_any(batch) {
                    Ok(Some(hold)) => holds.push(hold),
                    // Another process has used up the last of it meanwhile.
                    Ok(None) | Err(StoreError::UnknownBatch { .. }) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if holds.len() == count {
                return Ok((batch, holds));
            }
        }
        Err(nothing())
    }

    /// Whether a batch was prepared for this plan with these servers and this key.
    fn suits<R: Ring>(&self, described: &Description, plan: &Plan<R>, model: &PublicModel) -> bool {
        let is_party = model.terms.setting == Topology::Direct;
        let own = is_party.then(|| self.endpoint.identity.certificate());
        let parties = self.servers.iter().map(|peer| &peer.certificate).chain(own);
        let party = if is_party { plan.settings().parties - 1 } else { OUTSIDE };
        described.plan == plan.digest()
            && described.party == party as u32
            && described.parties.iter().copied().eq(parties.map(|certificate| *certificate.fingerprint().as_bytes()))
    }
}
