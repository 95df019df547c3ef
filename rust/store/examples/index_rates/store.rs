//! Objects the way that a node stores them: puts, lookups, starts, a rebuild.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use aistore_core::checksum::ChecksumType;
use aistore_store::{ListQuery, PutOptions, Store, StoreConfig};

use crate::meter::{anonymous_mib, mix, process_seconds, used};
use crate::{Options, name};

pub const BID: u64 = 1 << 63 | 1;
const PAYLOAD: [u8; 100] = [7; 100];
const MOUNTPATHS: usize = 2;

pub fn config(options: &Options) -> StoreConfig {
    let paths = (0..MOUNTPATHS).map(|n| options.dir.join("store").join(format!("mp{n}")));
    StoreConfig { index_cache_bytes: options.cache_bytes, ..StoreConfig::new(paths.collect()) }
}

pub fn uname(name: &str) -> String {
    format!("ais/@#/bench/{name}")
}

pub fn put(store: &Store, bid: u64, name: &str) {
    let options = PutOptions {
        checksum: ChecksumType::Xxhash2,
        versioned: true,
        size_hint: Some(PAYLOAD.len() as u64),
        now_ns: 1_700_000_000_000_000_000,
        ..PutOptions::default()
    };
    let mut writer = store.begin_put(bid, &uname(name), name, options).unwrap();
    writer.write(&PAYLOAD).unwrap();
    writer.finish().unwrap();
}

pub fn run(options: &Options) {
    let Options { objects, calls, meter, .. } = options;
    let (objects, calls) = (*objects, *calls);
    let folder = options.dir.join("store");
    let store = Store::open(config(options)).unwrap();
    let shuffled = |n: usize| n * 7_368_787 % objects;
    meter.rate("store: fill by puts, 32 threads", objects, 32, |n| {
        put(&store, BID, &name(shuffled(n)));
    });
    meter.value("store: anonymous memory after the fill", "MiB", anonymous_mib());
    for threads in [1, 32] {
        let from = 10_000_000 + threads * calls;
        meter.rate(&format!("store: puts on top, {threads} threads"), calls, threads, |n| {
            put(&store, BID, &name(from + mix(n) % 80_000_000));
        });
    }
    meter.rate("store: heads of present names, 1 thread", calls, 1, |n| {
        let name = name(mix(n) % objects);
        assert!(store.head(BID, &uname(&name), &name).unwrap().is_some());
    });
    meter.rate("store: heads of absent names, 1 thread", calls, 1, |n| {
        let name = format!("train/{:08}.jpeg", mix(n) % objects);
        assert!(store.head(BID, &uname(&name), &name).unwrap().is_none());
    });
    meter.rate("store: opened and read, 1 thread", calls, 1, |n| {
        let name = name(mix(n) % objects);
        let reader = store.open_object(BID, &uname(&name), &name).unwrap().unwrap();
        assert_eq!(reader.read_at(&mut [0; 100], 0).unwrap(), 100);
    });
    let start = Instant::now();
    let listed = list(&store);
    let rate = listed as f64 / start.elapsed().as_secs_f64();
    meter.value("store: listed in order, pages of 10,000", "/s", rate);
    meter.value("store: anonymous memory after the reads", "MiB", anonymous_mib());
    let bytes = used(&folder) as f64;
    meter.value("store: bytes on disk per object of 100", "B", bytes / listed as f64);
    let start = Instant::now();
    store.close().unwrap();
    drop(store);
    meter.value("store: close", "s", start.elapsed().as_secs_f64());
    spawn(options, "clean");
    spawn(options, "then-kill");
    spawn(options, "killed");
    for path in config(options).mountpaths {
        std::fs::write(path.join("ais/rebuild"), "").unwrap();
    }
    spawn(options, "rebuild");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn list(store: &Store) -> usize {
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let query = ListQuery {
            prefix: "",
            after: &after,
            limit: 10_000,
            delimiter: false,
            meta: true,
            copies: false,
            unames: None,
        };
        let chunk = store.list(BID, &query).unwrap();
        count += chunk.entries.len();
        match chunk.entries.last() {
            Some(last) if chunk.more => after.clone_from(&last.name),
            _ => return count,
        }
    }
}

/// Runs a step in a process of its own: memory and caches of this one do not count.
fn spawn(options: &Options, step: &str) {
    let itself = std::env::current_exe().unwrap();
    let mut command = Command::new(itself);
    command.args(["--child", step, "--objects", &options.objects.to_string()]);
    command.args(["--calls", &options.calls.to_string()]);
    command.args(["--cache-mib", &(options.cache_bytes >> 20).to_string()]);
    command.arg("--dir").arg(&options.dir);
    if options.meter.json {
        command.arg("--json");
    }
    command.status().unwrap();
}

/// A step in a process of its own.
pub fn child(step: &str, options: &Options) {
    let meter = &options.meter;
    let title = match step {
        "clean" => "store: start after a clean stop",
        "then-kill" => "store: the same, once more",
        "killed" => "store: start after a kill",
        "rebuild" => "store: start with a rebuild",
        other => panic!("{other} is no step"),
    };
    let start = Instant::now();
    let store = Store::open(config(options)).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    meter.value(title, "s", seconds);
    meter.value("  processor time of it", "s", process_seconds());
    meter.value("  anonymous memory then", "MiB", anonymous_mib());
    let once = name(options.objects / 2);
    assert!(store.head(BID, &uname(&once), &once).unwrap().is_some());
    match step {
        "then-kill" => {
            // As much as the journal of the index holds, and half a segment.
            for n in 0..options.calls.min(200_000) {
                put(&store, BID, &name(95_000_000 + n));
            }
            die();
        }
        "killed" => {
            let start = Instant::now();
            while !store.is_swept() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let after = start.elapsed().as_secs_f64();
            meter.value("  sweep behind it", "s", after);
            meter.value("  anonymous memory then", "MiB", anonymous_mib());
        }
        "rebuild" => {
            let objects = list(&store) as f64;
            meter.value("store: rebuilt objects", "/s", objects / seconds);
        }
        _ => {}
    }
    store.close().unwrap();
}

fn die() {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::KILL).unwrap();
}

/// Folders of the store's mountpaths.
pub fn folder(options: &Options) -> PathBuf {
    options.dir.join("store")
}
