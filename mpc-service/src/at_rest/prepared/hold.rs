//! An inference that is held, and then claimed: each is used once. A note of a batch that servers may keep for nothing.

use std::fmt;

use mpc_transport::FrameSource;

use super::error::StoreError;
use crate::names::BatchId;

/// A claimed inference: its messages, which nobody else can read any more.
pub type Recording = Box<dyn FrameSource>;

/// The reason for which an inference leaves its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is used.
    Used,
    /// It is destroyed without use.
    Burnt,
}

/// The part of a [`Hold`] that a store implements.
pub trait Held: Send + Sync {
    /// Takes the inference out of the store, for ever: it is gone when this returns, and its fate is noted.
    ///
    /// # Errors
    /// [`StoreError::Used`] if it is not there; those of the medium.
    fn take(self: Box<Self>, fate: Fate) -> Result<Recording, StoreError>;
}

/// An inference that nobody else can use.
pub struct Hold<'a> {
    batch: BatchId,
    index: u32,
    held: Box<dyn Held + 'a>,
}

impl<'a> Hold<'a> {
    /// An inference of a batch that a store keeps for this side.
    #[must_use]
    pub fn new(batch: BatchId, index: u32, held: Box<dyn Held + 'a>) -> Self {
        Self { batch, index, held }
    }

    /// Its batch.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        self.batch
    }

    /// Its place in the batch.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Takes the inference out of the store, for ever: it is gone when this returns.
    ///
    /// # Errors
    /// [`StoreError::Used`] if it is not there; those of the medium.
    pub fn claim(self) -> Result<Recording, StoreError> {
        self.take(Fate::Used)
    }

    /// Destroys the inference.
    ///
    /// # Errors
    /// As for [`claim`](Self::claim).
    pub fn burn(self) -> Result<(), StoreError> {
        self.take(Fate::Burnt).map(drop)
    }

    /// Takes the inference out of the store, for ever, whatever its fate is.
    pub(super) fn take(self, fate: Fate) -> Result<Recording, StoreError> {
        self.held.take(fate)
    }
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hold").field("batch", &self.batch).field("index", &self.index).finish_non_exhaustive()
    }
}

/// The part of a [`Note`] that a store implements.
pub trait Noted: Send {
    /// Forgets the note.
    ///
    /// # Errors
    /// Those of the medium.
    fn forget(self: Box<Self>) -> Result<(), StoreError>;
}

/// The note of a batch that servers may keep although it is not, or not yet, in this store. Nobody else reads it meanwhile.
///
/// A note is there before servers are asked to prepare a batch, and gone when all of them have confirmed that they keep it: a
/// batch with a note is not used. So a note is left when this process is killed in between, when a batch is discarded, and
/// when one is used up, as a server may have some of it left that the others have lost.
pub struct Note<'a> {
    /// The batch.
    pub batch: BatchId,
    /// The fingerprints of the servers' certificates.
    pub servers: Vec<[u8; 32]>,
    noted: Box<dyn Noted + 'a>,
}

impl<'a> Note<'a> {
    /// A note that a store keeps for this side.
    #[must_use]
    pub fn new(batch: BatchId, servers: Vec<[u8; 32]>, noted: Box<dyn Noted + 'a>) -> Self {
        Self { batch, servers, noted }
    }

    /// Forgets the note: there is nobody left to tell.
    ///
    /// # Errors
    /// Those of the medium.
    pub fn forget(self) -> Result<(), StoreError> {
        self.noted.forget()
    }
}

impl fmt::Debug for Note<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Note").field("batch", &self.batch).finish_non_exhaustive()
    }
}
