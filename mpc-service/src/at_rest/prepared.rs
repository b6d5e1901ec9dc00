//! Prepared inferences on disk: made ahead of time, each used once.
//!
//! A *batch* is what one session of `prepare` leaves at one party: its share of the loaded model, and for each inference
//! what the dealer sent it. A batch is a folder of encrypted files:
//!
//! ```text
//! store/lock                   locked while a batch is begun, or looked for what a crash has left
//! store/5b0c…e1/batch          which plan, which parties, the loaded model
//! store/5b0c…e1/000017.ready   what the dealer sent for inference 17
//! store/5b0c…e1/writing        while the batch is not complete: locked by the process that prepares it
//! ```
//!
//! An inference is *held* by one process at a time, and *claimed* before anything of it is used: its file is renamed,
//! removed, and the folder written to disk. Of two that claim it one succeeds, and after a crash at any point it is ready or
//! gone, never ready and used.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::at_rest::encrypted_file::{
    EncryptedFileError, EncryptedReader, EncryptedWriter, FileKey, TEMPORARY, create_private, create_private_folder,
    open_private, sync_folder,
};
use crate::names::BatchId;

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

/// Why a store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file of the store.
    #[error(transparent)]
    File(#[from] EncryptedFileError),
    /// The store's folder.
    #[error("the store {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// No such batch.
    #[error("there is no batch {id} in this store: it was removed, or prepared by somebody else")]
    UnknownBatch {
        /// The batch.
        id: BatchId,
    },
    /// A batch of that identity was prepared before.
    #[error("batch {id} is in this store already: prepare another one")]
    Exists {
        /// The batch.
        id: BatchId,
    },
    /// Used, or never prepared.
    #[error("inference {index} of batch {id} is not there any more: each is used once, even if it failed")]
    Used {
        /// The batch.
        id: BatchId,
        /// The inference.
        index: u32,
    },
}

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
}

/// A folder of batches.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    key: FileKey,
}

impl Store {
    /// Opens a store, which is made if it is not there, and removes what a crash has left behind.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn open(folder: impl Into<PathBuf>, key: FileKey) -> Result<Self, StoreError> {
        let store = Self { folder: folder.into(), key };
        create_private_folder(&store.folder).map_err(|source| in_folder(&store.folder, source))?;
        let _locked = store.lock()?;
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

    /// What a batch is for.
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
        match self.ready(id) {
            Ok(ready) if ready.is_empty() => self.remove_if_there(id),
            Ok(_) | Err(StoreError::UnknownBatch { .. }) => Ok(()),
            Err(error) => Err(error),
        }
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
        let damaged = || EncryptedFileError::Damaged { path: path.clone() };
        let mut reader = EncryptedReader::open(&path, &self.key, &id.to_string())?;
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
        self.remove_if_used_up(id)
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

    fn file(&self, id: BatchId, index: u32, state: &str) -> PathBuf {
        self.batch_folder(id).join(format!("{index:06}.{state}"))
    }
}

/// An inference that nobody else can use.
#[derive(Debug)]
pub struct Hold<'a> {
    store: &'a Store,
    id: BatchId,
    index: u32,
    /// Locked while this is there.
    _lock: File,
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
        let reader = EncryptedReader::open(&claimed, &store.key, &label(id, index));
        fs::remove_file(&claimed).map_err(|source| in_folder(&claimed, source))?;
        sync_folder(&claimed).map_err(|source| in_folder(&claimed, source))?;
        Ok(reader?)
    }
}

/// A batch that is being prepared; removed if it is dropped before its end.
#[derive(Debug)]
pub struct BatchWriter<'a> {
    store: &'a Store,
    id: BatchId,
    is_finished: bool,
    /// Locked while this is there.
    _lock: File,
}

impl BatchWriter<'_> {
    /// The file of an inference. It must be finished before the batch is.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn inference(&self, index: u32) -> Result<EncryptedWriter, StoreError> {
        let path = self.store.file(self.id, index, READY);
        Ok(EncryptedWriter::create(path, &self.store.key, &label(self.id, index))?)
    }

    /// Completes the batch.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn finish(mut self, description: &Description, model: &[u8]) -> Result<(), StoreError> {
        let path = self.store.batch_folder(self.id).join(BATCH);
        let mut writer = EncryptedWriter::create(&path, &self.store.key, &self.id.to_string())?;
        let description = postcard::to_allocvec(description).unwrap_or_else(|_| unreachable!("descriptions encode"));
        writer.write(&(description.len() as u32).to_le_bytes())?;
        writer.write(&description)?;
        writer.write(model)?;
        writer.finish()?;
        // From here on the batch is there; without the file nobody asks whether it is complete.
        self.is_finished = true;
        let _ = fs::remove_file(self.store.batch_folder(self.id).join(WRITING));
        Ok(())
    }
}

impl Drop for BatchWriter<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.store.remove(self.id);
        }
    }
}

/// Whether a file is of an earlier time: another process may be about to remove or finish a newer one itself.
fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|data| data.modified()).ok().and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age.as_secs() >= 60)
}

fn label(id: BatchId, index: u32) -> String {
    format!("{id}/{index}")
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

fn in_folder(path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::at_rest::encrypted_file::random;

    fn open(folder: &TempDir) -> Store {
        Store::open(folder.path().join("store"), FileKey::new(Zeroizing::new([3; 32]))).unwrap()
    }

    fn new_id() -> BatchId {
        BatchId(random().unwrap())
    }

    fn description(count: u32) -> Description {
        Description { plan: [1; 32], party: 1, parties: vec![[2; 32]; 2], dealer: [4; 32], count }
    }

    fn prepare(store: &Store, count: u32) -> BatchId {
        let id = new_id();
        let batch = store.begin(id).unwrap();
        for index in 0..count {
            let mut file = batch.inference(index).unwrap();
            file.write(&index.to_le_bytes()).unwrap();
            file.finish().unwrap();
        }
        batch.finish(&description(count), b"model").unwrap();
        id
    }

    fn claim(store: &Store, id: BatchId, index: u32) -> Result<EncryptedReader, StoreError> {
        store.hold(id, index)?.ok_or(StoreError::Used { id, index })?.claim()
    }

    #[test]
    fn what_is_held_is_held_once_and_free_again_when_it_is_dropped() {
        let folder = tempdir().unwrap();
        let (store, other) = (open(&folder), open(&folder));
        let id = prepare(&store, 2);
        let held = store.hold_any(id).unwrap().unwrap();
        assert_eq!(held.index(), 0);
        assert!(other.hold(id, 0).unwrap().is_none());
        let second = other.hold_any(id).unwrap().unwrap();
        assert_eq!(second.index(), 1);
        assert!(store.hold_any(id).unwrap().is_none());
        drop(held);
        second.claim().unwrap();
        assert_eq!(other.hold_any(id).unwrap().unwrap().index(), 0);
    }

    #[test]
    fn a_batch_that_was_killed_before_it_was_locked_is_removed() {
        let folder = tempdir().unwrap();
        let store = open(&folder);
        create_private_folder(&store.batch_folder(new_id())).unwrap();
        let begun = store.begin(new_id()).unwrap();
        assert_eq!(open(&folder).batches().unwrap(), [begun.id]);
        drop(begun);
        assert_eq!(store.batches().unwrap(), []);
    }

    #[test]
    fn an_inference_is_claimed_once_and_is_what_was_prepared() {
        let folder = tempdir().unwrap();
        let store = open(&folder);
        let id = prepare(&store, 3);
        assert_eq!(store.describe(id).unwrap(), description(3));
        assert_eq!(*store.model(id, 5).unwrap(), b"model");
        assert!(store.model(id, 4).is_err());
        assert_eq!(store.ready(id).unwrap(), [0, 1, 2]);
        let claimed = claim(&store, id, 1).unwrap().read_to_end(4).unwrap();
        assert_eq!(*claimed, 1u32.to_le_bytes());
        assert!(matches!(claim(&store, id, 1), Err(StoreError::Used { index: 1, .. })));
        // Another process, or the same after a restart.
        assert!(matches!(claim(&open(&folder), id, 1), Err(StoreError::Used { index: 1, .. })));
        assert_eq!(open(&folder).ready(id).unwrap(), [0, 2]);
        for index in [0, 2] {
            claim(&store, id, index).unwrap();
        }
        store.remove_if_used_up(id).unwrap();
        assert!(matches!(store.ready(id), Err(StoreError::UnknownBatch { .. })));
        assert_eq!(store.batches().unwrap(), []);
    }

    #[test]
    fn of_many_that_claim_at_once_one_succeeds() {
        let folder = tempdir().unwrap();
        let store = open(&folder);
        let id = prepare(&store, 20);
        let claimed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let store = open(&folder);
                    for index in 0..20 {
                        if claim(&store, id, index).is_ok() {
                            claimed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(claimed.into_inner(), 20);
    }

    #[test]
    fn files_cannot_stand_in_for_one_another() {
        let folder = tempdir().unwrap();
        let store = open(&folder);
        let id = prepare(&store, 2);
        let used = fs::read(store.file(id, 0, READY)).unwrap();
        drop(claim(&store, id, 0).unwrap());
        // Somebody puts the used one back under the name of another.
        fs::write(store.file(id, 1, READY), used).unwrap();
        let reader = claim(&store, id, 1);
        assert!(reader.and_then(|mut reader| Ok(reader.read(&mut [0; 4])?)).is_err());
    }

    #[test]
    fn an_unfinished_batch_leaves_nothing() {
        let folder = tempdir().unwrap();
        let store = open(&folder);
        let batch = store.begin(new_id()).unwrap();
        batch.inference(0).unwrap().finish().unwrap();
        drop(batch);
        assert_eq!(store.batches().unwrap(), []);
    }

    #[test]
    fn a_batch_whose_process_was_killed_is_removed_and_one_in_the_making_stays() {
        let folder = tempdir().unwrap();
        let store = open(&folder);
        let batch = store.begin(new_id()).unwrap();
        batch.inference(0).unwrap().finish().unwrap();
        let id = batch.id;
        assert_eq!(open(&folder).batches().unwrap(), [id]);
        assert!(matches!(store.begin(id), Err(StoreError::Exists { .. })));
        // As a killed process leaves it: the files are there, and the lock is not held.
        let files = names(&store.batch_folder(id)).unwrap();
        let copy = folder.path().join("copy");
        fs::create_dir(&copy).unwrap();
        for name in &files {
            fs::copy(store.batch_folder(id).join(name), copy.join(name)).unwrap();
        }
        drop(batch);
        fs::rename(&copy, store.batch_folder(id)).unwrap();
        assert_eq!(store.batches().unwrap(), [id]);
        assert_eq!(open(&folder).batches().unwrap(), []);
        let complete = prepare(&store, 1);
        assert_eq!(open(&folder).ready(complete).unwrap(), [0]);
    }
}
