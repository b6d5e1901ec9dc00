//! The argument that names a store of prepared inferences.

use std::ffi::OsString;
use std::fmt;

use mpc_service::{PreparedStore, StoreError, StorePlace, Stores};
use mpc_transport::tls::Identity;

/// How the argument is shown.
pub const STORE: &str = "FOLDER|postgres://…";

/// A folder, or the address of a database. It may hold a password: any text is one, so that none is quoted as wrong.
#[derive(Clone, Debug)]
pub struct StoreArgument(StorePlace);

impl From<OsString> for StoreArgument {
    fn from(text: OsString) -> Self {
        Self(StorePlace::from(&*text))
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
        self.open()?.own(Stores::key(identity))
    }

    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.0 {
            StorePlace::Folder(path) => Some(path),
            StorePlace::Database(_) => None,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::{Arg, Command, value_parser};

    use super::*;

    #[test]
    fn a_folder_may_have_any_name() {
        let command = Command::new("mpc").arg(Arg::new("store").value_parser(value_parser!(StoreArgument)));
        let name = OsString::from_vec(b"stock\xff".to_vec());
        let matches = command.try_get_matches_from([OsString::from("mpc"), name.clone()]).unwrap();
        let store: &StoreArgument = matches.get_one("store").unwrap();
        assert_eq!(store.folder(), Some(name.as_ref()));
    }
}
