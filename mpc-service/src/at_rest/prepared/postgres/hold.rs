//! An inference whose row is leased.

use super::pieces::Pieces;
use super::{DatabaseStore, HOLD_SECONDS, column, schema};
use crate::at_rest::prepared::error::StoreError;
use crate::at_rest::prepared::{Fate, Held, Recording};
use crate::names::BatchId;

/// An inference that nobody else can use, as long as the lease lasts.
#[derive(Debug)]
pub(super) struct HeldRow<'a> {
    pub(super) store: &'a DatabaseStore,
    pub(super) id: BatchId,
    pub(super) index: u32,
    pub(super) is_claimed: bool,
}

impl Held for HeldRow<'_> {
    fn take(mut self: Box<Self>, fate: Fate) -> Result<Recording, StoreError> {
        let Self { store, id, index, .. } = *self;
        let state = if fate == Fate::Used { "used" } else { "burnt" };
        let holder = &store.holder[..];
        // Committed when this returns; of an error nobody knows whether it was, and nothing of it is read.
        let rows = store.query(id, schema::CLAIM, &[&(index as i32), &holder, &state])?;
        self.is_claimed = true;
        let row = rows.first().ok_or(StoreError::Used { id, index })?;
        store.execute(id, schema::RENEW, &[&holder, &HOLD_SECONDS])?;
        let key = store.unwrap_key(id, &index.to_string(), column(row, 0)?)?;
        let first = (column(row, 1)?, column::<&[u8]>(row, 2)?.to_vec());
        Ok(Box::new(Pieces::new(store, id, index as i32, key, Some(first))?))
    }
}

impl Drop for HeldRow<'_> {
    fn drop(&mut self) {
        let holder = &self.store.holder[..];
        if self.is_claimed {
            return;
        }
        // Where it fails, the lease ends by itself.
        let _ = self.store.execute(self.id, schema::RELEASE, &[&(self.index as i32), &holder]);
    }
}
