//! Many small objects in one file: what is read, what goes, and what comes back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aistore_core::checksum::ChecksumType;
use aistore_store::{PutOptions, Store, StoreConfig};
use support::{BID, Fixture, delete, get, list, put, put_in, uname};

const SEGMENT_BYTES: u64 = 1 << 20;

fn open(fixture: &Fixture) -> Store {
    Store::open(StoreConfig { segment_bytes: SEGMENT_BYTES, ..fixture.config() }).unwrap()
}

fn content(name: usize, version: u64) -> Vec<u8> {
    let length = name * 7919 % 20_000;
    (0..length).map(|i| ((i as u64 * 31 + name as u64 + version) % 251).to_le_bytes()[0]).collect()
}

fn compact(store: &Store) -> aistore_store::Compacted {
    store.compact(&AtomicBool::new(false))
}

fn segments(fixture: &Fixture) -> Vec<PathBuf> {
    let mut files = fixture.files("segments");
    files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    files
}

fn bytes(fixture: &Fixture) -> u64 {
    segments(fixture).iter().map(|path| path.metadata().unwrap().len()).sum()
}

fn lose_indexes(fixture: &Fixture) {
    for path in &fixture.paths {
        fs::remove_dir_all(path.join("ais/index")).unwrap();
    }
}

#[test]
fn small_objects_share_files_and_large_ones_have_their_own() {
    let fixture = Fixture::new(1);
    let store = open(&fixture);
    for i in 0..200 {
        put(&store, &format!("o{i:03}"), &content(i, 0)).unwrap();
    }
    put(&store, "large", &vec![7; 70_000]).unwrap();
    assert_eq!(fixture.files("blobs").len(), 1);
    assert!(segments(&fixture).len() < 5);
    for i in 0..200 {
        assert!(get(&store, &format!("o{i:03}")).unwrap() == content(i, 0), "{i}");
    }
}

#[test]
fn space_comes_back_within_the_bound_and_readers_and_rebuilds_see_what_lives() {
    let fixture = Fixture::new(1);
    let store = open(&fixture);
    let mut live = BTreeMap::new();
    for i in 0..2000 {
        put(&store, &format!("o{i:04}"), &content(i, 0)).unwrap();
        live.insert(i, 0);
    }
    let before = bytes(&fixture);
    let reader = store.open_object(BID, &uname(BID, "o0003"), "o0003").unwrap().unwrap();
    for i in 0..2000 {
        if i % 3 == 0 {
            assert!(delete(&store, &format!("o{i:04}")));
            live.remove(&i);
        } else if i % 3 == 1 {
            put(&store, &format!("o{i:04}"), &content(i, 1)).unwrap();
            live.insert(i, 1);
        }
    }
    let done = support::compacted(&store);
    assert!(done.segments > 10 && done.moved_bytes > 0 && done.freed_bytes > done.moved_bytes);
    let living: u64 =
        fixture.blobs().iter().map(|blob| (blob.length + 32).next_multiple_of(8)).sum();
    assert!(bytes(&fixture) <= living * 4 / 3 + 2 * SEGMENT_BYTES, "{}", bytes(&fixture));
    assert!(bytes(&fixture) < before * 3 / 2);
    assert_eq!(fixture.blobs().len(), live.len());
    let mut old = vec![0; content(3, 0).len()];
    assert_eq!(reader.read_at(&mut old, 0).unwrap(), old.len());
    assert!(old == content(3, 0), "who opened it before goes on reading it");
    let check = |store: &Store| {
        assert_eq!(list(store, "", false, 300).len(), live.len());
        for (i, version) in &live {
            assert!(get(store, &format!("o{i:04}")).unwrap() == content(*i, *version), "{i}");
        }
    };
    check(&store);
    assert_eq!(compact(&store), aistore_store::Compacted::default(), "nothing is left to do");
    drop(store);
    lose_indexes(&fixture);
    let store = open(&fixture);
    check(&store);
    for i in live.keys() {
        delete(&store, &format!("o{i:04}"));
    }
    compact(&store);
    assert!(bytes(&fixture) <= SEGMENT_BYTES);
    drop(store);
    lose_indexes(&fixture);
    assert!(list(&open(&fixture), "", false, 300).is_empty(), "what was deleted stays deleted");
}

#[test]
fn compaction_stays_out_of_the_way_of_readers_writers_and_deletes() {
    let fixture = Fixture::new(2);
    let store = open(&fixture);
    let stop = AtomicBool::new(false);
    let (compacted, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3_usize)
            .map(|thread| {
                let (store, reads) = (&store, &reads);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread as u64);
                    let mut known = BTreeMap::new();
                    for round in 0..3000 {
                        let i = thread * 1000 + random.usize(..60);
                        let name = format!("o{i:04}");
                        match random.u8(..4) {
                            0 => {
                                assert_eq!(delete(store, &name), known.remove(&i).is_some());
                            }
                            1 | 2 => {
                                put(store, &name, &content(i, round)).unwrap();
                                known.insert(i, round);
                            }
                            _ => {
                                let expected = known.get(&i).map(|round| content(i, *round));
                                assert!(get(store, &name) == expected, "{name}");
                                reads.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    known
                })
            })
            .collect();
        let (store, stop, compacted) = (&store, &stop, &compacted);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                compacted.fetch_add(compact(store).segments, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let known: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        for known in known {
            for (i, round) in known.unwrap() {
                assert!(get(store, &format!("o{i:04}")).unwrap() == content(i, round));
            }
        }
    });
    assert!(compacted.load(Ordering::Relaxed) > 10 && reads.load(Ordering::Relaxed) > 1000);
}

#[test]
fn damaged_records_are_passed_over_by_a_rebuild_and_their_neighbours_kept() {
    let fixture = Fixture::new(1);
    let store = open(&fixture);
    for i in 0..50 {
        put(&store, &format!("o{i:02}"), &[5; 700]).unwrap();
    }
    drop(store);
    let blobs = fixture.blobs();
    let file = fs::File::options().write(true).open(&blobs[0].path).unwrap();
    // A trailer, and a header with all that it says.
    file.write_all_at(&[0xff; 4], blobs[10].offset + blobs[10].length - 30).unwrap();
    file.write_all_at(&[0xff; 40], blobs[20].offset - 32).unwrap();
    lose_indexes(&fixture);
    let store = open(&fixture);
    let left = list(&store, "", false, 100);
    assert_eq!(left.len(), 48, "{left:?}");
    for name in left {
        assert_eq!(get(&store, &name).unwrap(), [5; 700]);
    }
}

#[test]
fn damage_of_a_payload_is_still_known_as_such_after_a_compaction() {
    let fixture = Fixture::new(1);
    let store = open(&fixture);
    let options = PutOptions { checksum: ChecksumType::Crc32c, ..PutOptions::default() };
    for i in 0..400 {
        put_in(&store, BID, &format!("o{i:03}"), &[5; 5000], options.clone()).unwrap();
    }
    let meta = store.head(BID, &uname(BID, "o001"), "o001").unwrap().unwrap();
    support::flip(&fixture, meta.blob, 100);
    for i in (0..400).filter(|i| i % 2 == 0) {
        delete(&store, &format!("o{i:03}"));
    }
    support::compacted(&store);
    store.open_verified(BID, &uname(BID, "o001"), "o001").unwrap_err();
    store.open_verified(BID, &uname(BID, "o003"), "o003").unwrap().unwrap();
}

#[test]
fn a_mountpath_that_was_written_without_segments_goes_on_with_them() {
    let fixture = Fixture::of_files(1);
    let store = fixture.open();
    put(&store, "before", b"1").unwrap();
    drop(store);
    let store = open(&fixture);
    put(&store, "after", b"2").unwrap();
    drop(store);
    lose_indexes(&fixture);
    let store = open(&fixture);
    assert_eq!(
        (get(&store, "before").unwrap(), get(&store, "after").unwrap()),
        (b"1".into(), b"2".into())
    );
}
