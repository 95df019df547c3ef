//! What is left after loss of power.
//!
//! A real process works on a twin of the file system, which records all that it does to its files. From the record
//! a disk is made as it may be when power is lost at a random moment: what was not synced is there, torn or gone,
//! at random (see `aistore_testkit::replay`). A store opened on it must hold what its write policy promises,
//! and must never pass off bytes as an object that nobody wrote. One such disk is what the next round goes on with.
//!
//! Seeds are printed: `POWER_SEED=n` repeats the choices of a test, not the scheduling of its threads.
//! `POWER_ROUNDS` and `POWER_POINTS` are rounds, and disks made of each. With `POWER_KEEP=DIR` a round that fails is
//! copied there.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;
#[path = "support/workload.rs"]
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aistore_core::config::WritePolicy;
use aistore_store::{Store, StoreConfig, StoreError};
use aistore_testkit::replay::Mood;
use aistore_testkit::{Event, Recording, SUPPORTED, Twin};
use workload::{Found, Objects, Operation, names, read};

const CHILD: &str = "STORE_POWER_CHILD";
const ROUNDS: u64 = 2;
const POINTS: u64 = 8;
const THREADS: u64 = 3;
const MOUNTPATHS: usize = 3;
/// Small, so that segments fill up and are compacted.
const SEGMENT_BYTES: u64 = 128 << 10;
/// An index that could not be read, and was rebuilt.
const DAMAGED: &str = "index.damaged";
const CLOSED: &str = "closed";
const BACK_BEGINS: &str = "back begins";
const WRITTEN_BACK: &str = "written back";

const POLICIES: [WritePolicy; 3] =
    [WritePolicy::Immediate, WritePolicy::Delayed, WritePolicy::Never];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn open(disks: &Path, write_policy: WritePolicy) -> Store {
    let paths = (0..MOUNTPATHS).map(|number| disks.join(format!("mp{number}"))).collect();
    let config =
        StoreConfig { segment_bytes: SEGMENT_BYTES, write_policy, ..StoreConfig::new(paths) };
    Store::open(config).unwrap_or_else(|error| panic!("the store does not open: {error}"))
}

/// What the process on the twin does.
struct Work {
    seed: u64,
    operations: u64,
    close: bool,
    policy: WritePolicy,
}

impl Work {
    fn run(&self, root: &Path) {
        let disks = root.join("disks");
        let twin = Twin::install(&disks, Some(&root.join("log"))).unwrap();
        let store = &open(&disks, self.policy);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..THREADS)
                .map(|thread| scope.spawn(move || self.write(twin, store, thread)))
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    store.compact(&AtomicBool::new(false));
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                    twin.mark(BACK_BEGINS);
                    store.write_back().unwrap();
                    twin.mark(WRITTEN_BACK);
                }
            });
            let failed = writers.into_iter().filter_map(|writer| writer.join().err()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(failed, 0, "writers failed");
        });
        if self.close {
            store.close().unwrap();
            twin.mark(CLOSED);
        }
        // Not even what ends a process in order.
        std::process::abort();
    }

    fn write(&self, twin: &Twin, store: &Store, thread: u64) {
        let mut random = fastrand::Rng::with_seed(self.seed ^ thread);
        for count in 0..self.operations {
            let number = (self.seed << 8 | thread) << 24 | count;
            let operation = Operation::random(&mut random, thread, number);
            twin.mark(&format!("B {thread} {}", operation.text()));
            let kind = match operation.run(store) {
                Ok(()) => "A",
                // About an object that was lost with the power before.
                Err(StoreError::Corrupt { .. } | StoreError::Checksum { .. })
                    if self.policy != WritePolicy::Immediate =>
                {
                    "E"
                }
                Err(error) => panic!("{}: {error}", operation.text()),
            };
            twin.mark(&format!("{kind} {thread} {}", operation.text()));
        }
    }
}

/// What a process is told to do by the test that starts it.
struct Order {
    policy: WritePolicy,
    seed: u64,
    root: PathBuf,
    /// What to say in front of a failure; empty for who does the work.
    context: String,
}

impl Order {
    /// Runs it in a process of its own.
    fn give(&self, test: &str) {
        let Self { policy, seed, root, context } = self;
        let order = format!("{policy:?}|{seed}|{}|{context}", root.display());
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--include-ignored"])
            .env(CHILD, order)
            .status()
            .unwrap();
        // Who works aborts at the end, and then has no exit code.
        let as_expected = status.code() == (!context.is_empty()).then_some(0);
        if !as_expected && let Ok(kept) = std::env::var("POWER_KEEP") {
            copy(root, Path::new(&kept));
        }
        assert!(as_expected, "{context}: {status}");
    }

    fn given() -> Option<Self> {
        let order = std::env::var(CHILD).ok()?;
        let mut fields = order.splitn(4, '|');
        let mut next = || fields.next().unwrap();
        let policy = next();
        let policy = POLICIES.into_iter().find(|known| format!("{known:?}") == policy).unwrap();
        let seed = next().parse().unwrap();
        Some(Self { policy, seed, root: next().into(), context: next().to_owned() })
    }

    fn obey(&self) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        if self.context.is_empty() {
            let (operations, close) = (random.u64(5..60), random.bool());
            Work { seed: self.seed, operations, close, policy: self.policy }.run(&self.root);
        } else {
            // For speed: nothing is brought to the real disk.
            Twin::install(&self.root, None).unwrap();
            self.check_round(&mut random);
        }
    }

    /// Lets power fail at random points of what was recorded, and goes on with what the last left.
    fn check_round(&self, random: &mut fastrand::Rng) {
        let [base, disks, after] = ["base", "disks", "after"].map(|name| self.root.join(name));
        let before = known(&self.root);
        let recording = Recording::read(&self.root.join("log")).unwrap();
        let end = recording.events.len();
        let marked = recording.events.iter().position(|event| matches!(event, Event::Mark(_)));
        let mut seen = Seen::default();
        for left in (0..setting("POWER_POINTS", POINTS)).rev() {
            let point = match random.u8(..8) {
                0 => end,
                1 => random.usize(..=end),
                _ => random.usize(marked.unwrap_or(end)..=end),
            };
            let mood = Mood::random(random);
            let context = format!("{}, after {point} of {end} events, {mood:?}", self.context);
            let mut again = random.clone();
            let replay = |random: &mut fastrand::Rng, to: &Path| {
                std::fs::create_dir_all(to).unwrap();
                recording.replay(Some(&base), point, mood, random, to).unwrap();
                boot_again(to);
            };
            replay(random, &after);
            let found =
                check(&after, (&recording, point), &before, self.policy, &mut seen, &context);
            std::fs::remove_dir_all(&after).unwrap();
            if left == 0 {
                // The next round starts on the disk as power left it.
                std::fs::remove_dir_all(&disks).unwrap();
                replay(&mut again, &disks);
                note_known(&self.root, &found);
            }
        }
        println!("{seen:?}");
    }
}

/// Lets the machine be started once more, as far as the disks tell: what runs now is another boot than the one that
/// wrote there.
fn boot_again(disks: &Path) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for number in 0..MOUNTPATHS {
        let ais = disks.join(format!("mp{number}/ais"));
        let damaged = ais.join(DAMAGED);
        if damaged.exists() {
            std::fs::remove_dir_all(damaged).unwrap();
        }
        let run = ais.join("run.json");
        let Ok(text) = std::fs::read_to_string(&run) else { continue };
        std::fs::write(run, text.replace(boot.trim(), "another")).unwrap();
    }
}

/// What a thread's names hold on the disks that a round begins with, and which cannot be read.
#[derive(Debug, Clone, Default)]
struct Held {
    objects: Objects,
    lost: BTreeSet<String>,
}

fn known(root: &Path) -> Vec<Held> {
    let text = std::fs::read_to_string(root.join("known")).unwrap_or_default();
    let mut known = vec![Held::default(); usize::try_from(THREADS).unwrap()];
    for line in text.lines() {
        let [thread, name, number, custom] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let held = &mut known[thread.parse::<usize>().unwrap()];
        match number.parse() {
            Ok(number) => drop(held.objects.insert(name.to_owned(), (number, custom.to_owned()))),
            Err(_) => drop(held.lost.insert(name.to_owned())),
        }
    }
    known
}

fn note_known(root: &Path, known: &[Held]) {
    let lines = known.iter().enumerate().flat_map(|(thread, held)| {
        let line = move |(name, (number, custom)): (&String, &(u64, String))| {
            format!("{thread} {name} {number} {custom}\n")
        };
        let lost = held.lost.iter().map(move |name| format!("{thread} {name} lost -\n"));
        held.objects.iter().map(line).chain(lost)
    });
    std::fs::write(root.join("known"), lines.collect::<String>()).unwrap();
}

/// What a thread said up to some point.
#[derive(Default)]
struct Said {
    /// Its names after all that was acknowledged.
    done: Objects,
    under_way: Option<Operation>,
    /// Its names when the last write-back began that ended.
    safe: Objects,
    /// What was under way then, and what began after it.
    since: Vec<Operation>,
    /// What failed: nobody knows what it left.
    failed: Vec<Operation>,
    /// Every version that each name ever had.
    versions: BTreeMap<String, BTreeSet<u64>>,
}

impl Said {
    fn by(
        thread: u64,
        before: &Held,
        policy: WritePolicy,
        recording: &Recording,
        point: usize,
    ) -> Self {
        let (done, safe) = (before.objects.clone(), before.objects.clone());
        // As after a change that failed.
        let failed = before.lost.iter().cloned().map(Operation::Delete).collect();
        let mut said = Self { done, safe, failed, ..Self::default() };
        said.note(before.objects.clone());
        let mut begins = None;
        for mark in recording.marks(point) {
            if mark == BACK_BEGINS && policy != WritePolicy::Never {
                let first = said.since.len() - usize::from(said.under_way.is_some());
                begins = Some((said.done.clone(), first));
            } else if let (WRITTEN_BACK, Some((safe, first))) = (mark, &begins) {
                said.safe.clone_from(safe);
                said.since.drain(..first);
                begins = None;
            }
            let mut fields = mark.splitn(3, ' ');
            let (kind, by, text) = (fields.next(), fields.next(), fields.next());
            if by != Some(&thread.to_string()) {
                continue;
            }
            let operation = Operation::parse(text.unwrap()).unwrap();
            let mut after = said.done.clone();
            operation.apply(&mut after);
            if kind == Some("B") {
                said.note(after);
                if names_of(&operation).iter().any(|name| said.is_uncertain(name)) {
                    // What is lost goes along.
                    said.failed.push(operation.clone());
                }
                said.since.push(operation.clone());
                said.under_way = Some(operation);
                continue;
            }
            said.under_way = None;
            match kind {
                Some("A") => said.done = after,
                _ => said.failed.push(operation),
            }
        }
        said
    }

    fn note(&mut self, objects: Objects) {
        for (name, (number, _)) in objects {
            self.versions.entry(name).or_default().insert(number);
        }
    }

    /// Whether the bucket of a name is on its way out: who began that goes on with it after the start, and until then
    /// payload may be gone before its entry.
    fn is_being_destroyed(&self, name: &str) -> bool {
        let destroys = |operation: &&Operation| matches!(operation, Operation::Destroy(_));
        self.under_way.as_ref().filter(destroys).is_some_and(|operation| operation.touches(name))
    }

    /// Whether nobody knows what a name holds, because something about it failed, or it was lost before.
    fn is_uncertain(&self, name: &str) -> bool {
        self.failed.iter().any(|operation| operation.touches(name))
    }

    /// Whether `found` is what a store must hold that keeps what it acknowledged.
    fn is_kept(&self, found: &Objects) -> bool {
        let certain = |objects: &Objects| -> Objects {
            let certain = objects.iter().filter(|(name, _)| !self.is_uncertain(name));
            certain.map(|(name, object)| (name.clone(), object.clone())).collect()
        };
        let (done, found) = (certain(&self.done), certain(found));
        match &self.under_way {
            None => done == found,
            Some(operation) => operation.may_leave(&done, &found),
        }
    }
}

/// The two names that are changed together.
fn names_of(operation: &Operation) -> Vec<&str> {
    match operation {
        Operation::Rename(from, to) => vec![from, to],
        _ => Vec::new(),
    }
}

/// What was found under the names of a thread, and the errors.
fn observe(store: &Store, thread: u64, context: &str) -> (Objects, BTreeMap<String, String>) {
    let (mut objects, mut errors) = (Objects::new(), BTreeMap::new());
    for name in names(thread) {
        match read(store, &name) {
            Found::Nothing => {}
            Found::Object(number, custom) => drop(objects.insert(name, (number, custom))),
            Found::Error(error) => drop(errors.insert(name, error)),
            Found::Wrong(what) => panic!("{context}: {name} is read as what nobody wrote: {what}"),
        }
    }
    (objects, errors)
}

/// How often something was seen.
#[derive(Debug, Default)]
struct Seen {
    disks: u64,
    acknowledged: usize,
    lost: usize,
    unreadable: usize,
}

/// Opens a store on a disk that lost power and checks it; returns what each thread's names hold.
fn check(
    disks: &Path,
    (recording, point): (&Recording, usize),
    before: &[Held],
    policy: WritePolicy,
    seen: &mut Seen,
    context: &str,
) -> Vec<Held> {
    let store = open(disks, policy);
    let closed = recording.marks(point).any(|mark| mark == CLOSED);
    let is_rebuilt = |number| disks.join(format!("mp{number}/ais")).join(DAMAGED).exists();
    assert!(!(0..MOUNTPATHS).any(is_rebuilt), "{context}: an index could not be read");
    let mut all = Vec::new();
    for (thread, before) in (0..).zip(before) {
        let said = Said::by(thread, before, policy, recording, point);
        let (found, errors) = observe(&store, thread, context);
        let strict = closed || policy == WritePolicy::Immediate;
        let expected = format!("expected {:?}, or after {:?}", said.done, said.under_way);
        let details =
            format!("{context}, thread {thread}: found {found:?}, {errors:?}, {expected}");
        if strict {
            let readable =
                errors.keys().all(|name| said.is_being_destroyed(name) || said.is_uncertain(name));
            let history: Vec<_> = recording
                .marks(point)
                .filter(|mark| errors.keys().any(|name| mark.contains(&**name)))
                .collect();
            let details = format!("{details}, {history:?}");
            assert!(readable && said.is_kept(&found), "{details}");
        }
        for name in names(thread) {
            if said.since.iter().chain(&said.failed).all(|operation| !operation.touches(&name)) {
                let kept = found.get(&name) == said.safe.get(&name) && !errors.contains_key(&name);
                assert!(kept, "{name} was safe; {details}");
            } else if let Some((number, _)) = found.get(&name) {
                let known = said.versions.get(&name).is_some_and(|all| all.contains(number));
                assert!(known, "{name} never was that; {details}");
            }
        }
        seen.acknowledged += said.done.len();
        seen.lost += said.done.keys().filter(|name| !found.contains_key(*name)).count();
        seen.unreadable += errors.len();
        all.push(Held { objects: found, lost: errors.into_keys().collect() });
    }
    seen.disks += 1;
    store.close().unwrap_or_else(|error| panic!("{context}: the store does not close: {error}"));
    all
}

fn survive(test: &str, policy: WritePolicy) {
    if let Some(order) = Order::given() {
        return order.obey();
    }
    if !SUPPORTED {
        return;
    }
    let seed = setting("POWER_SEED", fastrand::u64(..1 << 20));
    println!("POWER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let root = tempfile::tempdir().unwrap();
    let disks = root.path().join("disks");
    for number in 0..MOUNTPATHS {
        std::fs::create_dir_all(disks.join(format!("mp{number}"))).unwrap();
    }
    for round in 0..setting("POWER_ROUNDS", ROUNDS) {
        let base = root.path().join("base");
        copy(&disks, &base);
        for context in [String::new(), format!("POWER_SEED={seed}, round {round}")] {
            let (seed, root) = (random.u64(..1 << 30), root.path().to_path_buf());
            Order { policy, seed, root, context }.give(test);
        }
        std::fs::remove_dir_all(&base).unwrap();
    }
}

/// Copies a directory, and of its files what is not a hole: the index takes space in advance.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[test]
fn what_was_acknowledged_is_there_where_writes_are_immediate() {
    let test = "what_was_acknowledged_is_there_where_writes_are_immediate";
    survive(test, WritePolicy::Immediate);
}

#[test]
fn what_is_there_is_whole_where_writes_are_delayed() {
    let test = "what_is_there_is_whole_where_writes_are_delayed";
    survive(test, WritePolicy::Delayed);
}

#[test]
fn what_is_there_is_whole_where_writes_are_never_synced() {
    let test = "what_is_there_is_whole_where_writes_are_never_synced";
    survive(test, WritePolicy::Never);
}
