//! Prepared inferences at a server: room for them, and those that a session uses.

use mpc_nn::{Plan, Preprocessing};
use mpc_ring::Ring;
use mpc_transport::tls::Certificate;

use super::Server;
use crate::at_rest::encrypted_file::FileKey;
use crate::at_rest::prepared::{Hold, Store, StoreError};
use crate::error::ServiceError;
use crate::names::{BatchId, Refusal, Refused};
use crate::roles::agreed::Agreed;
use crate::wire::limits::Grant;
use crate::wire::message::{self, SessionRequest, Uses, Work};
use crate::wire::opening::Caller;

/// The longest list of prepared inferences, in bytes.
const MAX_USES_BYTES: usize = 1 << 20;

impl Server {
    /// Room for a session, and the store of the data owner where it needs one.
    pub(super) fn grant<R: Ring>(
        &self,
        plan: &Plan<R>,
        client: &Certificate,
        request: SessionRequest,
    ) -> Result<(Grant, Option<Store>), Refused> {
        let grant = self.capacity.grant(
            client.fingerprint(),
            plan.memory_bytes(self.party, Preprocessing::Ahead),
            request.inferences,
        )?;
        if matches!(request.work, Work::Live) {
            return Ok((grant, None));
        }
        let internal = |error: StoreError| {
            tracing::error!(%error, "the store of prepared inferences cannot be used");
            (Refusal::Internal, "the store of prepared inferences cannot be used here".to_owned())
        };
        let unavailable =
            || (Refusal::Forbidden, "no inferences are prepared here: it was started without a store".into());
        let store = self.store_of(client).ok_or_else(unavailable)?.map_err(internal)?;
        if let Work::Prepare(_) = request.work {
            let stored = stored(&store).map_err(internal)?;
            let most = self.capacity.limits().stored;
            if stored.saturating_add(u64::from(request.inferences)) > u64::from(most) {
                let reason = format!("{stored} prepared inferences of yours are here, and {most} are the most");
                return Err((Refusal::Limit, reason));
            }
        }
        Ok((grant, Some(store)))
    }

    /// The store of a data owner; nothing where no inferences are prepared.
    fn store_of(&self, client: &Certificate) -> Option<Result<Store, StoreError>> {
        let folder = self.stores.as_ref()?.join(client.fingerprint().to_string().replace(':', ""));
        let key = FileKey::new(self.endpoint.identity.derive_key("store"));
        Some(Store::of_data_owner(folder, key, client.into()))
    }

    /// Removes a batch that its data owner has dropped.
    pub(super) async fn drop_batch(&self, mut caller: Caller, batch: BatchId) -> Result<(), ServiceError> {
        if let Some(store) = self.store_of(&caller.certificate) {
            store?.remove_if_there(batch)?;
        }
        message::accept(&mut caller.link, &caller.name).await
    }

    /// Holds the prepared inferences that the data owner names; nothing where that is refused.
    pub(super) async fn hold<'s, R: Ring>(
        &self,
        caller: &mut Caller,
        store: &'s Store,
        batch: BatchId,
        agreed: &Agreed,
        plan: &Plan<R>,
    ) -> Result<Option<Vec<Hold<'s>>>, ServiceError> {
        let uses: Uses = message::receive(&mut caller.link, MAX_USES_BYTES, &caller.name).await?;
        let held = match self.replaced(store, batch, agreed) {
            Some(reason) => Err((Refusal::Replaced, reason)),
            None => hold_all(store, batch, &uses, agreed, plan, self.party).map_err(|reason| (Refusal::Used, reason)),
        };
        caller.answer(held).await
    }

    /// Why a batch is not one of the model that this session computes with; nothing if it is, or not there.
    fn replaced(&self, store: &Store, batch: BatchId, agreed: &Agreed) -> Option<String> {
        let described = store.describe(batch).ok()?;
        let is_other = described.deposit != agreed.deposit || described.weights != self.weights;
        is_other.then(|| {
            format!(
                "batch {batch} was prepared with a model that its owner has replaced since: remove it, prepare anew"
            )
        })
    }
}

/// The prepared inferences of a store.
fn stored(store: &Store) -> Result<u64, StoreError> {
    let mut stored = 0;
    for batch in store.batches()? {
        stored += store.ready(batch).map_or(0, |ready| ready.len() as u64);
    }
    Ok(stored)
}

/// Holds all inferences that are named; why not, if one cannot be held.
fn hold_all<'s, R: Ring>(
    store: &'s Store,
    batch: BatchId,
    uses: &Uses,
    agreed: &Agreed,
    plan: &Plan<R>,
    party: usize,
) -> Result<Vec<Hold<'s>>, String> {
    let described = store.describe(batch).map_err(|error| match error {
        StoreError::UnknownBatch { .. } => error.to_string(),
        _ => "the batch cannot be read here".to_owned(),
    })?;
    if !agreed.suits(&described, party, plan) {
        return Err(format!("batch {batch} was prepared for another plan or other parties"));
    }
    if uses.indices.len() != agreed.inferences as usize {
        return Err(format!("{} places for {} inferences", uses.indices.len(), agreed.inferences));
    }
    let hold = |&index: &u32| match store.hold(batch, index) {
        Ok(Some(hold)) => Ok(hold),
        Ok(None) => Err(format!("inference {index} of batch {batch} is in use")),
        Err(StoreError::Used { .. }) => Err(format!("inference {index} of batch {batch} was used")),
        Err(_) => Err("the batch cannot be read here".to_owned()),
    };
    let held: Result<Vec<_>, _> = uses.indices.iter().map(hold).collect();
    held.inspect_err(|_| pass_over(store, batch, uses))
}

/// Destroys what a data owner named together with something that was used: it does so, too, and asks for none of it again.
fn pass_over(store: &Store, batch: BatchId, uses: &Uses) {
    for &index in &uses.indices {
        if let Ok(Some(hold)) = store.hold(batch, index)
            && let Err(error) = hold.claim()
        {
            tracing::warn!(%error, "a prepared inference that is passed over stays");
        }
    }
    store.tidy(batch);
}
