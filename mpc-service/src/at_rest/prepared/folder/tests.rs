use std::fs;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::at_rest::prepared::Recording;
use crate::at_rest::private_file::random;

fn open(folder: &TempDir) -> FolderStore {
    FolderStore::open(folder.path().join("store"), FileKey::new(Zeroizing::new([3; 32]))).unwrap()
}

fn new_id() -> BatchId {
    BatchId(random().unwrap())
}

fn description(count: u32) -> Description {
    Description {
        plan: [1; 32],
        party: 1,
        parties: vec![[2; 32]; 2],
        dealer: [4; 32],
        count,
        deposit: None,
        weights: None,
    }
}

fn prepare(store: &FolderStore, count: u32) -> BatchId {
    let id = new_id();
    let batch = store.begin(id).unwrap();
    for index in 0..count {
        let mut file = batch.inference(index).unwrap();
        file.write(&index.to_le_bytes()).unwrap();
        file.finish().unwrap();
    }
    batch.finish(&description(count), b"model").unwrap();
    id
}

fn claim(store: &FolderStore, id: BatchId, index: u32) -> Result<Recording, StoreError> {
    store.hold(id, index)?.ok_or(StoreError::Held { id, index })?.claim()
}

#[test]
fn a_batch_that_was_killed_before_it_was_locked_is_removed() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    create_private_folder(&store.batch_folder(new_id())).unwrap();
    let id = new_id();
    let begun = store.begin(id).unwrap();
    assert_eq!(open(&folder).batches().unwrap(), [id]);
    drop(begun);
    assert_eq!(store.batches().unwrap(), []);
}

#[test]
fn what_was_marked_is_gone_though_its_file_was_left_by_a_crash() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let id = prepare(&store, 3);
    for (index, mark) in [(0, "used"), (1, "burnt")] {
        store.mark(id, index, mark).unwrap();
    }
    assert_eq!(store.ready(id).unwrap(), [2]);
    assert!(matches!(claim(&store, id, 0), Err(StoreError::Used { .. })));
    assert!(matches!(claim(&store, id, 1), Err(StoreError::Missing { .. })));
    assert_eq!(store.hold_any(id).unwrap().unwrap().index(), 2);
    // The next process removes the files, and keeps the marks.
    let next = open(&folder);
    assert!([0, 1].iter().all(|&index| !next.file(id, index, READY).exists()));
    assert_eq!(next.usage(id).unwrap().gone, Some(1));
}

#[test]
fn files_cannot_stand_in_for_one_another() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let id = prepare(&store, 2);
    let used = fs::read(store.file(id, 0, READY)).unwrap();
    drop(claim(&store, id, 0).unwrap());
    // Somebody puts the used one back under the name of another.
    fs::write(store.file(id, 1, READY), used).unwrap();
    assert!(claim(&store, id, 1).unwrap().read(&mut [0; 4]).is_err());
}

#[test]
fn a_batch_whose_process_was_killed_is_removed_and_one_in_the_making_stays() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let id = new_id();
    let batch = store.begin(id).unwrap();
    batch.inference(0).unwrap().finish().unwrap();
    assert_eq!(open(&folder).batches().unwrap(), [id]);
    assert!(matches!(store.begin(id), Err(StoreError::Exists { .. })));
    // As a killed process leaves it: the files are there, and the lock is not held.
    let files = names(&store.batch_folder(id)).unwrap();
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in &files {
        fs::copy(store.batch_folder(id).join(name), copy.join(name)).unwrap();
    }
    drop(batch);
    fs::rename(&copy, store.batch_folder(id)).unwrap();
    assert_eq!(store.batches().unwrap(), [id]);
    assert_eq!(open(&folder).batches().unwrap(), []);
    let complete = prepare(&store, 1);
    assert_eq!(open(&folder).ready(complete).unwrap(), [0]);
}

#[test]
fn batches_of_two_data_owners_cannot_stand_in_for_one_another() {
    let folder = tempdir().unwrap();
    let [first, second] = [1, 2].map(|owner| {
        let (path, key) = (folder.path().join(owner.to_string()), FileKey::new(Zeroizing::new([3; 32])));
        FolderStore::of_data_owner(path, key, Owner([owner; 32])).unwrap()
    });
    let id = prepare(&first, 1);
    // Somebody who can write the disk gives one data owner what another one has had prepared.
    create_private_folder(&second.batch_folder(id)).unwrap();
    for name in names(&first.batch_folder(id)).unwrap() {
        fs::copy(first.batch_folder(id).join(&name), second.batch_folder(id).join(&name)).unwrap();
    }
    assert_eq!(first.describe(id).unwrap(), description(1));
    assert!(matches!(second.describe(id), Err(StoreError::File(DiskError::Damaged { .. }))));
    // A file is opened by its first block, and read whole before the first message of a query.
    assert!(claim(&second, id, 0).unwrap().read(&mut [0]).is_err());
}
