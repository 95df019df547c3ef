//! Operations of several steps on disks that fail in the middle: what was acknowledged stays, and nothing is
//! left behind.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aistore_core::checksum::ChecksumType;
use aistore_store::{AppendState, PartOptions, PutOptions, Store, StoreConfig, StoreError};
use support::{BID, Fixture, get, options, put, put_in, uname};

/// No blob can be written to a mountpath, nor read; undone when dropped.
struct Broken(PathBuf);

impl Broken {
    fn new(path: &Path) -> Self {
        let blobs = path.join("ais/blobs");
        for dir in dirs(&blobs) {
            if dir.exists() {
                std::fs::rename(&dir, dir.with_extension("away")).unwrap();
            }
            std::fs::write(dir, b"").unwrap();
        }
        Self(blobs)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        for dir in dirs(&self.0) {
            std::fs::remove_file(&dir).unwrap();
            let away = dir.with_extension("away");
            if away.exists() {
                std::fs::rename(away, dir).unwrap();
            }
        }
    }
}

fn dirs(blobs: &Path) -> impl Iterator<Item = PathBuf> {
    (0..256).map(move |number| blobs.join(format!("{number:02x}")))
}

fn append(store: &Store, name: &str, state: Option<AppendState>, bytes: &[u8]) -> AppendState {
    let object = (BID, &*uname(BID, name), name);
    let mut writer = match state {
        None => store.begin_append(object, ChecksumType::Xxhash2).unwrap(),
        Some(state) => store.continue_append((BID, object.1), state).unwrap(),
    };
    writer.write(bytes).unwrap();
    writer.finish().unwrap()
}

fn flush(store: &Store, name: &str, state: AppendState) -> Result<(), StoreError> {
    store.flush_append((BID, &uname(BID, name), name), state, &options()).map(drop)
}

#[test]
fn a_session_goes_on_after_a_flush_that_failed() {
    let fixture = Fixture::of_files(2);
    let first = StoreConfig { mountpaths: vec![fixture.paths[0].clone()], ..fixture.config() };
    let store = Store::open(first).unwrap();
    let names: Vec<String> = (0..8).map(|i| format!("o{i}")).collect();
    let begun = names.iter().map(|name| append(&store, name, None, b"one"));
    let mut states: Vec<AppendState> = begun.collect();
    // Half of the objects belong on the other mountpath from now on; the sessions stay.
    store.attach(&fixture.paths[1]).unwrap();
    for broken in [0, 1, 0] {
        let disk = Broken::new(&fixture.paths[broken]);
        let failed = names.iter().zip(&states).filter(|(name, state)| {
            let failed = flush(&store, name, **state).is_err();
            assert!(failed || broken == 1);
            failed
        });
        let failed: Vec<String> = failed.map(|(name, _)| name.clone()).collect();
        assert!(broken == 0 || (1..8).contains(&failed.len()), "{failed:?}");
        drop(disk);
        if broken == 1 {
            // Those that the broken disk did not concern are objects by now.
            for (name, state) in names.iter().zip(&mut states) {
                if !failed.contains(name) {
                    assert_eq!(get(&store, name).unwrap(), b"one+");
                    *state = append(&store, name, None, b"");
                }
            }
            assert_eq!(fixture.files("blobs").len(), 8 - failed.len());
        } else {
            let blobs = fixture.files("blobs").len();
            assert!(blobs <= 8, "{blobs} blobs");
        }
        for (name, state) in names.iter().zip(&mut states) {
            *state = append(&store, name, Some(*state), b"+");
        }
    }
    drop(store);
    // Nothing is left to be rolled forward.
    let store = fixture.open();
    for (name, state) in names.iter().zip(states) {
        flush(&store, name, state).unwrap();
        assert_eq!(get(&store, name).unwrap(), b"one+++");
    }
    let parts =
        |name: &String| store.head(BID, &uname(BID, name), name).unwrap().unwrap().parts.len();
    let parts: usize = names.iter().map(parts).sum();
    assert_eq!(fixture.files("blobs").len(), 8 + parts);
    assert!(fixture.files("appends").is_empty());
}

#[test]
fn a_put_whose_copy_cannot_be_written_changes_nothing() {
    let fixture = Fixture::of_files(3);
    let store = fixture.open();
    let mirrored = |copies| PutOptions { copies, ..options() };
    let names: Vec<String> = (0..8).map(|i| format!("o{i}")).collect();
    for name in &names {
        put_in(&store, BID, name, b"old", mirrored(3)).unwrap();
    }
    for path in &fixture.paths {
        let before = fixture.files("blobs").len();
        let disk = Broken::new(path);
        for name in &names {
            let refused = put_in(&store, BID, name, b"new", mirrored(3));
            assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
        }
        drop(disk);
        assert_eq!(fixture.files("blobs").len(), before);
        assert!(fixture.files("tmp").is_empty());
    }
    for name in &names {
        // Every copy is that of the old version, and known.
        let meta = store.head(BID, &uname(BID, name), name).unwrap().unwrap();
        assert_eq!((meta.copies.len(), meta.version), (2, 1));
        assert_eq!(store.set_copies(BID, &uname(BID, name), name, 3).unwrap(), None);
        assert_eq!(get(&store, name).unwrap(), b"old");
    }
}

#[test]
fn a_change_that_cannot_be_described_leaves_nothing() {
    let fixture = Fixture::of_files(3);
    let store = fixture.open();
    for i in 0..8 {
        let name = format!("o{i}");
        put_in(&store, BID, &name, b"old", PutOptions { copies: 3, ..options() }).unwrap();
    }
    for path in &fixture.paths {
        let disk = Broken::new(path);
        for i in 0..8 {
            let name = format!("o{i}");
            let change = |custom: &mut BTreeMap<String, String>| {
                custom.insert("k".to_owned(), "v".to_owned());
            };
            store.patch_custom(BID, &uname(BID, &name), &name, change).unwrap_err();
        }
        drop(disk);
        assert_eq!(fixture.files("blobs").len(), 24);
        for i in 0..8 {
            assert_eq!(get(&store, &format!("o{i}")).unwrap(), b"old");
        }
    }
}

#[test]
fn a_part_of_an_upload_that_is_gone_leaves_nothing() {
    let fixture = Fixture::of_files(2);
    let store = fixture.open();
    put(&store, "other", b"o").unwrap();
    let blobs = fixture.files("blobs").len();
    let (mut gone, mut broken) = (0, 0);
    for i in 0..16 {
        let name = format!("o{i}");
        let object = (BID, &*uname(BID, &name), &*name);
        let id = store.start_upload(object, BTreeMap::new(), ChecksumType::None, 1).unwrap();
        let begin = |number| {
            let mut part =
                store.begin_part((BID, &name), id, number, PartOptions::default()).unwrap();
            part.write(&vec![1; 100_000]).unwrap();
            part
        };
        let part = begin(1);
        let disk = Broken::new(&fixture.paths[0]);
        broken += usize::from(part.finish().is_err());
        drop(disk);
        let part = begin(2);
        store.disable(&fixture.paths[0], false).unwrap();
        gone += usize::from(matches!(part.finish(), Err(StoreError::UnknownUpload { .. })));
        store.enable(&fixture.paths[0]).unwrap();
        store.abort_upload(BID, &name, id).unwrap();
    }
    assert!(gone > 0 && broken > 0, "{gone} {broken}");
    assert_eq!(fixture.files("blobs").len(), blobs);
    assert!(fixture.files("tmp").is_empty());
}

#[test]
fn uploads_and_appends_are_refused_as_puts_are_where_there_is_no_room_for_a_copy() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let object = (BID, &*uname(BID, "o"), "o");
    let state = append(&store, "o", None, b"appended");
    let id = store.start_upload(object, BTreeMap::new(), ChecksumType::None, 1).unwrap();
    let mut part = store.begin_part((BID, "o"), id, 1, PartOptions::default()).unwrap();
    part.write(b"part").unwrap();
    part.finish().unwrap();

    store.set_out_of_space(0);
    let mirrored = PutOptions { copies: 2, ..options() };
    let refused = [
        put_in(&store, BID, "o", b"put", mirrored.clone()),
        store.flush_append(object, state, &mirrored),
        store.complete_upload(object, id, &[1], &mirrored),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::TooFull { .. })), "{refused:?}");
    }
    assert_eq!(get(&store, "o"), None);
    // What was refused can be done later, or without copies: the bytes are there already.
    store.flush_append(object, state, &options()).unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"appended");
    store.set_out_of_space(100);
    store.complete_upload(object, id, &[1], &mirrored).unwrap();
    assert_eq!(get(&store, "o").unwrap(), b"part");
}
