//! What is on the disk when a change returns, as far as the store's own calls tell. That the calls suffice is shown
//! where loss of power is simulated.

#![allow(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;

use aistore_core::checksum::ChecksumType;
use aistore_core::config::WritePolicy;
use aistore_store::{Chunks, PartOptions, PutOptions, Store, StoreConfig};
use support::{BID, Fixture, delete, get, options, put, resilver, uname};

fn open(fixture: &Fixture, write_policy: WritePolicy) -> Store {
    Store::open(StoreConfig { write_policy, ..fixture.config() }).unwrap()
}

/// Calls that bring something to the disk while this runs.
fn syncs(store: &Store, work: impl FnOnce()) -> u64 {
    let before = store.syncs();
    work();
    store.syncs() - before
}

/// Checks that a change needs syncs and leaves none to be made.
fn is_immediate(store: &Store, what: &str, work: impl FnOnce()) {
    assert!(syncs(store, work) > 0, "{what} synced nothing");
    assert_eq!(syncs(store, || store.write_back().unwrap()), 0, "{what} left something");
}

fn put_large(store: &Store, name: &str, chunked: bool) {
    let chunks = chunked.then_some(Chunks { from: 100_000, size: 100_000 });
    let options = PutOptions { chunks, size_hint: Some(350_000), copies: 2, ..options() };
    let mut writer = store.begin_put(BID, &uname(BID, name), name, options).unwrap();
    writer.write(&vec![7; 350_000]).unwrap();
    writer.finish().unwrap();
}

#[test]
fn every_immediate_change_is_on_the_disk_when_it_returns() {
    for fixture in [Fixture::new(1), Fixture::new(3), Fixture::of_files(3)] {
        let store = open(&fixture, WritePolicy::Immediate);
        let u = |name| uname(BID, name);
        is_immediate(&store, "a put", || drop(put(&store, "a", &[1; 500]).unwrap()));
        is_immediate(&store, "an overwrite", || drop(put(&store, "a", &[2; 500]).unwrap()));
        is_immediate(&store, "a large put", || put_large(&store, "large", false));
        is_immediate(&store, "a chunked put", || put_large(&store, "chunked", true));
        is_immediate(&store, "a patch", || {
            let change = |custom: &mut BTreeMap<_, _>| {
                custom.insert("k".to_owned(), "v".to_owned());
            };
            store.patch_custom(BID, &u("a"), "a", change).unwrap().unwrap();
        });
        for (from, to) in [("a", "b"), ("large", "c"), ("chunked", "d")] {
            is_immediate(&store, "a rename", || {
                store.rename(BID, (&u(from), from), (&u(to), to)).unwrap().unwrap();
            });
        }
        is_immediate(&store, "a delete", || assert!(delete(&store, "b")));
        let object = (BID, &*u("log"), "log");
        let mut state = None;
        is_immediate(&store, "an append's begin and end", || {
            let mut writer = store.begin_append(object, ChecksumType::Xxhash2).unwrap();
            writer.write(b"one").unwrap();
            let first = writer.finish().unwrap();
            let mut writer = store.continue_append((BID, &u("log")), first).unwrap();
            writer.write(b"two").unwrap();
            state = Some(writer.finish().unwrap());
        });
        is_immediate(&store, "a flush", || {
            store.flush_append(object, state.unwrap(), &options()).unwrap();
        });
        is_immediate(&store, "an upload", || {
            let checksum = ChecksumType::Xxhash2;
            let id = store.start_upload(object, BTreeMap::new(), checksum, 7).unwrap();
            for number in [2, 1] {
                let (object, options) = ((BID, "log"), PartOptions::default());
                let mut writer = store.begin_part(object, id, number, options).unwrap();
                writer.write(&[number as u8; 90_000]).unwrap();
                writer.finish().unwrap();
            }
            store.complete_upload(object, id, &[1, 2], &options()).unwrap();
        });
        is_immediate(&store, "a bucket's end", || assert!(store.destroy_bucket(BID).unwrap() > 0));
    }
}

#[test]
fn a_delayed_change_is_written_back_later_and_others_never() {
    for fixture in [Fixture::new(1), Fixture::of_files(1)] {
        let store = open(&fixture, WritePolicy::Delayed);
        assert_eq!(syncs(&store, || drop(put(&store, "a", &[1; 500]).unwrap())), 0);
        assert!(syncs(&store, || store.write_back().unwrap()) >= 2, "blob and index");
        assert_eq!(syncs(&store, || store.write_back().unwrap()), 0);
        store.set_write_policies([(BID, WritePolicy::Never)].into());
        assert_eq!(syncs(&store, || drop(put(&store, "b", &[1; 500]).unwrap())), 0);
        // The index is one for all buckets.
        assert!(syncs(&store, || store.write_back().unwrap()) <= 1);
        store.set_write_policies([(BID, WritePolicy::Immediate)].into());
        assert!(syncs(&store, || drop(put(&store, "c", &[1; 500]).unwrap())) >= 2);
        assert_eq!(get(&store, "b").unwrap(), [1; 500]);
    }
}

#[test]
fn appends_are_written_back_and_one_that_is_sent_again_is_synced_again() {
    let fixture = Fixture::new(1);
    let store = open(&fixture, WritePolicy::Delayed);
    let name = uname(BID, "log");
    let append = |state, bytes: &[u8]| {
        let mut writer = store.continue_append((BID, &name), state).unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap()
    };
    let first = store.begin_append((BID, &name, "log"), ChecksumType::Xxhash2).unwrap();
    let first = first.finish().unwrap();
    append(first, b"one");
    assert!(syncs(&store, || store.write_back().unwrap()) >= 3, "bytes, mark and their names");
    assert_eq!(syncs(&store, || store.write_back().unwrap()), 0);
    store.set_write_policies([(BID, WritePolicy::Immediate)].into());
    // The answer to the first attempt may have been an error of the disk, or the end of the process.
    let again = syncs(&store, || {
        append(first, b"one");
    });
    assert!(again >= 2, "{again}");
}

#[test]
fn what_a_stricter_policy_relies_on_is_synced_with_its_first_change() {
    let immediate = |store: &Store| {
        store.set_write_policies([(BID, WritePolicy::Immediate)].into());
    };
    for fixture in [Fixture::new(1), Fixture::of_files(1), Fixture::new(3), Fixture::of_files(3)] {
        for loose in [WritePolicy::Delayed, WritePolicy::Never] {
            let store = open(&fixture, loose);
            let object = (BID, &*uname(BID, "o"), "o");
            let id = store.start_upload(object, BTreeMap::new(), ChecksumType::Xxhash2, 7).unwrap();
            // One on each mountpath.
            for number in 1..=3 {
                let begun = store.begin_part((BID, "o"), id, number, PartOptions::default());
                let mut part = begun.unwrap();
                part.write(&[1; 9_000]).unwrap();
                part.finish().unwrap();
            }
            if fixture.paths.len() == 1 {
                put(&store, "small", &[1; 500]).unwrap();
            }
            immediate(&store);
            is_immediate(&store, "an upload", || {
                store.complete_upload(object, id, &[1, 2, 3], &options()).unwrap();
            });
            drop(store);
            let store = open(&fixture, loose);
            put_large(&store, "chunked", true);
            immediate(&store);
            is_immediate(&store, "a rename", || {
                let (from, to) = (uname(BID, "chunked"), uname(BID, "to"));
                store.rename(BID, (&from, "chunked"), (&to, "to")).unwrap().unwrap();
            });
            drop(store);
            let store = open(&fixture, loose);
            let chunks = Some(Chunks { from: 10_000, size: 10_000 });
            let options = PutOptions { chunks, size_hint: Some(35_000), ..options() };
            let mut writer = store.begin_put(BID, &uname(BID, "put"), "put", options).unwrap();
            writer.write(&[7; 34_000]).unwrap();
            immediate(&store);
            writer.write(&[7; 1_000]).unwrap();
            is_immediate(&store, "a put", || drop(writer.finish().unwrap()));
        }
    }
}

#[test]
fn what_was_never_to_be_written_is_written_back_once_its_bucket_is_delayed() {
    for fixture in [Fixture::new(1), Fixture::of_files(1)] {
        let store = open(&fixture, WritePolicy::Never);
        put(&store, "a", &[1; 500]).unwrap();
        assert_eq!(syncs(&store, || store.write_back().unwrap()), 1, "the index");
        store.set_write_policies([(BID, WritePolicy::Delayed)].into());
        assert!(syncs(&store, || store.write_back().unwrap()) > 0);
        assert_eq!(syncs(&store, || store.write_back().unwrap()), 0);
    }
}

#[test]
fn more_files_than_are_kept_open_are_written_back_too() {
    let fixture = Fixture::of_files(1);
    let store = open(&fixture, WritePolicy::Delayed);
    for i in 0..300 {
        put(&store, &format!("o{i}"), b"x").unwrap();
    }
    let calls = syncs(&store, || store.write_back().unwrap());
    assert!((1..300).contains(&calls), "{calls}");
    assert_eq!(syncs(&store, || store.write_back().unwrap()), 0);
}

#[test]
fn writers_at_the_same_time_share_the_calls() {
    let fixture = Fixture::new(1);
    let store = open(&fixture, WritePolicy::Immediate);
    let alone = syncs(&store, || {
        for i in 0..20 {
            put(&store, &format!("alone{i}"), &[1; 10_000]).unwrap();
        }
    });
    assert!(alone >= 40, "blob and index of each: {alone}");
    let together = syncs(&store, || {
        std::thread::scope(|scope| {
            for thread in 0..32 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..20 {
                        put(store, &format!("o{thread}-{i}"), &[1; 10_000]).unwrap();
                    }
                });
            }
        });
    });
    // Alone they would need 1,280.
    assert!(together < 1000, "{together} calls for 640 puts");
}

#[test]
fn names_that_another_bucket_made_are_on_the_disk_too() {
    const OTHER: u64 = BID + 1;
    for fixture in [Fixture::new(1), Fixture::of_files(1)] {
        let store = open(&fixture, WritePolicy::Immediate);
        store.set_write_policies([(OTHER, WritePolicy::Never)].into());
        let put_other = |name: &str| {
            let writer = store.begin_put(OTHER, &uname(OTHER, name), name, options()).unwrap();
            writer.finish().unwrap();
        };
        // Makes the segment, or every directory of blobs.
        let others = if fixture.files_only { 2000 } else { 1 };
        assert_eq!(syncs(&store, || (0..others).for_each(|i| put_other(&format!("o{i}")))), 0);
        let name_too = syncs(&store, || drop(put(&store, "a", &[1; 500]).unwrap()));
        assert_eq!(name_too, if fixture.files_only { 4 } else { 3 });
    }
}

#[test]
fn what_is_moved_is_on_the_disk_before_it_goes_elsewhere() {
    for fixture in [Fixture::new(2), Fixture::of_files(2)] {
        let config = StoreConfig { write_policy: WritePolicy::Never, ..fixture.config() };
        let mountpaths = vec![fixture.paths[0].clone()];
        let store = Store::open(StoreConfig { mountpaths, ..config }).unwrap();
        for i in 0..20 {
            put(&store, &format!("o{i}"), &[1; 500]).unwrap();
        }
        assert_eq!(syncs(&store, || store.write_back().unwrap()), 1, "the index");
        store.attach(&fixture.paths[1]).unwrap();
        let mut moved = 0;
        let calls = syncs(&store, || moved = resilver(&store, 1).moved);
        assert!(moved > 0 && calls >= 2 * moved, "{calls} calls for {moved} objects");
    }
}
