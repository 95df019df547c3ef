//! Segments that crashes, damage and bad moments leave in odd states.

#![allow(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "in helpers of tests a panic is the report"
)]

mod support;
use aistore_store::{Store, StoreConfig};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{BID, Fixture, delete, list, put, uname};

fn open_with(f: &Fixture, seg: u64) -> Store {
    Store::open(StoreConfig { segment_bytes: seg, ..f.config() }).unwrap()
}
fn compact(s: &Store) -> aistore_store::Compacted {
    s.compact(&AtomicBool::new(false))
}
fn segs(p: &Path) -> Vec<PathBuf> {
    let mut v: Vec<_> =
        fs::read_dir(p.join("ais/segments")).unwrap().map(|e| e.unwrap().path()).collect();
    v.retain(|p| p.extension().is_some_and(|e| e == "segment"));
    v.sort();
    v
}
fn unclean(f: &Fixture) {
    for p in &f.paths {
        let run = p.join("ais/run.json");
        let text = fs::read_to_string(&run).unwrap();
        assert!(text.contains("clean"), "{text}");
        let text = text
            .replace("\"clean\": true", "\"clean\": false")
            .replace("\"clean\":true", "\"clean\":false");
        fs::write(&run, text).unwrap();
    }
}
fn lose(f: &Fixture) {
    for p in &f.paths {
        fs::remove_dir_all(p.join("ais/index")).unwrap();
    }
}
fn raw(store: &Store, name: &str) -> Result<Option<Vec<u8>>, String> {
    let r = store.open_object(BID, &uname(BID, name), name).map_err(|e| e.to_string())?;
    let Some(r) = r else { return Ok(None) };
    let mut b = vec![0; r.meta().size as usize];
    let n = r.read_at(&mut b, 0).map_err(|e| e.to_string())?;
    b.truncate(n);
    Ok(Some(b))
}

/// Power loss: the index entry reached the disk, the end of the segment did not.
#[test]
fn an_entry_whose_record_lost_power_took_never_reads_what_came_after() {
    let f = Fixture::new(1);
    let s = open_with(&f, 1 << 20);
    put(&s, "keep", &[1; 500]).unwrap();
    put(&s, "lost", &[2; 500]).unwrap();
    drop(s);
    unclean(&f);
    let lost = f.blobs().into_iter().nth(1).unwrap();
    let seg = fs::File::options().write(true).open(&lost.path).unwrap();
    seg.set_len(lost.offset - 32).unwrap();
    let s = open_with(&f, 1 << 20);
    put(&s, "secret", &[3; 800]).unwrap();
    let got = raw(&s, "lost");
    // A delete of it must not take the other with it.
    delete(&s, "lost");
    drop(s);
    lose(&f);
    let s = open_with(&f, 1 << 20);
    assert_eq!(raw(&s, "secret").unwrap().unwrap(), vec![3; 800], "deleting one took another");
    assert!(!matches!(&got, Ok(Some(b)) if b[0] == 3), "wrong bytes served");
}

/// A flipped bit in the header of the last record, then a kill.
#[test]
fn an_entry_whose_header_is_damaged_never_reads_what_came_after() {
    let f = Fixture::new(1);
    let s = open_with(&f, 1 << 20);
    put(&s, "keep", &[1; 500]).unwrap();
    put(&s, "lost", &[2; 500]).unwrap();
    drop(s);
    unclean(&f);
    let lost = f.blobs().into_iter().nth(1).unwrap();
    let seg = fs::File::options().write(true).open(&lost.path).unwrap();
    seg.write_all_at(&[0xff], lost.offset - 20).unwrap();
    let s = open_with(&f, 1 << 20);
    put(&s, "secret", &[3; 800]).unwrap();
    let got = raw(&s, "lost");
    assert!(!matches!(&got, Ok(Some(b)) if b[0] == 3), "wrong bytes served");
}

/// A damaged header of a record that is read all the same: its segment stays.
#[test]
fn a_record_that_no_scan_sees_is_not_thrown_away() {
    let f = Fixture::new(1);
    let s = open_with(&f, 1 << 20);
    for i in 0..400 {
        put(&s, &format!("o{i:03}"), &[5; 5000]).unwrap();
    }
    let meta = s.head(BID, &uname(BID, "o001"), "o001").unwrap().unwrap();
    let b = f.blobs().into_iter().find(|b| b.id == meta.blob.0).unwrap();
    let seg = fs::File::options().write(true).open(&b.path).unwrap();
    seg.write_all_at(&[0xff], b.offset - 8).unwrap();
    assert_eq!(raw(&s, "o001").unwrap().unwrap(), vec![5; 5000]);
    for i in (0..400).filter(|i| i % 2 == 0) {
        delete(&s, &format!("o{i:03}"));
    }
    compact(&s);
    assert_eq!(raw(&s, "o001"), Ok(Some(vec![5; 5000])));
}

/// A compaction that was stopped, then deletes, then a lost index.
#[test]
fn what_a_stopped_compaction_moved_stays_deleted_with_a_lost_index() {
    let f = Fixture::new(1);
    let s = open_with(&f, 8 << 20);
    let n = 6000;
    for i in 0..n {
        put(&s, &format!("o{i:05}"), &[5; 1000]).unwrap();
    }
    for i in (0..n).filter(|i| i % 3 == 0) {
        delete(&s, &format!("o{i:05}"));
    }
    put(&s, "fill", &[1; 60000]).unwrap();
    for i in 0..100 {
        put(&s, &format!("z{i:05}"), &[5; 60000]).unwrap();
    }
    let before: u64 = segs(&f.paths[0]).iter().map(|p| p.metadata().unwrap().len()).sum();
    let cancel = AtomicBool::new(false);
    std::thread::scope(|sc| {
        let (s, cancel) = (&s, &cancel);
        let h = sc.spawn(move || s.compact(cancel));
        while !h.is_finished() {
            let now: u64 =
                segs(&f.paths[0]).iter().map(|p| p.metadata().map_or(0, |m| m.len())).sum();
            if now > before + 100_000 {
                cancel.store(true, Ordering::Relaxed);
                break;
            }
        }
        h.join().unwrap();
    });
    for i in (0..n).filter(|i| i % 3 != 0) {
        assert!(delete(&s, &format!("o{i:05}")));
    }
    s.close().unwrap();
    drop(s);
    lose(&f);
    let s = open_with(&f, 8 << 20);
    let back: Vec<_> =
        list(&s, "", false, 1000).into_iter().filter(|n| n.starts_with('o')).collect();
    assert!(back.is_empty(), "{} deleted objects are back, no crash involved", back.len());
}

/// A segment that cannot be read.
#[test]
fn one_bad_segment_does_not_keep_others_from_being_compacted() {
    let f = Fixture::new(1);
    let s = open_with(&f, 1 << 20);
    for i in 0..1000 {
        put(&s, &format!("o{i:04}"), &[5; 5000]).unwrap();
    }
    for i in 0..1000 {
        if i % 2 == 0 || i < 150 {
            delete(&s, &format!("o{i:04}"));
        }
    }
    let all = segs(&f.paths[0]);
    // first segment (all dead, so first in order): preamble of another version
    let seg = fs::File::options().write(true).open(&all[0]).unwrap();
    seg.write_all_at(&[9], 8).unwrap();
    support::compacted(&s);
    assert!(segs(&f.paths[0]).len() < all.len());
}

/// Nothing sweeps a mountpath that comes while the store runs.
#[test]
fn a_mountpath_attached_later_is_compacted_too() {
    let f = Fixture::new(2);
    let mut c = f.config();
    let second = c.mountpaths.pop().unwrap();
    c.segment_bytes = 1 << 20;
    let s = Store::open(c).unwrap();
    s.attach(&second).unwrap();
    for i in 0..1000 {
        put(&s, &format!("o{i:04}"), &[5; 10000]).unwrap();
    }
    for i in 0..1000 {
        delete(&s, &format!("o{i:04}"));
    }
    support::compacted(&s);
    assert!(segs(&second).len() <= 2);
}

/// Nothing is swept while a mountpath is disabled.
#[test]
fn compaction_goes_on_after_a_crash_with_a_disabled_mountpath() {
    let f = Fixture::new(2);
    drop(open_with(&f, 1 << 20));
    unclean(&f);
    for _ in 0..2 {
        let mut c = f.config();
        c.disabled = vec![c.mountpaths.pop().unwrap()];
        c.segment_bytes = 1 << 20;
        let s = Store::open(c).unwrap();
        for i in 0..500 {
            put(&s, &format!("o{i:04}"), &[5; 10000]).unwrap();
        }
        for i in 0..500 {
            delete(&s, &format!("o{i:04}"));
        }
        support::compacted(&s);
        s.close().unwrap();
    }
    assert!(segs(&f.paths[0]).len() <= 2);
}

/// Runs `then` on a store that has a much older index than its blobs, and checks that nothing is lost once the
/// rebuild that it asks for has been made.
fn with_old_index(then: impl FnOnce(&Store)) {
    let f = Fixture::new(1);
    let s = open_with(&f, 1 << 20);
    put(&s, "first", b"1").unwrap();
    drop(s);
    let idx = f.paths[0].join("ais/index");
    let old = f.dir.path().join("old");
    assert!(
        std::process::Command::new("cp").arg("-a").arg(&idx).arg(&old).status().unwrap().success()
    );
    let s = open_with(&f, 1 << 20);
    let n = 9000;
    for i in 0..n {
        put(&s, &format!("o{i:05}"), &[5; 500]).unwrap();
    }
    for i in (0..n).filter(|i| i % 3 == 0) {
        delete(&s, &format!("o{i:05}"));
    }
    s.close().unwrap();
    drop(s);
    unclean(&f);
    fs::remove_dir_all(&idx).unwrap();
    fs::rename(&old, &idx).unwrap();
    let s = open_with(&f, 1 << 20);
    then(&s);
    wait_for("the sweep asks for a rebuild", || f.paths[0].join("ais/rebuild").exists());
    s.close().unwrap();
    drop(s);
    let s = open_with(&f, 1 << 20);
    assert_eq!(list(&s, "", false, 1000).len(), n - n / 3 + 1);
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_old_index_after_a_crash_is_rebuilt() {
    with_old_index(|_| {});
}

/// The sweep asks for a rebuild before anything is thrown away.
#[test]
fn compaction_waits_until_the_index_was_checked() {
    with_old_index(|s| {
        for _ in 0..20 {
            compact(s);
        }
    });
}

/// A compaction that runs while its mountpath leaves.
#[test]
fn a_mountpath_that_left_is_not_written_to() {
    // A fast machine may be done before anybody looks.
    assert!((0..10).any(|_| leave_during_compaction()), "never caught one at work");
}

/// Whether a compaction was at work on a mountpath when that left.
fn leave_during_compaction() -> bool {
    let f = Fixture::new(2);
    let s = open_with(&f, 1 << 20);
    for i in 0..12000 {
        put(&s, &format!("o{i:05}"), &[5; 1000]).unwrap();
    }
    for i in (0..12000).filter(|i| i % 3 == 0) {
        delete(&s, &format!("o{i:05}"));
    }
    std::thread::scope(|sc| {
        let s = &s;
        let start: Vec<Vec<PathBuf>> = f.paths.iter().map(|p| segs(p)).collect();
        let compaction = sc.spawn(move || compact(s));
        let busy = loop {
            if let Some(i) = (0..2).find(|i| segs(&f.paths[*i]) != start[*i]) {
                break f.paths[i].clone();
            }
            if compaction.is_finished() {
                return false;
            }
        };
        s.detach(&busy, false).unwrap();
        let after = segs(&busy);
        let done = compaction.join().unwrap();
        assert!(after == segs(&busy), "a detached mountpath was written to: {done:?}");
        true
    })
}

/// A compaction that was cut short, then a crash, then deletes and a restart.
#[test]
fn a_crash_in_a_compaction_asks_for_no_rebuild() {
    let f = Fixture::new(1);
    let seg = 8 << 20;
    let s = open_with(&f, seg);
    let n = 30000;
    for i in 0..n {
        put(&s, &format!("o{i:05}"), &[5; 300]).unwrap();
    }
    put(&s, "fill", &[1; 60000]).unwrap();
    for i in 0..9000 {
        delete(&s, &format!("o{i:05}"));
    }
    let before: u64 = segs(&f.paths[0]).iter().map(|p| p.metadata().unwrap().len()).sum();
    let cancel = AtomicBool::new(false);
    std::thread::scope(|sc| {
        let (s, cancel) = (&s, &cancel);
        let h = sc.spawn(move || s.compact(cancel));
        while !h.is_finished() {
            let now: u64 =
                segs(&f.paths[0]).iter().map(|p| p.metadata().map_or(0, |m| m.len())).sum();
            if now > before + 3_000_000 {
                cancel.store(true, Ordering::Relaxed);
                break;
            }
        }
        h.join().unwrap();
    });
    s.close().unwrap();
    drop(s);
    unclean(&f);
    let s = open_with(&f, seg);
    wait_for("the start's sweep is over and compaction goes on", || compact(&s).segments > 0);
    for i in 9000..n {
        delete(&s, &format!("o{i:05}"));
    }
    s.close().unwrap();
    drop(s);
    let s = open_with(&f, seg);
    let back: Vec<_> =
        list(&s, "", false, 1000).into_iter().filter(|n| n.starts_with('o')).collect();
    assert!(back.is_empty(), "{} deleted objects are back", back.len());
}

/// A segment that something cut, although the last run ended in order.
#[test]
fn a_segment_of_an_odd_length_is_not_gone_on_with() {
    let f = Fixture::new(1);
    let s = open_with(&f, 1 << 20);
    for i in 0..100 {
        put(&s, &format!("a{i:03}"), &[1; 5000]).unwrap();
    }
    drop(s);
    let p = segs(&f.paths[0])[0].clone();
    let file = fs::File::options().write(true).open(&p).unwrap();
    file.set_len(p.metadata().unwrap().len() - 3).unwrap();
    let s = open_with(&f, 1 << 20);
    for i in 0..80 {
        put(&s, &format!("b{i:03}"), &[2; 5000]).unwrap();
    }
    for i in 0..60 {
        put(&s, &format!("c{i:03}"), &[3; 5000]).unwrap();
    }
    for i in 0..90 {
        delete(&s, &format!("a{i:03}"));
    }
    compact(&s);
    let lost = (0..80).filter(|i| raw(&s, &format!("b{i:03}")) != Ok(Some(vec![2; 5000]))).count();
    assert_eq!(lost, 0, "acknowledged after the start");
}
