//! Objects that are stored several times: every change keeps the copies right, and damage is repaired.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use aistore_core::checksum::ChecksumType;
use aistore_store::{Chunks, ObjectMeta, PutOptions, Store, StoreError};
use support::{BID, Fixture, delete, flip, get, list, put_in, resilver, uname};

fn options(copies: usize) -> PutOptions {
    PutOptions { copies, checksum: ChecksumType::Xxhash2, ..support::options() }
}

fn mirrored(store: &Store, name: &str, bytes: &[u8], copies: usize) -> ObjectMeta {
    put_in(store, BID, name, bytes, options(copies)).unwrap()
}

fn content(i: usize) -> Vec<u8> {
    vec![u8::try_from(i % 251).unwrap(); 10 + i * 7919 % 90_000]
}

fn blobs(fixture: &Fixture) -> usize {
    fixture.blobs().len()
}

#[test]
fn every_change_keeps_the_copies_right() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let meta = mirrored(&store, "a", &content(1), 2);
    assert_eq!((meta.copies.len(), blobs(&fixture)), (1, 2));
    mirrored(&store, "a", &content(2), 3);
    assert_eq!(blobs(&fixture), 3);
    mirrored(&store, "a", &content(3), 1);
    assert_eq!((blobs(&fixture), get(&store, "a").unwrap()), (1, content(3)));
    mirrored(&store, "a", &content(4), 9);
    assert_eq!(blobs(&fixture), 3, "as many as there are mountpaths");
    store
        .patch_custom(BID, &uname(BID, "a"), "a", |custom| {
            custom.insert("k".into(), "v".into());
        })
        .unwrap();
    let meta = store.head(BID, &uname(BID, "a"), "a").unwrap().unwrap();
    assert_eq!((meta.copies.len(), meta.custom.len()), (2, 1));
    store.rename(BID, (&uname(BID, "a"), "a"), (&uname(BID, "b"), "b")).unwrap().unwrap();
    assert_eq!((get(&store, "a"), get(&store, "b").unwrap()), (None, content(4)));
    assert_eq!(list(&store, "", false, 10), ["b"]);
    resilver(&store, 2);
    assert_eq!(store.head(BID, &uname(BID, "b"), "b").unwrap().unwrap().copies.len(), 1);
    assert_eq!(get(&store, "b").unwrap(), content(4));
    assert!(delete(&store, "b"));
    assert_eq!((get(&store, "b"), blobs(&fixture)), (None, 0));
}

#[test]
fn copies_are_added_and_removed() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    for i in 0..60 {
        mirrored(&store, &format!("o{i:02}"), &content(i), 1);
    }
    let chunked = PutOptions { chunks: Some(Chunks { from: 1, size: 40_000 }), ..options(1) };
    put_in(&store, BID, "parts", &vec![5; 150_000], chunked).unwrap();
    let single = blobs(&fixture);
    for copies in [2, 3, 1, 2] {
        resilver(&store, copies);
        assert_eq!(blobs(&fixture), single * copies, "{copies} copies");
        for i in 0..60 {
            assert!(get(&store, &format!("o{i:02}")).unwrap() == content(i));
        }
        assert!(get(&store, "parts").unwrap() == vec![5; 150_000]);
        assert_eq!(list(&store, "", false, 10).len(), 61);
    }
    let meta = store.head(BID, &uname(BID, "o00"), "o00").unwrap().unwrap();
    assert_eq!(meta.copies.len(), 1);
}

#[test]
fn a_flipped_bit_is_healed_from_a_copy() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let meta = mirrored(&store, "two", &content(9), 2);
    flip(&fixture, meta.blob, 3);
    let verified = store.open_verified(BID, &uname(BID, "two"), "two").unwrap().unwrap();
    assert!(verified.healed);
    assert!(get(&store, "two").unwrap() == content(9));
    let again = store.open_verified(BID, &uname(BID, "two"), "two").unwrap().unwrap();
    assert!(!again.healed && blobs(&fixture) == 2);
    assert_eq!(again.reader.meta().copies.len(), 1);

    let meta = mirrored(&store, "one", &content(8), 1);
    flip(&fixture, meta.blob, 3);
    let error = store.open_verified(BID, &uname(BID, "one"), "one").unwrap_err();
    assert!(matches!(error, StoreError::Checksum { .. }), "{error}");
}

fn path_of(fixture: &Fixture, meta: &ObjectMeta) -> std::path::PathBuf {
    fixture.blobs().into_iter().find(|blob| blob.id == meta.blob.0).unwrap().path
}

#[test]
fn a_lost_or_short_blob_is_read_from_the_copy() {
    let fixture = Fixture::of_files(2);
    let store = fixture.open();
    let lost = mirrored(&store, "lost", &content(20), 2);
    std::fs::remove_file(path_of(&fixture, &lost)).unwrap();
    assert!(get(&store, "lost").unwrap() == content(20));
    let short = mirrored(&store, "short", &content(21), 2);
    let path = path_of(&fixture, &short);
    std::fs::File::options().write(true).open(path).unwrap().set_len(5).unwrap();
    assert!(get(&store, "short").unwrap() == content(21));
    let verified = store.open_verified(BID, &uname(BID, "short"), "short").unwrap().unwrap();
    assert!(verified.healed);
}

#[test]
fn mirrored_objects_survive_the_loss_of_any_mountpath() {
    for gone in 0..3 {
        let fixture = Fixture::new(3);
        let store = fixture.open();
        for i in 0..50 {
            mirrored(&store, &format!("o{i:02}"), &content(i), 2);
        }
        store.close().unwrap();
        drop(store);
        std::fs::remove_dir_all(&fixture.paths[gone]).unwrap();
        let mut paths = fixture.paths.clone();
        paths.remove(gone);
        let store = Store::open(aistore_store::StoreConfig::new(paths)).unwrap();
        let all = |store: &Store| {
            assert_eq!(list(store, "", false, 7).len(), 50);
            for i in 0..50 {
                assert!(get(store, &format!("o{i:02}")).unwrap() == content(i));
            }
        };
        all(&store);
        mirrored(&store, "o00", &content(0), 2);
        assert!(delete(&store, "o01") && get(&store, "o01").is_none());
        mirrored(&store, "o01", &content(1), 2);
        resilver(&store, 2);
        assert!(!store.is_scattered());
        all(&store);
        assert_eq!(blobs(&fixture), 100);
    }
}
