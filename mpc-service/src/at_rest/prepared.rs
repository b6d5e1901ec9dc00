//! Prepared inferences on disk: made ahead of time, each used once.
//!
//! A *batch* is what one session of `prepare` leaves at one party: its share of the loaded model, and for each inference
//! what the dealer sent it. A batch is a folder of encrypted files:
//!
//! ```text
//! store/lock                   locked while a batch is begun, or looked for what a crash has left
//! store/91fe…07.dropped        the servers that may keep a batch which is not here, until they are told
//! store/5b0c…e1/batch          which plan, which parties, the loaded model
//! store/5b0c…e1/000017.ready   what the dealer sent for inference 17
//! store/5b0c…e1/writing        while the batch is not complete: locked by the process that prepares it
//! ```
//!
//! An inference is *held* by one process at a time, and *claimed* before anything of it is used: its file is renamed,
//! removed, and the folder written to disk. Of two that claim it one succeeds, and after a crash at any point it is ready or
//! gone, never ready and used.

mod batch_writer;
mod dropped;
mod error;
mod hold;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::batch_writer::BatchWriter;
pub use self::error::StoreError;
use self::error::in_folder;
pub use self::hold::Hold;
use crate::at_rest::encrypted_file::{EncryptedReader, FileKey};
use crate::at_rest::private_file::{DiskError, TEMPORARY, create_private, create_private_folder, open_private};
use crate::names::{BatchId, DepositId, Owner};

/// The most inferences of a batch.
pub const MAX_BATCH: u32 = 100_000;

const READY: &str = "ready";
const CLAIMED: &str = "claimed";
const BATCH: &str = "batch";
/// Locked by the process that prepares the batch, until it is complete.
const WRITING: &str = "writing";
/// Locked while a batch has a folder but not yet that file, which would look as one whose process was killed.
const LOCK: &str = "lock";

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

/// A folder of batches.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    key: FileKey,
    /// At a server, the data owner whose batches these are; the labels of all files begin with it.
    data_owner: Option<Owner>,
}

impl Store {
    /// Opens a store, which is made if it is not there, and removes what a crash has left behind.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn open(folder: impl Into<PathBuf>, key: FileKey) -> Result<Self, StoreError> {
        Self::open_as(Self { folder: folder.into(), key, data_owner: None })
    }

    /// As [`open`](Self::open) at a server, for the batches of one data owner.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn of_data_owner(folder: impl Into<PathBuf>, key: FileKey, data_owner: Owner) -> Result<Self, StoreError> {
        Self::open_as(Self { folder: folder.into(), key, data_owner: Some(data_owner) })
    }

    fn open_as(store: Self) -> Result<Self, StoreError> {
        create_private_folder(&store.folder).map_err(|source| in_folder(&store.folder, source))?;
        let _locked = store.lock()?;
        store.remove_unconfirmed()?;
        for id in store.batches()? {
            store.sweep(id)?;
        }
        Ok(store)
    }

    /// The batches that there are, in no order.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn batches(&self) -> Result<Vec<BatchId>, StoreError> {
        Ok(names(&self.folder)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The purpose of a batch.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`], [`StoreError::File`].
    pub fn describe(&self, id: BatchId) -> Result<Description, StoreError> {
        Ok(self.open_batch(id)?.0)
    }

    /// The party's share of the loaded model that the batch was prepared with; `limit` is its largest size in bytes.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`], [`StoreError::File`].
    pub fn model(&self, id: BatchId, limit: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Ok(self.open_batch(id)?.1.read_to_end(limit)?)
    }

    /// The inferences of a batch that are ready, in order.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`], [`StoreError::Folder`].
    pub fn ready(&self, id: BatchId) -> Result<Vec<u32>, StoreError> {
        let folder = self.batch_folder(id);
        if !folder.join(BATCH).is_file() {
            return Err(StoreError::UnknownBatch { id });
        }
        let index = |name: &String| name.strip_suffix(READY)?.strip_suffix('.')?.parse().ok();
        let names = names(&folder).or_else(|error| unless_gone(error, Vec::new()))?;
        let mut ready: Vec<_> = names.iter().filter_map(index).collect();
        ready.sort_unstable();
        Ok(ready)
    }

    /// Keeps an inference from others, in this process and in others, until the [`Hold`] is dropped or claimed, or this
    /// process ends. `None` if somebody else holds it.
    ///
    /// # Errors
    /// [`StoreError::Used`] if it is not there.
    pub fn hold(&self, id: BatchId, index: u32) -> Result<Option<Hold<'_>>, StoreError> {
        let path = self.file(id, index, READY);
        let used = || StoreError::Used { id, index };
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => used(),
            _ => in_folder(&path, source),
        })?;
        match file.try_lock() {
            // It was claimed between opening and locking; nobody makes one of that name again.
            Ok(()) if !path.exists() => Err(used()),
            Ok(()) => Ok(Some(Hold { store: self, id, index, _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(in_folder(&path, source)),
        }
    }

    /// The first inference of a batch that is ready and that nobody holds.
    ///
    /// # Errors
    /// [`StoreError::UnknownBatch`], [`StoreError::Folder`].
    pub fn hold_any(&self, id: BatchId) -> Result<Option<Hold<'_>>, StoreError> {
        for index in self.ready(id)? {
            match self.hold(id, index) {
                Ok(None) | Err(StoreError::Used { .. }) => {}
                held => return held,
            }
        }
        Ok(None)
    }

    /// Begins a batch. It is not there before [`BatchWriter::finish`].
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Folder`].
    pub fn begin(&self, id: BatchId) -> Result<BatchWriter<'_>, StoreError> {
        let folder = self.batch_folder(id);
        let _locked = self.lock()?;
        if folder.exists() {
            return Err(StoreError::Exists { id });
        }
        create_private_folder(&folder).map_err(|source| in_folder(&folder, source))?;
        let path = folder.join(WRITING);
        let locked = create_private(&path).and_then(|file| file.try_lock().map_err(io::Error::from).map(|()| file));
        match locked {
            Ok(lock) => Ok(BatchWriter { store: self, id, is_finished: false, _lock: lock }),
            Err(source) => {
                let _ = self.remove(id);
                Err(in_folder(&path, source))
            }
        }
    }

    /// Removes a batch with all that is left in it.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn remove(&self, id: BatchId) -> Result<(), StoreError> {
        let folder = self.batch_folder(id);
        // Without its description no other process takes anything from it.
        let _ = fs::remove_file(folder.join(BATCH));
        fs::remove_dir_all(&folder).map_err(|source| in_folder(&folder, source))
    }

    /// Removes a batch if nothing in it is ready.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn remove_if_used_up(&self, id: BatchId) -> Result<(), StoreError> {
        if self.is_used_up(id)? {
            let _locked = self.lock()?;
            self.retire(id)?;
        }
        Ok(())
    }

    fn is_used_up(&self, id: BatchId) -> Result<bool, StoreError> {
        match self.ready(id) {
            Ok(ready) => Ok(ready.is_empty()),
            Err(StoreError::UnknownBatch { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a batch that is used up, while the lock is held. A data owner notes it: a server may have some of it left
    /// that was passed over.
    fn retire(&self, id: BatchId) -> Result<(), StoreError> {
        if self.data_owner.is_none() { self.discard_locked(id) } else { self.remove_if_there(id) }
    }

    /// As [`remove_if_used_up`](Self::remove_if_used_up), after work that is done: a failure is logged.
    pub(crate) fn tidy(&self, id: BatchId) {
        if let Err(error) = self.remove_if_used_up(id) {
            tracing::warn!(batch = %id, %error, "a batch that is used up stays");
        }
    }

    fn open_batch(&self, id: BatchId) -> Result<(Description, EncryptedReader), StoreError> {
        let path = self.batch_folder(id).join(BATCH);
        if !path.is_file() {
            return Err(StoreError::UnknownBatch { id });
        }
        let damaged = || DiskError::Damaged { path: path.clone() };
        let mut reader = EncryptedReader::open(&path, &self.key, &self.batch_label(id))?;
        let mut length = [0; 4];
        reader.read(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_DESCRIPTION {
            return Err(damaged().into());
        }
        let mut bytes = vec![0; length];
        reader.read(&mut bytes)?;
        Ok((postcard::from_bytes(&bytes).map_err(|_| damaged())?, reader))
    }

    /// Removes what a process that was killed has left: batches and files that were never complete, claimed inferences,
    /// batches that are used up.
    fn sweep(&self, id: BatchId) -> Result<(), StoreError> {
        let folder = self.batch_folder(id);
        if self.is_abandoned(id) {
            return self.remove_if_there(id);
        }
        for name in names(&folder).or_else(|error| unless_gone(error, Vec::new()))? {
            if [CLAIMED, TEMPORARY].iter().any(|end| name.ends_with(end)) && is_old(&folder.join(&name)) {
                let _ = fs::remove_file(folder.join(name));
            }
        }
        if self.is_used_up(id)? { self.retire(id) } else { Ok(()) }
    }

    /// Keeps other processes from beginning a batch, and from looking for those that are abandoned.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.folder.join(LOCK);
        let locked = open_private(&path).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| in_folder(&path, source))
    }

    /// Whether the process that prepared a batch ended before it was complete.
    fn is_abandoned(&self, id: BatchId) -> bool {
        let folder = self.batch_folder(id);
        let lock = File::open(folder.join(WRITING));
        let is_unlocked = match &lock {
            Ok(lock) => lock.try_lock().is_ok(),
            // Begun by a process that was killed before it could lock it, or in the middle of its removal.
            Err(_) => true,
        };
        // Looked for while the lock is held: the batch was complete when its process let go of it.
        is_unlocked && !folder.join(BATCH).exists()
    }

    /// Removes a batch that another process may be removing, too.
    pub(crate) fn remove_if_there(&self, id: BatchId) -> Result<(), StoreError> {
        self.remove(id).or_else(|error| unless_gone(error, ()))
    }

    fn batch_folder(&self, id: BatchId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// The label of a batch's own file.
    fn batch_label(&self, id: BatchId) -> String {
        self.data_owner.map_or_else(|| id.to_string(), |owner| format!("{owner}/{id}"))
    }

    /// The label of an inference's file.
    fn label(&self, id: BatchId, index: u32) -> String {
        format!("{}/{index}", self.batch_label(id))
    }

    fn file(&self, id: BatchId, index: u32, state: &str) -> PathBuf {
        self.batch_folder(id).join(format!("{index:06}.{state}"))
    }
}

/// Whether a file is of an earlier time: another process may be about to remove or finish a newer one itself.
fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|data| data.modified()).ok().and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age.as_secs() >= 60)
}

fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = fs::read_dir(folder).map_err(|source| in_folder(folder, source))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// `otherwise` where another process has removed a folder meanwhile.
fn unless_gone<T>(error: StoreError, otherwise: T) -> Result<T, StoreError> {
    match error {
        StoreError::Folder { source, .. } if source.kind() == io::ErrorKind::NotFound => Ok(otherwise),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests;
