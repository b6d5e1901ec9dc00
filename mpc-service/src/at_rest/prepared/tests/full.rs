//! Stores on a disk that is full: it is named, nothing half made is used, and all goes on when there is room again.

use std::io::ErrorKind;

use super::*;
use crate::at_rest::encrypted_file::FileKey;
use crate::at_rest::private_file::DiskError;
use crate::at_rest::small_disk::SmallDisk;

/// Places that are prepared while there is room.
const PLACES: u32 = 3;

/// A store on a disk of its own.
struct Small<'a> {
    place: Stores,
    fill: &'a dyn Fn(),
    free: &'a dyn Fn(),
}

/// Whether an error says that the disk is full.
fn is_full(error: &StoreError) -> bool {
    match error {
        StoreError::File(DiskError::Io { source, .. }) | StoreError::Folder { source, .. } => {
            source.kind() == ErrorKind::StorageFull
        }
        #[cfg(feature = "postgres")]
        StoreError::Database(error) => matches!(error, crate::at_rest::prepared::postgres::DatabaseError::Full { .. }),
        _ => false,
    }
}

/// Prepares inferences, of some size, until one cannot be.
fn prepare_large(store: &dyn PreparedStore) -> Result<(), StoreError> {
    let batch = store.begin(new_id())?;
    for index in 0..100 {
        let mut file = batch.inference(index)?;
        file.write(&random::<100_000>()?)?;
        file.finish()?;
    }
    batch.finish(&description(100), b"model")
}

impl Small<'_> {
    fn open(&self) -> Box<dyn PreparedStore> {
        self.place.own(FileKey::new(Zeroizing::new([3; 32]))).unwrap()
    }

    fn check(&self) {
        let store = self.open();
        let id = prepare(&*store, PLACES);
        self.place.check().unwrap();
        (self.fill)();
        let error = self.place.check().unwrap_err();
        assert!(is_full(&error), "{error}");
        let error = prepare_large(&*store).unwrap_err();
        assert!(is_full(&error), "{error}");
        // Of what there was before, each is there still, or was used.
        assert_eq!(store.batches().unwrap(), [id]);
        let mut used = BTreeSet::new();
        for index in 0..PLACES {
            match claim(&*store, id, index) {
                Ok(recording) => {
                    assert_eq!(read_all(recording), index.to_le_bytes());
                    used.insert(index);
                }
                Err(error) => assert!(is_full(&error), "{error}"),
            }
        }
        (self.free)();
        self.place.check().unwrap();
        let store = self.open();
        let ready: BTreeSet<_> = store.ready(id).map(|ready| ready.into_iter().collect()).unwrap_or_default();
        assert_eq!(ready, (0..PLACES).filter(|index| !used.contains(index)).collect());
        // One whose claim failed may be held for a while, as its lease could not be given back.
        while let Some(hold) = store.hold_any(id).ok().flatten() {
            let index = hold.index();
            assert!(used.insert(index));
            assert_eq!(read_all(hold.claim().unwrap()), index.to_le_bytes());
        }
        let next = prepare(&*store, PLACES);
        assert_eq!(read_all(claim(&*store, next, 0).unwrap()), 0u32.to_le_bytes());
    }
}

#[test]
fn a_full_disk_under_a_folder() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let place = Stores::Folder(disk.path().join("store"));
    Small { place, fill: &|| disk.fill(), free: &|| disk.free() }.check();
}

#[cfg(feature = "postgres")]
#[test]
fn a_full_disk_under_a_database() {
    use crate::at_rest::prepared::postgres::Database;
    use crate::at_rest::prepared::postgres::server::PostgresServer;
    use crate::at_rest::small_disk::inside;

    let folder = tempfile::tempdir().unwrap();
    let Some(mut shell) = inside(16 << 10, folder.path()) else { return };
    shell.arg("sh");
    let Some(server) = PostgresServer::start_by(shell, false) else { return };
    server.run(&format!("create tablespace small location '{}'", folder.path().display()));
    server.run("create database small tablespace small");
    let address = server.address("small");
    let run = |statement: &str| {
        let mut client = ::postgres::Client::connect(&address, ::postgres::NoTls).unwrap();
        client.batch_execute(statement)
    };
    let place = Stores::Database(Database::open(&address).unwrap());
    let filler = format!("'{}/filler'", folder.path().display());
    let fill = || {
        let filled = run(&format!("copy (select repeat('f', 8000) from generate_series(1, 3000)) to {filler}"));
        assert_eq!(filled.unwrap_err().code(), Some(&::postgres::error::SqlState::DISK_FULL));
    };
    let free = || run(&format!("copy (select 1 where false) to {filler}")).unwrap();
    Small { place, fill: &fill, free: &free }.check();
}
