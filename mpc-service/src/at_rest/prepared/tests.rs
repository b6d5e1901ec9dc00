//! The duties of every store, whatever it keeps its batches in.

mod full;
mod media;
mod sequences;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::media::Medium;
use self::sequences::any_sequence_of_steps_agrees_with_a_model;
use super::*;
use crate::at_rest::private_file::random;
use crate::names::Owner;

macro_rules! every_store_passes {
    ($($test:ident),* $(,)?) => {
        mod folder {
            $(#[test] fn $test() { super::$test(&super::media::Folder::new()) })*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test] fn $test() { super::media::Postgres::new().iter().for_each(|medium| super::$test(medium)) })*
        }
    };
}

every_store_passes!(
    what_is_held_is_held_once_and_free_again_when_it_is_dropped,
    an_inference_is_claimed_once_and_is_what_was_prepared,
    of_many_that_claim_at_once_one_succeeds,
    of_many_that_hold_any_at_once_each_has_another,
    messages_of_any_length_are_read_back,
    an_unfinished_batch_leaves_nothing,
    a_batch_in_the_making_is_not_there_and_is_made_once,
    what_is_taken_of_a_batch_in_the_making_is_read_once_and_burnt,
    batches_of_two_data_owners_are_apart,
    another_key_opens_nothing,
    what_was_burnt_is_gone_and_counted,
    what_is_held_is_not_burnt,
    a_copy_that_is_put_back_has_forgotten_what_was_used_since,
    a_batch_that_is_used_up_is_removed_and_noted_at_the_data_owner,
    a_note_is_read_by_one_and_forgotten_once,
    unconfirmed_batches_are_removed_at_the_next_start,
    any_sequence_of_steps_agrees_with_a_model,
);

pub(super) fn new_id() -> BatchId {
    BatchId(random().unwrap())
}

pub(super) fn description(count: u32) -> Description {
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

pub(super) fn prepare(store: &dyn PreparedStore, count: u32) -> BatchId {
    let id = new_id();
    let batch = begin(store, id, count);
    batch.finish(&description(count), b"model").unwrap();
    id
}

/// A batch in the making, with so many inferences.
fn begin(store: &dyn PreparedStore, id: BatchId, count: u32) -> Box<dyn BatchWriter + '_> {
    let batch = store.begin(id).unwrap();
    for index in 0..count {
        let mut file = batch.inference(index).unwrap();
        file.write(&index.to_le_bytes()).unwrap();
        file.finish().unwrap();
    }
    batch
}

pub(super) fn claim(store: &dyn PreparedStore, id: BatchId, index: u32) -> Result<Recording, StoreError> {
    store.hold(id, index)?.ok_or(StoreError::Held { id, index })?.claim()
}

fn read_all(mut recording: Recording) -> Vec<u8> {
    let mut bytes = vec![0; recording.remaining() as usize];
    recording.read(&mut bytes).unwrap();
    assert_eq!(recording.remaining(), 0);
    assert!(recording.read(&mut [0]).is_err());
    bytes
}

fn what_is_held_is_held_once_and_free_again_when_it_is_dropped(medium: &dyn Medium) {
    let (store, other) = (medium.open(), medium.open());
    let id = prepare(&*store, 2);
    let held = store.hold_any(id).unwrap().unwrap();
    assert_eq!((held.batch(), held.index()), (id, 0));
    assert!(other.hold(id, 0).unwrap().is_none());
    let second = other.hold_any(id).unwrap().unwrap();
    assert_eq!(second.index(), 1);
    assert!(store.hold_any(id).unwrap().is_none());
    drop(held);
    second.claim().unwrap();
    assert_eq!(other.hold_any(id).unwrap().unwrap().index(), 0);
}

fn an_inference_is_claimed_once_and_is_what_was_prepared(medium: &dyn Medium) {
    let store = medium.open();
    let id = prepare(&*store, 3);
    assert_eq!(store.batches().unwrap(), [id]);
    assert_eq!(store.describe(id).unwrap(), description(3));
    assert_eq!(*store.model(id, 5).unwrap(), b"model");
    assert!(store.model(id, 4).is_err());
    assert_eq!(store.ready(id).unwrap(), [0, 1, 2]);
    let before = store.usage(id).unwrap();
    assert_eq!((before.used, before.burnt, before.high, before.gone), (0, 0, None, None));
    assert_eq!(read_all(claim(&*store, id, 1).unwrap()), 1u32.to_le_bytes());
    assert!(matches!(claim(&*store, id, 1), Err(StoreError::Used { index: 1, .. })));
    // Another process, or the same after a restart.
    assert!(matches!(claim(&*medium.open(), id, 1), Err(StoreError::Used { index: 1, .. })));
    assert!(matches!(claim(&*store, id, 3), Err(StoreError::Missing { index: 3, .. })));
    assert_eq!(medium.open().ready(id).unwrap(), [0, 2]);
    let usage = store.usage(id).unwrap();
    assert_eq!((usage.used, usage.high, usage.gone, usage.confirmed), (1, Some(1), Some(1), None));
    store.confirm(id, 1).unwrap();
    assert_eq!(store.usage(id).unwrap().confirmed, Some(1));
    assert!(matches!(claim(&*store, id, 1), Err(StoreError::Used { .. })));
    let unknown = new_id();
    for missing in [store.ready(unknown).unwrap_err(), store.usage(unknown).unwrap_err()] {
        assert!(matches!(missing, StoreError::UnknownBatch { .. }), "{missing}");
    }
    assert!(matches!(store.describe(unknown), Err(StoreError::UnknownBatch { .. })));
    assert!(matches!(store.hold_any(unknown), Err(StoreError::UnknownBatch { .. })));
}

fn of_many_that_claim_at_once_one_succeeds(medium: &dyn Medium) {
    const PLACES: u32 = 12;
    // One is left, so that the batch stays.
    let id = prepare(&*medium.open(), PLACES + 1);
    let claimed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let store = medium.open();
                for index in 0..PLACES {
                    if claim(&*store, id, index).is_ok() {
                        claimed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(claimed.into_inner(), PLACES as usize);
    assert_eq!(medium.open().usage(id).unwrap().used, PLACES);
}

fn of_many_that_hold_any_at_once_each_has_another(medium: &dyn Medium) {
    const PLACES: u32 = 12;
    let store = medium.open();
    let id = prepare(&*store, PLACES);
    let taken = thread::scope(|scope| {
        // All are open before the first takes: whoever opens a store later removes a batch that is used up.
        let stores: Vec<_> = (0..4).map(|_| medium.open()).collect();
        let threads: Vec<_> = stores.into_iter().map(|store| scope.spawn(move || take_any(&*store, id))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(taken.len(), PLACES as usize, "{taken:?}");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..PLACES).collect());
}

fn take_any(store: &dyn PreparedStore, id: BatchId) -> Vec<u32> {
    let mut taken = Vec::new();
    while let Some(hold) = store.hold_any(id).unwrap() {
        taken.push(hold.index());
        hold.claim().unwrap();
    }
    taken
}

fn messages_of_any_length_are_read_back(medium: &dyn Medium) {
    let store = medium.open();
    let id = new_id();
    let lengths = [0, 1, 65, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 19];
    let data = |len: usize| (0..len).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>();
    let batch = store.begin(id).unwrap();
    for (index, &len) in (0..).zip(&lengths) {
        let mut file = batch.inference(index).unwrap();
        data(len).chunks(70_001).for_each(|part| file.write(part).unwrap());
        file.finish().unwrap();
    }
    let model = data(3 << 20);
    batch.finish(&description(lengths.len() as u32), &model).unwrap();
    assert_eq!(*store.model(id, model.len()).unwrap(), model);
    assert!(store.model(id, model.len() - 1).is_err());
    let mut last = None;
    for (index, &len) in (0..).zip(&lengths) {
        let recording = claim(&*store, id, index).unwrap();
        match index as usize == lengths.len() - 1 {
            true => last = Some((recording, len)),
            false => assert_eq!(read_all(recording), data(len), "{len}"),
        }
    }
    // Of what was claimed the messages are read on when the batch is gone.
    store.remove_if_used_up(id).unwrap();
    let (recording, len) = last.unwrap();
    assert_eq!(read_all(recording), data(len));
}

fn an_unfinished_batch_leaves_nothing(medium: &dyn Medium) {
    let store = medium.open();
    let id = new_id();
    let batch = store.begin(id).unwrap();
    batch.inference(0).unwrap().finish().unwrap();
    drop(batch);
    assert_eq!(store.batches().unwrap(), []);
    store.begin(id).unwrap();
}

fn a_batch_in_the_making_is_not_there_and_is_made_once(medium: &dyn Medium) {
    let store = medium.open();
    let id = new_id();
    let batch = store.begin(id).unwrap();
    batch.inference(0).unwrap().finish().unwrap();
    let other = medium.open();
    assert!(matches!(other.begin(id), Err(StoreError::Exists { .. })));
    assert!(matches!(other.ready(id), Err(StoreError::UnknownBatch { .. })));
    assert!(matches!(other.describe(id), Err(StoreError::UnknownBatch { .. })));
    batch.finish(&description(1), &[]).unwrap();
    assert_eq!(other.ready(id).unwrap(), [0]);
    assert!(matches!(other.begin(id), Err(StoreError::Exists { .. })));
}

fn what_is_taken_of_a_batch_in_the_making_is_read_once_and_burnt(medium: &dyn Medium) {
    let store = medium.open();
    let id = new_id();
    let batch = begin(&*store, id, 4);
    for index in [1u32, 3] {
        assert_eq!(read_all(batch.take(index).unwrap()), index.to_le_bytes());
        assert!(batch.take(index).is_err());
    }
    assert!(batch.take(4).is_err());
    batch.finish(&description(4), b"model").unwrap();
    assert_eq!(medium.open().ready(id).unwrap(), [0, 2]);
    let usage = store.usage(id).unwrap();
    assert_eq!((usage.used, usage.burnt, usage.high, usage.gone), (0, 2, None, Some(3)));
    assert_eq!([0, 2].map(|index| read_all(claim(&*store, id, index).unwrap())), [0u32, 2].map(u32::to_le_bytes));
}

fn batches_of_two_data_owners_are_apart(medium: &dyn Medium) {
    let [first, second] = [1, 2].map(|owner| medium.of_data_owner(Owner([owner; 32])));
    let id = prepare(&*first, 1);
    assert_eq!(second.batches().unwrap(), []);
    assert!(matches!(second.hold_any(id), Err(StoreError::UnknownBatch { .. })));
    second.remove(id).unwrap();
    assert_eq!(first.ready(id).unwrap(), [0]);
}

fn another_key_opens_nothing(medium: &dyn Medium) {
    let store = medium.open();
    let id = prepare(&*store, 1);
    let other = medium.open_with(9);
    assert!(other.describe(id).is_err());
    assert!(other.model(id, 100).is_err());
    // A file is opened by its first block, and read whole before the first message of a query.
    let claimed = claim(&*other, id, 0);
    assert!(claimed.and_then(|mut one| one.read(&mut [0]).map_err(|_| StoreError::Missing { id, index: 0 })).is_err());
}

fn what_was_burnt_is_gone_and_counted(medium: &dyn Medium) {
    let store = medium.open();
    let id = prepare(&*store, 6);
    claim(&*store, id, 1).unwrap();
    store.hold(id, 3).unwrap().unwrap().burn().unwrap();
    assert!(matches!(claim(&*store, id, 3), Err(StoreError::Missing { index: 3, .. })));
    let usage = store.usage(id).unwrap();
    assert_eq!((usage.used, usage.burnt, usage.high, usage.gone), (1, 1, Some(1), Some(3)));
    assert_eq!(store.burn(id, 4).unwrap(), 3);
    assert_eq!(store.burn(id, 4).unwrap(), 0);
    assert_eq!(medium.open().ready(id).unwrap(), [5]);
    let usage = store.usage(id).unwrap();
    assert_eq!((usage.used, usage.burnt, usage.high, usage.gone), (1, 4, Some(1), Some(4)));
    assert!(matches!(claim(&*store, id, 1), Err(StoreError::Used { .. })));
    // All there is.
    assert_eq!(store.burn(id, u32::MAX).unwrap(), 1);
    assert_eq!(store.usage(id).unwrap().gone, Some(5));
    assert!(matches!(store.burn(new_id(), 1), Err(StoreError::UnknownBatch { .. })));
}

fn what_is_held_is_not_burnt(medium: &dyn Medium) {
    let store = medium.open();
    let id = prepare(&*store, 3);
    let other = medium.open();
    let held = other.hold(id, 1).unwrap().unwrap();
    assert!(matches!(store.burn(id, 2), Err(StoreError::Held { index: 1, .. })));
    drop(held);
    store.burn(id, 2).unwrap();
    assert!(store.ready(id).unwrap().is_empty());
}

fn a_copy_that_is_put_back_has_forgotten_what_was_used_since(medium: &dyn Medium) {
    let store = medium.open();
    let id = prepare(&*store, 8);
    claim(&*store, id, 0).unwrap();
    let (mut restored, mut known) = (None, None);
    medium.with_copy(&mut || (1..5).for_each(|index| drop(claim(&*medium.open(), id, index).unwrap())), &mut || {
        let store = medium.open();
        known = Some(store.usage(id).unwrap().gone);
        // Those who know better say up to where, and that is gone then.
        store.burn(id, 4).unwrap();
        restored = Some((store.usage(id).unwrap().gone, store.ready(id).unwrap()));
    });
    assert_eq!(known, Some(Some(0)), "the copy knows of the first alone");
    assert_eq!(restored, Some((Some(4), vec![5, 6, 7])));
}

fn a_batch_that_is_used_up_is_removed_and_noted_at_the_data_owner(medium: &dyn Medium) {
    for (store, is_noted) in [(medium.open(), true), (medium.of_data_owner(Owner([7; 32])), false)] {
        let id = prepare(&*store, 2);
        claim(&*store, id, 0).unwrap();
        store.remove_if_used_up(id).unwrap();
        assert_eq!(store.ready(id).unwrap(), [1]);
        claim(&*store, id, 1).unwrap();
        store.remove_if_used_up(id).unwrap();
        assert!(matches!(store.ready(id), Err(StoreError::UnknownBatch { .. })));
        assert_eq!(store.batches().unwrap(), []);
        assert_eq!(store.is_noted(id).unwrap(), is_noted);
        store.remove_if_used_up(id).unwrap();
        store.remove(id).unwrap();
    }
}

fn a_note_is_read_by_one_and_forgotten_once(medium: &dyn Medium) {
    let (store, other) = (medium.open(), medium.open());
    let id = new_id();
    let note = store.note(id, &[[5; 32], [6; 32]]).unwrap();
    assert!(other.is_noted(id).unwrap());
    assert!(other.notes().unwrap().is_empty());
    drop(note);
    let mut notes = other.notes().unwrap();
    assert!(store.notes().unwrap().is_empty());
    let note = notes.pop().unwrap();
    assert_eq!((note.batch, &*note.servers, notes.len()), (id, &[[5; 32], [6; 32]][..], 0));
    note.forget().unwrap();
    assert!(!store.is_noted(id).unwrap());
    assert!(store.notes().unwrap().is_empty());
    // What is discarded is noted with those who may have it.
    let discarded = prepare(&*store, 1);
    store.discard(discarded).unwrap();
    let notes = store.notes().unwrap();
    assert_eq!(notes.iter().map(|note| (note.batch, note.servers.len())).collect::<Vec<_>>(), [(discarded, 1)]);
}

fn unconfirmed_batches_are_removed_at_the_next_start(medium: &dyn Medium) {
    let store = medium.open();
    let id = new_id();
    let note = store.note(id, &[[5; 32]]).unwrap();
    let batch = store.begin(id).unwrap();
    batch.inference(0).unwrap().finish().unwrap();
    batch.finish(&description(1), &[]).unwrap();
    assert_eq!(medium.open().batches().unwrap(), [id], "the process that prepares it runs");
    drop(note);
    assert_eq!(medium.open().batches().unwrap(), []);
    assert!(store.is_noted(id).unwrap());
}
