//! A store in PostgreSQL, for several machines of one organisation.
//!
//! ```text
//! mpc_batch      which plan, how many, the description and the model's key, sealed
//! mpc_prepared   a ready inference: its key, sealed under the owner's key, and the first piece of its messages
//! mpc_piece      further pieces of an inference's messages, and those of a batch's model, encrypted under that key
//! mpc_used       an inference that is gone: whether it was used, when, and by which replica
//! mpc_dropped    the servers that may keep a batch which is not here, until they are told
//! ```
//!
//! To hold an inference is to lease its row: whoever was killed leaves it to others when the lease ends. To claim it is one
//! statement, which deletes the row with its key and inserts the one that says so; it is committed on disk before anything of
//! the inference is read. Without its key what is left of the pieces is nothing, and is removed in passing.

mod batch_writer;
mod connection;
mod dropped;
mod error;
mod hold;
mod pieces;
mod schema;
#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use ::postgres::types::ToSql;
use zeroize::Zeroizing;

use self::batch_writer::DatabaseBatch;
use self::connection::Connection;
pub use self::connection::{Database, shown};
pub use self::error::DatabaseError;
use self::hold::HeldRow;
use self::pieces::Pieces;
use super::error::StoreError;
use super::{BatchWriter, Description, Hold, Note, PreparedStore, Usage};
use crate::at_rest::encrypted_file::FileKey;
use crate::at_rest::private_file::{DiskError, random};
use crate::at_rest::sealed;
use crate::names::{BatchId, Owner};

/// How long an inference is held for somebody who is not heard of.
const HOLD_SECONDS: f64 = 900.0;
/// How long a batch may be prepared, and a note held.
const WRITE_SECONDS: f64 = 86_400.0;

/// The batches of one owner in a database.
#[derive(Debug)]
pub struct DatabaseStore {
    database: Database,
    key: FileKey,
    /// The data owner whose batches these are, at a server; nothing at a data owner itself.
    scope: Vec<u8>,
    /// Names the holds of this store among those of others.
    holder: [u8; 16],
}

impl DatabaseStore {
    /// The batches of a data owner at a server, or one's own; what a crash has left behind is removed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn open(database: &Database, key: FileKey, data_owner: Option<Owner>) -> Result<Self, StoreError> {
        let scope = data_owner.map_or_else(Vec::new, |owner| owner.0.to_vec());
        let store = Self { database: database.clone(), key, scope, holder: random()? };
        store.sweep()?;
        Ok(store)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        Ok(self.database.connect()?)
    }

    /// Runs a statement about a batch: its first two parameters are the scope and the batch.
    fn execute(&self, id: BatchId, statement: &str, others: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let id = id.0;
        let both: [&(dyn ToSql + Sync); 2] = [&self.scope, &&id[..]];
        Ok(self.connect()?.execute(statement, &[&both, others].concat())?)
    }

    /// As [`execute`](Self::execute), for what has rows.
    fn query(
        &self,
        id: BatchId,
        statement: &str,
        others: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<::postgres::Row>, StoreError> {
        let id = id.0;
        let both: [&(dyn ToSql + Sync); 2] = [&self.scope, &&id[..]];
        Ok(self.connect()?.query(statement, &[&both, others].concat())?)
    }

    /// The label under which something of a batch is sealed.
    fn label(&self, id: BatchId, what: &str) -> String {
        let scope: String = self.scope.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("database/{scope}/{id}/{what}")
    }

    /// Removes what processes that were killed have left: batches that were never complete, those of which not all servers
    /// have confirmed that they keep them, those that are used up, pieces of inferences that are gone.
    fn sweep(&self) -> Result<(), StoreError> {
        for id in self.ids(schema::ABANDONED, &[&self.scope])? {
            self.remove(id)?;
        }
        for id in self.ids(schema::USED_UP, &[&self.scope, &HOLD_SECONDS])? {
            self.retire(id)?;
        }
        self.connect()?.execute(schema::SWEEP, &[&self.scope])?;
        Ok(())
    }

    /// The batches that a statement gives.
    fn ids(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<BatchId>, StoreError> {
        let rows = self.connect()?.query(statement, parameters)?;
        let id = |row: &::postgres::Row| Ok(column::<&[u8]>(row, 0)?.try_into().ok().map(BatchId));
        rows.iter().filter_map(|row| id(row).transpose()).collect()
    }

    /// Removes a batch that is used up. A data owner notes it: servers may have some of it left.
    fn retire(&self, id: BatchId) -> Result<(), StoreError> {
        if self.scope.is_empty() { self.discard(id) } else { self.remove(id) }
    }

    /// The description of a complete batch as it is stored, and the key of its model.
    fn row(&self, id: BatchId) -> Result<(Description, Vec<u8>), StoreError> {
        let rows = self.query(id, schema::DESCRIBE, &[])?;
        let row = rows.first().ok_or(StoreError::UnknownBatch { id })?;
        let what = "the description";
        let plain = sealed::open(&self.key, &self.label(id, what), column(row, 0)?);
        let plain = plain.ok_or(StoreError::Damaged { id, what })?;
        let description = postcard::from_bytes(&plain).map_err(|_| StoreError::Damaged { id, what })?;
        Ok((description, column::<&[u8]>(row, 1)?.to_vec()))
    }

    /// A fresh key for an inference or a model, and the same sealed.
    fn new_key(&self, id: BatchId, what: &str) -> Result<(FileKey, Vec<u8>), StoreError> {
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random()?);
        let wrapped = sealed::seal(&self.key, &self.label(id, what), &bytes[..])?;
        Ok((FileKey::new(bytes), wrapped))
    }

    fn unwrap_key(&self, id: BatchId, what: &str, wrapped: &[u8]) -> Result<FileKey, StoreError> {
        let damaged = || StoreError::Damaged { id, what: "the key of an inference or of the model" };
        let plain = sealed::open(&self.key, &self.label(id, what), wrapped).ok_or_else(damaged)?;
        Ok(FileKey::new(Zeroizing::new(plain.as_slice().try_into().map_err(|_| damaged())?)))
    }

    /// The error for an inference that is not ready.
    fn gone(&self, id: BatchId, index: u32) -> StoreError {
        match self.query(id, schema::WAS_USED, &[&(index as i32)]) {
            Ok(rows) if rows.is_empty() => StoreError::Missing { id, index },
            Ok(_) => StoreError::Used { id, index },
            Err(error) => error,
        }
    }

    fn held(&self, id: BatchId, index: u32) -> Hold<'_> {
        Hold::new(id, index, Box::new(HeldRow { store: self, id, index, is_claimed: false }))
    }
}

/// A column of a row.
fn column<'r, T: ::postgres::types::FromSql<'r>>(row: &'r ::postgres::Row, at: usize) -> Result<T, DatabaseError> {
    row.try_get(at).map_err(DatabaseError::from)
}

/// A place in a batch as a database has it.
fn place(row: &::postgres::Row, at: usize) -> Result<Option<u32>, DatabaseError> {
    Ok(column::<Option<i32>>(row, at)?.and_then(|place| u32::try_from(place).ok()))
}

/// The name of the model among what a batch has, and its place among the pieces.
const MODEL: (&str, i32) = ("the model", -1);

impl PreparedStore for DatabaseStore {
    fn batches(&self) -> Result<Vec<BatchId>, StoreError> {
        self.ids(schema::BATCHES, &[&self.scope])
    }

    fn describe(&self, id: BatchId) -> Result<Description, StoreError> {
        Ok(self.row(id)?.0)
    }

    fn model(&self, id: BatchId, limit: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (_, wrapped) = self.row(id)?;
        let key = self.unwrap_key(id, MODEL.0, &wrapped)?;
        let mut pieces = Pieces::new(self, id, MODEL.1, key, None)?;
        let length = pieces.length();
        if length > limit as u64 {
            let path = format!("the model of batch {id}").into();
            return Err(DiskError::Length { path, early: false }.into());
        }
        let mut model = Zeroizing::new(vec![0; length as usize]);
        pieces.fill(&mut model)?;
        Ok(model)
    }

    fn ready(&self, id: BatchId) -> Result<Vec<u32>, StoreError> {
        let rows = self.query(id, schema::READY, &[])?;
        if rows.is_empty() && self.query(id, schema::DESCRIBE, &[])?.is_empty() {
            return Err(StoreError::UnknownBatch { id });
        }
        rows.iter().filter_map(|row| place(row, 0).map_err(StoreError::from).transpose()).collect()
    }

    fn usage(&self, id: BatchId) -> Result<Usage, StoreError> {
        let rows = self.query(id, schema::USAGE, &[])?;
        let row = rows.first().ok_or(StoreError::UnknownBatch { id })?;
        let count = |at: usize| Ok::<_, DatabaseError>(u32::try_from(column::<i64>(row, at)?).unwrap_or(u32::MAX));
        let age = Duration::try_from_secs_f64(column(row, 5)?).unwrap_or_default();
        Ok(Usage {
            used: count(0)?,
            burnt: count(1)?,
            high: place(row, 2)?,
            gone: place(row, 3)?,
            confirmed: place(row, 4)?,
            prepared: SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }

    fn hold(&self, id: BatchId, index: u32) -> Result<Option<Hold<'_>>, StoreError> {
        let holder = &self.holder[..];
        let rows = self.query(id, schema::HOLD, &[&(index as i32), &holder, &HOLD_SECONDS])?;
        match rows.first().map(|row| column(row, 0)).transpose()? {
            Some(true) => Ok(Some(self.held(id, index))),
            Some(false) => Ok(None),
            None => Err(self.gone(id, index)),
        }
    }

    fn hold_any(&self, id: BatchId) -> Result<Option<Hold<'_>>, StoreError> {
        let holder = &self.holder[..];
        let rows = self.query(id, schema::HOLD_ANY, &[&holder, &HOLD_SECONDS])?;
        match rows.first() {
            Some(row) => Ok(place(row, 0)?.map(|index| self.held(id, index))),
            None if self.query(id, schema::DESCRIBE, &[])?.is_empty() => Err(StoreError::UnknownBatch { id }),
            None => Ok(None),
        }
    }

    fn confirm(&self, id: BatchId, index: u32) -> Result<(), StoreError> {
        self.execute(id, schema::CONFIRM, &[&(index as i32)]).map(drop)
    }

    fn burn(&self, id: BatchId, until: u32) -> Result<u32, StoreError> {
        let count = self.describe(id)?.count;
        let end = count.min(until.saturating_add(1)) as i32;
        let mut connection = self.connect()?;
        let mut transaction = connection.transaction()?;
        let scope: [&(dyn ToSql + Sync); 3] = [&self.scope, &&id.0[..], &end];
        if let Some(row) = transaction.query(schema::HELD_BELOW, &scope)?.first() {
            return Err(StoreError::Held { id, index: place(row, 0)?.unwrap_or_default() });
        }
        let burnt = transaction.execute(schema::BURN_READY, &scope)?;
        transaction.execute(schema::BURN_OTHERS, &scope)?;
        transaction.commit()?;
        Ok(burnt as u32)
    }

    fn begin(&self, id: BatchId) -> Result<Box<dyn BatchWriter + '_>, StoreError> {
        let (_, model_key) = self.new_key(id, MODEL.0)?;
        if self.execute(id, schema::BEGIN, &[&model_key, &WRITE_SECONDS])? == 0 {
            return Err(StoreError::Exists { id });
        }
        Ok(Box::new(DatabaseBatch { store: self, id, model_key, is_finished: false }))
    }

    fn remove(&self, id: BatchId) -> Result<(), StoreError> {
        let mut connection = self.connect()?;
        let mut transaction = connection.transaction()?;
        for statement in schema::REMOVE {
            transaction.execute(statement, &[&self.scope, &&id.0[..]])?;
        }
        Ok(transaction.commit()?)
    }

    fn remove_if_used_up(&self, id: BatchId) -> Result<(), StoreError> {
        match self.ready(id) {
            Ok(ready) if ready.is_empty() => self.retire(id),
            Ok(_) | Err(StoreError::UnknownBatch { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn discard(&self, id: BatchId) -> Result<(), StoreError> {
        // Of a batch that cannot be read nobody knows the servers.
        if let Ok(description) = self.describe(id) {
            self.write_note(id, &description.others(), 0.0)?;
        }
        self.remove(id)
    }

    fn note(&self, batch: BatchId, servers: &[[u8; 32]]) -> Result<Note<'_>, StoreError> {
        self.write_note(batch, servers, WRITE_SECONDS)?;
        Ok(self.own_note(batch, servers.to_vec()))
    }

    fn notes(&self) -> Result<Vec<Note<'_>>, StoreError> {
        let notes = self.take_notes()?;
        notes.iter().try_for_each(|note| self.remove(note.batch))?;
        Ok(notes)
    }

    fn is_noted(&self, batch: BatchId) -> Result<bool, StoreError> {
        Ok(!self.query(batch, schema::IS_NOTED, &[])?.is_empty())
    }
}
