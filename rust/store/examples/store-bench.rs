//! Measures the store on the machine at hand: `store-bench DIR [OBJECTS]`.
//!
//! Prints one line per step: what, how many, how long, per second; and the process's resident memory.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a tool")]

use std::path::PathBuf;
use std::time::Instant;

use aistore_store::{ListQuery, PutOptions, Store, StoreConfig};

const BID: u64 = 1 << 63 | 1;

fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn step<R>(what: &str, count: usize, body: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = body();
    let seconds = start.elapsed().as_secs_f64();
    let rate = count as f64 / seconds;
    println!(
        "{what:40} {count:>9} in {seconds:>7.3} s  {rate:>10.0} /s  rss {:>6.1} MiB",
        rss_mib()
    );
    result
}

fn put(store: &Store, name: &str, bytes: &[u8]) {
    let uname = format!("ais/@#/bench/{name}");
    let options = PutOptions {
        versioned: true,
        size_hint: Some(bytes.len() as u64),
        now_ns: 1_700_000_000_000_000_000,
        ..PutOptions::default()
    };
    let mut writer = store.begin_put(BID, &uname, name, options).unwrap();
    writer.write(bytes).unwrap();
    writer.finish().unwrap();
}

fn list_all(store: &Store, delimiter: bool, page: usize, meta: bool) -> usize {
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let query = ListQuery {
            prefix: "",
            after: &after,
            limit: page,
            delimiter,
            meta,
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

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--idle").is_some() {
        let store = step("a new process opens it", 1, || {
            Store::open(StoreConfig::new(arguments.map(PathBuf::from).collect())).unwrap()
        });
        std::thread::sleep(std::time::Duration::from_secs(1));
        step("and lists 1000 a second later", 1000, || {
            let query = ListQuery {
                prefix: "",
                after: "",
                limit: 1000,
                delimiter: false,
                meta: true,
                copies: false,
                unames: None,
            };
            store.list(BID, &query).unwrap()
        });
        return;
    }
    let dir = PathBuf::from(arguments.next().unwrap_or_else(|| "store-bench-data".to_owned()));
    let objects: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let mountpaths: Vec<PathBuf> = (0..2).map(|i| dir.join(format!("mp{i}"))).collect();
    println!("start: rss {:.1} MiB", rss_mib());
    let config = StoreConfig::new(mountpaths);
    let store = step("open an empty store", 1, || Store::open(config.clone()).unwrap());
    let name = |i: usize| format!("train/{:03}/image-{i:08}.jpg", i * 7919 % 1000);
    let bytes = vec![7_u8; 1024];
    step("put 1 KiB, one thread", objects, || {
        for i in 0..objects {
            put(&store, &name(i), &bytes);
        }
    });
    step("overwrite 1 KiB, four threads", objects, || {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (store, bytes) = (&store, &bytes);
                scope.spawn(move || {
                    for i in (thread..objects).step_by(4) {
                        put(store, &name(i), bytes);
                    }
                });
            }
        });
    });
    step("head, random order", objects, || {
        for i in 0..objects {
            let name = name(i * 7919 % objects);
            assert!(store.head(BID, &format!("ais/@#/bench/{name}"), &name).unwrap().is_some());
        }
    });
    let mut buf = vec![0; 1024];
    for what in ["open and read 1 KiB, random order", "the same, one hundred hot objects"] {
        let among = if what.contains("hot") { 100 } else { objects };
        step(what, objects, || {
            for i in 0..objects {
                let name = name(i * 7919 % among);
                let reader = store.open_object(BID, &format!("ais/@#/bench/{name}"), &name);
                assert_eq!(reader.unwrap().unwrap().read_at(&mut buf, 0).unwrap(), 1024);
            }
        });
    }
    for (page, meta) in [(1000, true), (10_000, true), (10_000, false), (usize::MAX, false)] {
        let what = format!("list, pages of {}, meta {meta}", page.min(objects));
        step(&what, objects, || assert_eq!(list_all(&store, false, page, meta), objects));
    }
    step("list virtual directories", 1, || assert_eq!(list_all(&store, true, 1000, true), 1));
    step("close", 1, || store.close().unwrap());
    drop(store);
    let itself = std::env::current_exe().unwrap();
    std::process::Command::new(itself).arg("--idle").args(&config.mountpaths).status().unwrap();
    let store = step("open again", 1, || Store::open(config.clone()).unwrap());
    step("list again", objects, || assert_eq!(list_all(&store, false, 1000, true), objects));
    drop(store);
    for path in &config.mountpaths {
        std::fs::write(path.join("ais/rebuild"), "").unwrap();
    }
    let store = step("open with a rebuild", objects, || Store::open(config.clone()).unwrap());
    step("put 64 MiB", 64, || put(&store, "large", &vec![1; 64 << 20]));
    step("destroy the bucket", objects, || store.destroy_bucket(BID).unwrap());
}
