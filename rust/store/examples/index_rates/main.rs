//! How fast the index is with millions of names: the figures of docs/decisions/0001-index-engine.md.
//!
//! ```sh
//! cargo run --release -p aistore-store --example index_rates -- --objects 5000000 --dir /disk/to/measure
//! ```
//!
//! `bare` is the index without blobs, as one mountpath uses it; `store` puts objects of 100 bytes the way that
//! a node does. Both name objects in an order that is not theirs. The columns after the unit are the same rate per
//! second of processor time of the calling threads, and of the whole process with the engine's own threads until
//! these rest again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unreadable_literal,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a measurement ends where something fails"
)]

mod bare;
mod destroy;
mod files;
mod meter;
mod store;

use std::path::PathBuf;

use meter::Meter;

pub struct Options {
    pub objects: usize,
    /// Lookups, and inserts on top of the objects.
    pub calls: usize,
    /// Objects of the bucket that goes.
    pub destroy: usize,
    /// Files of the comparison.
    pub files: usize,
    pub cache_bytes: u64,
    /// Cache of the index when all names are looked up twice.
    pub large_cache_bytes: u64,
    pub dir: PathBuf,
    pub only: Option<String>,
    pub meter: Meter,
}

type Step = fn(&Options);

fn main() {
    let mut args = std::env::args().skip(1);
    let mut options = Options {
        objects: 200_000,
        calls: 200_000,
        destroy: 100_000,
        files: 50_000,
        cache_bytes: aistore_store::DEFAULT_INDEX_CACHE_BYTES,
        large_cache_bytes: 1 << 30,
        dir: std::env::temp_dir(),
        only: None,
        meter: Meter::default(),
    };
    let mut child = None;
    while let Some(flag) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{flag} wants a value"));
        match flag.as_str() {
            "--objects" => options.objects = value().parse().unwrap(),
            "--calls" => options.calls = value().parse().unwrap(),
            "--destroy" => options.destroy = value().parse().unwrap(),
            "--files" => options.files = value().parse().unwrap(),
            "--cache-mib" => options.cache_bytes = value().parse::<u64>().unwrap() << 20,
            "--large-cache-mib" => {
                options.large_cache_bytes = value().parse::<u64>().unwrap() << 20;
            }
            "--dir" => options.dir = PathBuf::from(value()),
            "--only" => options.only = Some(value()),
            "--json" => options.meter.json = true,
            "--child" => child = Some(value()),
            other => panic!("{other} is no option: see the top of this example"),
        }
    }
    if let Some(step) = child {
        return store::child(&step, &options);
    }
    if !options.meter.json {
        println!("{}", std::env::args().collect::<Vec<_>>().join(" "));
        println!("{}", machine());
    }
    let folder = options.dir.join(format!("index-rates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = Options { dir: folder.clone(), ..options };
    let steps: [(&str, Step); 4] = [
        ("bare", bare::run),
        ("files", files::run),
        ("store", store::run),
        ("destroy", destroy::run),
    ];
    for (what, step) in steps {
        if options.only.as_deref().is_none_or(|only| only == what) {
            step(&options);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find(|line| line.starts_with("model name")).unwrap_or("");
    let model = model.split(": ").nth(1).unwrap_or("unknown processor");
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    format!("{count} x {model}, Linux {}, load {}", kernel.trim(), load.trim())
}

/// Name of the `n`th object.
pub fn name(n: usize) -> String {
    format!("train/{n:08}.jpg")
}
