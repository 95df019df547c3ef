//! Mountpaths that come and go while objects are read, written, listed and deleted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aistore_store::{Leave, Store, StoreError};
use support::{BID, Fixture, delete, get, list, put, resilver, uname};

/// Lets the other threads end, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn content(i: usize) -> Vec<u8> {
    vec![u8::try_from(i % 251).unwrap(); 1 + i * 977 % 100_000]
}

fn fill(store: &Store, count: usize) {
    for i in 0..count {
        put(store, &format!("o{i:04}"), &content(i)).unwrap();
    }
}

fn check(store: &Store, count: usize) {
    for i in 0..count {
        assert!(get(store, &format!("o{i:04}")).as_ref() == Some(&content(i)), "object {i}");
    }
    let names: Vec<String> = (0..count).map(|i| format!("o{i:04}")).collect();
    assert_eq!(list(store, "", false, 77), names);
}

#[test]
fn a_mountpath_that_leaves_gives_its_objects_away_first() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    fill(&store, 300);
    let gone = &fixture.paths[1];
    let on_it = || support::blobs_on(gone).len();
    let before = on_it();
    assert!(before > 50);
    store.detach(gone, true).unwrap();
    assert_eq!(store.mountpaths().draining, [(gone.clone(), Leave::Detach)]);
    check(&store, 300);
    fill(&store, 20);
    let passed = resilver(&store, 1);
    assert!(passed.moved > 40 && passed.failed == 0, "{passed:?}");
    assert_eq!(on_it(), 0);
    assert!(!store.is_scattered());
    assert_eq!(store.mountpaths().draining, []);
    assert_eq!(store.mountpaths().available.len(), 2);
    check(&store, 300);
    // Nothing holds it any more.
    let alone = Store::open(aistore_store::StoreConfig::new(vec![gone.clone()])).unwrap();
    alone.close().unwrap();
    drop(alone);
    store.attach(gone).unwrap();
    check(&store, 300);
    assert!(resilver(&store, 1).moved > 50);
    check(&store, 300);
    assert!(on_it() > 50);
    assert_eq!(fixture.blobs().len(), 300);
}

#[test]
fn states_are_told_apart() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let (one, two) = (&fixture.paths[0], &fixture.paths[1]);
    let strange = fixture.dir.path().join("strange");
    assert!(matches!(store.enable(&strange), Err(StoreError::UnknownMountpath { .. })));
    assert!(matches!(store.disable(&strange, true), Err(StoreError::UnknownMountpath { .. })));
    assert!(matches!(store.detach(&strange, true), Err(StoreError::UnknownMountpath { .. })));
    assert!(matches!(store.attach(one), Err(StoreError::Invalid(_))));
    assert!(!store.enable(one).unwrap());
    assert!(store.disable(one, true).unwrap());
    assert!(!store.disable(one, true).unwrap());
    assert!(matches!(store.disable(two, false), Err(StoreError::Invalid(_))), "the last one");
    assert!(store.enable(one).unwrap());
    assert!(store.disable(one, false).unwrap());
    assert_eq!(store.mountpaths().disabled, std::slice::from_ref(one));
    assert!(!store.disable(one, false).unwrap());
    assert!(store.enable(one).unwrap());
    assert!(store.disable(one, false).unwrap());
    store.detach(one, false).unwrap();
    assert_eq!(store.mountpaths().disabled, Vec::<std::path::PathBuf>::new());
    assert!(matches!(store.enable(one), Err(StoreError::UnknownMountpath { .. })));
    store.attach(one).unwrap();
    assert_eq!(store.mountpaths().available.len(), 2);
}

#[test]
fn a_put_follows_its_object_to_another_mountpath() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    let names: Vec<String> = (0..40).map(|i| format!("n{i}")).collect();
    let bytes = vec![7; 300_000];
    let mut writers: Vec<_> = names
        .iter()
        .map(|name| {
            let mut writer =
                store.begin_put(BID, &uname(BID, name), name, support::options()).unwrap();
            writer.write(&bytes[..200_000]).unwrap();
            writer
        })
        .collect();
    store.detach(&fixture.paths[0], true).unwrap();
    resilver(&store, 1);
    assert_eq!(store.mountpaths().available.len(), 1);
    for mut writer in writers.drain(..) {
        writer.write(&bytes[200_000..]).unwrap();
        writer.finish().unwrap();
    }
    for name in &names {
        assert!(get(&store, name).as_ref() == Some(&bytes), "{name}");
    }
    assert!(!store.is_scattered());
}

#[test]
fn nothing_is_missed_while_mountpaths_come_and_go() {
    let fixture = Fixture::new(3);
    let store = fixture.open();
    fill(&store, 120);
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let names: Vec<String> = (0..120).map(|i| format!("o{i:04}")).collect();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, stop, rounds) = (&store, &stop, &rounds);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                while !stop.load(Ordering::Relaxed) {
                    let i = random.usize(..120);
                    let name = format!("o{i:04}");
                    if random.u8(..3) == 0 {
                        put(store, &name, &content(i)).unwrap();
                    } else {
                        assert!(get(store, &name).as_ref() == Some(&content(i)), "{name}");
                    }
                    let own = format!("t{thread}");
                    put(store, &own, b"x").unwrap();
                    assert!(delete(store, &own) && get(store, &own).is_none());
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (store, stop, names) = (&store, &stop, &names);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(&list(store, "o", false, 50), names);
                assert_eq!(list(store, "o", true, 7).len(), names.len());
            }
        });
        let _stop = StopOnDrop(stop);
        let until = Instant::now() + Duration::from_secs(6);
        let mut which = 0;
        // Each of them at least once, however busy the machine is.
        while which < 3 || Instant::now() < until {
            let path = &fixture.paths[which % 3];
            which += 1;
            store.detach(path, true).unwrap();
            resilver(store, 1);
            assert!(store.mountpaths().draining.is_empty());
            store.attach(path).unwrap();
            resilver(store, 1);
        }
        println!("{which} times out and in, {} rounds", rounds.load(Ordering::Relaxed));
    });
    check(&store, 120);
    assert_eq!(fixture.blobs().len(), 120);
}
