//! Objects cut into chunks, changed metadata, renames, and conditional puts.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use aistore_store::{Chunks, Condition, ObjectReader, PutOptions, Store, StoreError};
use proptest::prelude::*;
use support::{BID, Fixture, delete, get, list, options, put, put_in, uname};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 7 + i / 251) % 251).unwrap()).collect()
}

fn chunked(from: u64, size: u64, hint: Option<u64>) -> PutOptions {
    PutOptions { chunks: Some(Chunks { from, size }), size_hint: hint, ..options() }
}

fn put_chunked(store: &Store, name: &str, bytes: &[u8], size: u64) {
    let options = chunked(1, size, Some(bytes.len() as u64));
    put_in(store, BID, name, bytes, options).unwrap();
}

fn open(store: &Store, name: &str) -> ObjectReader {
    store.open_object(BID, &uname(BID, name), name).unwrap().unwrap()
}

fn rename(store: &Store, from: &str, to: &str) -> bool {
    let (from_uname, to_uname) = (uname(BID, from), uname(BID, to));
    store.rename(BID, (&from_uname, from), (&to_uname, to)).unwrap().is_some()
}

fn patch(store: &Store, name: &str, key: &str, value: &str) {
    let change = |custom: &mut BTreeMap<String, String>| {
        custom.insert(key.to_owned(), value.to_owned());
    };
    store.patch_custom(BID, &uname(BID, name), name, change).unwrap().unwrap();
}

fn lose_indexes(fixture: &Fixture) {
    for path in &fixture.paths {
        std::fs::remove_dir_all(path.join("ais/index")).unwrap();
    }
}

#[test]
fn a_large_object_is_cut_into_chunks_over_the_mountpaths() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let bytes = pattern(1_000_000);
    put_chunked(&store, "big", &bytes, 150_000);
    let meta = store.head(BID, &uname(BID, "big"), "big").unwrap().unwrap();
    assert_eq!(meta.chunks(), Some((7, 150_000)));
    assert_eq!(get(&store, "big").unwrap(), bytes);
    let used: std::collections::BTreeSet<_> =
        meta.parts.iter().map(|part| part.places[0].mountpath).collect();
    assert_eq!(used.len(), 3);
    assert_eq!(fixture.blobs().len(), 8);
    assert_eq!(list(&store, "", false, 10), ["big"]);
    for (part, bytes) in meta.parts.iter().zip(bytes.chunks(150_000)) {
        assert_eq!(part.crc32c, crc32c::crc32c(bytes));
    }
    put(&store, "big", b"small").unwrap();
    assert_eq!(fixture.blobs().len(), 1);
    put_chunked(&store, "big", &bytes, 400_000);
    assert!(delete(&store, "big"));
    assert!(fixture.blobs().is_empty());
}

#[test]
fn the_size_decides_whether_an_object_is_cut() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let chunks = |name: &str, size: usize, options| {
        put_in(&store, BID, name, &pattern(size), options).unwrap().chunks()
    };
    assert_eq!(chunks("a", 99_999, chunked(100_000, 10_000, Some(99_999))), None);
    assert_eq!(chunks("b", 100_000, chunked(100_000, 10_000, Some(100_000))), Some((10, 10_000)));
    assert_eq!(chunks("c", 100_000, chunked(100_000, 10_000, None)), None);
    assert_eq!(chunks("d", 120_000, chunked(100_000, 10_000, None)), Some((3, 100_000)));
    assert_eq!(chunks("e", 0, chunked(0, 10_000, Some(0))), None);
    for name in ["a", "b", "c", "d", "e"] {
        assert!(get(&store, name).is_some());
    }
}

#[test]
fn an_abandoned_or_refused_put_leaves_no_chunk() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let begin = |options| store.begin_put(BID, &uname(BID, "o"), "o", options).unwrap();
    let mut writer = begin(chunked(1, 1000, Some(1 << 20)));
    writer.write(&pattern(200_000)).unwrap();
    drop(writer);
    let expected = Some((aistore_core::checksum::ChecksumType::Md5, "00".to_owned()));
    let mut writer = begin(PutOptions { expected, ..chunked(1, 1000, Some(1 << 20)) });
    writer.write(&pattern(200_000)).unwrap();
    assert!(matches!(writer.finish(), Err(StoreError::Checksum { .. })));
    assert!(fixture.blobs().is_empty() && fixture.files("tmp").is_empty());
}

#[test]
fn readers_keep_the_version_they_opened() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let bytes = pattern(500_000);
    put_chunked(&store, "o", &bytes, 60_000);
    patch(&store, "o", "k", "v");
    let reader = open(&store, "o");
    delete(&store, "o");
    assert!(store.open_object(BID, &uname(BID, "o"), "o").unwrap().is_none());
    let mut read = vec![0; bytes.len()];
    assert_eq!(reader.read_at(&mut read, 0).unwrap(), bytes.len());
    assert!(read == bytes);
    drop(reader);
    // What the reader kept goes with the next removal of a part.
    put_chunked(&store, "p", &bytes, 400_000);
    delete(&store, "p");
    assert!(fixture.blobs().is_empty());
}

#[test]
fn a_lost_part_is_reported_with_its_path() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    put_chunked(&store, "o", &pattern(500_000), 100_000);
    let meta = store.head(BID, &uname(BID, "o"), "o").unwrap().unwrap();
    let lost = meta.parts[3].places[0].blob.to_string();
    let path = fixture.files("blobs").into_iter().find(|path| path.ends_with(&lost)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = store.open_object(BID, &uname(BID, "o"), "o").unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { .. }) && error.to_string().contains(&lost));
    store.close().unwrap();
    drop(store);
    lose_indexes(&fixture);
    let store = fixture.open();
    assert_eq!(get(&store, "o"), None, "its description is set aside");
    assert_eq!(fixture.files("quarantine").len(), 1);
}

#[test]
fn metadata_changes_without_touching_the_payload() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let (small, large) = (pattern(100), pattern(300_000));
    let before = put(&store, "s", &small).unwrap();
    put_chunked(&store, "l", &large, 100_000);
    for round in 0..3 {
        for name in ["s", "l"] {
            patch(&store, name, "round", &round.to_string());
        }
    }
    let after = store.head(BID, &uname(BID, "s"), "s").unwrap().unwrap();
    assert_eq!((after.version, after.mtime_ns, after.chunks()), (1, before.mtime_ns, None));
    assert_eq!(after.custom["round"], "2");
    assert_eq!((get(&store, "s").unwrap(), get(&store, "l").unwrap()), (small, large));
    // One payload and one description; three chunks and one description.
    assert_eq!(fixture.blobs().len(), 2 + 4);
    let none = store.patch_custom(BID, &uname(BID, "x"), "x", |_| {}).unwrap();
    assert!(none.is_none());
    let huge = store.patch_custom(BID, &uname(BID, "s"), "s", |custom| {
        custom.insert("k".to_owned(), "v".repeat(70_000));
    });
    assert!(matches!(huge, Err(StoreError::Invalid(_))));
    put(&store, "s", b"new").unwrap();
    assert!(delete(&store, "l"));
    assert_eq!(fixture.blobs().len(), 1);
}

#[test]
fn changes_survive_a_lost_index() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    for i in 0..20 {
        put(&store, &format!("plain{i}"), &pattern(i * 100)).unwrap();
        assert!(rename(&store, &format!("plain{i}"), &format!("renamed{i}")));
        put_chunked(&store, &format!("big{i}"), &pattern(5_000), 1_000);
        patch(&store, &format!("big{i}"), "k", "v");
    }
    put(&store, "plain3", b"put again").unwrap();
    let names = list(&store, "", false, 100);
    store.close().unwrap();
    drop(store);
    lose_indexes(&fixture);
    let store = fixture.open();
    assert_eq!(list(&store, "", false, 100), names);
    assert_eq!(get(&store, "plain3").unwrap(), b"put again");
    for i in 0..20 {
        assert_eq!(get(&store, &format!("renamed{i}")).unwrap(), pattern(i * 100));
        let name = format!("big{i}");
        assert_eq!(get(&store, &name).unwrap(), pattern(5_000));
        let meta = store.head(BID, &uname(BID, &name), &name).unwrap().unwrap();
        assert_eq!((meta.custom["k"].as_str(), meta.chunks()), ("v", Some((5, 1_000))));
    }
    for name in names {
        assert!(delete(&store, &name));
    }
    // The sweep that follows a rebuild may still be at work.
    store.close().unwrap();
    assert!(fixture.blobs().is_empty());
}

#[test]
fn a_rename_overwrites_and_refuses_nonsense() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    put_chunked(&store, "a", &pattern(5_000), 1_000);
    put_chunked(&store, "b", &pattern(3_000), 1_000);
    patch(&store, "a", "k", "v");
    assert!(rename(&store, "a", "b"));
    assert_eq!(get(&store, "b").unwrap(), pattern(5_000));
    assert_eq!(list(&store, "", false, 10), ["b"]);
    assert_eq!(fixture.blobs().len(), 6);
    assert!(!rename(&store, "a", "c"));
    for bad in ["", "b"] {
        let (from, to) = (uname(BID, "b"), uname(BID, bad));
        let refused = store.rename(BID, (&from, "b"), (&to, bad));
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{bad:?}");
    }
    // Back and forth: the name that the payload was put under may be used again.
    assert!(rename(&store, "b", "a") && rename(&store, "a", "b") && rename(&store, "b", "a"));
    assert_eq!(get(&store, "a").unwrap(), pattern(5_000));
    assert_eq!(fixture.blobs().len(), 6);
}

#[test]
fn one_of_many_conditional_puts_wins() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            let (store, won) = (&store, &won);
            scope.spawn(move || {
                for round in 0..20 {
                    let name = format!("o{round}");
                    let options = PutOptions { if_absent: true, ..options() };
                    match put_in(store, BID, &name, &[writer; 10], options) {
                        Ok(_) => drop(won.fetch_add(1, Ordering::Relaxed)),
                        Err(StoreError::Precondition { present, .. }) => assert!(present),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(won.load(Ordering::Relaxed), 20);
    let version = |wanted| Some(Condition::new(move |meta| meta.version == wanted));
    let conditional = |name: &str, wanted| {
        let options = PutOptions { if_match: version(wanted), ..options() };
        put_in(&store, BID, name, b"new", options)
    };
    assert_eq!(conditional("o1", 1).unwrap().version, 2);
    assert!(matches!(conditional("o1", 1), Err(StoreError::Precondition { present: true, .. })));
    assert!(matches!(conditional("no", 1), Err(StoreError::Precondition { present: false, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_range_of_any_cut_reads_as_the_whole(
        length in 1_usize..40_000,
        chunk in 1_u64..9_000,
        ranges in proptest::collection::vec((0_usize..41_000, 0_usize..41_000), 20),
    ) {
        let chunk = chunk.max(length as u64 / 50);
        let fixture = Fixture::new(2);
        let store = fixture.open();
        let bytes = pattern(length);
        put_chunked(&store, "o", &bytes, chunk);
        let reader = open(&store, "o");
        for (offset, wanted) in ranges {
            let expected = bytes.get(offset.min(length)..(offset + wanted).min(length)).unwrap();
            let mut buf = vec![0; wanted];
            prop_assert_eq!(reader.read_at(&mut buf, offset as u64).unwrap(), expected.len());
            prop_assert_eq!(&buf[..expected.len()], expected);
            let mut buf = vec![0; wanted];
            if let Some(read) = reader.read_at_nowait(&mut buf, offset as u64).unwrap() {
                prop_assert!(read > 0 || expected.is_empty());
                prop_assert_eq!(&buf[..read], &expected[..read]);
            }
        }
    }
}
