//! A whole store: compaction among readers, writers and those who delete.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aistore_core::config::WritePolicy;
use shuttle::thread;

use super::{Ground, explore, finds, get, put};
use crate::config::{Chunks, PutOptions};
use crate::inspect::each_blob;
use crate::meta::Place;
use crate::store::Store;

/// Records of 200 bytes and more: three or four to a segment.
const SEGMENT_BYTES: u64 = 1000;

/// Checks that of the records and files no more count as used than the objects have, and that each object lies
/// where the index says.
fn check_space(store: &Store, dir: &Path, objects: &[&str], bid: u64) {
    let (mut found, mut expected) = (BTreeMap::new(), BTreeMap::new());
    each_blob(dir, |blob| {
        if !blob.dead {
            *found.entry(blob.id).or_insert(0) += 1;
        }
    })
    .unwrap();
    for name in objects {
        let Some(meta) = store.head(bid, name, name).unwrap() else { continue };
        let places = meta.parts.iter().flat_map(|part| &part.places);
        let parts: Vec<Place> = places.copied().collect();
        for blob in parts.iter().map(|place| place.blob).chain([meta.blob]) {
            *expected.entry(blob.0).or_insert(0) += 1;
        }
    }
    assert_eq!(found, expected, "blobs that are there, and that are in use");
}

/// Fills a segment of which only `a` and `b` stay.
fn with_waste(store: &Store, bid: u64) {
    put(store, bid, "a", 1, 100);
    put(store, bid, "waste", 1, 300);
    put(store, bid, "b", 5, 120);
    put(store, bid, "more", 1, 300);
    put(store, bid, "next", 6, 100);
    for name in ["waste", "more"] {
        assert!(store.delete(bid, name, name).unwrap());
    }
}

#[test]
fn compaction_disturbs_neither_readers_nor_writers() {
    compaction();
}

#[test]
fn compaction_fails_with_a_flaw() {
    finds("locations: moved whatever it is", compaction);
}

fn compaction() {
    let ground = Ground::new();
    explore(move || {
        let bid = ground.bucket();
        let (store, dir) = ground.store(SEGMENT_BYTES, WritePolicy::Immediate);
        let store = Arc::new(store);
        with_waste(&store, bid);
        let spawn = |work: fn(&Store, u64)| {
            let store = Arc::clone(&store);
            thread::spawn(move || work(&store, bid))
        };
        let threads = [
            spawn(|store, _| assert_eq!(store.compact(&AtomicBool::new(false)).failed, 0)),
            spawn(|store, bid| put(store, bid, "a", 2, 150)),
            spawn(|store, bid| assert!(store.delete(bid, "b", "b").unwrap())),
            spawn(|store, bid| {
                let a = get(store, bid, "a");
                assert!(a == Some((1, 100)) || a == Some((2, 150)), "{a:?}");
                let b = get(store, bid, "b");
                assert!(b.is_none() || b == Some((5, 120)), "{b:?}");
                assert_eq!(get(store, bid, "next"), Some((6, 100)));
            }),
        ];
        for one in threads {
            one.join().unwrap();
        }
        assert_eq!(get(&store, bid, "a"), Some((2, 150)));
        assert_eq!(get(&store, bid, "b"), None);
        assert_eq!(get(&store, bid, "next"), Some((6, 100)));
        check_space(&store, dir.path(), &["a", "b", "next"], bid);
        assert!(store.delete(bid, "a", "a").unwrap() && store.delete(bid, "next", "next").unwrap());
    });
}

#[test]
fn parts_stay_while_they_are_read_and_go_afterwards() {
    parts();
}

#[test]
fn parts_fails_with_a_flaw() {
    finds("pins: not looked at", parts);
}

fn parts() {
    let ground = Ground::new();
    explore(move || {
        let bid = ground.bucket();
        let (store, dir) = ground.store(SEGMENT_BYTES, WritePolicy::Never);
        let store = Arc::new(store);
        let put_chunked = move |store: &Store, byte: u8| {
            let chunks = Some(Chunks { from: 1, size: 100 });
            let options = PutOptions { chunks, ..PutOptions::default() };
            let mut writer = store.begin_put(bid, "a", "a", options).unwrap();
            writer.write(&[byte; 250]).unwrap();
            writer.finish().unwrap();
        };
        put_chunked(&store, 1);
        let reader = || {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                let found = get(&store, bid, "a");
                assert!([None, Some((1, 250)), Some((2, 250))].contains(&found), "{found:?}");
            })
        };
        let other = Arc::clone(&store);
        let changer = thread::spawn(move || {
            put_chunked(&other, 2);
            assert!(other.delete(bid, "a", "a").unwrap());
            other.tidy().unwrap();
        });
        for one in [reader(), reader(), changer] {
            one.join().unwrap();
        }
        store.tidy().unwrap();
        check_space(&store, dir.path(), &["a"], bid);
    });
}
