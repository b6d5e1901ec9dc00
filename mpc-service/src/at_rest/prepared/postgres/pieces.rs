//! The messages of an inference, or a model, in pieces of a size that a database likes.

use mpc_transport::{FrameSource, RecordingError};
use zeroize::{Zeroize, Zeroizing};

use super::{Database, DatabaseStore, StoreError, column, schema};
use crate::at_rest::encrypted_file::FileKey;
use crate::at_rest::private_file::DiskError;
use crate::at_rest::sealed;
use crate::names::BatchId;

/// The bytes of a piece, before it is encrypted.
const PIECE_BYTES: usize = 1 << 20;

/// The label of a piece under the key of its inference, which no other has.
fn label(seq: i32) -> String {
    format!("piece {seq}")
}

/// Cuts data into pieces, and encrypts them.
pub(super) struct Cutter {
    key: FileKey,
    seq: i32,
    buffer: Zeroizing<Vec<u8>>,
}

/// A piece: its number, its length before it was encrypted, and itself.
pub(super) type Piece = (i32, i64, Vec<u8>);

impl Cutter {
    pub(super) fn new(key: FileKey) -> Self {
        Self { key, seq: 0, buffer: Zeroizing::new(Vec::with_capacity(0)) }
    }

    /// Adds as much of `data` as there is room for; the piece, once it is full and more follows.
    pub(super) fn add(&mut self, data: &mut &[u8]) -> Result<Option<Piece>, DiskError> {
        let piece = if self.buffer.len() == PIECE_BYTES { Some(self.cut()?) } else { None };
        let (part, rest) = data.split_at(data.len().min(PIECE_BYTES - self.buffer.len()));
        let needed = self.buffer.len() + part.len();
        if needed > self.buffer.capacity() {
            // What moves leaves no copy behind.
            let room = if needed > 64 { PIECE_BYTES } else { 64 };
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        self.buffer.extend_from_slice(part);
        *data = rest;
        Ok(piece)
    }

    /// The last piece, or the next one.
    pub(super) fn cut(&mut self) -> Result<Piece, DiskError> {
        let (seq, length) = (self.seq, self.buffer.len() as i64);
        let sealed = sealed::seal(&self.key, &label(seq), &self.buffer)?;
        self.buffer.zeroize();
        self.seq += 1;
        Ok((seq, length, sealed))
    }
}

/// Reads pieces one after the other.
pub(super) struct Pieces {
    database: Database,
    scope: Vec<u8>,
    id: BatchId,
    idx: i32,
    key: FileKey,
    seq: i32,
    /// The current piece, decrypted, of which `used` bytes were given out.
    buffer: Zeroizing<Vec<u8>>,
    used: usize,
    /// Bytes that were not given out, as far as the database tells.
    remaining: u64,
    /// Whether there are pieces of an inference that nobody else reads.
    is_last_reader: bool,
}

impl Pieces {
    /// The pieces of a place; the first one of an inference comes with its key.
    pub(super) fn new(
        store: &DatabaseStore,
        id: BatchId,
        idx: i32,
        key: FileKey,
        first: Option<(i64, Vec<u8>)>,
    ) -> Result<Self, StoreError> {
        let DatabaseStore { database, scope, .. } = store;
        let mut pieces = Self {
            database: database.clone(),
            scope: scope.clone(),
            id,
            idx,
            key,
            seq: 0,
            buffer: Zeroizing::default(),
            used: 0,
            remaining: 0,
            is_last_reader: false,
        };
        let is_whole = first.as_ref().is_some_and(|(length, _)| *length < PIECE_BYTES as i64);
        if let Some((length, data)) = first {
            pieces.remaining = u64::try_from(length).unwrap_or(0);
            pieces.decrypt(&data)?;
        }
        if !is_whole {
            let rows = store.query(id, schema::LENGTH, &[&idx])?;
            let length: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
            pieces.is_last_reader = idx >= 0 && length > 0;
            pieces.remaining = pieces.remaining.saturating_add(u64::try_from(length).unwrap_or(0));
        }
        Ok(pieces)
    }

    pub(super) fn length(&self) -> u64 {
        self.remaining
    }

    fn decrypt(&mut self, data: &[u8]) -> Result<(), StoreError> {
        let damaged = StoreError::Damaged { id: self.id, what: "a piece of an inference or of the model" };
        self.buffer = sealed::open(&self.key, &label(self.seq), data).ok_or(damaged)?;
        self.used = 0;
        self.seq += 1;
        Ok(())
    }

    /// Fills `data` with what follows.
    pub(super) fn fill(&mut self, mut data: &mut [u8]) -> Result<(), StoreError> {
        while !data.is_empty() {
            if self.used == self.buffer.len() {
                let id = self.id.0;
                let mut connection = self.database.connect()?;
                let rows = connection.query(schema::READ_PIECE, &[&self.scope, &&id[..], &self.idx, &self.seq])?;
                let early = || DiskError::Length { path: format!("batch {}", self.id).into(), early: true };
                let row = rows.first().ok_or_else(early)?;
                self.decrypt(column(row, 0)?)?;
                continue;
            }
            let available = &mut self.buffer[self.used..];
            let count = available.len().min(data.len());
            let (part, rest) = data.split_at_mut(count);
            part.copy_from_slice(&available[..count]);
            available[..count].zeroize();
            self.used += count;
            self.remaining = self.remaining.saturating_sub(count as u64);
            data = rest;
        }
        Ok(())
    }
}

impl FrameSource for Pieces {
    fn remaining(&self) -> u64 {
        self.remaining
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        self.fill(bytes).map_err(|error| RecordingError::Storage { reason: error.to_string() })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // Of an inference that was claimed they are nothing without its key; where this fails, they are removed some day.
        if self.is_last_reader
            && let Ok(mut connection) = self.database.connect()
        {
            let _ = connection.execute(schema::DROP_PIECES, &[&self.scope, &&self.id.0[..], &self.idx]);
        }
    }
}
