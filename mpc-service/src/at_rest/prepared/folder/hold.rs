//! An inference whose file is locked.

use std::fs::{self, File};
use std::io;

use mpc_transport::{FrameSource, RecordingError};

use super::marks::{BURNT, USED};
use super::{FolderStore, READY};
use crate::at_rest::encrypted_file::EncryptedReader;
use crate::at_rest::prepared::error::{StoreError, in_folder};
use crate::at_rest::prepared::{Fate, Held, Recording};
use crate::at_rest::private_file::{create_private, sync_folder};
use crate::names::BatchId;

/// An inference that nobody else can use.
#[derive(Debug)]
pub(super) struct HeldFile<'a> {
    pub(super) store: &'a FolderStore,
    pub(super) id: BatchId,
    pub(super) index: u32,
    /// Locked while this is there.
    pub(super) _lock: File,
}

impl Held for HeldFile<'_> {
    fn take(self: Box<Self>, fate: Fate) -> Result<Recording, StoreError> {
        let Self { store, id, index, .. } = *self;
        let ready = store.file(id, index, READY);
        let reader = EncryptedReader::open(&ready, &store.key, &store.label(id, index));
        store.mark(id, index, if fate == Fate::Used { USED[0] } else { BURNT })?;
        match fs::remove_file(&ready) {
            // Whoever opened the store meanwhile has seen the mark.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(|source| in_folder(&ready, source))?,
        }
        sync_folder(&ready).map_err(|source| in_folder(&ready, source))?;
        Ok(Box::new(Claimed(reader?)))
    }
}

impl FolderStore {
    /// Marks an inference as gone.
    pub(super) fn mark(&self, id: BatchId, index: u32, mark: &str) -> Result<(), StoreError> {
        let path = self.file(id, index, mark);
        let made = create_private(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Used { id, index },
            _ => in_folder(&path, source),
        });
        made.map(drop)
    }
}

/// A claimed recording, read from a file that has no name any more.
struct Claimed(EncryptedReader);

impl FrameSource for Claimed {
    fn remaining(&self) -> u64 {
        self.0.remaining()
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        self.0.read(bytes).map_err(|error| RecordingError::Storage { reason: error.to_string() })
    }
}
