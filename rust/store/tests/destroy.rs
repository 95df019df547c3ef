//! A bucket goes: while others are used, while it is still written to, and through SIGKILL.

#![allow(clippy::unwrap_used, reason = "in helpers of tests a panic is the report")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aistore_store::{PutOptions, Store, StoreConfig};
use support::{BID, Fixture, get, put, uname};

const CHILD_ENV: &str = "STORE_DESTROY_CHILD";
const CRASH_TEST: &str = "a_destruction_cut_short_by_sigkill_goes_on_later";
const DOOMED: u64 = BID + 1;
/// More than a batch on each of two mountpaths.
const OBJECTS: u64 = 5_000;
const NEIGHBOURS: u64 = 200;
const KILLS: usize = 6;

fn put_doomed(store: &Store, name: &str) {
    let options = PutOptions { size_hint: Some(20), ..PutOptions::default() };
    let mut writer = store.begin_put(DOOMED, &uname(DOOMED, name), name, options).unwrap();
    writer.write(&[1; 20]).unwrap();
    writer.finish().unwrap();
}

fn is_whole(store: &Store, name: &str) -> Option<bool> {
    let reader = store.open_object(DOOMED, &uname(DOOMED, name), name).unwrap()?;
    let mut bytes = [0; 20];
    Some(reader.read_at(&mut bytes, 0).unwrap() == 20 && bytes == [1; 20])
}

#[test]
fn a_destruction_cut_short_by_sigkill_goes_on_later() {
    if let Ok(paths) = std::env::var(CHILD_ENV) {
        let store = Store::open(StoreConfig::new(paths.split(':').map(Into::into).collect()));
        let store = store.unwrap();
        eprintln!("ready");
        store.destroy_bucket(DOOMED).unwrap();
        // Killed here, at the latest.
        std::thread::park();
    }
    let fixture = Fixture::new(2);
    let store = fixture.open();
    (0..OBJECTS).for_each(|n| put_doomed(&store, &format!("{n:05}")));
    for n in 0..NEIGHBOURS {
        put(&store, &format!("{n:05}"), b"stays").unwrap();
    }
    store.close().unwrap();
    drop(store);
    let paths: Vec<_> = fixture.paths.iter().map(|path| path.to_str().unwrap()).collect();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CRASH_TEST, "--nocapture"])
            .env(CHILD_ENV, paths.join(":"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("ready")));
        // Mostly in the middle, whatever the speed of the machine: sooner each time.
        std::thread::sleep(Duration::from_millis(40 >> kill));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = fixture.open();
        for n in (0..NEIGHBOURS).step_by(17) {
            assert_eq!(get(&store, &format!("{n:05}")).as_deref(), Some(&b"stays"[..]));
        }
        for n in (0..OBJECTS).step_by(97) {
            assert_ne!(is_whole(&store, &format!("{n:05}")), Some(false), "{n}");
        }
    }
    let store = fixture.open();
    store.destroy_bucket(DOOMED).unwrap();
    assert_eq!(store.buckets().unwrap(), [BID]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while fixture.blobs().len() as u64 != NEIGHBOURS {
        assert!(Instant::now() < deadline, "{} blobs are left", fixture.blobs().len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn objects_put_while_their_bucket_goes_are_whole_or_absent_and_neighbours_stay() {
    for fixture in [Fixture::new(2), Fixture::of_files(2)] {
        let store = fixture.open();
        let objects = if fixture.files_only { 300 } else { OBJECTS };
        (0..objects).for_each(|n| put_doomed(&store, &format!("{n:05}")));
        std::thread::scope(|scope| {
            let store = &store;
            let destroyer = scope.spawn(move || store.destroy_bucket(DOOMED).unwrap());
            let mut n = 0;
            while !destroyer.is_finished() {
                // Again and again the same names, old ones among them.
                put_doomed(store, &format!("{:05}", n % objects / 7 * 7));
                put(store, &format!("{:05}", n % 50), b"stays").unwrap();
                n += 1;
            }
            assert!(destroyer.join().unwrap() > 0);
        });
        let left = (0..objects).filter_map(|n| is_whole(&store, &format!("{n:05}")));
        let left: Vec<bool> = left.collect();
        assert!(left.iter().all(|whole| *whole));
        let neighbours = (0..50).filter(|n| get(&store, &format!("{n:05}")).is_some()).count();
        assert!(neighbours > 0);
        assert_eq!(fixture.blobs().len(), left.len() + neighbours);
        store.destroy_bucket(DOOMED).unwrap();
        assert_eq!(store.buckets().unwrap(), [BID]);
        assert_eq!(fixture.blobs().len(), neighbours);
    }
}
