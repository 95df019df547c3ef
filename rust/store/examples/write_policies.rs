//! Puts of 10 KiB under each write policy, beside a file for each object that is synced by itself: the figures of
//! docs/decisions/0010-write-policies.md.
//!
//! `cargo run --release -p aistore-store --example write_policies -- [OBJECTS] [DIRECTORY]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement ends where something fails"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aistore_core::checksum::ChecksumType;
use aistore_core::config::WritePolicy;
use aistore_store::{PutOptions, Store, StoreConfig};

const BYTES: usize = 10 << 10;
const THREADS: [usize; 3] = [1, 8, 32];

fn main() {
    let mut args = std::env::args().skip(1);
    let objects: usize = args.next().map_or(5_000, |n| n.parse().expect("a number of objects"));
    let parent = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{objects} objects of {BYTES} bytes, {}", parent.display());
    println!("{:>10} {:>8} {:>10} {:>14}", "policy", "threads", "puts/s", "syncs per put");
    for threads in THREADS {
        let policies = [WritePolicy::Immediate, WritePolicy::Delayed, WritePolicy::Never];
        for policy in policies {
            let (rate, syncs) = puts(&parent, objects, threads, policy);
            let name = format!("{policy:?}").to_lowercase();
            println!("{name:>10} {threads:>8} {rate:>10.0} {syncs:>14.3}");
        }
        let rate = files(&parent, objects, threads);
        println!("{:>10} {threads:>8} {rate:>10.0} {:>14.3}", "files", 2.0);
    }
}

/// Puts per second, and syncs for each.
fn puts(parent: &Path, objects: usize, threads: usize, write_policy: WritePolicy) -> (f64, f64) {
    let directory = tempfile::tempdir_in(parent).unwrap();
    let config = StoreConfig::new(vec![directory.path().join("mp")]);
    let store = Store::open(StoreConfig { write_policy, ..config }).unwrap();
    let bytes = vec![7; BYTES];
    let rate = per_second(objects, threads, |n| {
        let options = PutOptions {
            checksum: ChecksumType::Xxhash2,
            size_hint: Some(BYTES as u64),
            ..PutOptions::default()
        };
        let name = format!("object-{n:08}");
        let mut writer = store.begin_put(1, &name, &name, options).unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
    });
    (rate, store.syncs() as f64 / objects as f64)
}

/// What a careful program does without a store: write, sync, rename, sync the directory.
fn files(parent: &Path, objects: usize, threads: usize) -> f64 {
    let directory = tempfile::tempdir_in(parent).unwrap();
    let (path, bytes) = (directory.path(), vec![7; BYTES]);
    per_second(objects, threads, |n| {
        let (tmp, name) = (path.join(format!("{n}.tmp")), path.join(format!("object-{n:08}")));
        let mut file = File::create(&tmp).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        std::fs::rename(&tmp, &name).unwrap();
        File::open(path).unwrap().sync_all().unwrap();
    })
}

fn per_second(objects: usize, threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || (thread..objects).step_by(threads).for_each(work));
        }
    });
    objects as f64 / started.elapsed().as_secs_f64()
}
