//! Notes of batches that servers may still keep, each a row that is leased.

use super::{DatabaseStore, WRITE_SECONDS, column, schema};
use crate::at_rest::prepared::error::StoreError;
use crate::at_rest::prepared::{Note, Noted};
use crate::names::BatchId;

/// A note that is leased.
struct NoteRow<'a> {
    store: &'a DatabaseStore,
    batch: BatchId,
}

impl Noted for NoteRow<'_> {
    fn forget(self: Box<Self>) -> Result<(), StoreError> {
        let holder = &self.store.holder[..];
        self.store.execute(self.batch, schema::FORGET_NOTE, &[&holder]).map(drop)
    }
}

impl Drop for NoteRow<'_> {
    fn drop(&mut self) {
        let holder = &self.store.holder[..];
        // Where it fails, the lease ends by itself. One that was forgotten is not there.
        let _ = self.store.execute(self.batch, schema::RELEASE_NOTE, &[&holder]);
    }
}

impl DatabaseStore {
    /// Notes a batch; nobody else reads the note for so long.
    pub(super) fn write_note(&self, batch: BatchId, servers: &[[u8; 32]], seconds: f64) -> Result<(), StoreError> {
        let holder = &self.holder[..];
        self.execute(batch, schema::NOTE, &[&servers.as_flattened(), &holder, &seconds]).map(drop)
    }

    pub(super) fn own_note(&self, batch: BatchId, servers: Vec<[u8; 32]>) -> Note<'_> {
        Note::new(batch, servers, Box::new(NoteRow { store: self, batch }))
    }

    /// The notes that nobody has leased, which are leased to this side.
    pub(super) fn take_notes(&self) -> Result<Vec<Note<'_>>, StoreError> {
        let holder = &self.holder[..];
        let rows = self.connect()?.query(schema::TAKE_NOTES, &[&self.scope, &holder, &WRITE_SECONDS])?;
        let mut notes = Vec::with_capacity(rows.len());
        for row in &rows {
            let Ok(batch) = column::<&[u8]>(row, 0)?.try_into() else { continue };
            let servers = column::<&[u8]>(row, 1)?.as_chunks().0.to_vec();
            notes.push(self.own_note(BatchId(batch), servers));
        }
        Ok(notes)
    }
}
