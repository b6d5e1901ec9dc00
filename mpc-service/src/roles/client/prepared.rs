//! Prepared inferences at the data owner: how they are made, and which of them a query holds.

use mpc_nn::Plan;
use mpc_nn::run::ModelSource;
use mpc_ring::Ring;
use mpc_transport::tls::SecureLink;

use super::{Called, Client};
use crate::at_rest::packed_model::PublicModel;
use crate::at_rest::prepared::{Description, Hold, PreparedStore, StoreError};
use crate::at_rest::private_file::random;
use crate::error::ServiceError;
use crate::names::{BatchId, DepositId, PlanDigest};
use crate::roles::agreed::{Agreed, check_audited};
use crate::roles::report::{Event, Watch};
use crate::roles::session::PartyRun;
use crate::terms::Topology;
use crate::wire::link::Peer;
use crate::wire::message::{self, Audited, MAX_PLACES_BYTES, Opening, Preparation, Uses, Work};

/// In place of its party's index in the description of a batch of a data owner who is none.
const OUTSIDE: usize = u32::MAX as usize;

/// How many prepared inferences in a row may turn out to be unusable at the servers.
const MAX_PASSED_OVER: usize = 1000;

/// The inferences that a query has found and cannot use.
#[derive(Debug, Default)]
pub(super) struct Unusable {
    /// How many sets of inferences in a row that servers had lost.
    pub(super) passed_over: usize,
    /// Batches of models that their owners have replaced.
    pub(super) replaced: Vec<BatchId>,
}

/// The prepared inferences that a query is to use.
#[derive(Debug)]
pub(super) struct Chosen<'s> {
    pub(super) store: &'s dyn PreparedStore,
    pub(super) batch: BatchId,
    /// The model that they were prepared with, where it was left with servers.
    pub(super) deposit: Option<DepositId>,
    pub(super) holds: Vec<Hold<'s>>,
}

impl Chosen<'_> {
    /// Their places, and how far all parties have used their batch.
    pub(super) fn uses(&self) -> Result<Uses, StoreError> {
        let confirmed = self.store.usage(self.batch)?.confirmed;
        Ok(Uses { indices: self.holds.iter().map(Hold::index).collect(), confirmed })
    }

    /// An error where a server has used what this side has not, which always claims first.
    pub(super) fn check_restored(&self, high: Option<u32>, peer: &str) -> Result<(), ServiceError> {
        let Some(until) = high else { return Ok(()) };
        let gone = match self.store.usage(self.batch) {
            Ok(usage) => usage.gone,
            // Another process has used up the last of it meanwhile.
            Err(StoreError::UnknownBatch { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if gone.is_some_and(|gone| gone >= until) {
            return Ok(());
        }
        Err(ServiceError::Restored { batch: self.batch, peer: peer.to_owned(), until })
    }
}

impl Client {
    pub(super) async fn prepare_in<R: Ring>(
        &self,
        model: &PublicModel,
        (inferences, audited): (u32, u32),
        store: &dyn PreparedStore,
        watch: &mut dyn Watch,
    ) -> Result<BatchId, ServiceError> {
        self.check(model)?;
        let plan = model.plan::<R>()?;
        check_audited(audited, inferences, &plan).map_err(|(_, reason)| ServiceError::Arguments(reason))?;
        let batch = BatchId(random().map_err(StoreError::from)?);
        let preparation = Preparation { batch, audited };
        let mut agreed = self.agreed(model, Work::Prepare(preparation), inferences)?;
        self.tell_dropped(store).await;
        let fingerprint = |peer: &Peer| *peer.certificate.fingerprint().as_bytes();
        let note = store.note(batch, &self.servers.iter().map(fingerprint).collect::<Vec<_>>())?;
        let Called { links, at } = self.call_servers(&plan, &mut agreed, None).await?;
        watch.see(Event::Connected);
        match model.terms.setting {
            Topology::Direct => {
                let party = plan.settings().parties - 1;
                let mut links: Vec<_> = links.into_iter().map(Some).chain([None]).collect();
                let maker = self.call_maker(&plan, &agreed, &at, &mut links).await?;
                let network = self.endpoint.network(party, links, agreed.names());
                let run = PartyRun { plan: &plan, agreed: &agreed, party, network, watch };
                run.prepare(maker, ModelSource::Peer, (preparation, None), store, async |_| Ok(())).await?;
            }
            Topology::Outsourced => self.list_prepared(&plan, &agreed, preparation, store, links, watch).await?,
        }
        // Until here the batch is used by nobody, and dropped by all if this process is killed.
        note.forget()?;
        Ok(batch)
    }

    /// Lists the inferences that servers prepare: there is nothing of them here but which are left. The servers keep theirs
    /// once this side has its list.
    async fn list_prepared<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        Preparation { batch, audited }: Preparation,
        store: &dyn PreparedStore,
        mut links: Vec<SecureLink>,
        watch: &mut dyn Watch,
    ) -> Result<(), ServiceError> {
        let writer = store.begin(batch)?;
        for index in 0..agreed.inferences {
            writer.inference(index)?.finish()?;
        }
        let mut first = None;
        for (peer, link) in self.servers.iter().zip(&mut links) {
            message::await_grant(link, &peer.name()).await?;
            let places: Audited = message::receive(link, MAX_PLACES_BYTES, &peer.name()).await?;
            if places.0.len() != audited as usize || *first.get_or_insert_with(|| places.0.clone()) != places.0 {
                return Err(ServiceError::Malformed { peer: peer.name() });
            }
        }
        for place in first.unwrap_or_default() {
            writer.take(place)?;
        }
        writer.finish(&agreed.description(OUTSIDE, plan, None), &[])?;
        let kept = async {
            for (peer, link) in self.servers.iter().zip(&mut links) {
                message::accept(link, &peer.name()).await?;
            }
            for (peer, link) in self.servers.iter().zip(&mut links) {
                message::await_grant(link, &peer.name()).await?;
            }
            Ok(())
        };
        if let Err(error) = kept.await {
            store.remove(batch)?;
            return Err(error);
        }
        watch.see(Event::Stored { inferences: agreed.inferences });
        Ok(())
    }

    /// Tells servers which batches they keep for nothing. What fails is tried again next time.
    async fn tell_dropped(&self, store: &dyn PreparedStore) {
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

    /// Holds prepared inferences of one batch that suits; also the model of the batch.
    pub(super) fn hold<'s, R: Ring>(
        &self,
        plan: &Plan<R>,
        store: &'s dyn PreparedStore,
        model: &PublicModel,
        count: usize,
        unusable: &Unusable,
    ) -> Result<Chosen<'s>, ServiceError> {
        let nothing = || match unusable.replaced.first() {
            Some(&batch) => ServiceError::Replaced { batch },
            None => ServiceError::NothingPrepared { plan: PlanDigest(plan.digest()) },
        };
        if unusable.passed_over > MAX_PASSED_OVER {
            return Err(nothing());
        }
        let mut suitable = Vec::new();
        for batch in store.batches()? {
            if let Ok(described) = store.describe(batch)
                && self.suits(&described, plan, model)
                && !unusable.replaced.contains(&batch)
                && !store.is_noted(batch)?
            {
                suitable.push((batch, described.deposit));
            }
        }
        let mut owners: Vec<_> = suitable.iter().filter_map(|(_, deposit)| Some((*deposit)?.owner)).collect();
        owners.sort_unstable();
        owners.dedup();
        if owners.len() > 1 {
            return Err(ServiceError::SeveralOwners { owners });
        }
        for (batch, deposit) in suitable {
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
                return Ok(Chosen { store, batch, deposit, holds });
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
            && self.model_owner.is_none_or(|owner| described.deposit.is_none_or(|deposit| deposit.owner == owner))
            && described.parties.iter().copied().eq(parties.map(|certificate| *certificate.fingerprint().as_bytes()))
    }
}
