//! Notes of batches that servers may still keep although they are not, or not yet, in this store, each a file that is locked.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::{FolderStore, names};
use crate::at_rest::prepared::error::{StoreError, in_folder};
use crate::at_rest::prepared::{Description, Note, Noted, PreparedStore};
use crate::at_rest::private_file::open_private;
use crate::names::BatchId;

/// Behind the names of notes.
const DROPPED: &str = "dropped";
/// More servers than a batch has.
const MAX_SERVERS: u64 = 64;

/// A note that is locked.
struct NoteFile {
    path: PathBuf,
    /// Locked while this is there.
    _lock: File,
}

impl Noted for NoteFile {
    fn forget(self: Box<Self>) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|source| in_folder(&self.path, source))
    }
}

impl FolderStore {
    /// Removes a batch and notes it, while the lock is held.
    pub(super) fn discard_locked(&self, id: BatchId) -> Result<(), StoreError> {
        // Of a batch that cannot be read nobody knows the servers.
        if let Ok(Description { party, parties, .. }) = self.describe(id) {
            let others = parties.into_iter().enumerate().filter(|(index, _)| *index != party as usize);
            self.note_locked(id, &others.map(|(_, fingerprint)| fingerprint).collect::<Vec<_>>())?;
        }
        self.remove(id)
    }

    pub(super) fn note_locked(&self, batch: BatchId, servers: &[[u8; 32]]) -> Result<Note<'_>, StoreError> {
        let path = self.note_path(batch);
        let write = || {
            let mut file = open_private(&path)?;
            file.try_lock()?;
            file.write_all(servers.as_flattened())?;
            file.sync_all()?;
            Ok(file)
        };
        let lock = write().map_err(|source| in_folder(&path, source))?;
        Ok(Note::new(batch, servers.to_vec(), Box::new(NoteFile { path, _lock: lock })))
    }

    /// Removes batches of which not all servers have confirmed that they keep them, while the lock is held: their process
    /// was killed, and nobody else uses them.
    pub(super) fn remove_unconfirmed(&self) -> Result<(), StoreError> {
        self.notes_locked()?.iter().try_for_each(|note| self.remove(note.batch))
    }

    pub(super) fn notes_locked(&self) -> Result<Vec<Note<'_>>, StoreError> {
        let mut notes = Vec::new();
        for name in names(&self.folder)? {
            let Some(batch) = name.strip_suffix(DROPPED).and_then(|name| name.strip_suffix('.')?.parse().ok()) else {
                continue;
            };
            let path = self.note_path(batch);
            if let Some((servers, lock)) = read(&path).map_err(|source| in_folder(&path, source))? {
                notes.push(Note::new(batch, servers, Box::new(NoteFile { path, _lock: lock })));
            }
        }
        Ok(notes)
    }

    pub(super) fn note_path(&self, batch: BatchId) -> PathBuf {
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
