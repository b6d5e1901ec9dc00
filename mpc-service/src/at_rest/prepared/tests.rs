use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::at_rest::private_file::random;

fn open(folder: &TempDir) -> Store {
    Store::open(folder.path().join("store"), FileKey::new(Zeroizing::new([3; 32]))).unwrap()
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

fn prepare(store: &Store, count: u32) -> BatchId {
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

fn claim(store: &Store, id: BatchId, index: u32) -> Result<EncryptedReader, StoreError> {
    store.hold(id, index)?.ok_or(StoreError::Used { id, index })?.claim()
}

#[test]
fn what_is_held_is_held_once_and_free_again_when_it_is_dropped() {
    let folder = tempdir().unwrap();
    let (store, other) = (open(&folder), open(&folder));
    let id = prepare(&store, 2);
    let held = store.hold_any(id).unwrap().unwrap();
    assert_eq!(held.index(), 0);
    assert!(other.hold(id, 0).unwrap().is_none());
    let second = other.hold_any(id).unwrap().unwrap();
    assert_eq!(second.index(), 1);
    assert!(store.hold_any(id).unwrap().is_none());
    drop(held);
    second.claim().unwrap();
    assert_eq!(other.hold_any(id).unwrap().unwrap().index(), 0);
}

#[test]
fn a_batch_that_was_killed_before_it_was_locked_is_removed() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    create_private_folder(&store.batch_folder(new_id())).unwrap();
    let begun = store.begin(new_id()).unwrap();
    assert_eq!(open(&folder).batches().unwrap(), [begun.id]);
    drop(begun);
    assert_eq!(store.batches().unwrap(), []);
}

#[test]
fn an_inference_is_claimed_once_and_is_what_was_prepared() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let id = prepare(&store, 3);
    assert_eq!(store.describe(id).unwrap(), description(3));
    assert_eq!(*store.model(id, 5).unwrap(), b"model");
    assert!(store.model(id, 4).is_err());
    assert_eq!(store.ready(id).unwrap(), [0, 1, 2]);
    let claimed = claim(&store, id, 1).unwrap().read_to_end(4).unwrap();
    assert_eq!(*claimed, 1u32.to_le_bytes());
    assert!(matches!(claim(&store, id, 1), Err(StoreError::Used { index: 1, .. })));
    // Another process, or the same after a restart.
    assert!(matches!(claim(&open(&folder), id, 1), Err(StoreError::Used { index: 1, .. })));
    assert_eq!(open(&folder).ready(id).unwrap(), [0, 2]);
    for index in [0, 2] {
        claim(&store, id, index).unwrap();
    }
    store.remove_if_used_up(id).unwrap();
    assert!(matches!(store.ready(id), Err(StoreError::UnknownBatch { .. })));
    assert_eq!(store.batches().unwrap(), []);
}

#[test]
fn of_many_that_claim_at_once_one_succeeds() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let id = prepare(&store, 20);
    let claimed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = open(&folder);
                for index in 0..20 {
                    if claim(&store, id, index).is_ok() {
                        claimed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(claimed.into_inner(), 20);
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
    let reader = claim(&store, id, 1);
    assert!(reader.and_then(|mut reader| Ok(reader.read(&mut [0; 4])?)).is_err());
}

#[test]
fn an_unfinished_batch_leaves_nothing() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let batch = store.begin(new_id()).unwrap();
    batch.inference(0).unwrap().finish().unwrap();
    drop(batch);
    assert_eq!(store.batches().unwrap(), []);
}

#[test]
fn a_batch_whose_process_was_killed_is_removed_and_one_in_the_making_stays() {
    let folder = tempdir().unwrap();
    let store = open(&folder);
    let batch = store.begin(new_id()).unwrap();
    batch.inference(0).unwrap().finish().unwrap();
    let id = batch.id;
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
        Store::of_data_owner(path, key, Owner([owner; 32])).unwrap()
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
    assert!(claim(&second, id, 0).and_then(|mut reader| Ok(reader.read_to_end(1 << 20)?)).is_err());
}
