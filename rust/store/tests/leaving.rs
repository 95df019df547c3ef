//! Mountpaths that leave while uploads, append sessions and renames use them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use aistore_core::checksum::ChecksumType;
use aistore_store::{
    AppendState, Chunks, ListQuery, PartOptions, PutOptions, Standing, Store, StoreError, UploadId,
};
use support::{BID, Fixture, get, list, options, put, put_in, resilver, uname};

fn drain(store: &Store, path: &std::path::Path) {
    store.detach(path, true).unwrap();
    resilver(store, 1);
    assert!(store.mountpaths().draining.is_empty());
}

fn files_on(path: &std::path::Path, sub: &str) -> usize {
    let mut found = Vec::new();
    support::walk(&path.join("ais").join(sub), &mut found);
    found.len()
}

fn start(store: &Store, name: &str) -> UploadId {
    let object = (BID, &*uname(BID, name), name);
    store.start_upload(object, BTreeMap::new(), ChecksumType::Xxhash2, 1_000).unwrap()
}

fn send(store: &Store, name: &str, id: UploadId, number: u32) {
    let options = PartOptions { now_ns: 2_000, ..PartOptions::default() };
    let mut writer = store.begin_part((BID, name), id, number, options).unwrap();
    writer.write(&piece(number)).unwrap();
    writer.finish().unwrap();
}

fn complete(store: &Store, name: &str, id: UploadId, count: u32) {
    let numbers: Vec<u32> = (1..=count).collect();
    let object = (BID, &*uname(BID, name), name);
    store.complete_upload(object, id, &numbers, &options()).unwrap();
    let whole: Vec<u8> = numbers.into_iter().flat_map(piece).collect();
    assert!(get(store, name).unwrap() == whole, "{name}");
}

fn piece(number: u32) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); 90_000 + number as usize]
}

fn append(store: &Store, name: &str, state: Option<AppendState>, bytes: &[u8]) -> AppendState {
    let object = uname(BID, name);
    let mut writer = match state {
        None => store.begin_append((BID, &object, name), ChecksumType::Xxhash2).unwrap(),
        Some(state) => store.continue_append((BID, &object), state).unwrap(),
    };
    writer.write(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn open_uploads_move_and_go_on() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let names: Vec<String> = (0..12).map(|i| format!("o{i}")).collect();
    let ids: Vec<_> = names.iter().map(|name| start(&store, name)).collect();
    let all = || names.iter().zip(&ids);
    for (name, id) in all() {
        for number in [2, 1, 3] {
            send(&store, name, *id, number);
        }
    }
    let blobs = fixture.blobs().len();
    for gone in [&fixture.paths[0], &fixture.paths[1]] {
        drain(&store, gone);
        assert_eq!(support::blobs_on(gone).len(), 0);
        assert_eq!((store.uploads(BID).unwrap().len(), fixture.blobs().len()), (12, blobs));
    }
    drop(store);
    // Their new places survive a restart.
    let store =
        Store::open(aistore_store::StoreConfig::new(vec![fixture.paths[2].clone()])).unwrap();
    for ((name, id), i) in all().zip(0..) {
        assert_eq!(store.parts(BID, name, *id).unwrap().len(), 3);
        send(&store, name, *id, 4);
        match i % 3 {
            0 => store.abort_upload(BID, name, *id).unwrap(),
            _ => complete(&store, name, *id, 4),
        }
    }
    store.destroy_bucket(BID).unwrap();
    assert!(fixture.blobs().is_empty() && store.buckets().unwrap().is_empty());
}

#[test]
fn a_part_under_way_follows_to_another_mountpath() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let id = start(&store, "o");
    let mut writers: Vec<_> = (1..=6)
        .map(|number| {
            let part = PartOptions::default();
            let mut writer = store.begin_part((BID, "o"), id, number, part).unwrap();
            writer.write(&piece(number)[..80_000]).unwrap();
            writer
        })
        .collect();
    drain(&store, &fixture.paths[0]);
    for (mut writer, number) in writers.drain(..).zip(1..) {
        writer.write(&piece(number)[80_000..]).unwrap();
        writer.finish().unwrap();
    }
    complete(&store, "o", id, 6);
    assert_eq!(
        (support::blobs_on(&fixture.paths[0]).len(), support::blobs_on(&fixture.paths[1]).len()),
        (0, 7)
    );
    assert!(fixture.files("tmp").is_empty());
}

#[test]
fn a_cut_put_under_way_follows_with_its_chunks() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let bytes: Vec<u8> = (0..600_000_u32).map(|i| (i % 241) as u8).collect();
    for (copies, gone) in [(1, 0), (1, 1), (2, 0)] {
        let chunks = Some(Chunks { from: 1, size: 70_000 });
        let options = PutOptions { chunks, copies, ..options() };
        let mut writer = store.begin_put(BID, &uname(BID, "o"), "o", options).unwrap();
        writer.write(&bytes[..400_000]).unwrap();
        drain(&store, &fixture.paths[gone]);
        writer.write(&bytes[400_000..]).unwrap();
        writer.finish().unwrap();
        assert!(get(&store, "o").unwrap() == bytes);
        store.attach(&fixture.paths[gone]).unwrap();
        resilver(&store, 1);
        assert!(get(&store, "o").unwrap() == bytes);
        assert_eq!(fixture.blobs().len(), 10);
    }
}

#[test]
fn append_sessions_move_and_go_on() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let names: Vec<String> = (0..12).map(|i| format!("o{i}")).collect();
    let mut states: Vec<_> =
        names.iter().map(|name| append(&store, name, None, &vec![1; 100_000])).collect();
    for gone in [&fixture.paths[0], &fixture.paths[1]] {
        drain(&store, gone);
        assert_eq!((files_on(gone, "appends"), fixture.files("appends").len()), (0, 24));
        for (name, state) in names.iter().zip(&mut states) {
            *state = append(&store, name, Some(*state), b"+");
        }
    }
    assert_eq!(store.expire_uploads(1).unwrap(), 0);
    for (name, state) in names.iter().zip(&states).skip(1) {
        store.flush_append((BID, &uname(BID, name), name), *state, &options()).unwrap();
        assert!(get(&store, name).unwrap() == [vec![1; 100_000], b"++".to_vec()].concat());
    }
    assert_eq!(fixture.blobs().len(), 11);
    store.destroy_bucket(BID).unwrap();
    assert!(fixture.files("appends").is_empty() && fixture.blobs().is_empty());
}

#[test]
fn a_mountpath_waits_for_an_append_under_way() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let mut writers: Vec<_> = (0..8)
        .map(|i| {
            let name = format!("o{i}");
            let object = uname(BID, &name);
            store.begin_append((BID, &object, &name), ChecksumType::None).unwrap()
        })
        .collect();
    for writer in &mut writers {
        writer.write(b"a").unwrap();
    }
    store.detach(&fixture.paths[0], true).unwrap();
    resilver(&store, 1);
    assert_eq!(store.mountpaths().draining.len(), 1, "it waits");
    let states: Vec<_> = writers.into_iter().map(|writer| writer.finish().unwrap()).collect();
    resilver(&store, 1);
    assert!(store.mountpaths().draining.is_empty());
    for (state, i) in states.into_iter().zip(0..) {
        let name = format!("o{i}");
        store.flush_append((BID, &uname(BID, &name), &name), state, &options()).unwrap();
        assert_eq!(get(&store, &name).unwrap(), b"a");
    }
    assert_eq!(support::blobs_on(&fixture.paths[0]).len(), 0);
}

#[test]
fn changed_and_renamed_objects_lose_nothing_while_mountpaths_leave() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    let content = |i: usize| vec![u8::try_from(i).unwrap(); 5_000 + i];
    for i in 0..60 {
        put(&store, &format!("{i:02}"), &content(i)).unwrap();
        let chunks = Some(Chunks { from: 1, size: 2_000 });
        let cut = PutOptions { chunks, ..options() };
        put_in(&store, BID, &format!("{i:02}c"), &content(i), cut).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    for i in (0..60).filter(|i| i % 2 == thread) {
                        for tail in ["", "c"] {
                            // Names at both ends, so that they overtake a walk over them.
                            let (one, other) = (format!("{i:02}{tail}"), format!("z{i:02}{tail}"));
                            let (from, to) =
                                if round % 2 == 1 { (one, other) } else { (other, one) };
                            let change = |custom: &mut BTreeMap<String, String>| {
                                custom.insert("k".to_owned(), format!("{round}"));
                            };
                            store.patch_custom(BID, &uname(BID, &from), &from, change).unwrap();
                            let unames = (uname(BID, &from), uname(BID, &to));
                            store.rename(BID, (&unames.0, &from), (&unames.1, &to)).unwrap();
                            assert!(get(store, &to).unwrap() == content(i), "{to}");
                        }
                    }
                }
            });
        }
        for which in 0..9 {
            let path = &fixture.paths[which % 3];
            store.detach(path, true).unwrap();
            for _ in 0..100 {
                resilver(&store, 1);
                if store.mountpaths().draining.is_empty() {
                    break;
                }
            }
            assert!(store.mountpaths().draining.is_empty());
            store.attach(path).unwrap();
            resilver(&store, 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let names = list(&store, "", false, 50);
    assert_eq!(names.len(), 120);
    let mut blobs = 0;
    for name in names {
        let i: usize = name.trim_start_matches('z').trim_end_matches('c').parse().unwrap();
        assert!(get(&store, &name).unwrap() == content(i), "{name}");
        let meta = store.head(BID, &uname(BID, &name), &name).unwrap().unwrap();
        blobs += 1 + meta.parts.len();
    }
    assert_eq!(fixture.blobs().len(), blobs);
}

#[test]
fn parts_on_a_mountpath_that_was_taken_away_are_asked_for_again() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    // An upload whose records are on the second mountpath, with parts on both.
    let mut random = 0..;
    let (name, id) = loop {
        let name = format!("o{}", random.next().unwrap());
        let id = start(&store, &name);
        store.disable(&fixture.paths[0], false).unwrap();
        let known = store.parts(BID, &name, id).is_ok();
        store.enable(&fixture.paths[0]).unwrap();
        resilver(&store, 1);
        if known {
            break (name, id);
        }
    };
    send(&store, &name, id, 1);
    send(&store, &name, id, 2);
    store.disable(&fixture.paths[0], false).unwrap();
    let object = (BID, &*uname(BID, &name), &*name);
    let refused = store.complete_upload(object, id, &[1, 2], &options());
    match refused {
        Err(StoreError::Invalid(reason)) => assert!(reason.contains("send it again"), "{reason}"),
        other => panic!("{other:?}"),
    }
    send(&store, &name, id, 1);
    send(&store, &name, id, 2);
    complete(&store, &name, id, 2);
}

#[test]
fn what_lies_off_its_place_is_told_apart_until_it_moved() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    for index in 0..40 {
        put(&store, &format!("o{index:02}"), b"x").unwrap();
    }
    let prefix = uname(BID, "");
    let misplaced = || {
        let query = ListQuery { unames: Some(&prefix), ..support::query("", "", 100, false) };
        let chunk = store.list(BID, &query).unwrap();
        assert_eq!(chunk.entries.len(), 40);
        let off = chunk.entries.iter().filter(|one| one.standing == Standing::Misplaced);
        off.count()
    };
    assert_eq!(misplaced(), 0);
    let another = fixture.paths[0].parent().unwrap().join("another");
    std::fs::create_dir(&another).unwrap();
    store.attach(&another).unwrap();
    let off = misplaced();
    assert!((1..40).contains(&off), "{off}");
    resilver(&store, 1);
    assert_eq!(misplaced(), 0);
}
