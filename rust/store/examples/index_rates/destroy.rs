//! A bucket of many objects goes while its neighbour is used.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aistore_store::Store;

use crate::Options;
use crate::meter::{Meter, anonymous_mib, mix, used};
use crate::store::{config, folder, put, uname};

const NEIGHBOUR: u64 = 1 << 63 | 2;
const DOOMED: u64 = 1 << 63 | 3;
const NEIGHBOURS: usize = 10_000;
/// How long the neighbour is watched without a destruction.
const QUIET: Duration = Duration::from_secs(3);

pub fn run(options: &Options) {
    let Options { destroy, meter, .. } = options;
    let destroy = *destroy;
    let store = Store::open(config(options)).unwrap();
    let name = |n: usize| format!("a/{n:08}");
    for n in 0..NEIGHBOURS {
        put(&store, NEIGHBOUR, &name(n));
    }
    let before = used(&folder(options));
    meter.rate("destroy: fill, 32 threads", destroy, 32, |n| put(&store, DOOMED, &name(n)));
    let full = used(&folder(options));
    watched(meter, &store, "quiet", || std::thread::sleep(QUIET));
    let mut took = Duration::ZERO;
    watched(meter, &store, "during", || {
        let start = Instant::now();
        assert_eq!(store.destroy_bucket(DOOMED).unwrap(), destroy as u64);
        took = start.elapsed();
    });
    meter.value("destroy: all objects gone after", "s", took.as_secs_f64());
    meter.value("destroy: objects", "/s", destroy as f64 / took.as_secs_f64());
    meter.value("destroy: anonymous memory then", "MiB", anonymous_mib());
    let start = Instant::now();
    let done = store.compact(&AtomicBool::new(false));
    meter.value("destroy: space returned after another", "s", start.elapsed().as_secs_f64());
    meter.value("destroy: bytes copied for it", "B", done.moved_bytes as f64);
    let start = Instant::now();
    assert!(store.buckets().unwrap().contains(&NEIGHBOUR));
    meter.value("destroy: buckets told apart then", "s", start.elapsed().as_secs_f64());
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    meter.value("destroy: on disk before the fill", "MiB", mib(before));
    meter.value("destroy: on disk with the bucket", "MiB", mib(full));
    meter.value("destroy: on disk at the end", "MiB", mib(used(&folder(options))));
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(folder(options)).unwrap();
}

/// Latencies of a neighbour while something goes on.
fn watched(meter: &Meter, store: &Store, when: &str, body: impl FnOnce()) {
    let (stop, all) = (AtomicBool::new(false), Mutex::new((Vec::new(), Vec::new())));
    std::thread::scope(|scope| {
        let (stop, all) = (&stop, &all);
        scope.spawn(move || {
            let (mut gets, mut puts) = (Vec::new(), Vec::new());
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("a/{:08}", mix(n) % NEIGHBOURS);
                let start = Instant::now();
                let reader = store.open_object(NEIGHBOUR, &uname(&name), &name).unwrap().unwrap();
                assert_eq!(reader.read_at(&mut [0; 100], 0).unwrap(), 100);
                gets.push(start.elapsed());
                let start = Instant::now();
                put(store, NEIGHBOUR, &name);
                puts.push(start.elapsed());
                // An arrival each half millisecond: this is about waiting, not about the processor.
                std::thread::sleep(Duration::from_micros(500));
            }
            *all.lock().unwrap() = (gets, puts);
        });
        body();
        stop.store(true, Ordering::Relaxed);
    });
    let (gets, puts) = std::mem::take(&mut *all.lock().unwrap());
    for (what, mut took) in [("gets", gets), ("puts", puts)] {
        took.sort_unstable();
        for (share, at) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
            let last = took.len().saturating_sub(1);
            let one = took[((last as f64 * at) as usize).min(last)];
            let title = format!("destroy: neighbour's {what}, {when}, {share}");
            meter.value(&title, "ms", one.as_secs_f64() * 1e3);
        }
    }
}
