//! A store in a folder, for one machine.
//!
//! A batch is a folder of encrypted files:
//!
//! ```text
//! store/lock                   locked while a batch is begun, or looked for what a crash has left
//! store/91fe…07.dropped        the servers that may keep a batch which is not here, until they are told
//! store/5b0c…e1/batch          which plan, which parties, the loaded model
//! store/5b0c…e1/000017.ready   what the dealer sent for inference 17
//! store/5b0c…e1/000016.used    empty: inference 16 was claimed; `done` once all parties have, `burnt` without use
//! store/5b0c…e1/writing        while the batch is not complete: locked by the process that prepares it
//! ```
//!
//! To hold an inference is to lock its file. To claim it is to make the mark of its fate, remove the file, and have the folder
//! written to disk. Whatever has a mark is gone, whether its file is there still or not.

mod batch_writer;
mod dropped;
mod hold;
mod marks;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use self::batch_writer::FolderBatch;
use self::hold::HeldFile;
use self::marks::Marks;
use super::error::{StoreError, in_folder};
use super::{BatchWriter, Description, Fate, Hold, MAX_DESCRIPTION, Note, PreparedStore, Usage};
use crate::at_rest::encrypted_file::{EncryptedReader, FileKey};
use crate::at_rest::private_file::{
    DiskError, TEMPORARY, create_private, create_private_folder, is_old, open_private, try_place,
};
use crate::names::{BatchId, Owner};

const READY: &str = "ready";
const BATCH: &str = "batch";
/// Locked by the process that prepares the batch, until it is complete.
const WRITING: &str = "writing";
/// Locked while a batch has a folder but not yet that file, which would look as one whose process was killed.
const LOCK: &str = "lock";

/// A folder of batches.
#[derive(Debug)]
pub struct FolderStore {
    folder: PathBuf,
    key: FileKey,
    /// At a server, the data owner whose batches these are; the labels of all files begin with it.
    data_owner: Option<Owner>,
}

/// Whether files can be made in a folder, which is made if it is not there.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    create_private_folder(folder).map_err(|source| in_folder(folder, source))?;
    Ok(try_place(&folder.join("place"))?)
}

impl FolderStore {
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

    fn is_used_up(&self, id: BatchId) -> Result<bool, StoreError> {
        match self.ready(id) {
            Ok(ready) => Ok(ready.is_empty()),
            Err(StoreError::UnknownBatch { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a batch that is used up, while the lock is held.
    fn retire(&self, id: BatchId) -> Result<(), StoreError> {
        if self.data_owner.is_none() { self.discard_locked(id) } else { self.remove(id) }
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

    /// The marks of a batch, and which files are there.
    fn marks(&self, id: BatchId) -> Result<Marks, StoreError> {
        let folder = self.batch_folder(id);
        if !folder.join(BATCH).is_file() {
            return Err(StoreError::UnknownBatch { id });
        }
        Ok(Marks::read(names(&folder).or_else(|error| unless_gone(error, Vec::new()))?))
    }

    /// Whether an inference was used or destroyed, by its mark.
    fn fate(&self, id: BatchId, index: u32) -> Option<Fate> {
        let has = |mark: &str| self.file(id, index, mark).exists();
        let is_used = marks::USED.into_iter().any(has);
        is_used.then_some(Fate::Used).or_else(|| has(marks::BURNT).then_some(Fate::Burnt))
    }

    /// The error for an inference that has no file, or a mark.
    fn gone(&self, id: BatchId, index: u32) -> StoreError {
        match self.fate(id, index) {
            Some(Fate::Used) => StoreError::Used { id, index },
            _ => StoreError::Missing { id, index },
        }
    }

    /// Removes what a process that was killed has left: batches and files that were never complete, files of inferences that
    /// were claimed, batches that are used up.
    fn sweep(&self, id: BatchId) -> Result<(), StoreError> {
        let folder = self.batch_folder(id);
        if self.is_abandoned(id) {
            return self.remove(id);
        }
        let names = names(&folder).or_else(|error| unless_gone(error, Vec::new()))?;
        for name in names.iter().filter(|name| name.ends_with(TEMPORARY) && is_old(&folder.join(name))) {
            let _ = fs::remove_file(folder.join(name));
        }
        for index in Marks::read(names).claimed_files() {
            let _ = fs::remove_file(self.file(id, index, READY));
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

impl PreparedStore for FolderStore {
    fn batches(&self) -> Result<Vec<BatchId>, StoreError> {
        Ok(names(&self.folder)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn describe(&self, id: BatchId) -> Result<Description, StoreError> {
        Ok(self.open_batch(id)?.0)
    }

    fn model(&self, id: BatchId, limit: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Ok(self.open_batch(id)?.1.read_to_end(limit)?)
    }

    fn ready(&self, id: BatchId) -> Result<Vec<u32>, StoreError> {
        Ok(self.marks(id)?.ready())
    }

    fn usage(&self, id: BatchId) -> Result<Usage, StoreError> {
        let path = self.batch_folder(id).join(BATCH);
        let prepared = fs::metadata(&path).and_then(|data| data.modified());
        Ok(self.marks(id)?.usage(prepared.map_err(|source| in_folder(&path, source))?))
    }

    fn hold(&self, id: BatchId, index: u32) -> Result<Option<Hold<'_>>, StoreError> {
        let path = self.file(id, index, READY);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => self.gone(id, index),
            _ => in_folder(&path, source),
        })?;
        match file.try_lock() {
            // It was claimed between opening and locking; nobody makes one of that name again.
            Ok(()) if !path.exists() || self.fate(id, index).is_some() => Err(self.gone(id, index)),
            Ok(()) => Ok(Some(Hold::new(id, index, Box::new(HeldFile { store: self, id, index, _lock: file })))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(in_folder(&path, source)),
        }
    }

    fn hold_any(&self, id: BatchId) -> Result<Option<Hold<'_>>, StoreError> {
        for index in self.ready(id)? {
            match self.hold(id, index) {
                Ok(None) | Err(StoreError::Used { .. } | StoreError::Missing { .. }) => {}
                held => return held,
            }
        }
        Ok(None)
    }

    fn confirm(&self, id: BatchId, index: u32) -> Result<(), StoreError> {
        let [used, confirmed] = marks::USED.map(|mark| self.file(id, index, mark));
        match fs::rename(&used, &confirmed) {
            // The batch is used up, and another process has removed it.
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.map_err(|source| in_folder(&used, source)),
        }
    }

    fn burn(&self, id: BatchId, until: u32) -> Result<u32, StoreError> {
        let count = self.describe(id)?.count;
        let marks = self.marks(id)?;
        let mut burnt = 0;
        for index in 0..count.min(until.saturating_add(1)) {
            match self.hold(id, index) {
                Ok(Some(hold)) => {
                    hold.burn()?;
                    burnt += 1;
                }
                Ok(None) => return Err(StoreError::Held { id, index }),
                Err(StoreError::Missing { .. }) if !marks.has(index) => self.mark(id, index, marks::BURNT)?,
                Err(StoreError::Used { .. } | StoreError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(burnt)
    }

    fn begin(&self, id: BatchId) -> Result<Box<dyn BatchWriter + '_>, StoreError> {
        let folder = self.batch_folder(id);
        let _locked = self.lock()?;
        if folder.exists() {
            return Err(StoreError::Exists { id });
        }
        create_private_folder(&folder).map_err(|source| in_folder(&folder, source))?;
        let path = folder.join(WRITING);
        let locked = create_private(&path).and_then(|file| file.try_lock().map_err(io::Error::from).map(|()| file));
        match locked {
            Ok(lock) => Ok(Box::new(FolderBatch { store: self, id, is_finished: false, _lock: lock })),
            Err(source) => {
                let _ = self.remove(id);
                Err(in_folder(&path, source))
            }
        }
    }

    fn remove(&self, id: BatchId) -> Result<(), StoreError> {
        let folder = self.batch_folder(id);
        // Without its description no other process takes anything from it.
        let _ = fs::remove_file(folder.join(BATCH));
        let removed = fs::remove_dir_all(&folder).map_err(|source| in_folder(&folder, source));
        // Another process may be removing it, too.
        removed.or_else(|error| unless_gone(error, ()))
    }

    fn remove_if_used_up(&self, id: BatchId) -> Result<(), StoreError> {
        if self.is_used_up(id)? {
            let _locked = self.lock()?;
            self.retire(id)?;
        }
        Ok(())
    }

    fn discard(&self, id: BatchId) -> Result<(), StoreError> {
        let _locked = self.lock()?;
        self.discard_locked(id)
    }

    fn note(&self, batch: BatchId, servers: &[[u8; 32]]) -> Result<Note<'_>, StoreError> {
        let _locked = self.lock()?;
        self.note_locked(batch, servers)
    }

    fn notes(&self) -> Result<Vec<Note<'_>>, StoreError> {
        let _locked = self.lock()?;
        let notes = self.notes_locked()?;
        notes.iter().try_for_each(|note| self.remove(note.batch))?;
        Ok(notes)
    }

    fn is_noted(&self, batch: BatchId) -> Result<bool, StoreError> {
        Ok(self.note_path(batch).exists())
    }
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
