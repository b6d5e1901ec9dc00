//! Batches that servers may still keep although they are not, or not yet, in this store: noted until the servers are told.
//!
//! A note is there before servers are asked to prepare a batch, and gone when the batch is complete here. So one is left when
//! this process is killed in between, and when a batch is discarded.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::error::{StoreError, in_folder};
use super::{BATCH, Description, Store, names};
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
        // Of a batch that cannot be read nobody knows the servers.
        if let Ok(Description { party, parties, .. }) = self.describe(id) {
            let others = parties.into_iter().enumerate().filter(|(index, _)| *index != party as usize);
            self.note(id, others.map(|(_, fingerprint)| fingerprint).collect())?;
        }
        self.remove(id)
    }

    /// Notes a batch that the servers of these fingerprints may keep.
    pub(crate) fn note(&self, batch: BatchId, servers: Vec<[u8; 32]>) -> Result<Note, StoreError> {
        let path = self.note_path(batch);
        let _locked = self.lock()?;
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
        let mut notes = Vec::new();
        for name in names(&self.folder)? {
            let Some(batch) = name.strip_suffix(DROPPED).and_then(|name| name.strip_suffix('.')?.parse().ok()) else {
                continue;
            };
            let path = self.note_path(batch);
            if self.batch_folder(batch).join(BATCH).is_file() {
                // Its process was killed when the batch was complete.
                let _ = fs::remove_file(path);
            } else if let Some((servers, lock)) = read(&path).map_err(|source| in_folder(&path, source))? {
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
