//! Why a store cannot do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::at_rest::private_file::DiskError;
use crate::names::BatchId;

/// Why a store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file of the store.
    #[error(transparent)]
    File(#[from] DiskError),
    /// The store's folder.
    #[error("the store {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The reason that the operating system gives.
        source: io::Error,
    },
    /// The store's database.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Database(#[from] super::postgres::DatabaseError),
    /// A database, and a program that was built without.
    #[error(
        "this program was built without stores in databases: build it with the feature `postgres`, or name a folder"
    )]
    NoDatabases,
    /// Something of a database that was changed, or encrypted under another key.
    #[error("{what} of batch {id} is damaged, or belongs to another key; nothing of it was used")]
    Damaged {
        /// The batch.
        id: BatchId,
        /// The part of it.
        what: &'static str,
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
    /// Used here.
    #[error("inference {index} of batch {id} is not there any more: each is used once, even if it failed")]
    Used {
        /// The batch.
        id: BatchId,
        /// The inference.
        index: u32,
    },
    /// Never prepared, lost, or destroyed without use.
    #[error("inference {index} of batch {id} is not there: it was destroyed, lost, or never prepared")]
    Missing {
        /// The batch.
        id: BatchId,
        /// The inference.
        index: u32,
    },
    /// Held by somebody, and to be destroyed.
    #[error("inference {index} of batch {id} is in use: wait until its session has ended")]
    Held {
        /// The batch.
        id: BatchId,
        /// The inference.
        index: u32,
    },
}

pub(super) fn in_folder(path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder { path: path.to_owned(), source }
}
