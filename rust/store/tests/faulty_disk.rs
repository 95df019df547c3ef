//! Every verb of a store on disks that fail in the middle of it: the n-th read, write, sync, reservation, change of
//! length or name, and so on, for n = 1, 2, 3, ... Each verb is done or says why not. What was acknowledged, before
//! and after the failure, is there when the store is opened again; of the verb that failed, all or nothing; nothing
//! is left that no object names; and once bytes may not have reached the disk, the mountpath refuses changes.
//!
//! The test binary starts itself as the process on the failing disks. Its choices are always the same, so that what is
//! found is found again; `FAULTS_SEED=n` makes others. All n of all verbs:
//! `cargo test -p aistore-store --test faulty_disk -- --ignored --nocapture`, one kind of store with `FAULTS_KIND=n`.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "in helpers of tests a panic is the report"
)]

mod verbs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aistore_store::Store;
use aistore_testkit::{Call, Fault, Hit, Rule, Twin};
use verbs::check::{check_blobs, settle_world, sweep_strays};
use verbs::hand::{Hand, wait_until};
use verbs::{How, Name, Setting, Verb, World};

const CHILD_ENV: &str = "STORE_FAULTY_DISK";
const BID: u64 = 1 << 63 | 5;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Failures of one kind in one verb; none has more calls.
const MOST: u64 = 400;
/// Cases of the short run.
const SAMPLE: usize = 45;

/// How calls fail: a name, and the rule.
fn faults() -> Vec<(&'static str, Fault, Vec<Call>)> {
    use Call::{Allocate, Create, MakeDir, Open, Read, Remove, Rename, Sync, Truncate, Write};
    vec![
        ("read fails", Fault::Error(EIO), vec![Read]),
        ("read is short", Fault::Short, vec![Read]),
        ("open fails", Fault::Error(EIO), vec![Open]),
        ("write fails", Fault::Error(EIO), vec![Write]),
        ("write is torn", Fault::Torn(EIO), vec![Write]),
        ("write finds no room", Fault::Torn(ENOSPC), vec![Write]),
        ("write is short", Fault::Short, vec![Write]),
        ("sync fails", Fault::Error(EIO), vec![Sync]),
        ("reservation finds no room", Fault::Error(ENOSPC), vec![Allocate]),
        ("create finds no room", Fault::Error(ENOSPC), vec![Create, MakeDir]),
        ("name fails", Fault::Error(EIO), vec![Create, MakeDir, Rename, Remove]),
        ("length fails", Fault::Error(EIO), vec![Truncate]),
    ]
}

/// Every verb, with what leads to it.
fn scenarios() -> Vec<Vec<Verb>> {
    let (one, two, other) = (Name(0, 0), Name(0, 1), Name(1, 2));
    let put = |name| Verb::Put(name, How::Plain);
    let upload = |last| vec![Verb::Start(0, one), Verb::Part(0, 1), Verb::Part(0, 2), last];
    let session = |last| vec![put(one), Verb::Begin(0, one), Verb::Append(0), last];
    vec![
        vec![put(one)],
        vec![put(one), put(one)],
        vec![Verb::Put(one, How::Chunked)],
        vec![put(one), Verb::Put(one, How::IfThere)],
        vec![Verb::Delete(one), Verb::Put(one, How::IfAbsent)],
        vec![Verb::GiveUp(one)],
        // Large ones: half of these are in one piece, half in parts.
        vec![Verb::Hold(0, one)],
        vec![Verb::Hold(0, one), Verb::Release(0)],
        vec![Verb::Hold(1, two), put(one), Verb::Release(1)],
        vec![Verb::Start(0, one)],
        vec![Verb::Start(0, one), Verb::Part(0, 1)],
        vec![Verb::Start(0, one), Verb::Part(0, 1), Verb::Part(0, 1)],
        upload(Verb::Complete(0)),
        upload(Verb::Abandon(0)),
        vec![put(one), Verb::Begin(0, one)],
        session(Verb::Append(0)),
        session(Verb::Flush(0)),
        vec![put(one), Verb::Patch(one)],
        vec![put(one), put(two), Verb::Rename(one, 1)],
        vec![Verb::Put(one, How::Chunked), Verb::Rename(one, 3)],
        vec![put(one), Verb::Move(one, 2)],
        vec![put(one), Verb::Delete(one)],
        vec![Verb::Put(one, How::Chunked), Verb::Delete(one)],
        vec![put(other), put(Name(1, 3)), Verb::Destroy(1)],
        vec![put(one), Verb::Copies(one, 1)],
        vec![put(one), Verb::Copies(one, 1), Verb::Copies(one, 3)],
        vec![put(one), Verb::Range(one, 0, 900)],
        vec![Verb::Put(one, How::Chunked), Verb::Open(0, one)],
        vec![Verb::Put(one, How::Chunked), Verb::Open(0, one), Verb::Finish(0)],
        vec![put(one), Verb::Head(one)],
        vec![put(one), put(two), Verb::List(0, false, 1)],
        vec![put(one), put(two), put(one), put(two), Verb::Delete(one), Verb::Compact],
        vec![put(one), put(two), Verb::Leave(1)],
        vec![put(one), put(two), Verb::Leave(1), Verb::Settle],
        vec![put(one), Verb::Leave(0), Verb::Settle, Verb::Back],
        vec![put(one), Verb::Leave(2), Verb::Settle, Verb::Back, Verb::Settle],
        vec![put(one), Verb::WriteBack],
        vec![Verb::GiveUp(one), Verb::Tidy],
        vec![put(one), Verb::Reopen],
    ]
}

/// The number of a failing call, and of what kind, while the last of these verbs is done.
struct Case<'a> {
    verbs: &'a [Verb],
    fault: (&'static str, Fault, &'a [Call]),
    nth: u64,
}

impl std::fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} at call {}", self.verbs, self.fault.0, self.nth)
    }
}

/// A store that goes from case to case.
struct Way {
    twin: &'static Twin,
    setting: Setting,
    world: World,
    store: Option<Store>,
    count: u64,
    told: BTreeMap<&'static str, u64>,
}

/// Panics of any thread.
static PANICS: AtomicU64 = AtomicU64::new(0);

impl Way {
    /// Kinds as in the crash model: on one mountpath or three, in segments or files, mirrored or not.
    fn new(twin: &'static Twin, root: &Path, kind: u8) -> Self {
        let mountpaths = if kind & 1 == 0 { 3 } else { 1 };
        let dir = root.join(format!("kind{kind}"));
        let setting = Setting {
            paths: (0..mountpaths).map(|number| dir.join(format!("mp{number}"))).collect(),
            files_only: kind & 2 != 0,
            segment_bytes: 20_000,
            copies: if kind & 4 == 0 { 1 } else { 2 },
            policy: 0,
            first_bid: BID,
        };
        let (world, told) = (World::default(), BTreeMap::new());
        let mut way = Self { twin, setting, world, store: None, count: 0, told };
        way.store = Some(way.opened());
        way
    }

    fn opened(&self) -> Store {
        let store = Store::open(self.setting.config()).unwrap();
        wait_until("the sweep", || store.is_swept());
        store
    }

    fn tell(&mut self, what: &'static str) {
        *self.told.entry(what).or_insert(0) += 1;
    }

    /// Does a verb on disks that work, if it does anything.
    fn work(&mut self, hand: &mut Hand, verb: &Verb) {
        if !self.world.allows(verb) {
            return;
        }
        self.count += 1;
        let said = hand.run(self.store.as_ref().unwrap(), verb, self.count, &self.world);
        self.world.apply(verb, self.count, &said);
    }

    /// Returns whether a call failed.
    fn run(&mut self, case: &Case<'_>) -> bool {
        let context = format!("{case}, {:?}", self.setting);
        let mut hand = Hand::new(self.setting.clone());
        // What earlier cases left would be in the way.
        for slot in [0, 1] {
            for verb in [Verb::Abandon(slot), Verb::Flush(slot)] {
                self.work(&mut hand, &verb);
            }
        }
        self.work(&mut hand, &Verb::Back);
        let (last, before) = case.verbs.split_last().unwrap();
        for verb in before {
            self.work(&mut hand, verb);
        }
        if !self.world.allows(last) {
            return false;
        }
        self.count += 1;
        let (_, fault, calls) = case.fault;
        let rule = Rule::new(fault, calls).after(case.nth - 1).times(1);
        self.twin.set_rules(case.nth, vec![rule]);
        let done = if *last == Verb::Reopen {
            self.reopen(&mut hand)
        } else {
            let store = self.store.as_ref().unwrap();
            hand.try_run(store, last, self.count, &self.world).map_err(|error| error.to_string())
        };
        let hits = self.twin.end_rules();
        let under_way = done.is_err().then_some((last, self.count));
        self.tell(match (&done, hits.is_empty()) {
            (_, true) => "not reached",
            (Ok(_), _) => "repaired",
            (Err(_), _) => "refused",
        });
        if let Ok(said) = &done {
            self.world.apply(last, self.count, said);
        } else {
            assert!(!hits.is_empty(), "{context}: failed without a cause: {done:?}");
        }
        let context = format!("{context}: {done:?} by {hits:?}");
        hand.let_go();
        if hits.is_empty() {
            // As any other time: the next case finds it so.
            return false;
        }
        // Until the mountpath is opened anew, as this verb does.
        let refuses = is_unsynced(&hits) && self.setting.paths.len() == 1 && *last != Verb::Reopen;
        self.after(under_way, refuses && done.is_err(), &context);
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{context}: a thread panicked");
        true
    }

    /// Closes the store and opens it again, on disks that fail in between.
    fn reopen(&mut self, hand: &mut Hand) -> Result<String, String> {
        hand.let_go();
        let store = self.store.take().unwrap();
        let closed = store.close();
        drop(store);
        let opened = Store::open(self.setting.config()).map_err(|error| error.to_string());
        let opened = opened.map(|store| self.store = Some(store));
        closed.map_err(|error| error.to_string()).and(opened).map(|()| String::new())
    }

    /// What is there after a failure; and, when the store is opened again, still.
    fn after(&mut self, under_way: Option<(&Verb, u64)>, refuses: bool, context: &str) {
        let (kept, late) = (Name(0, 4), self.count + 1);
        self.count += 2;
        if let Some(store) = self.store.take() {
            wait_until("the sweep", || store.is_swept());
            let put = |number| {
                let mut hand = Hand::new(self.setting.clone());
                hand.try_run(&store, &Verb::Put(kept, How::Plain), number, &self.world)
            };
            let acknowledged = put(late);
            assert!(
                !refuses || acknowledged.is_err(),
                "{context}: acknowledged after a sync that failed"
            );
            if acknowledged.is_ok() {
                self.world.apply(&Verb::Put(kept, How::Plain), late, "");
            } else {
                // What fails behind the back of a verb is that of the index, or of what is to count already.
                let told = under_way.is_some() || context.contains("ais/index");
                assert!(told, "{context}: {acknowledged:?}");
                self.tell("went on refusing");
            }
            if self.count.is_multiple_of(4) && acknowledged.is_ok() {
                // A mountpath whose journal failed says so again.
                let closed = store.close();
                assert!(closed.is_ok() || under_way.is_some(), "{context}: {closed:?}");
            }
        }
        let store = self.opened();
        let context = format!("{context}, opened again");
        self.world = settle_world(&store, &self.setting, &self.world, under_way, &context);
        let store = sweep_strays(store, &self.setting);
        check_blobs(&store, &self.setting, &self.setting.bids(), &context);
        self.store = Some(store);
    }
}

/// Whether bytes of blobs or of the index may not have reached the disk.
fn is_unsynced(hits: &[Hit]) -> bool {
    hits.iter().any(|hit| {
        let is =
            |extension: &str| Path::new(&hit.path).extension().is_some_and(|is| is == extension);
        let journal = hit.path.contains("ais/index") && is("jnl");
        let blobs = hit.path.contains("ais/blobs/") || is("segment");
        hit.call == Call::Sync && (blobs || journal)
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// All n of all verbs on stores of one kind.
fn sweep(way: &mut Way) {
    // From which scenario on, to look at one again.
    let first = number("FAULTS_FIRST").and_then(|first| usize::try_from(first).ok()).unwrap_or(0);
    for (place, verbs) in scenarios().into_iter().enumerate().skip(first) {
        println!("scenario {place}");
        for (name, fault, calls) in faults() {
            for nth in 1..=MOST {
                let case = Case { verbs: &verbs, fault: (name, fault, &calls), nth };
                if !way.run(&case) {
                    break;
                }
            }
        }
    }
}

/// Some of them.
fn sample(twin: &'static Twin, root: &Path, seed: u64) -> BTreeMap<&'static str, u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (scenarios, faults) = (scenarios(), faults());
    let mut ways = [0, 1, 6].map(|kind| Way::new(twin, root, kind));
    for turn in 0..SAMPLE {
        let verbs = &scenarios[turn * 7 % scenarios.len()];
        let (name, fault, calls) = &faults[random.usize(..faults.len())];
        let mut nth = random.u64(1..12);
        let way = &mut ways[turn % 3];
        // A call that there is: half the number until there is one.
        while nth > 0 {
            let case = Case { verbs, fault: (name, *fault, calls), nth };
            if way.run(&case) {
                break;
            }
            nth /= 3;
        }
    }
    let mut told = BTreeMap::new();
    for way in ways {
        for (what, count) in way.told {
            *told.entry(what).or_insert(0) += count;
        }
    }
    told
}

/// Runs a test in a process of its own; returns the root of its disks there.
fn on_faulty_disks(test: &str) -> Option<(&'static Twin, PathBuf)> {
    if let Ok(root) = std::env::var(CHILD_ENV) {
        let root = PathBuf::from(root);
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            print(panic);
        }));
        return Some((Twin::install(&root, None).unwrap(), root));
    }
    let root = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(CHILD_ENV, root.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}: see above");
    None
}

#[test]
fn no_error_of_a_disk_is_swallowed() {
    let Some((twin, root)) = on_faulty_disks("no_error_of_a_disk_is_swallowed") else { return };
    let seed = number("FAULTS_SEED").unwrap_or(1);
    println!("FAULTS_SEED={seed}");
    let began = Instant::now();
    let told = sample(twin, &root, seed);
    println!("{told:?} in {} s", began.elapsed().as_secs());
}

#[test]
#[ignore = "takes some minutes: every call of every verb"]
fn no_error_at_any_call_of_a_disk_is_swallowed() {
    let test = "no_error_at_any_call_of_a_disk_is_swallowed";
    let Some((twin, root)) = on_faulty_disks(test) else { return };
    let only = number("FAULTS_KIND");
    for kind in [0, 1, 6, 3, 4] {
        if only.is_some_and(|only| only != u64::from(kind)) {
            continue;
        }
        let (began, mut way) = (Instant::now(), Way::new(twin, &root, kind));
        sweep(&mut way);
        println!("kind {kind}: {:?} in {} s", way.told, began.elapsed().as_secs());
    }
}
