//! The argument that names a store of prepared inferences.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::{PreparedStore, StoreError, StorePlace, Stores};
use mpc_transport::tls::Identity;

/// How the argument is shown.
pub const STORE: &str = "FOLDER|postgres://…";

/// A folder, or the address of a database. It may hold a password: any text is one, so that none is quoted as wrong.
#[derive(Clone, Debug)]
pub struct StoreArgument(StorePlace);

impl FromStr for StoreArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(StorePlace::from(OsString::from(text).as_os_str())))
    }
}

impl fmt::Display for StoreArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl StoreArgument {
    /// The place, opened.
    pub fn open(&self) -> Result<Stores, StoreError> {
        Stores::open(&self.0)
    }

    /// The store of a data owner itself.
    pub fn own(&self, identity: &Identity) -> Result<Box<dyn PreparedStore>, StoreError> {
        self.open()?.own(key(identity))
    }

    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.0 {
            StorePlace::Folder(path) => Some(path),
            StorePlace::Database(_) => None,
        }
    }
}

/// The key of the stores of an identity.
pub fn key(identity: &Identity) -> FileKey {
    FileKey::new(identity.derive_key("store"))
}
