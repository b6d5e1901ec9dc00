//! The media that stores are kept in.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};
use zeroize::Zeroizing;

use super::super::{FolderStore, PreparedStore};
use crate::at_rest::encrypted_file::FileKey;
use crate::names::Owner;

/// Something that keeps stores, and that several processes use.
pub trait Medium: Sync {
    /// A data owner's own store under a key, as another process opens it.
    fn open_with(&self, key: u8) -> Box<dyn PreparedStore>;

    /// A data owner's own store, as another process opens it.
    fn open(&self) -> Box<dyn PreparedStore> {
        self.open_with(3)
    }

    /// A server's store, of one data owner.
    fn of_data_owner(&self, owner: Owner) -> Box<dyn PreparedStore>;

    /// Copies all there is, does something, puts the copy back in its place, and does something else.
    fn with_copy(&self, between: &mut dyn FnMut(), after: &mut dyn FnMut());

    /// How many random cases it is worth.
    fn cases(&self) -> u32;
}

fn key(byte: u8) -> FileKey {
    FileKey::new(Zeroizing::new([byte; 32]))
}

/// A temporary folder.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempdir().unwrap())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(fs::copy(entry.path(), to).is_ok()),
        }
    }
}

impl Medium for Folder {
    fn open_with(&self, byte: u8) -> Box<dyn PreparedStore> {
        Box::new(FolderStore::open(self.0.path().join("store"), key(byte)).unwrap())
    }

    fn of_data_owner(&self, owner: Owner) -> Box<dyn PreparedStore> {
        Box::new(FolderStore::of_data_owner(self.0.path().join(owner.to_string()), key(3), owner).unwrap())
    }

    fn with_copy(&self, between: &mut dyn FnMut(), after: &mut dyn FnMut()) {
        let [store, copied] = ["store", "copy"].map(|name| self.0.path().join(name));
        copy(&store, &copied);
        between();
        fs::remove_dir_all(&store).unwrap();
        fs::rename(&copied, &store).unwrap();
        after();
    }

    fn cases(&self) -> u32 {
        48
    }
}

/// A database of its own on the tests' server.
#[cfg(feature = "postgres")]
pub struct Postgres {
    address: String,
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::super::super::postgres::server::PostgresServer;
    use super::super::super::postgres::{Database, DatabaseStore};
    use super::*;

    impl Postgres {
        pub fn new() -> Option<Self> {
            Some(Self { address: PostgresServer::shared()?.database() })
        }

        fn database(&self) -> Database {
            Database::open(&self.address).unwrap()
        }

        fn name(&self) -> &str {
            self.address.rsplit_once('/').unwrap().1
        }
    }

    impl Medium for Postgres {
        fn open_with(&self, byte: u8) -> Box<dyn PreparedStore> {
            Box::new(DatabaseStore::open(&self.database(), key(byte), None).unwrap())
        }

        fn of_data_owner(&self, owner: Owner) -> Box<dyn PreparedStore> {
            Box::new(DatabaseStore::open(&self.database(), key(3), Some(owner)).unwrap())
        }

        fn with_copy(&self, between: &mut dyn FnMut(), after: &mut dyn FnMut()) {
            let server = PostgresServer::shared().unwrap();
            let name = self.name();
            // Nobody may be connected to what is copied.
            let end = |name: &str| {
                server.run(&format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"));
            };
            end(name);
            server.run(&format!("create database {name}_copy template {name}"));
            between();
            end(name);
            server.run(&format!("drop database {name} with (force)"));
            server.run(&format!("alter database {name}_copy rename to {name}"));
            after();
        }

        fn cases(&self) -> u32 {
            6
        }
    }
}
