//! Models of what threads do at the same time: the code of the store itself, run by `shuttle` in many orders.
//!
//! Threads change places at every lock and at every `step!`. Each model runs [`ROUNDS`] times with orders chosen at
//! random, and as often with orders of few changes, which find what needs a particular one (PCT). `MODEL_ROUNDS=n`
//! runs more. Each is also run over code with a flaw that it must find. A failure prints its order; `MODEL_ORDER=...` with `--exact NAME` runs that one again.

mod cache;
mod group;
mod place;
mod rows;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aistore_core::config::WritePolicy;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use tempfile::TempDir;

use crate::config::{Limits, PutOptions};
use crate::durability::Policies;
use crate::index::Index;
use crate::mountpath::{Built, Claimed, Mountpath};
use crate::set::MountpathSet;
use crate::space::Watermark;
use crate::steps::with_flaw;
use crate::store::Store;
use crate::sync::modelled;

const ROUNDS: usize = 150;
/// Changes of the thread in an order of few changes.
const CHANGES: usize = 4;
/// The engine of the index needs more than the usual stack of a model's thread.
const STACK_BYTES: usize = 1 << 20;

/// Runs a model in many orders.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    if let Ok(order) = std::env::var("MODEL_ORDER") {
        return modelled(|| shuttle::replay(model, &order));
    }
    let rounds = std::env::var("MODEL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let (rounds, model) = (rounds.unwrap_or(ROUNDS), Arc::new(model));
    run(RandomScheduler::new(rounds), &model);
    run(PctScheduler::new(CHANGES, rounds), &model);
}

/// Runs a model with a flaw in what it models, which it must find.
fn finds(flaw: &'static str, model: fn()) {
    let found = std::panic::catch_unwind(|| with_flaw(flaw, model));
    assert!(found.is_err(), "the model does not find \"{flaw}\"");
}

fn run(scheduler: impl Scheduler + 'static, model: &Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let model = Arc::clone(model);
    modelled(|| Runner::new(scheduler, config).run(move || model()));
}

/// What outlives the rounds of a model: opening an index takes longer than many rounds.
struct Ground {
    index: Index,
    dir: TempDir,
    bid: AtomicU64,
}

impl Ground {
    fn new() -> Self {
        let dir = directory();
        let index = Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap();
        Self { index, dir, bid: AtomicU64::new(1 << 40) }
    }

    /// A bucket that no round had before.
    fn bucket(&self) -> u64 {
        self.bid.fetch_add(1, Ordering::Relaxed)
    }

    /// An empty store. Segments of `segment_bytes`; for 0 every blob is a file.
    fn store(&self, segment_bytes: u64, policy: WritePolicy) -> (Store, TempDir) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let max_record_bytes = if segment_bytes == 0 { 0 } else { 4096 };
        let limits = Limits { cache_bytes: 0, descriptors: 2, max_record_bytes, segment_bytes };
        let claimed = Claimed::open(dir.path()).unwrap();
        let peers = BTreeSet::from([claimed.format.uuid.clone()]);
        let index = |_: &_, _: &_| Ok((self.index.clone(), Built::Gradually));
        let rules = (Watermark::default(), Policies::new(policy));
        let opened = Mountpath::open_with(claimed, &peers, false, limits, rules.clone(), index);
        let mountpath = opened.unwrap();
        mountpath.swept.store(true, Ordering::Relaxed);
        let set = MountpathSet::new(vec![Arc::new(mountpath)], Vec::new(), false).unwrap();
        (Store::over(set, limits, rules), dir)
    }
}

/// In memory where there is room: rounds are many, and sync their files.
fn directory() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |room| room.f_bavail * room.f_frsize);
    if room > 1 << 29 {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Puts an object of `size` bytes, each of them `byte`.
fn put(store: &Store, bid: u64, name: &str, byte: u8, size: usize) {
    let mut writer = store.begin_put(bid, name, name, PutOptions::default()).unwrap();
    writer.write(&vec![byte; size]).unwrap();
    writer.finish().unwrap();
}

/// Reads an object; the byte that it is made of, and how many.
fn get(store: &Store, bid: u64, name: &str) -> Option<(u8, usize)> {
    let reader = store.open_object(bid, name, name).unwrap()?;
    let size = usize::try_from(reader.meta().size).unwrap();
    step!("model: object opened");
    let mut bytes = vec![0; size];
    assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), size);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "torn");
    Some((bytes[0], size))
}
