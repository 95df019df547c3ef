//! Blobs that loss of power may have kept from the disk are compared before they are read.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aistore_core::checksum::ChecksumType;
use aistore_core::config::WritePolicy;
use aistore_store::{Home, PutOptions, ScrubStep, Store, StoreConfig, StoreError};
use support::{BID, Fixture, flip, options, put, put_in, uname};

/// Of a record in a segment.
const HEADER_BYTES: u64 = 32;

fn open(fixture: &Fixture) -> Store {
    Store::open(StoreConfig { write_policy: WritePolicy::Delayed, ..fixture.config() }).unwrap()
}

fn run_of(fixture: &Fixture, mountpath: usize) -> std::path::PathBuf {
    fixture.paths[mountpath].join("ais/run.json")
}

/// Ends a run as loss of power does, but for what that takes away.
fn cut_off(fixture: &Fixture, store: Store) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let read = |number| std::fs::read_to_string(run_of(fixture, number)).unwrap();
    let runs: Vec<String> = (0..fixture.paths.len()).map(read).collect();
    drop(store);
    for (number, run) in runs.iter().enumerate() {
        std::fs::write(run_of(fixture, number), run.replace(boot.trim(), "another")).unwrap();
    }
}

/// What a read gives, without a look at the checksum.
fn read(store: &Store, name: &str) -> Option<Vec<u8>> {
    let reader = store.open_object(BID, &uname(BID, name), name).ok()??;
    let mut bytes = vec![0; usize::try_from(reader.meta().size).unwrap()];
    reader.read_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

fn damage(fixture: &Fixture, store: &Store, name: &str) {
    let meta = store.head(BID, &uname(BID, name), name).unwrap().unwrap();
    flip(fixture, meta.blob, 100);
}

#[test]
fn bytes_that_were_lost_with_the_power_are_not_read_and_others_are() {
    for fixture in [Fixture::new(1), Fixture::of_files(1)] {
        let store = open(&fixture);
        for name in ["lost", "kept"] {
            put(&store, name, &[1; 500]).unwrap();
        }
        damage(&fixture, &store, "lost");
        cut_off(&fixture, store);
        // However often it starts.
        for _ in 0..2 {
            let store = open(&fixture);
            assert_eq!(read(&store, "kept").unwrap(), [1; 500]);
            let error = store.open_object(BID, &uname(BID, "lost"), "lost").unwrap_err();
            assert!(error.to_string().contains("before the power was lost"), "{error}");
            put(&store, "new", &[2; 500]).unwrap();
            assert_eq!(read(&store, "new").unwrap(), [2; 500]);
        }
    }
}

#[test]
fn a_copy_is_read_in_place_of_what_was_lost_with_the_power() {
    let fixture = Fixture::new(2);
    let store = open(&fixture);
    put_in(&store, BID, "o", &[1; 500], PutOptions { copies: 2, ..options() }).unwrap();
    damage(&fixture, &store, "o");
    cut_off(&fixture, store);
    assert_eq!(read(&open(&fixture), "o").unwrap(), [1; 500]);
}

#[test]
fn what_was_written_back_is_not_compared() {
    for fixture in [Fixture::new(1), Fixture::of_files(1)] {
        let store = open(&fixture);
        put(&store, "older", &[1; 500]).unwrap();
        store.write_back().unwrap();
        put(&store, "newer", &[1; 500]).unwrap();
        let names = ["older", "newer"];
        for name in names {
            damage(&fixture, &store, name);
        }
        cut_off(&fixture, store);
        let store = open(&fixture);
        // Damage that power has nothing to do with is for the scrub to find.
        assert_eq!(names.map(|name| read(&store, name).is_some()), [true, false]);
    }
}

#[test]
fn nothing_is_in_doubt_where_all_was_immediate_or_ended_in_order() {
    let fixture = Fixture::new(1);
    let immediate = StoreConfig { write_policy: WritePolicy::Immediate, ..fixture.config() };
    let store = Store::open(immediate).unwrap();
    put(&store, "o", &[1; 500]).unwrap();
    let noted = || std::fs::read_to_string(run_of(&fixture, 0)).unwrap();
    assert!(!noted().contains("loose"), "{}", noted());
    cut_off(&fixture, store);
    let store = open(&fixture);
    assert!(!noted().contains("doubt"), "{}", noted());
    put(&store, "o", &[1; 500]).unwrap();
    assert!(noted().contains("loose"), "{}", noted());
    store.close().unwrap();
    assert!(!noted().contains("loose"), "{}", noted());
}

#[test]
fn a_scrub_ends_the_doubt() {
    let fixture = Fixture::new(1);
    let store = open(&fixture);
    for name in ["lost", "kept"] {
        put(&store, name, &[1; 500]).unwrap();
    }
    damage(&fixture, &store, "lost");
    cut_off(&fixture, store);
    let store = open(&fixture);
    let noted = || std::fs::read_to_string(run_of(&fixture, 0)).unwrap();
    assert!(noted().contains("doubt"), "{}", noted());
    let guide = |bid, name: &str| Some(Home { uname: uname(bid, name), copies: 1 });
    let step = ScrubStep {
        budget: u64::MAX,
        now_ns: 1,
        guide: &guide,
        found: &|_| {},
        cancel: &AtomicBool::new(false),
    };
    let mut scrubber = store.scrubber(&fixture.paths[0]).unwrap();
    assert!(!scrubber.is_due(1, Duration::from_secs(1)));
    assert!(scrubber.step(&store, &step).unwrap().complete);
    assert!(!noted().contains("doubt"), "{}", noted());
    assert_eq!(read(&store, "kept").unwrap(), [1; 500]);
    assert_eq!(read(&store, "lost"), None, "it was set aside");
}

#[test]
fn appended_bytes_that_were_lost_with_the_power_become_no_object() {
    for kind in [ChecksumType::Xxhash2, ChecksumType::None] {
        let fixture = Fixture::new(1);
        let store = open(&fixture);
        let options = PutOptions { checksum: kind, ..options() };
        let begin = |store: &Store, name: &str| {
            let mut writer = store.begin_append((BID, &uname(BID, name), name), kind).unwrap();
            writer.write(&vec![7; 20_000]).unwrap();
            writer.finish().unwrap()
        };
        let sessions = ["kept", "torn", "unmarked"].map(|name| (name, begin(&store, name)));
        cut_off(&fixture, store);
        for path in fixture.files("appends") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let of = |number: usize| name.contains(&sessions[number].1.id.to_string());
            let is_mark = path.extension().is_some_and(|is| is == "at");
            if of(1) && !is_mark {
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], 8192).unwrap();
            } else if of(2) && is_mark {
                std::fs::remove_file(&path).unwrap();
            }
        }
        let store = open(&fixture);
        for (name, state) in sessions {
            let object = (BID, &*uname(BID, name), name);
            let more = store.continue_append((BID, object.1), state).and_then(|mut writer| {
                writer.write(b"more")?;
                writer.finish()
            });
            let flushed = more.and_then(|state| store.flush_append(object, state, &options));
            if name == "kept" {
                flushed.unwrap();
                assert_eq!(read(&store, name).unwrap(), [&vec![7; 20_000][..], b"more"].concat());
                continue;
            }
            let error = flushed.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("begin it anew"), "{error}");
            assert!(read(&store, name).is_none());
        }
    }
}

#[test]
fn a_record_lives_whose_death_was_lost_with_the_power() {
    let fixture = Fixture::new(1);
    let store = open(&fixture);
    put(&store, "gone", &[1; 500]).unwrap();
    put(&store, "o", &[2; 500]).unwrap();
    assert!(support::delete(&store, "gone"));
    let blob = store.head(BID, &uname(BID, "o"), "o").unwrap().unwrap().blob;
    cut_off(&fixture, store);
    // The note of a death reached the disk, and the change of the index by which the record died did not.
    let record = fixture.blobs().into_iter().find(|found| found.id == blob.0).unwrap();
    let list = record.path.with_extension("dead");
    let noted = std::fs::read(&list).unwrap();
    let offset = record.offset - HEADER_BYTES;
    let entry = [u32::try_from(offset).unwrap(), 600].map(u32::to_le_bytes).concat();
    std::fs::write(&list, [&noted[..], &entry].concat()).unwrap();
    let store = open(&fixture);
    support::swept(&store);
    drop(store);
    assert_eq!(std::fs::read(&list).unwrap(), noted, "of what died it says so still");
    std::fs::remove_dir_all(fixture.paths[0].join("ais/index")).unwrap();
    let store = open(&fixture);
    assert_eq!(read(&store, "o").unwrap(), [2; 500]);
    assert_eq!(read(&store, "gone"), None);
}
