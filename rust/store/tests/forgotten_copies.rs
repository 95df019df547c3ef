//! Copies that their object does not know: an index that was rebuilt, or a crash, left them.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::BTreeMap;

use aistore_core::checksum::ChecksumType;
use aistore_store::{PartOptions, Store};
use support::{BID, Fixture, delete, get, options, put, resilver, uname};

const NAMES: usize = 8;

/// A store whose objects have copies that they do not know of.
fn forgetful() -> (Fixture, Store) {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    for name in names() {
        put(&store, &name, b"old").unwrap();
        // Only the entry of the object learns of the copy, its blob does not.
        store.set_copies(BID, &uname(BID, &name), &name, 2).unwrap();
    }
    store.close().unwrap();
    drop(store);
    for path in &fixture.paths {
        std::fs::remove_dir_all(path.join("ais/index")).unwrap();
    }
    let store = fixture.open();
    assert!(store.was_interrupted() && !store.is_scattered());
    for name in names() {
        let meta = store.head(BID, &uname(BID, &name), &name).unwrap().unwrap();
        assert!(meta.copies.is_empty());
    }
    (fixture, store)
}

fn names() -> impl Iterator<Item = String> {
    (0..NAMES).map(|i| format!("o{i}"))
}

/// Lets each mountpath leave in turn, and asks for every name meanwhile.
fn observe(fixture: &Fixture, store: &Store, expected: impl Fn(&str) -> Option<Vec<u8>>) {
    for path in &fixture.paths {
        store.detach(path, true).unwrap();
        for name in names() {
            assert_eq!(get(store, &name), expected(&name), "{name}");
        }
        resilver(store, 2);
        store.attach(path).unwrap();
        resilver(store, 2);
        for name in names() {
            assert_eq!(get(store, &name), expected(&name), "{name}, settled");
        }
    }
}

#[test]
fn a_deleted_object_stays_deleted() {
    let (fixture, store) = forgetful();
    names().for_each(|name| assert!(delete(&store, &name)));
    observe(&fixture, &store, |_| None);
}

#[test]
fn the_old_name_of_an_object_stays_free_and_the_copy_stays_a_copy() {
    let (fixture, store) = forgetful();
    for name in names() {
        let to = format!("new-{name}");
        let names = (&*uname(BID, &name), &*name);
        let meta = store.rename(BID, names, (&uname(BID, &to), &to)).unwrap().unwrap();
        assert_eq!(meta.parts[0].places.len(), 2, "{name}");
    }
    observe(&fixture, &store, |_| None);
    for name in names() {
        assert_eq!(get(&store, &format!("new-{name}")).unwrap(), b"old");
    }
}

#[test]
fn nothing_is_left_of_an_object_that_was_replaced_and_deleted() {
    let (fixture, store) = forgetful();
    for (i, name) in names().enumerate() {
        let object = (BID, &*uname(BID, &name), &*name);
        match i % 3 {
            0 => drop(put(&store, &name, b"new").unwrap()),
            1 => {
                let id = store.start_upload(object, BTreeMap::new(), ChecksumType::Xxhash2, 1);
                let id = id.unwrap();
                let mut part =
                    store.begin_part((BID, &name), id, 1, PartOptions::default()).unwrap();
                part.write(b"new").unwrap();
                part.finish().unwrap();
                store.complete_upload(object, id, &[1], &options()).unwrap();
            }
            _ => {
                let begun = store.begin_append(object, ChecksumType::Xxhash2).unwrap();
                store.flush_append(object, begun.finish().unwrap(), &options()).unwrap();
            }
        }
    }
    let expected = |name: &str| match name.trim_start_matches('o').parse::<usize>().unwrap() % 3 {
        2 => Some(b"old".to_vec()),
        _ => Some(b"new".to_vec()),
    };
    observe(&fixture, &store, expected);
    names().for_each(|name| assert!(delete(&store, &name)));
    observe(&fixture, &store, |_| None);
}
