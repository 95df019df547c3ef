//! Mirrored objects that come from uploads, appends, renames and changes of metadata.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aistore_core::checksum::ChecksumType;
use aistore_store::{Chunks, ObjectMeta, PartOptions, Place, PutOptions, Store, StoreError};
use support::{BID, Fixture, delete, emptied, flip, get, list, put_in, uname};

const OLD: &[u8] = b"what was there before";

fn options(copies: usize) -> PutOptions {
    PutOptions { copies, checksum: ChecksumType::Xxhash2, ..support::options() }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from(i % 239).unwrap()).collect()
}

fn upload(store: &Store, name: &str, bytes: &[u8]) {
    let object = (BID, &*uname(BID, name), name);
    let id = store.start_upload(object, BTreeMap::new(), ChecksumType::Xxhash2, 1).unwrap();
    for (number, piece) in (1..).zip(bytes.chunks(bytes.len().div_ceil(3))) {
        let mut part = store.begin_part((BID, name), id, number, PartOptions::default()).unwrap();
        part.write(piece).unwrap();
        part.finish().unwrap();
    }
    store.complete_upload(object, id, &[1, 2, 3], &options(0)).unwrap();
}

fn append(store: &Store, name: &str, bytes: &[u8]) {
    let object = (BID, &*uname(BID, name), name);
    let begun = store.begin_append(object, ChecksumType::Xxhash2).unwrap().finish();
    let begun = emptied(store, begun.unwrap());
    let mut writer = store.continue_append((BID, object.1), begun).unwrap();
    writer.write(bytes).unwrap();
    store.flush_append(object, writer.finish().unwrap(), &options(0)).unwrap();
}

fn rename(store: &Store, name: &str, bytes: &[u8]) {
    put_in(store, BID, "source", bytes, options(3)).unwrap();
    let (from, to) = (uname(BID, "source"), uname(BID, name));
    store.rename(BID, (&from, "source"), (&to, name)).unwrap().unwrap();
}

fn patch(store: &Store, name: &str) {
    let change = |custom: &mut BTreeMap<String, String>| {
        custom.insert("k".to_owned(), "v".to_owned());
    };
    store.patch_custom(BID, &uname(BID, name), name, change).unwrap().unwrap();
}

fn cut(store: &Store, name: &str, bytes: &[u8], copies: usize) -> ObjectMeta {
    let chunks = Some(Chunks { from: 1, size: 30_000 });
    put_in(store, BID, name, bytes, PutOptions { chunks, ..options(copies) }).unwrap()
}

type Change = fn(&Store, &str, &[u8]);

/// Every way in which an object is replaced as a whole.
fn ways() -> [(&'static str, Change); 6] {
    [
        ("put", |store, name, bytes| drop(put_in(store, BID, name, bytes, options(1)).unwrap())),
        ("cut", |store, name, bytes| drop(cut(store, name, bytes, 1))),
        ("cut and mirrored", |store, name, bytes| drop(cut(store, name, bytes, 2))),
        ("upload", upload),
        ("append", append),
        ("rename", rename),
    ]
}

fn head(store: &Store, name: &str) -> ObjectMeta {
    store.head(BID, &uname(BID, name), name).unwrap().unwrap()
}

/// Blobs that an object whose copies are settled accounts for.
fn blobs_of(meta: &ObjectMeta) -> usize {
    1 + meta.copies.len() + meta.parts.iter().map(|part| part.places.len()).sum::<usize>()
}

/// Checks that there are this many copies of everything, on mountpaths of their own.
fn check_copies(meta: &ObjectMeta, copies: usize, what: &str) {
    assert_eq!(meta.copies.len() + 1, copies, "{what}");
    let distinct = |places: &[Place]| {
        places.iter().map(|place| place.mountpath).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct(&meta.copies) + 1, copies, "{what}");
    for part in &meta.parts {
        assert_eq!((part.places.len(), distinct(&part.places)), (copies, copies), "{what}");
    }
}

#[test]
fn whatever_replaces_a_mirrored_object_leaves_nothing_of_it() {
    let bytes = content(100_000);
    for (what, change) in ways() {
        for patched in [false, true] {
            let fixture = Fixture::new(3);
            let store = fixture.open();
            for name in ["o", "p"] {
                put_in(&store, BID, name, OLD, options(3)).unwrap();
            }
            cut(&store, "p", &bytes, 3);
            for name in ["o", "p"] {
                if patched {
                    patch(&store, name);
                }
                change(&store, name, &bytes);
            }
            // What is renamed keeps copies whose payload its description does not name.
            if what != "rename" {
                let all: usize = ["o", "p"].iter().map(|name| blobs_of(&head(&store, name))).sum();
                assert_eq!(fixture.blobs().len(), all, "{what}, patched: {patched}");
            }
            // No mountpath alone knows of another version.
            for copies in [3, 1, 2] {
                for name in ["o", "p"] {
                    store.set_copies(BID, &uname(BID, name), name, copies).unwrap();
                    check_copies(&head(&store, name), copies, what);
                    assert!(get(&store, name).unwrap() == bytes, "{what}");
                }
                let all: usize = ["o", "p"].iter().map(|name| blobs_of(&head(&store, name))).sum();
                assert_eq!(fixture.blobs().len(), all, "{what}, {copies} copies");
            }
            assert_eq!(list(&store, "", false, 10), ["o", "p"]);
            assert!(delete(&store, "o") && delete(&store, "p"));
            assert!(fixture.blobs().is_empty(), "{what}");
        }
    }
}

#[test]
fn chunks_are_mirrored_while_they_are_written() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    for copies in 1..=3 {
        let meta = cut(&store, "o", &content(200_000), copies);
        check_copies(&meta, copies, "cut");
        assert_eq!((meta.parts.len(), blobs_of(&meta)), (7, fixture.blobs().len()));
        assert_eq!(store.set_copies(BID, &uname(BID, "o"), "o", copies).unwrap(), None);
    }
    store.close().unwrap();
    drop(store);
    // Any mountpath may be lost.
    std::fs::remove_dir_all(&fixture.paths[1]).unwrap();
    let left = vec![fixture.paths[0].clone(), fixture.paths[2].clone()];
    let store = Store::open(aistore_store::StoreConfig::new(left)).unwrap();
    assert!(get(&store, "o").unwrap() == content(200_000));
}

#[test]
fn a_flipped_bit_is_found_after_a_change_of_metadata_or_name() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let bytes = content(50_000);
    let verify = |name: &str| store.open_verified(BID, &uname(BID, name), name);
    for (kind, copies) in [
        (ChecksumType::Md5, 1),
        (ChecksumType::Xxhash2, 2),
        (ChecksumType::Crc32c, 2),
        (ChecksumType::Sha256, 2),
    ] {
        for renamed in [false, true] {
            let put = PutOptions { checksum: kind, ..options(copies) };
            put_in(&store, BID, "first", &bytes, put).unwrap();
            let name = if renamed {
                let (from, to) = (uname(BID, "first"), uname(BID, "second"));
                store.rename(BID, (&from, "first"), (&to, "second")).unwrap().unwrap();
                "second"
            } else {
                patch(&store, "first");
                "first"
            };
            let meta = head(&store, name);
            assert_eq!(meta.parts[0].places.len(), copies);
            assert_eq!((meta.parts.len(), meta.parts[0].crc32c), (1, 0));
            assert!(!verify(name).unwrap().unwrap().healed);
            flip(&fixture, meta.parts[0].places[0].blob, 777);
            if copies == 1 {
                let error = verify(name).unwrap_err();
                assert!(matches!(error, StoreError::Checksum { .. }), "{error}");
                // Nor does damage spread to a copy.
                let copied = store.set_copies(BID, &uname(BID, name), name, 2);
                assert!(copied.is_err(), "{copied:?}");
            } else {
                assert!(verify(name).unwrap().unwrap().healed, "{kind:?}");
                assert!(get(&store, name).unwrap() == bytes);
                assert!(!verify(name).unwrap().unwrap().healed);
                store.set_copies(BID, &uname(BID, name), name, 2).unwrap();
                check_copies(&head(&store, name), 2, name);
            }
            assert!(delete(&store, name));
            assert!(fixture.blobs().is_empty());
        }
    }
}
