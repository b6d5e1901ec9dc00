//! Where stores are: in folders, or in a database.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use mpc_transport::tls::Identity;

use super::PreparedStore;
use super::error::StoreError;
use super::folder::FolderStore;
#[cfg(feature = "postgres")]
use super::postgres::{Database, DatabaseStore};
use crate::at_rest::encrypted_file::FileKey;
use crate::names::Owner;

/// The beginnings of a database's address.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The place of stores, as it is named: a folder, or the address of a database, which may hold a password and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// A folder.
    Folder(PathBuf),
    /// A database's address.
    Database(String),
}

impl From<&OsStr> for StorePlace {
    fn from(text: &OsStr) -> Self {
        match text.to_str().filter(|text| SCHEMES.iter().any(|scheme| text.starts_with(scheme))) {
            Some(address) => Self::Database(address.to_owned()),
            None => Self::Folder(text.into()),
        }
    }
}

impl fmt::Debug for StorePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// As it may be shown: no user and no password of a database, nor its options.
impl fmt::Display for StorePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(formatter),
            #[cfg(feature = "postgres")]
            Self::Database(address) => formatter.write_str(&super::postgres::shown(address)),
            #[cfg(not(feature = "postgres"))]
            Self::Database(_) => formatter.write_str("a database"),
        }
    }
}

/// The stores of a side, at one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Stores {
    /// A folder of one's own batches, or a folder of such folders, one for each data owner.
    Folder(PathBuf),
    /// A database.
    #[cfg(feature = "postgres")]
    Database(Database),
}

impl Stores {
    /// The key that an identity's stores are encrypted under.
    #[must_use]
    pub fn key(identity: &Identity) -> FileKey {
        FileKey::new(identity.derive_key("store"))
    }

    /// Opens the place: nothing is done to a folder; a database is connected to, and its tables are made.
    ///
    /// # Errors
    /// [`StoreError`] of a database.
    pub fn open(place: &StorePlace) -> Result<Self, StoreError> {
        match place {
            StorePlace::Folder(path) => Ok(Self::Folder(path.clone())),
            #[cfg(feature = "postgres")]
            StorePlace::Database(address) => Ok(Self::Database(Database::open(address)?)),
            #[cfg(not(feature = "postgres"))]
            StorePlace::Database(_) => Err(StoreError::NoDatabases),
        }
    }

    /// The store of a data owner itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn own(&self, key: FileKey) -> Result<Box<dyn PreparedStore>, StoreError> {
        match self {
            Self::Folder(path) => Ok(Box::new(FolderStore::open(path, key)?)),
            #[cfg(feature = "postgres")]
            Self::Database(database) => Ok(Box::new(DatabaseStore::open(database, key, None)?)),
        }
    }

    /// The store of a server, of the batches of one data owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn of_data_owner(&self, key: FileKey, owner: Owner) -> Result<Box<dyn PreparedStore>, StoreError> {
        match self {
            Self::Folder(path) => Ok(Box::new(FolderStore::of_data_owner(path.join(owner.to_string()), key, owner)?)),
            #[cfg(feature = "postgres")]
            Self::Database(database) => Ok(Box::new(DatabaseStore::open(database, key, Some(owner))?)),
        }
    }

    /// Whether the place can be used now, and has room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Folder(path) => super::folder::check(path),
            #[cfg(feature = "postgres")]
            Self::Database(database) => database.check(),
        }
    }
}
