//! A disk that is fuller than its operator wants: nothing new is taken, all else goes on.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use aistore_core::checksum::ChecksumType;
use aistore_store::{Store, StoreConfig, StoreError};
use std::sync::atomic::AtomicBool;
use support::{BID, delete, get, put, uname, with_pass};

/// Whatever the machine's disk has, it is more than nothing.
const ALWAYS_ABOVE: u32 = 0;

fn refused<T>(done: Result<T, StoreError>) {
    match done {
        Err(StoreError::TooFull { .. }) => {}
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn above_the_watermark_nothing_new_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
    let store = Store::open(StoreConfig::new(paths[..2].to_vec())).unwrap();
    put(&store, "old", b"bytes").unwrap();
    put(&store, "doomed", b"bytes").unwrap();
    store.check_fill(100, "x").unwrap();
    refused(store.check_fill(ALWAYS_ABOVE, "x"));
    store.set_out_of_space(ALWAYS_ABOVE);

    refused(put(&store, "new", b"bytes"));
    refused(put(&store, "old", b"other"));
    let object = uname(BID, "old");
    refused(store.begin_append((BID, &object, "old"), ChecksumType::None));
    refused(store.set_copies(BID, &object, "old", 2));
    // A mountpath that comes later goes by the same.
    store.attach(&paths[2]).unwrap();
    for i in 0..16 {
        refused(put(&store, &format!("new{i}"), b"bytes"));
    }

    assert_eq!(get(&store, "old").unwrap(), b"bytes");
    assert!(delete(&store, "doomed"));
    let patch = |custom: &mut std::collections::BTreeMap<_, _>| {
        custom.insert("k".to_owned(), "v".to_owned());
    };
    assert!(store.patch_custom(BID, &object, "old", patch).unwrap().is_some());

    store.set_out_of_space(100);
    put(&store, "new", b"bytes").unwrap();
    assert_eq!(get(&store, "new").unwrap(), b"bytes");
}

#[test]
fn a_pass_over_all_objects_ends_where_the_disks_are_too_full() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| dir.path().join(name));
    let store = Store::open(StoreConfig::new(paths.to_vec())).unwrap();
    for i in 0..8 {
        put(&store, &format!("o{i}"), b"bytes").unwrap();
    }
    let pass = |store: &Store| {
        with_pass(2, &AtomicBool::new(false), |pass| store.settle_bucket(BID, pass))
    };
    store.set_out_of_space(ALWAYS_ABOVE);
    refused(pass(&store));
    store.set_out_of_space(100);
    assert_eq!(pass(&store).unwrap().failed, 0);
}
