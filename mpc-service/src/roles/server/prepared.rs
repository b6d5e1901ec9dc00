//! Prepared inferences at a server: room for them, and those that a session uses.

use mpc_nn::{Plan, Preprocessing};
use mpc_ring::Ring;
use mpc_transport::tls::Certificate;

use super::Server;
use crate::at_rest::prepared::{Hold, PreparedStore, StoreError, Stores, Usage, tidy};
use crate::error::ServiceError;
use crate::names::{BatchId, Refusal, Refused};
use crate::roles::agreed::{Agreed, check_audited};
use crate::wire::limits::Grant;
use crate::wire::message::{self, MAX_PLACES_BYTES, Preparation, SessionRequest, Uses, Work};
use crate::wire::opening::Caller;

impl Server {
    /// Room for a session, and the store of the data owner where it needs one.
    pub(super) fn grant<R: Ring>(
        &self,
        plan: &Plan<R>,
        client: &Certificate,
        request: SessionRequest,
    ) -> Result<(Grant, Option<Box<dyn PreparedStore>>), Refused> {
        let mut grant = self.capacity.grant(
            client.fingerprint(),
            plan.memory_bytes(self.party, Preprocessing::Ahead),
            request.inferences,
        )?;
        if matches!(request.work, Work::Live) {
            return Ok((grant, None));
        }
        let unavailable =
            || (Refusal::Forbidden, "no inferences are prepared here: it was started without a store".into());
        let store = self.store_of(client).ok_or_else(unavailable)?.map_err(unusable)?;
        if let Work::Prepare(Preparation { audited, .. }) = request.work {
            check_audited(audited, request.inferences, plan)?;
            // First, so that a batch that another session finishes meanwhile is counted, if twice.
            let preparing = grant.prepare(request.inferences);
            let stored = stored(&*store).map_err(unusable)?;
            let (most, others) = (self.capacity.limits().stored, preparing - u64::from(request.inferences));
            if stored.saturating_add(preparing) > u64::from(most) {
                let reason = format!(
                    "{stored} prepared inferences of yours are here, {others} are being prepared, and {most} are the most"
                );
                return Err((Refusal::Limit, reason));
            }
        }
        Ok((grant, Some(store)))
    }

    /// The store of a data owner; nothing where no inferences are prepared.
    fn store_of(&self, client: &Certificate) -> Option<Result<Box<dyn PreparedStore>, StoreError>> {
        let key = Stores::key(&self.endpoint.identity);
        Some(self.stores.as_ref()?.of_data_owner(key, client.into()))
    }

    /// Removes a batch that its data owner has dropped.
    pub(super) async fn drop_batch(&self, mut caller: Caller, batch: BatchId) -> Result<(), ServiceError> {
        if let Some(store) = self.store_of(&caller.certificate) {
            store?.remove(batch)?;
        }
        message::accept(&mut caller.link, &caller.name).await
    }

    /// Holds the prepared inferences that the data owner names; nothing where that is refused.
    pub(super) async fn hold<'s, R: Ring>(
        &self,
        caller: &mut Caller,
        store: &'s dyn PreparedStore,
        batch: BatchId,
        agreed: &Agreed,
        plan: &Plan<R>,
    ) -> Result<Option<Vec<Hold<'s>>>, ServiceError> {
        let uses: Uses = message::receive(&mut caller.link, MAX_PLACES_BYTES, &caller.name).await?;
        let held = match self.replaced(store, batch, agreed) {
            Some(reason) => Err((Refusal::Replaced, reason)),
            None => hold_all(store, batch, &uses, agreed, plan, self.party),
        };
        caller.answer(held).await
    }

    /// Why a batch is not one of the model that this session computes with; nothing if it is, or not there.
    fn replaced(&self, store: &dyn PreparedStore, batch: BatchId, agreed: &Agreed) -> Option<String> {
        let described = store.describe(batch).ok()?;
        let is_other = described.deposit != agreed.deposit || described.weights != self.weights;
        is_other.then(|| {
            format!(
                "batch {batch} was prepared with a model that its owner has replaced since: remove it, prepare anew"
            )
        })
    }
}

/// The refusal where a store cannot be used now.
fn unusable(error: StoreError) -> Refused {
    tracing::error!(%error, "the store of prepared inferences cannot be used");
    (Refusal::Internal, "the store of prepared inferences cannot be used here".to_owned())
}

/// The refusal where a batch cannot be read: the data owner passes it over, unless a database may have it again later.
fn unreadable(batch: BatchId, error: StoreError) -> Refused {
    match error {
        StoreError::UnknownBatch { .. } => (Refusal::Used, error.to_string()),
        #[cfg(feature = "postgres")]
        StoreError::Database(_) => unusable(error),
        _ => {
            tracing::error!(%batch, %error, "a batch of prepared inferences cannot be read");
            (Refusal::Used, "the batch cannot be read here".to_owned())
        }
    }
}

/// The prepared inferences of a store.
fn stored(store: &dyn PreparedStore) -> Result<u64, StoreError> {
    let mut stored = 0;
    for batch in store.batches()? {
        stored += store.ready(batch).map_or(0, |ready| ready.len() as u64);
    }
    Ok(stored)
}

/// The largest place of a batch that was used here.
pub(super) fn high(store: &dyn PreparedStore, batch: BatchId) -> Result<Option<u32>, StoreError> {
    match store.usage(batch) {
        Ok(usage) => Ok(usage.high),
        Err(StoreError::UnknownBatch { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Holds all inferences that are named; why not, if one cannot be held.
fn hold_all<'s, R: Ring>(
    store: &'s dyn PreparedStore,
    batch: BatchId,
    uses: &Uses,
    agreed: &Agreed,
    plan: &Plan<R>,
    party: usize,
) -> Result<Vec<Hold<'s>>, Refused> {
    let unreadable = |error| unreadable(batch, error);
    let described = store.describe(batch).map_err(unreadable)?;
    if !agreed.suits(&described, party, plan) {
        return Err((Refusal::Used, format!("batch {batch} was prepared for another plan or other parties")));
    }
    if uses.indices.len() != agreed.inferences as usize {
        return Err((Refusal::Used, format!("{} places for {} inferences", uses.indices.len(), agreed.inferences)));
    }
    let usage = store.usage(batch).map_err(unreadable)?;
    check_restored(batch, uses, &usage)?;
    let hold = |&index: &u32| match store.hold(batch, index) {
        Ok(Some(hold)) => Ok(hold),
        Ok(None) => Err((Refusal::Used, format!("inference {index} of batch {batch} is in use"))),
        Err(StoreError::Used { .. }) => Err(restored_there(batch, index, &usage)),
        Err(StoreError::Missing { .. }) => Err((Refusal::Used, format!("inference {index} of batch {batch} is lost"))),
        Err(error) => Err(unreadable(error)),
    };
    let held: Result<Vec<_>, _> = uses.indices.iter().map(hold).collect();
    held.inspect_err(|(refusal, _)| {
        if *refusal == Refusal::Used {
            pass_over(store, batch, uses);
        }
    })
}

/// An error where this store has forgotten what the data owner knows to have been used by all.
fn check_restored(batch: BatchId, uses: &Uses, usage: &Usage) -> Result<(), Refused> {
    let Some(until) = uses.confirmed.filter(|confirmed| usage.gone.is_none_or(|gone| gone < *confirmed)) else {
        return Ok(());
    };
    tracing::error!(
        %batch,
        until,
        "the store of prepared inferences was restored from a copy: burn this batch up to that place"
    );
    let reason = format!(
        "the store of prepared inferences here was restored from a copy: inference {until} of batch {batch} was used \
         before; whoever runs this server must burn the batch up to {until}"
    );
    Err((Refusal::Restored, reason))
}

/// The refusal of what was used here, and is ready at the data owner.
fn restored_there(batch: BatchId, index: u32, usage: &Usage) -> Refused {
    let until = usage.high.unwrap_or(index).max(index);
    let reason = format!(
        "inference {index} of batch {batch} was used here: your store was restored from a copy; burn the batch up to \
         {until}"
    );
    (Refusal::Restored, reason)
}

/// Destroys what a data owner named together with something that is lost: it does so, too, and asks for none of it again.
fn pass_over(store: &dyn PreparedStore, batch: BatchId, uses: &Uses) {
    for &index in &uses.indices {
        if let Ok(Some(hold)) = store.hold(batch, index)
            && let Err(error) = hold.burn()
        {
            tracing::warn!(%error, "a prepared inference that is passed over stays");
        }
    }
    tidy(store, batch);
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;
    use crate::at_rest::prepared::postgres::DatabaseError;

    #[test]
    fn a_database_that_does_not_answer_costs_nobody_an_inference() {
        let batch = BatchId([7; 16]);
        let lost = DatabaseError::Unreachable { place: "db:5432/stock".to_owned(), reason: "refused".to_owned() };
        assert_eq!(unreadable(batch, lost.into()).0, Refusal::Internal);
        for gone in [StoreError::UnknownBatch { id: batch }, StoreError::Damaged { id: batch, what: "the model" }] {
            assert_eq!(unreadable(batch, gone).0, Refusal::Used);
        }
    }
}
