//! Prepared inferences: made ahead of time, each used once.
//!
//! A *batch* is what one session of `prepare` leaves at one party: its share of the loaded model, and for each inference
//! its correlations. A [`PreparedStore`] keeps batches: a [folder](FolderStore) for one machine, or a database for
//! several.
//!
//! An inference is *held* by one process at a time, and *claimed* before anything of it is used. Of two that claim it one
//! succeeds, and after a crash at any point it is ready or gone, never ready and used. What is gone is remembered with its
//! batch, so that a store that was restored from a copy is noticed: the data owner claims first, the servers after it, and
//! so none of them has ever used what the data owner has not.

mod error;
mod folder;
mod hold;
mod place;
#[cfg(feature = "postgres")]
pub mod postgres;

use std::fmt::Debug;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::error::StoreError;
pub use self::folder::FolderStore;
pub use self::hold::{Fate, Held, Hold, Note, Noted, Recording};
pub use self::place::{StorePlace, Stores};
use crate::names::{BatchId, DepositId};

/// The most inferences of a batch.
pub const MAX_BATCH: u32 = 100_000;

/// The largest description of a batch, without its model.
const MAX_DESCRIPTION: usize = 1 << 16;

/// Which inferences a batch is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The digest of the plan.
    pub plan: [u8; 32],
    /// The index of the party whose batch this is.
    pub party: u32,
    /// The fingerprints of all parties' certificates, by index.
    pub parties: Vec<[u8; 32]>,
    /// The fingerprint of the dealer's certificate.
    pub dealer: [u8; 32],
    /// The number of inferences that were prepared.
    pub count: u32,
    /// The model, where it was left with servers as shares.
    pub deposit: Option<DepositId>,
    /// The digest of the model, at a party that has one of its own.
    pub weights: Option<[u8; 32]>,
}

impl Description {
    /// The fingerprints of the parties but the one whose batch this is.
    fn others(&self) -> Vec<[u8; 32]> {
        let others = self.parties.iter().enumerate().filter(|(index, _)| *index != self.party as usize);
        others.map(|(_, fingerprint)| *fingerprint).collect()
    }
}

/// The fates of a batch's inferences that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many were claimed for use.
    pub used: u32,
    /// How many were destroyed without use.
    pub burnt: u32,
    /// The largest place that was claimed for use.
    pub high: Option<u32>,
    /// The largest place that was claimed for use or destroyed.
    pub gone: Option<u32>,
    /// The largest place of which every party is known to have claimed its own.
    pub confirmed: Option<u32>,
    /// When the batch was complete.
    pub prepared: SystemTime,
}

/// A store of batches of one owner; at a server, of those of one data owner.
///
/// # Security
/// An implementor gives an inference to one of all who claim it, in whatever processes and on whatever machines they are, and
/// has removed it durably when [`Hold::claim`] returns. Everything that it keeps of an inference or a model is encrypted under
/// a key of the owner.
pub trait PreparedStore: Debug + Send + Sync {
    /// The batches that there are, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn batches(&self) -> Result<Vec<BatchId>, StoreError>;

    /// The purpose of a batch.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`] and those of the medium.
    fn describe(&self, id: BatchId) -> Result<Description, StoreError>;

    /// The party's share of the loaded model that the batch was prepared with; `limit` is its largest size in bytes.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`] and those of the medium.
    fn model(&self, id: BatchId, limit: usize) -> Result<Zeroizing<Vec<u8>>, StoreError>;

    /// The inferences of a batch that are ready, in order.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`] and those of the medium.
    fn ready(&self, id: BatchId) -> Result<Vec<u32>, StoreError>;

    /// The fates of those that are gone.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`] and those of the medium.
    fn usage(&self, id: BatchId) -> Result<Usage, StoreError>;

    /// Keeps an inference from others, until the [`Hold`] is dropped or claimed, or this process ends. `None` if somebody
    /// else holds it.
    ///
    /// # Errors
    /// [`StoreError::Used`], [`StoreError::Missing`] and those of the medium.
    fn hold(&self, id: BatchId, index: u32) -> Result<Option<Hold<'_>>, StoreError>;

    /// The first inference of a batch that is ready and that nobody holds.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`] and those of the medium.
    fn hold_any(&self, id: BatchId) -> Result<Option<Hold<'_>>, StoreError>;

    /// Notes that every party has claimed its own of an inference that was claimed here. It need not be durable.
    ///
    /// # Errors
    /// Those of the medium.
    fn confirm(&self, id: BatchId, index: u32) -> Result<(), StoreError>;

    /// Destroys all inferences of a batch up to the given place; how many were ready. From then on all of these are gone.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`], [`StoreError::Held`] if somebody holds one, and those of the medium.
    fn burn(&self, id: BatchId, until: u32) -> Result<u32, StoreError>;

    /// Begins a batch. It is not there before [`BatchWriter::finish`].
    ///
    /// # Errors
    /// [`StoreError::Exists`] and those of the medium.
    fn begin(&self, id: BatchId) -> Result<Box<dyn BatchWriter + '_>, StoreError>;

    /// Removes a batch with all that is left in it, if it is there.
    ///
    /// # Errors
    /// Those of the medium.
    fn remove(&self, id: BatchId) -> Result<(), StoreError>;

    /// Removes a batch if nothing in it is ready. A data owner notes it: a server may have some of it left that was passed
    /// over.
    ///
    /// # Errors
    /// Those of the medium.
    fn remove_if_used_up(&self, id: BatchId) -> Result<(), StoreError>;

    /// Removes a batch that is not wanted any more. Its servers are told when the next one is prepared with them.
    ///
    /// # Errors
    /// Those of the medium.
    fn discard(&self, id: BatchId) -> Result<(), StoreError>;

    /// Notes a batch that the servers of these fingerprints may keep for nothing.
    ///
    /// # Errors
    /// Those of the medium.
    fn note(&self, batch: BatchId, servers: &[[u8; 32]]) -> Result<Note<'_>, StoreError>;

    /// The batches that are noted, but for those that other processes are about to prepare. What is left of them here is
    /// removed.
    ///
    /// # Errors
    /// Those of the medium.
    fn notes(&self) -> Result<Vec<Note<'_>>, StoreError>;

    /// Whether a batch is still to be confirmed by its servers, or dropped.
    ///
    /// # Errors
    /// Those of the medium.
    fn is_noted(&self, batch: BatchId) -> Result<bool, StoreError>;
}

/// A batch that is being prepared; removed if it is dropped before its end.
pub trait BatchWriter: Send + Sync {
    /// The place of an inference's messages. It must be finished before the batch is.
    ///
    /// # Errors
    /// Those of the medium.
    fn inference(&self, index: u32) -> Result<Box<dyn InferenceWriter + '_>, StoreError>;

    /// Takes an inference that is stored out of the batch again, for ever: it was destroyed without use, for an audit.
    ///
    /// # Errors
    /// Those of the medium.
    fn take(&self, index: u32) -> Result<Recording, StoreError>;

    /// Completes the batch.
    ///
    /// # Errors
    /// Those of the medium.
    fn finish(self: Box<Self>, description: &Description, model: &[u8]) -> Result<(), StoreError>;
}

/// The messages of an inference, as they come.
pub trait InferenceWriter: Send {
    /// Adds data.
    ///
    /// # Errors
    /// Those of the medium.
    fn write(&mut self, data: &[u8]) -> Result<(), StoreError>;

    /// Ends it: it is stored.
    ///
    /// # Errors
    /// Those of the medium.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// As [`PreparedStore::remove_if_used_up`], after work that is done: a failure is logged.
pub(crate) fn tidy(store: &dyn PreparedStore, id: BatchId) {
    if let Err(error) = store.remove_if_used_up(id) {
        tracing::warn!(batch = %id, %error, "a batch that is used up stays");
    }
}

#[cfg(test)]
mod tests;
