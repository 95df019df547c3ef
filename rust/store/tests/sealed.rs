//! Buckets that are being renamed: sealed for changes, while their objects move to another bucket.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use aistore_core::checksum::ChecksumType;
use aistore_store::{Choice, Condition, ObjectMeta, PartOptions, PutOptions, Store, StoreError};
use support::{BID, Fixture, delete, get, get_in, options, put, put_in, uname};

const OTHER: u64 = 1 << 63 | 6;

fn seal(store: &Store, bid: u64) {
    store.seal(BTreeSet::from([bid]));
}

fn sealed<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Sealed { .. })), "{result:?}");
}

fn move_with(
    store: &Store,
    name: &str,
    choose: impl FnOnce(&ObjectMeta, Option<&ObjectMeta>) -> Choice,
) -> Result<Option<ObjectMeta>, StoreError> {
    let unames = (uname(BID, name), uname(OTHER, name));
    store.move_to_bucket((BID, &unames.0, name), (OTHER, &unames.1, name), choose)
}

fn both(store: &Store, name: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    (get(store, name), get_in(store, OTHER, name))
}

#[test]
fn a_sealed_bucket_is_read_and_not_changed() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    put(&store, "o", b"old").unwrap();
    let object = (BID, &*uname(BID, "o"), "o");
    let id = store.start_upload(object, BTreeMap::new(), ChecksumType::None, 1).unwrap();
    let mut part = store.begin_part((BID, "o"), id, 1, PartOptions::default()).unwrap();
    part.write(b"part").unwrap();
    part.finish().unwrap();
    let session = store.begin_append(object, ChecksumType::None).unwrap().finish().unwrap();
    let mut begun = store.begin_put(BID, object.1, "o", options()).unwrap();
    begun.write(b"new").unwrap();

    seal(&store, BID);
    let (blobs, change) = (fixture.blobs().len(), |custom: &mut BTreeMap<_, _>| {
        custom.insert("k".to_owned(), "v".to_owned());
    });
    sealed(&begun.finish());
    sealed(&put(&store, "fresh", b"new"));
    sealed(&store.delete(BID, object.1, "o"));
    sealed(&store.patch_custom(BID, object.1, "o", change));
    sealed(&store.rename(BID, (object.1, "o"), (&uname(BID, "p"), "p")));
    sealed(&store.complete_upload(object, id, &[1], &options()));
    sealed(&store.flush_append(object, session, &options()));
    assert_eq!(get(&store, "o"), Some(b"old".to_vec()));
    assert_eq!((fixture.blobs().len(), fixture.files("tmp").len()), (blobs, 0));
    put_in(&store, OTHER, "o", b"new", options()).unwrap();
    // What leaves objects as they are for callers goes on.
    assert!(store.set_copies(BID, object.1, "o", 2).unwrap().is_some());

    // One seal takes the place of the other.
    seal(&store, OTHER);
    sealed(&put_in(&store, OTHER, "o", b"newer", PutOptions::default()));
    store.complete_upload(object, id, &[1], &options()).unwrap();
    assert_eq!(both(&store, "o"), (Some(b"part".to_vec()), Some(b"new".to_vec())));
    store.seal(BTreeSet::new());
    assert!(delete(&store, "o"));
    assert!(store.delete(OTHER, &uname(OTHER, "o"), "o").unwrap());
}

#[test]
fn sealing_waits_for_the_change_that_was_let_in() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    put(&store, "o", b"old").unwrap();
    let (entered, has_entered) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (sealed, is_sealed) = mpsc::channel();
    std::thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            let change = |custom: &mut BTreeMap<String, String>| {
                entered.send(()).unwrap();
                may_go_on.recv().unwrap();
                custom.insert("k".to_owned(), "v".to_owned());
            };
            store.patch_custom(BID, &uname(BID, "o"), "o", change).unwrap().unwrap();
        });
        has_entered.recv().unwrap();
        scope.spawn(move || {
            seal(store, BID);
            let meta = store.head(BID, &uname(BID, "o"), "o").unwrap().unwrap();
            sealed.send(meta.custom).unwrap();
        });
        assert!(is_sealed.recv_timeout(Duration::from_millis(100)).is_err(), "it does not wait");
        go_on.send(()).unwrap();
        assert_eq!(is_sealed.recv().unwrap()["k"], "v");
    });
}

#[test]
fn an_object_moves_in_place_of_another_one_or_of_none() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    put_in(&store, BID, "o", b"moved", PutOptions { copies: 2, ..options() }).unwrap();
    put(&store, "p", b"moved").unwrap();
    put_in(&store, OTHER, "o", b"in its place", PutOptions { copies: 3, ..options() }).unwrap();
    seal(&store, BID);
    let moved = move_with(&store, "o", |from, to| {
        assert_eq!((from.size, to.unwrap().size), (5, 12));
        Choice::Move
    });
    assert_eq!(moved.unwrap().unwrap().size, 5);
    let moved = move_with(&store, "p", |_, to| {
        assert_eq!(to, None);
        Choice::Move
    });
    assert_eq!(moved.unwrap().unwrap().version, 1);
    let asked = |_: &ObjectMeta, _: Option<&ObjectMeta>| unreachable!("there is nothing to move");
    assert_eq!(move_with(&store, "o", asked).unwrap(), None);
    drop(store);
    for path in &fixture.paths {
        std::fs::remove_dir_all(path.join("ais/index")).unwrap();
    }
    // The blobs tell the same.
    let store = fixture.open();
    for name in ["o", "p"] {
        assert_eq!(both(&store, name), (None, Some(b"moved".to_vec())), "{name}");
    }
    assert!(store.delete(OTHER, &uname(OTHER, "o"), "o").unwrap());
    assert!(store.delete(OTHER, &uname(OTHER, "p"), "p").unwrap());
    assert!(fixture.blobs().is_empty());
}

#[test]
fn an_object_gives_way_to_the_one_that_is_there_or_both_stay() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    put_in(&store, BID, "o", b"old", PutOptions { copies: 2, ..options() }).unwrap();
    put_in(&store, OTHER, "o", b"newer", options()).unwrap();
    seal(&store, BID);
    let left = move_with(&store, "o", |_, _| Choice::Leave);
    assert!(matches!(left, Err(StoreError::Cancelled)), "{left:?}");
    assert_eq!(both(&store, "o"), (Some(b"old".to_vec()), Some(b"newer".to_vec())));
    let dropped = move_with(&store, "o", |_, to| {
        assert!(to.is_some());
        Choice::Drop
    });
    assert_eq!(dropped.unwrap().unwrap().size, 3);
    assert_eq!(both(&store, "o"), (None, Some(b"newer".to_vec())));
    assert_eq!(fixture.blobs().len(), 1);
}

#[test]
fn only_the_version_that_was_brought_elsewhere_is_taken_away() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let object = (BID, &*uname(BID, "o"), "o");
    let first = put(&store, "o", b"first").unwrap();
    let second = put(&store, "o", b"second").unwrap();
    seal(&store, BID);
    let is = |blob| Condition::new(move |meta: &ObjectMeta| meta.blob == blob);
    let refused = store.take_away(BID, object.1, "o", &is(first.blob));
    assert!(matches!(refused, Err(StoreError::Precondition { present: true, .. })), "{refused:?}");
    assert_eq!(get(&store, "o"), Some(b"second".to_vec()));
    assert!(store.take_away(BID, object.1, "o", &is(second.blob)).unwrap());
    assert!(!store.take_away(BID, object.1, "o", &is(second.blob)).unwrap());
    assert!(fixture.blobs().is_empty());
}
