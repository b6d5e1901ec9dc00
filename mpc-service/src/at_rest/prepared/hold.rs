//! An inference that is held, and then claimed: each is used once.

use std::fs::{self, File};
use std::io;

use super::error::{StoreError, in_folder};
use super::{CLAIMED, READY, Store};
use crate::at_rest::encrypted_file::EncryptedReader;
use crate::at_rest::private_file::sync_folder;
use crate::names::BatchId;

/// An inference that nobody else can use.
#[derive(Debug)]
pub struct Hold<'a> {
    pub(super) store: &'a Store,
    pub(super) id: BatchId,
    pub(super) index: u32,
    /// Locked while this is there.
    pub(super) _lock: File,
}

impl Hold<'_> {
    /// Its batch.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        self.id
    }

    /// Its place in the batch.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Takes the inference out of the store, for ever: it is gone from the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Used`] if it is not there; [`StoreError::File`].
    pub fn claim(self) -> Result<EncryptedReader, StoreError> {
        let Self { store, id, index, .. } = self;
        let ready = store.file(id, index, READY);
        let claimed = store.file(id, index, CLAIMED);
        fs::rename(&ready, &claimed).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Used { id, index },
            _ => in_folder(&claimed, source),
        })?;
        let reader = EncryptedReader::open(&claimed, &store.key, &store.label(id, index));
        fs::remove_file(&claimed).map_err(|source| in_folder(&claimed, source))?;
        sync_folder(&claimed).map_err(|source| in_folder(&claimed, source))?;
        Ok(reader?)
    }
}
