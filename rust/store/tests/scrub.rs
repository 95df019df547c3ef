//! Damage at rest is found, healed where there is something to heal it from, and never served.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in helpers of tests a panic is the report")]

mod support;

use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aistore_core::checksum::ChecksumType;
use aistore_store::inspect::BlobInfo;
use aistore_store::{
    BlobId, Chunks, Damage, Home, Outcome, PartOptions, PutOptions, ScrubStep, Scrubbed, Store,
};
use support::{BID, Fixture, delete, get, put_in, uname};

/// A pass over one small test takes fewer steps.
const MANY: usize = 1_000_000;

fn options(copies: usize) -> PutOptions {
    PutOptions { copies, checksum: ChecksumType::Xxhash2, ..support::options() }
}

fn put(store: &Store, name: &str, bytes: &[u8], copies: usize) -> aistore_store::ObjectMeta {
    put_in(store, BID, name, bytes, options(copies)).unwrap()
}

fn content(i: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((i + at * 31) % 251).unwrap()).collect()
}

fn home(bid: u64, name: &str) -> Option<Home> {
    (bid == BID).then(|| Home { uname: uname(bid, name), copies: 1 })
}

/// One whole pass over every mountpath.
fn scrub(store: &Store) -> (Vec<Damage>, Scrubbed) {
    let found = Mutex::new(Vec::new());
    let mut total = Scrubbed::default();
    for path in store.mountpaths().available {
        let mut scrubber = store.scrubber(&path).unwrap();
        for steps in 0.. {
            assert!(steps < MANY, "a pass without end");
            let step = ScrubStep {
                budget: 100_000,
                now_ns: 1,
                guide: &home,
                found: &|damage| found.lock().unwrap().push(damage.clone()),
                cancel: &AtomicBool::new(false),
            };
            let done = scrubber.step(store, &step).unwrap();
            total.bytes += done.bytes;
            total.blobs += done.blobs;
            if done.complete {
                break;
            }
        }
        assert_eq!(scrubber.progress().begun_ns, 0);
    }
    (found.into_inner().unwrap(), total)
}

fn blob(fixture: &Fixture, id: BlobId) -> BlobInfo {
    fixture.blobs().into_iter().find(|found| found.id == id.0).unwrap()
}

/// Changes a bit at an offset of the file that holds a blob.
fn flip_at(blob: &BlobInfo, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(&blob.path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Somewhere in the payload, the trailer, and what of the header there is.
fn spots(blob: &BlobInfo, payload: u64) -> Vec<(&'static str, u64)> {
    let mut spots = vec![
        ("trailer", blob.offset + payload + 3),
        ("end", blob.offset + blob.length - 2),
        ("trailer length", blob.offset + blob.length - 14),
    ];
    if payload > 0 {
        spots.push(("payload", blob.offset + payload / 2));
    }
    if blob.offset > 0 {
        spots.extend([
            ("magic", blob.offset - 32),
            ("blob id", blob.offset - 24),
            ("payload bytes", blob.offset - 16),
            ("payload crc", blob.offset - 8),
            ("header crc", blob.offset - 2),
        ]);
    }
    spots
}

#[test]
fn nothing_is_found_where_nothing_is_damaged() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    for i in 0..300 {
        put(&store, &format!("o{i:03}"), &content(i, i * 977 % 120_000), 1 + i % 2);
    }
    for i in (0..300).step_by(3) {
        assert!(delete(&store, &format!("o{i:03}")));
    }
    let chunked = PutOptions { chunks: Some(Chunks { from: 1, size: 40_000 }), ..options(2) };
    put_in(&store, BID, "parts", &content(1, 150_000), chunked).unwrap();
    store.rename(BID, (&uname(BID, "o001"), "o001"), (&uname(BID, "r"), "r")).unwrap().unwrap();
    let (found, done) = scrub(&store);
    assert_eq!(found, []);
    assert_eq!(done.blobs, u64::try_from(fixture.blobs().len()).unwrap());
    assert_eq!(fixture.files("quarantine"), Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_flipped_bit_is_found_and_healed_from_a_copy() {
    for length in [700, 100_000] {
        let fixture = Fixture::new(2);
        let store = fixture.open();
        let bytes = content(3, length);
        put(&store, "neighbour", &bytes, 1);
        put(&store, "o", &bytes, 2);
        put(&store, "neighbour2", &bytes, 1);
        let head = || store.head(BID, &uname(BID, "o"), "o").unwrap().unwrap();
        let kinds = spots(&blob(&fixture, head().blob), length as u64).len();
        for of_copy in [false, true] {
            for spot in 0..kinds {
                let meta = head();
                let id = if of_copy { meta.copies[0].blob } else { meta.blob };
                let damaged = blob(&fixture, id);
                let (what, at) = spots(&damaged, length as u64)[spot];
                flip_at(&damaged, at);
                let (found, _) = scrub(&store);
                assert_eq!(found.len(), 1, "{what} of {length} bytes, copy: {of_copy}: {found:?}");
                assert_eq!(found[0].outcome, Outcome::Healed, "{what}: {found:?}");
                assert_eq!((found[0].object.1.as_str(), &found[0].uname), ("o", &uname(BID, "o")));
                assert_eq!(get(&store, "o").unwrap(), bytes, "{what}");
                assert_eq!(scrub(&store).0, [], "{what} is healed for good");
                assert_eq!(head().copies.len(), 1);
                assert_eq!(fixture.files("quarantine").len(), 1, "{what}");
                std::fs::remove_file(&fixture.files("quarantine")[0]).unwrap();
            }
        }
        assert_eq!(fixture.blobs().len(), 4);
        for name in ["neighbour", "neighbour2"] {
            assert_eq!(get(&store, name).unwrap(), bytes);
        }
        // What was healed is found again by an index that is built anew.
        drop(store);
        for path in &fixture.paths {
            std::fs::remove_dir_all(path.join("ais/index")).unwrap();
        }
        assert_eq!(get(&fixture.open(), "o").unwrap(), bytes);
    }
}

#[test]
fn without_a_copy_a_description_is_mended_and_damaged_bytes_are_never_served() {
    for length in [700, 100_000] {
        let fixture = Fixture::new(1);
        let store = fixture.open();
        let bytes = content(5, length);
        put(&store, "neighbour", &bytes, 1);
        let meta = put(&store, "o", &bytes, 1);
        put(&store, "neighbour2", &bytes, 1);
        for spot in 0..spots(&blob(&fixture, meta.blob), length as u64).len() {
            let meta = put(&store, "o", &bytes, 1);
            let damaged = blob(&fixture, meta.blob);
            let (what, at) = spots(&damaged, length as u64)[spot];
            flip_at(&damaged, at);
            let (found, _) = scrub(&store);
            assert_eq!(found.len(), 1, "{what} of {length} bytes: {found:?}");
            let aside = fixture.files("quarantine");
            assert_eq!(aside.len(), 1, "{what}");
            if what == "payload" {
                assert_eq!(found[0].outcome, Outcome::Quarantined, "{found:?}");
                let error = store.open_object(BID, &uname(BID, "o"), "o").unwrap_err().to_string();
                let path = aside[0].display().to_string();
                assert!(error.contains("was damaged") && error.contains(&path), "{error}");
                assert_eq!(store.io_errors()[0].1.reads, 0, "the disk is not blamed for it");
                assert_eq!(std::fs::metadata(&aside[0]).unwrap().len(), damaged.length);
                assert_eq!(scrub(&store).0, [], "it is told once");
                assert_eq!(support::list(&store, "", false, 10).len(), 3, "it is not forgotten");
            } else {
                assert_eq!(found[0].outcome, Outcome::Healed, "{what}: {found:?}");
                assert_eq!(get(&store, "o").unwrap(), bytes, "{what}");
                assert_eq!(scrub(&store).0, [], "{what}");
            }
            std::fs::remove_file(&aside[0]).unwrap();
        }
        // An object that is put again is whole.
        put(&store, "o", &bytes, 1);
        assert_eq!(scrub(&store).0, []);
        for name in ["o", "neighbour", "neighbour2"] {
            assert_eq!(get(&store, name).unwrap(), bytes);
        }
        assert_eq!(fixture.blobs().len(), 3);
    }
}

#[test]
fn parts_and_manifests_and_renamed_objects_are_healed_too() {
    for (copies, size) in [(2, 40_000), (1, 40_000), (2, 100_000), (1, 100_000)] {
        let fixture = Fixture::new(2);
        let store = fixture.open();
        let bytes = content(7, 250_000);
        let chunked = PutOptions { chunks: Some(Chunks { from: 1, size }), ..options(copies) };
        put_in(&store, BID, "chunked", &bytes, chunked).unwrap();
        put(&store, "old", &content(8, 900), copies);
        store
            .rename(BID, (&uname(BID, "old"), "old"), (&uname(BID, "new"), "new"))
            .unwrap()
            .unwrap();
        let head = |name: &str| store.head(BID, &uname(BID, name), name).unwrap().unwrap();
        // Manifests hold no payload: all of them heal.
        for name in ["chunked", "new"] {
            let damaged = blob(&fixture, head(name).blob);
            flip_at(&damaged, damaged.offset + 5);
            let (found, _) = scrub(&store);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!((found[0].outcome, found[0].object.1.as_str()), (Outcome::Healed, name));
            assert_eq!(scrub(&store).0, []);
        }
        for name in ["chunked", "new"] {
            let part = head(name).parts[0].clone();
            let damaged = blob(&fixture, part.places[0].blob);
            flip_at(&damaged, damaged.offset + part.size / 2);
            let (found, _) = scrub(&store);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!(found[0].object.1, name);
            let opened = store.open_object(BID, &uname(BID, name), name);
            // A rename to another mountpath leaves copies to whoever asked for them.
            if part.places.len() == 2 {
                assert_eq!(found[0].outcome, Outcome::Healed, "{size} {found:?}");
                assert!(get(&store, name).is_some());
                assert_eq!(scrub(&store).0, []);
            } else {
                assert_eq!(found[0].outcome, Outcome::Quarantined, "{found:?}");
                let error = opened.unwrap_err().to_string();
                assert!(error.contains("was damaged"), "{error}");
            }
        }
    }
}

#[test]
fn a_damaged_part_of_an_upload_must_be_sent_again() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let (bid, name) = (BID, "up");
    let object = uname(bid, name);
    let id = store
        .start_upload(
            (bid, &object, name),
            std::collections::BTreeMap::new(),
            ChecksumType::None,
            1,
        )
        .unwrap();
    let send = |number: u32| {
        let options = PartOptions { now_ns: 1, ..PartOptions::default() };
        let mut part = store.begin_part((bid, name), id, number, options).unwrap();
        part.write(&content(usize::try_from(number).unwrap(), 5000)).unwrap();
        part.finish().unwrap();
    };
    (1..=3).for_each(send);
    let second = fixture.blobs().into_iter().nth(1).unwrap();
    flip_at(&second, second.offset + 100);
    let (found, _) = scrub(&store);
    assert_eq!((found.len(), found[0].outcome), (1, Outcome::Quarantined), "{found:?}");
    assert_eq!(found[0].object.1, name);
    let parts = store.parts(bid, name, id).unwrap();
    assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 3]);
    send(2);
    store.complete_upload((bid, &object, name), id, &[1, 2, 3], &options(1)).unwrap();
    assert_eq!(get(&store, name).unwrap().len(), 15_000);
    assert_eq!(scrub(&store).0, []);
}

#[test]
fn what_is_missing_is_found_by_the_index() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let large = put(&store, "large", &content(2, 90_000), 2);
    let alone = put(&store, "alone", &content(2, 90_000), 1);
    std::fs::remove_file(blob(&fixture, alone.blob).path).unwrap();
    std::fs::remove_file(blob(&fixture, large.blob).path).unwrap();
    let (mut found, _) = scrub(&store);
    found.sort_by(|a, b| a.object.cmp(&b.object));
    let names: Vec<_> = found.iter().map(|one| (one.object.1.as_str(), one.outcome)).collect();
    assert_eq!(names, [("alone", Outcome::Missing), ("large", Outcome::Healed)], "{found:?}");
    assert_eq!(scrub(&store).0.len(), 1);
    assert_eq!(get(&store, "large").unwrap(), content(2, 90_000));
}

#[test]
fn what_was_set_aside_goes_when_it_is_old_and_nobody_needs_it() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    for (name, length) in [("small", 900), ("large", 90_000), ("gone", 900), ("renamed", 900)] {
        put(&store, name, &content(4, length), 1);
        let meta = store.head(BID, &uname(BID, name), name).unwrap().unwrap();
        let damaged = blob(&fixture, meta.blob);
        flip_at(&damaged, damaged.offset + 7);
    }
    let from = uname(BID, "renamed");
    store.rename(BID, (&from, "renamed"), (&uname(BID, "r"), "r")).unwrap().unwrap();
    assert_eq!(scrub(&store).0.len(), 4);
    delete(&store, "gone");
    std::fs::create_dir(fixture.paths[0].join("ais/index.damaged")).unwrap();
    let never = AtomicBool::new(false);
    let remove = |before| store.remove_set_aside(before, &never).unwrap().count;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour = std::time::Duration::from_hours(1);
    assert_eq!(remove(now.checked_sub(hour).unwrap()), 0, "none is old");
    // What is left of an object is kept until the object goes.
    assert_eq!((remove(now + hour), fixture.files("quarantine").len()), (2, 3));
    put(&store, "small", b"again", 1);
    delete(&store, "large");
    delete(&store, "r");
    assert_eq!((remove(now + hour), fixture.files("quarantine").len()), (3, 0));
}

#[test]
fn a_pass_goes_on_where_it_was_after_a_restart() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    for i in 0..60 {
        put(&store, &format!("s{i:02}"), &content(i, 30_000), 1);
        put(&store, &format!("f{i:02}"), &content(i, 90_000), 1);
    }
    let steps = |store: &Store, most: usize| {
        let mut scrubber = store.scrubber(&fixture.paths[0]).unwrap();
        let mut read = 0;
        for _ in 0..most {
            let step = ScrubStep {
                budget: 1,
                now_ns: 77,
                guide: &home,
                found: &|damage| panic!("{damage:?}"),
                cancel: &AtomicBool::new(false),
            };
            let done = scrubber.step(store, &step).unwrap();
            read += done.blobs;
            if done.complete {
                return (read, true);
            }
        }
        scrubber.save(store);
        (read, false)
    };
    let (mut store, mut read, mut restarts) = (store, 0, 0);
    loop {
        let (blobs, complete) = steps(&store, 25);
        read += blobs;
        if complete {
            break;
        }
        restarts += 1;
        drop(store);
        store = fixture.open();
    }
    assert!(restarts > 10, "{restarts}");
    // What was under way at a restart is read again, and nothing twice beside it.
    assert!((120..120 + restarts).contains(&read), "{read} of 120 in {restarts} runs");
    assert_eq!(store.scrubber(&fixture.paths[0]).unwrap().progress().completed_ns, 77);
}

#[test]
fn no_damage_is_found_beside_writers_deletes_and_compaction() {
    let fixture = Fixture::new(2);
    let store =
        Store::open(aistore_store::StoreConfig { segment_bytes: 1 << 20, ..fixture.config() })
            .unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..3_usize {
            let (store, stop, written) = (&store, &stop, &written);
            scope.spawn(move || {
                let mut random = fastrand(writer as u64 + 1);
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("w{writer}-{}", random() % 200);
                    match random() % 4 {
                        0 => drop(delete(store, &name)),
                        1 => {
                            let to = format!("w{writer}-r{}", random() % 50);
                            let to = (uname(BID, &to), to);
                            let from = uname(BID, &name);
                            let _ = store.rename(BID, (&from, &name), (&to.0, &to.1)).unwrap();
                        }
                        _ => {
                            let length = usize::try_from(random() % 9000).unwrap();
                            let length =
                                if random().is_multiple_of(20) { length * 20 } else { length };
                            let copies = 1 + usize::try_from(random() % 2).unwrap();
                            put(store, &name, &content(writer, length), copies);
                        }
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.compact(&AtomicBool::new(false));
            }
        });
        let mut passes = 0;
        while passes < 2 || written.load(Ordering::Relaxed) < 2500 {
            let (found, _) = scrub(&store);
            if !found.is_empty() {
                stop.store(true, Ordering::Relaxed);
                panic!("{found:?}");
            }
            passes += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fixture.files("quarantine").len(), 0);
}

/// Numbers that look random, the same in every run.
fn fastrand(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}
