//! What a start finds after a crash, damage, or a change of the mountpaths.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use aistore_store::{Store, StoreConfig};
use support::{BID, Fixture, delete, get, list, put};

/// Leaves the mountpaths as a killed process does: everything written, nothing closed.
fn crash(fixture: &Fixture, store: &Store) -> Fixture {
    let after = Fixture { files_only: fixture.files_only, ..Fixture::new(fixture.paths.len()) };
    for (from, to) in fixture.paths.iter().zip(&after.paths) {
        copy(from, to);
    }
    let _ = store;
    after
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) =
            (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).is_ok()) }
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fill(store: &Store, count: usize) {
    for i in 0..count {
        put(store, &format!("dir{}/object{i:05}", i % 7), format!("content {i}").as_bytes())
            .unwrap();
    }
}

fn check(store: &Store, count: usize) {
    for i in 0..count {
        let read = get(store, &format!("dir{}/object{i:05}", i % 7));
        assert_eq!(read.unwrap(), format!("content {i}").as_bytes(), "object {i}");
    }
    assert_eq!(list(store, "", false, 100).len(), count);
}

#[test]
fn only_a_start_after_an_end_in_order_finds_journals_that_need_no_replay() {
    let fixture = Fixture::new(2);
    let noted = |fixture: &Fixture| {
        let texts = fixture.paths.iter().map(|path| fs::read_to_string(path.join("ais/run.json")));
        texts.filter(|text| text.as_ref().unwrap().contains("\"settled\"")).count()
    };
    for round in 1..4 {
        let store = fixture.open();
        assert_eq!(noted(&fixture), 0);
        check(&store, 50 * (round - 1));
        fill(&store, 50 * round);
        let crashed = crash(&fixture, &store);
        assert_eq!(noted(&crashed), 0);
        store.close().unwrap();
        assert_eq!(noted(&fixture), 2);
        drop(store);
        check(&crashed.open(), 50 * round);
    }
    // A copy has other files, whatever is noted of them.
    let copied = Fixture { files_only: fixture.files_only, ..Fixture::new(2) };
    for (from, to) in fixture.paths.iter().zip(&copied.paths) {
        copy(from, to);
    }
    assert_eq!(noted(&copied), 2);
    check(&copied.open(), 150);
}

#[test]
fn everything_acknowledged_is_there_after_a_crash() {
    let fixture = Fixture::new(2);
    let store = fixture.open();
    fill(&store, 300);
    check(&crash(&fixture, &store).open(), 300);
}

#[test]
fn unfinished_uploads_are_removed_at_start() {
    let fixture = Fixture::new(1);
    drop(fixture.open());
    let tmp = fixture.paths[0].join("ais/tmp");
    fs::write(tmp.join("0000000000000000"), "half").unwrap();
    fs::create_dir(tmp.join("garbage")).unwrap();
    fs::write(tmp.join("garbage/file"), "x").unwrap();
    let store = fixture.open();
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    put(&store, "name", &vec![1; 100_000]).unwrap();
}

type Damage = fn(&std::path::Path);

#[test]
fn a_lost_or_damaged_index_is_rebuilt() {
    let damage: [(&str, Damage); 6] = [
        ("removed", |index| fs::remove_dir_all(index).unwrap()),
        ("replaced by a file", |index| {
            fs::remove_dir_all(index).unwrap();
            fs::write(index, "garbage").unwrap();
        }),
        ("emptied", |index| {
            fs::remove_dir_all(index).unwrap();
            fs::create_dir(index).unwrap();
        }),
        ("version marker overwritten", |index| {
            fs::write(index.join("version"), "garbage").unwrap();
        }),
        ("version marker removed", |index| fs::remove_file(index.join("version")).unwrap()),
        ("keyspaces removed", |index| fs::remove_dir_all(index.join("keyspaces")).unwrap()),
    ];
    for (what, damage) in damage {
        let fixture = Fixture::new(2);
        let store = fixture.open();
        fill(&store, 200);
        put(&store, "dir0/object00000", b"overwritten").unwrap();
        put(&store, "dir0/object00000", b"content 0").unwrap();
        put(&store, "gone", b"x").unwrap();
        assert!(delete(&store, "gone"));
        drop(store);
        for path in &fixture.paths {
            damage(&path.join("ais/index"));
        }
        let store = fixture.open();
        check(&store, 200);
        let meta = store.list(BID, &support::query("dir0/object00000", "", 1, false)).unwrap();
        assert_eq!(meta.entries[0].meta.version, 3, "{what}");
        put(&store, "new", b"x").unwrap();
        drop(store);
        let store = fixture.open();
        assert!(delete(&store, "new"));
        check(&store, 200);
    }
}

#[test]
fn a_fresh_mountpath_sets_no_index_aside() {
    let fixture = Fixture::new(2);
    for _ in 0..2 {
        let store = fixture.open();
        put(&store, "o", b"o").unwrap();
        assert_eq!(get(&store, "o").unwrap(), b"o");
    }
    // Nor does one whose first start was cut short.
    let cut = Fixture::new(1);
    std::fs::create_dir_all(cut.paths[0].join("ais/index")).unwrap();
    drop(cut.open());
    for path in fixture.paths.iter().chain(&cut.paths) {
        assert!(path.join("ais/index").exists() && !path.join("ais/index.damaged").exists());
    }
}

#[test]
fn a_rebuild_asked_for_takes_place() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    fill(&store, 20);
    drop(store);
    let marker = fixture.paths[0].join("ais/rebuild");
    fs::write(&marker, "").unwrap();
    check(&fixture.open(), 20);
    assert!(!marker.exists() && fixture.paths[0].join("ais/index.damaged").exists());
}

#[test]
fn damaged_blobs_are_set_aside_by_a_rebuild_and_never_served() {
    let fixture = Fixture::of_files(1);
    let store = fixture.open();
    fill(&store, 10);
    drop(store);
    let blobs = fixture.files("blobs");
    let cut = fs::OpenOptions::new().write(true).open(&blobs[0]).unwrap();
    cut.set_len(cut.metadata().unwrap().len() - 3).unwrap();
    let mut flipped = fs::read(&blobs[1]).unwrap();
    let middle = flipped.len() - 30;
    flipped[middle] ^= 1;
    fs::write(&blobs[1], flipped).unwrap();
    fs::write(&blobs[2], "").unwrap();
    fs::write(blobs[3].with_file_name("stray"), "not a blob").unwrap();
    let renamed = blobs[4].with_file_name("00000000000000ff");
    fs::rename(&blobs[4], &renamed).unwrap();
    fs::remove_dir_all(fixture.paths[0].join("ais/index")).unwrap();

    let store = fixture.open();
    assert_eq!(list(&store, "", false, 100).len(), 6);
    assert_eq!(fixture.files("quarantine").len(), 5);
    for name in list(&store, "", false, 100) {
        get(&store, &name).unwrap();
    }
}

#[test]
fn superseded_blobs_are_swept_after_a_crash_and_nothing_else() {
    let fixture = Fixture::of_files(2);
    let store = fixture.open();
    fill(&store, 100);
    // What a crash between the index commit and the removal of the old blob leaves.
    let old: Vec<_> = fixture.files("blobs");
    let kept: Vec<_> = old.iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    fill(&store, 100);
    for (path, bytes) in &kept {
        fs::write(path, bytes).unwrap();
    }
    let after = crash(&fixture, &store);
    assert_eq!(after.files("blobs").len(), 200);
    let store = after.open();
    put(&store, "while/sweeping", b"x").unwrap();
    wait_for("the sweep removes the superseded blobs", || after.files("blobs").len() == 101);
    assert!(delete(&store, "while/sweeping"));
    check(&store, 100);
    drop(store);
    // Closed in order: the next start finds nothing to do.
    check(&after.open(), 100);
}

#[test]
fn an_index_that_lacks_many_blobs_is_rebuilt_rather_than_the_blobs_removed() {
    let fixture = Fixture::new(1);
    let empty = {
        let store = fixture.open();
        let empty = crash(&fixture, &store);
        fill(&store, 4200);
        empty
    };
    // The index of the empty store over the blobs of the full one, after a crash.
    let (index, other) = (fixture.paths[0].join("ais/index"), empty.paths[0].join("ais/index"));
    fs::remove_dir_all(&index).unwrap();
    copy(&other, &index);
    let run = fixture.paths[0].join("ais/run.json");
    let state = fs::read_to_string(&run).unwrap().replace(r#""clean":true"#, r#""clean":false"#);
    fs::write(&run, state).unwrap();

    let store = fixture.open();
    let marker = fixture.paths[0].join("ais/rebuild");
    wait_for("the sweep asks for a rebuild", || marker.exists());
    drop(store);
    assert_eq!(fixture.blobs().len(), 4200);
    check(&fixture.open(), 4200);
}

#[test]
fn ids_never_repeat_even_without_the_run_file() {
    let fixture = Fixture::new(1);
    let store = fixture.open();
    let first = put(&store, "name", b"1").unwrap().blob;
    drop(store);
    let run = fixture.paths[0].join("ais/run.json");
    for content in [None, Some("garbage"), Some("{}")] {
        match content {
            None => fs::remove_file(&run).unwrap(),
            Some(content) => fs::write(&run, content).unwrap(),
        }
        let store = fixture.open();
        assert!(put(&store, "name", b"2").unwrap().blob > first);
        assert_eq!(get(&store, "name").unwrap(), b"2");
    }
}

#[test]
fn objects_are_found_after_mountpaths_are_added_and_removed_and_reordered() {
    let fixture = Fixture::new(3);
    let open = |order: &[usize]| {
        let paths = order.iter().map(|i| fixture.paths[*i].clone()).collect();
        Store::open(StoreConfig::new(paths)).unwrap()
    };
    let store = open(&[0, 1]);
    fill(&store, 100);
    drop(store);
    let store = open(&[1, 0]);
    check(&store, 100);
    drop(store);
    for _ in 0..2 {
        let store = open(&[2, 0, 1]);
        check(&store, 100);
        // Overwriting moves objects to their new place and leaves one of each.
        for i in 0..50 {
            let name = format!("dir{}/object{i:05}", i % 7);
            put(&store, &name, format!("content {i}").as_bytes()).unwrap();
        }
        check(&store, 100);
        assert_eq!(fixture.blobs().len(), 100);
    }
    let store = open(&[2, 0, 1]);
    for i in 0..100 {
        assert!(delete(&store, &format!("dir{}/object{i:05}", i % 7)));
    }
    assert!(list(&store, "", false, 10).is_empty() && fixture.blobs().is_empty());
}

#[test]
fn what_is_written_while_a_mountpath_is_away_is_newer_than_what_it_holds() {
    let fixture = Fixture::new(2);
    drop(fixture.open());
    // Crashes, or a clock that was set back, let one mountpath be far ahead.
    let run = fixture.paths[0].join("ais/run.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&run).unwrap()).unwrap();
    state["id_ceiling"] = (state["id_ceiling"].as_u64().unwrap() + (1 << 50)).into();
    fs::write(&run, state.to_string()).unwrap();
    let store = fixture.open();
    let names: Vec<String> = (0..8).map(|i| format!("o{i}")).collect();
    for name in &names {
        put(&store, name, b"old").unwrap();
    }
    store.disable(&fixture.paths[0], false).unwrap();
    for name in &names {
        put(&store, name, b"new").unwrap();
    }
    drop(store);
    let mut config = StoreConfig::new(vec![fixture.paths[1].clone()]);
    config.disabled = vec![fixture.paths[0].clone()];
    let store = Store::open(config).unwrap();
    store.enable(&fixture.paths[0]).unwrap();
    for name in &names {
        assert_eq!(get(&store, name).unwrap(), b"new", "{name}");
    }
}
