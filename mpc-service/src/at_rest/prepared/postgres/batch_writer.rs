//! A batch in the making.

use super::hold::HeldRow;
use super::pieces::{Cutter, Piece};
use super::{DatabaseStore, HOLD_SECONDS, MODEL, schema};
use crate::at_rest::prepared::error::StoreError;
use crate::at_rest::prepared::{BatchWriter, Description, Fate, Held, InferenceWriter, PreparedStore, Recording};
use crate::at_rest::sealed;
use crate::names::BatchId;

/// A batch that is being prepared; removed if it is dropped before its end.
#[derive(Debug)]
pub(super) struct DatabaseBatch<'a> {
    pub(super) store: &'a DatabaseStore,
    pub(super) id: BatchId,
    /// The model's key, sealed.
    pub(super) model_key: Vec<u8>,
    pub(super) is_finished: bool,
}

impl DatabaseStore {
    fn write_piece(&self, id: BatchId, idx: i32, (seq, length, data): Piece) -> Result<(), StoreError> {
        self.execute(id, schema::PIECE, &[&idx, &seq, &length, &data]).map(drop)
    }
}

impl BatchWriter for DatabaseBatch<'_> {
    fn inference(&self, index: u32) -> Result<Box<dyn InferenceWriter + '_>, StoreError> {
        let Self { store, id, .. } = *self;
        let (key, wrapped) = store.new_key(id, &index.to_string())?;
        Ok(Box::new(Writer { store, id, index, wrapped, cutter: Cutter::new(key), first: None }))
    }

    fn take(&self, index: u32) -> Result<Recording, StoreError> {
        let Self { store, id, .. } = *self;
        let holder = &store.holder[..];
        if store.execute(id, schema::HOLD_UNFINISHED, &[&(index as i32), &holder, &HOLD_SECONDS])? == 0 {
            return Err(StoreError::Missing { id, index });
        }
        Box::new(HeldRow { store, id, index, is_claimed: false }).take(Fate::Burnt)
    }

    fn finish(mut self: Box<Self>, description: &Description, model: &[u8]) -> Result<(), StoreError> {
        let Self { store, id, .. } = *self;
        let mut cutter = Cutter::new(store.unwrap_key(id, MODEL.0, &self.model_key)?);
        let mut rest = model;
        while !rest.is_empty() {
            if let Some(piece) = cutter.add(&mut rest)? {
                store.write_piece(id, MODEL.1, piece)?;
            }
        }
        store.write_piece(id, MODEL.1, cutter.cut()?)?;
        let bytes = postcard::to_allocvec(description).unwrap_or_else(|_| unreachable!("descriptions encode"));
        let sealed = sealed::seal(&store.key, &store.label(id, "the description"), &bytes)?;
        let others = (&description.plan[..], description.count as i32);
        // Somebody has taken it for one whose process was killed.
        if store.execute(id, schema::FINISH, &[&others.0, &others.1, &sealed])? == 0 {
            return Err(StoreError::UnknownBatch { id });
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for DatabaseBatch<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            // Where it fails, the batch is removed at the next start after its time to be written has passed.
            let _ = self.store.remove(self.id);
        }
    }
}

/// The messages of an inference. Its first piece is in the row that is written last.
struct Writer<'a> {
    store: &'a DatabaseStore,
    id: BatchId,
    index: u32,
    wrapped: Vec<u8>,
    cutter: Cutter,
    first: Option<Piece>,
}

impl Writer<'_> {
    fn keep(&mut self, piece: Piece) -> Result<(), StoreError> {
        if self.first.is_none() {
            self.first = Some(piece);
            return Ok(());
        }
        self.store.write_piece(self.id, self.index as i32, piece)
    }
}

impl InferenceWriter for Writer<'_> {
    fn write(&mut self, mut data: &[u8]) -> Result<(), StoreError> {
        while !data.is_empty() {
            if let Some(piece) = self.cutter.add(&mut data)? {
                self.keep(piece)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let last = self.cutter.cut()?;
        self.keep(last)?;
        let Some((_, length, data)) = &self.first else { return Ok(()) };
        let index = self.index as i32;
        self.store.execute(self.id, schema::PREPARE, &[&index, &self.wrapped, length, data]).map(drop)
    }
}
