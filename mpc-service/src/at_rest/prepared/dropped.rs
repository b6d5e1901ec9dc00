//! Batches that servers may still keep although they are not, or not yet, in this store: noted until the servers are told.
//!
//! A note is there before servers are asked to prepare a batch, and gone when all of them have confirmed that they keep it: a
//! batch with a note is not used. So a note is left when this process is killed in between, when a batch is discarded, and
//! when one is used up, as a server may have some of it left that the others have lost.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::error::{StoreError, in_folder};
use super::{Description, Store, names};
use crate::at_rest::private_file::open_private;
use crate::names::BatchId;

/// Behind the names of notes.
const DROPPED: &str = "dropped";
/// More servers than a batch has.
const MAX_SERVERS: u64 = 64;

/// The note of a batch that servers may keep for nothing. Nobody else reads it meanwhile.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) batch: BatchId,
    /// The fingerprints of the servers' certificates.
    pub(crate) servers: Vec<[u8; 32]>,
    path: PathBuf,
    /// Locked while this is there.
    _lock: File,
}

impl Note {
    /// Forgets the note: there is nobody left to tell.
    pub(crate) fn forget(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|source| in_folder(&self.path, source))
    }
}

impl Store {
    /// Removes a batch that is not wanted any more. Its servers are told when the next one is prepared with them.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn discard(&self, id: BatchId) -> Result<(), StoreError> {
        let _locked = self.lock()?;
        self.discard_locked(id)
    }

    /// As [`discard`](Self::discard), while the lock is held.
    pub(super) fn discard_locked(&self, id: BatchId) -> Result<(), StoreError> {
        // Of a batch that cannot be read nobody knows the servers.
        if let Ok(Description { party, parties, .. }) = self.describe(id) {
            let others = parties.into_iter().enumerate().filter(|(index, _)| *index != party as usize);
            self.note_locked(id, others.map(|(_, fingerprint)| fingerprint).collect())?;
        }
        self.remove_if_there(id)
    }

    /// Notes a batch that the servers of these fingerprints may keep.
    pub(crate) fn note(&self, batch: BatchId, servers: Vec<[u8; 32]>) -> Result<Note, StoreError> {
        let _locked = self.lock()?;
        self.note_locked(batch, servers)
    }

    fn note_locked(&self, batch: BatchId, servers: Vec<[u8; 32]>) -> Result<Note, StoreError> {
        let path = self.note_path(batch);
        let write = || {
            let mut file = open_private(&path)?;
            file.try_lock()?;
            file.write_all(servers.as_flattened())?;
            file.sync_all()?;
            Ok(file)
        };
        let lock = write().map_err(|source| in_folder(&path, source))?;
        Ok(Note { batch, servers, path, _lock: lock })
    }

    /// The batches that are noted, but for those that other processes are about to prepare.
    pub(crate) fn notes(&self) -> Result<Vec<Note>, StoreError> {
        let _locked = self.lock()?;
        let notes = self.notes_locked()?;
        notes.iter().try_for_each(|note| self.remove_if_there(note.batch))?;
        Ok(notes)
    }

    /// Removes batches of which not all servers have confirmed that they keep them, while the lock is held: their process
    /// was killed, and nobody else uses them.
    pub(super) fn remove_unconfirmed(&self) -> Result<(), StoreError> {
        self.notes_locked()?.iter().try_for_each(|note| self.remove_if_there(note.batch))
    }

    /// Whether a batch is still to be confirmed by its servers, or dropped.
    pub(crate) fn is_noted(&self, batch: BatchId) -> bool {
        self.note_path(batch).exists()
    }

    fn notes_locked(&self) -> Result<Vec<Note>, StoreError> {
        let mut notes = Vec::new();
        for name in names(&self.folder)? {
            let Some(batch) = name.strip_suffix(DROPPED).and_then(|name| name.strip_suffix('.')?.parse().ok()) else {
                continue;
            };
            let path = self.note_path(batch);
            if let Some((servers, lock)) = read(&path).map_err(|source| in_folder(&path, source))? {
                notes.push(Note { batch, servers, path, _lock: lock });
            }
        }
        Ok(notes)
    }

    fn note_path(&self, batch: BatchId) -> PathBuf {
        self.folder.join(format!("{batch}.{DROPPED}"))
    }
}

/// The servers of a note; nothing if another process has it.
fn read(path: &PathBuf) -> io::Result<Option<(Vec<[u8; 32]>, File)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    (&file).take(32 * MAX_SERVERS).read_to_end(&mut bytes)?;
    Ok(Some((bytes.as_chunks().0.to_vec(), file)))
}
