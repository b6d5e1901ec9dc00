//! A batch in the making.

use std::fs::{self, File};

use super::{BATCH, FolderStore, READY, WRITING};
use crate::at_rest::encrypted_file::EncryptedWriter;
use crate::at_rest::prepared::{BatchWriter, Description, Fate, InferenceWriter, PreparedStore, Recording, StoreError};
use crate::names::BatchId;

/// A batch that is being prepared; removed if it is dropped before its end.
#[derive(Debug)]
pub(super) struct FolderBatch<'a> {
    pub(super) store: &'a FolderStore,
    pub(super) id: BatchId,
    pub(super) is_finished: bool,
    /// Locked while this is there.
    pub(super) _lock: File,
}

impl BatchWriter for FolderBatch<'_> {
    fn inference(&self, index: u32) -> Result<Box<dyn InferenceWriter + '_>, StoreError> {
        let path = self.store.file(self.id, index, READY);
        let writer = EncryptedWriter::create(path, &self.store.key, &self.store.label(self.id, index))?;
        Ok(Box::new(writer))
    }

    fn take(&self, index: u32) -> Result<Recording, StoreError> {
        let hold = self.store.hold(self.id, index)?;
        let hold = hold.ok_or(StoreError::Held { id: self.id, index })?;
        hold.take(Fate::Burnt)
    }

    fn finish(mut self: Box<Self>, description: &Description, model: &[u8]) -> Result<(), StoreError> {
        let path = self.store.batch_folder(self.id).join(BATCH);
        let mut writer = EncryptedWriter::create(&path, &self.store.key, &self.store.batch_label(self.id))?;
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

impl InferenceWriter for EncryptedWriter {
    fn write(&mut self, data: &[u8]) -> Result<(), StoreError> {
        Ok(Self::write(self, data)?)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        Ok(Self::finish(*self)?)
    }
}

impl Drop for FolderBatch<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.store.remove(self.id);
        }
    }
}
