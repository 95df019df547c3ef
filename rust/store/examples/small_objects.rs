//! Puts and reads of small objects, with and without segments: the figures of docs/decisions/0009-segments.md.
//!
//! `cargo run --release -p aistore-store --example small_objects -- [OBJECTS] [DIRECTORY]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a measurement ends where something fails"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use aistore_core::checksum::ChecksumType;
use aistore_store::{DEFAULT_MAX_RECORD_BYTES, PutOptions, Store, StoreConfig};

const THREADS: usize = 4;
const SIZES: [usize; 5] = [1 << 10, 4 << 10, 10 << 10, 32 << 10, 60 << 10];

struct Rates {
    puts: f64,
    reads: f64,
    deletes: f64,
    disk: u64,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let objects: usize = args.next().map_or(20_000, |n| n.parse().expect("a number of objects"));
    let parent = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{objects} objects, {THREADS} threads, {}", parent.display());
    println!(
        "{:>8} {:>9} {:>10} {:>10} {:>10} {:>12}",
        "bytes", "kept in", "puts/s", "reads/s", "deletes/s", "disk, bytes"
    );
    for size in SIZES {
        for (kept, most) in [("files", 0), ("segments", DEFAULT_MAX_RECORD_BYTES)] {
            let rates = measure(&parent, size, objects, most);
            let Rates { puts, reads, deletes, disk } = rates;
            println!("{size:>8} {kept:>9} {puts:>10.0} {reads:>10.0} {deletes:>10.0} {disk:>12}");
        }
    }
}

fn measure(parent: &Path, size: usize, objects: usize, most: u64) -> Rates {
    let directory = parent.join(format!("small-objects-{}", std::process::id()));
    let config =
        StoreConfig { max_record_bytes: most, ..StoreConfig::new(vec![directory.join("mp")]) };
    let store = Store::open(config).unwrap();
    let bytes: Vec<u8> = (0..size).map(|i| (i % 251).to_le_bytes()[0]).collect();
    let puts = per_second(objects, |n| {
        let options = PutOptions {
            checksum: ChecksumType::Xxhash2,
            size_hint: Some(size as u64),
            ..PutOptions::default()
        };
        let name = format!("object-{n:08}");
        let mut writer = store.begin_put(1, &name, &name, options).unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
    });
    let disk = used(&directory);
    let reads = per_second(objects, |n| {
        // A permutation, so that no order of the disk helps.
        let name = format!("object-{:08}", n * 7919 % objects);
        let reader = store.open_object(1, &name, &name).unwrap().unwrap();
        let mut read = vec![0; size];
        assert_eq!(reader.read_at(&mut read, 0).unwrap(), size);
    });
    let deletes = per_second(objects, |n| {
        let name = format!("object-{n:08}");
        assert!(store.delete(1, &name, &name).unwrap());
    });
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(&directory).unwrap();
    Rates { puts, reads, deletes, disk }
}

fn per_second(objects: usize, work: impl Fn(usize) + Sync) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || (thread..objects).step_by(THREADS).for_each(work));
        }
    });
    objects as f64 / started.elapsed().as_secs_f64()
}

fn used(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::symlink_metadata(directory).unwrap();
    let below = if meta.is_dir() {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| used(&entry.unwrap().path())).sum()
    } else {
        0
    };
    meta.blocks() * 512 + below
}
