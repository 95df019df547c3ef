//! A store, and a model of it, through every verb; and its process ends at every step in between.
//!
//! The tests start their own binary as the one that does the verbs. It is killed at a step that is named, or at the
//! n-th one. Then what was acknowledged must be there, whole, and of the verb that was under way all or nothing; a
//! listing must have the names that it should; and once what is left was swept, no blob may be there that nothing
//! names. `PROPTEST_CASES` runs more sequences; what failed is kept beside this file and runs first.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::steps::END_ENV;
use crate::verbs::check::{check_blobs, check_space_returns, settle_world, sweep_strays};
use crate::verbs::hand::{Hand, wait_until};
use crate::verbs::{Setting, Verb, World};

const ORDER_ENV: &str = "STORE_CRASH_MODEL";
const CHILD: &str = "crash_model::does_verbs_until_it_ends";
const BID: u64 = 1 << 63 | 5;
/// Verbs at random after those that lead to a step.
const PATIENCE: usize = 60;

/// What the child is told.
#[derive(Serialize, Deserialize)]
struct Order {
    setting: Setting,
    /// Number of the first verb; what each of them is.
    first: u64,
    verbs: Vec<u64>,
    world: World,
}

fn say(line: &str) {
    // Not print!, which the test harness captures.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// Not a test by itself: the child.
#[test]
fn does_verbs_until_it_ends() {
    let Ok(order) = std::env::var(ORDER_ENV) else { return };
    let order: Order = serde_json::from_str(&std::fs::read_to_string(order).unwrap()).unwrap();
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("P {panic}"));
        std::process::exit(3);
    }));
    let mut store = Store::open(order.setting.config()).unwrap();
    let only_to_start = order.verbs.is_empty();
    let (mut world, mut hand) = (order.world, Hand::new(order.setting.clone()));
    for (count, number) in (order.first..).zip(order.verbs) {
        let verb = Verb::of(number);
        if !world.allows(&verb) {
            continue;
        }
        say(&format!("B {count} -"));
        let said = hand.run(&store, &verb, count, &world);
        if matches!(verb, Verb::Reopen | Verb::Rebuild) {
            drop(store);
            if verb == Verb::Rebuild {
                lose_indexes(&order.setting, count);
            }
            store = Store::open(order.setting.config()).unwrap();
        }
        world.apply(&verb, count, &said);
        say(&format!("A {count} {said}-"));
    }
    drop(hand);
    if only_to_start {
        wait_until("the sweep", || store.is_swept());
    }
    store.close().unwrap();
    say("E");
}

/// Loses the indexes of a closed store, or asks for new ones. What a crash left is swept before: a blob that is
/// superseded, and whose object is deleted then, would be taken for the object.
fn lose_indexes(setting: &Setting, count: u64) {
    let store = Store::open(setting.config()).unwrap();
    wait_until("the sweep before the index is lost", || store.is_swept());
    drop(store);
    for path in &setting.paths {
        if count.is_multiple_of(2) {
            std::fs::remove_dir_all(path.join("ais/index")).unwrap();
        } else {
            std::fs::write(path.join("ais/rebuild"), "").unwrap();
        }
    }
}

/// What a child did.
#[derive(Debug, Default)]
struct Told {
    /// Numbers of what was acknowledged, with what the store said.
    done: Vec<(u64, String)>,
    under_way: Option<u64>,
    /// The step at which it was killed; `None` if it came to its end.
    end: Option<String>,
}

fn run(order: &Order, end: &str, dir: &Path) -> Told {
    let path = dir.join("order.json");
    std::fs::write(&path, serde_json::to_vec(order).unwrap()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture"])
        .env(ORDER_ENV, &path)
        .env(END_ENV, end)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut ended) = (Told::default(), false);
    let mut last = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["B", count, _] => told.under_way = Some(count.parse().unwrap()),
            ["A", count, said] => {
                let said = said.strip_suffix('-').unwrap().to_owned();
                told.done.push((count.parse().unwrap(), said));
                told.under_way = None;
            }
            ["S", _, ..] => {
                told.end = line.splitn(3, ' ').nth(2).map(str::to_owned);
            }
            ["E"] => ended = true,
            _ => last.push(line),
        }
    }
    let status = child.wait().unwrap();
    let killed = status.code().is_none();
    // Who reaches the end of its verbs may still be killed as it closes.
    assert!(
        killed == told.end.is_some() && (killed || ended),
        "{} at \"{end}\", {:?}: {status}, {told:?}, {last:#?}",
        order.first,
        order.setting
    );
    told
}

/// One store on its way.
struct Way {
    dir: tempfile::TempDir,
    setting: Setting,
    world: World,
    next: u64,
}

impl Way {
    /// Kinds: on one mountpath or three, in segments or in files, mirrored or not.
    fn new(kind: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mountpaths = if kind & 1 == 0 { 3 } else { 1 };
        let setting = Setting {
            paths: (0..mountpaths).map(|number| dir.path().join(format!("mp{number}"))).collect(),
            files_only: kind & 2 != 0,
            segment_bytes: 20_000,
            copies: if kind & 4 == 0 { 1 } else { 2 },
            policy: kind % 3,
            first_bid: BID,
        };
        Self { dir, setting, world: World::default(), next: 0 }
    }

    /// Does verbs until `end`, and once more `again` before anybody looks. Returns how many verbs were done, and
    /// the steps at which it was killed.
    fn go(&mut self, verbs: &[u64], end: &str, again: Option<&str>) -> (usize, Vec<String>) {
        let order = |way: &Self, verbs: &[u64]| Order {
            setting: way.setting.clone(),
            first: way.next,
            verbs: verbs.to_vec(),
            world: way.world.clone(),
        };
        let told = run(&order(self, verbs), end, self.dir.path());
        let verb = |count: u64| {
            let index = usize::try_from(count - self.next).unwrap();
            Verb::of(verbs[index])
        };
        let context = format!("at \"{:?}\", then \"{again:?}\", {:?}", told.end, self.setting);
        for (count, said) in &told.done {
            self.world.apply(&verb(*count), *count, said);
        }
        let under_way = told.under_way.map(|count| (verb(count), count));
        let done = match (&told.end, told.under_way, told.done.last()) {
            (None, ..) => verbs.len(),
            (_, Some(count), _) => usize::try_from(count - self.next + 1).unwrap(),
            (_, None, Some((count, _))) => usize::try_from(count - self.next + 1).unwrap(),
            _ => 0,
        };
        self.next += done as u64;
        let mut ends: Vec<String> = told.end.into_iter().collect();
        if let (Some(again), false) = (again, ends.is_empty()) {
            ends.extend(run(&order(self, &[]), again, self.dir.path()).end);
        }
        if !ends.is_empty() {
            self.check(under_way.as_ref(), &context);
        }
        // Whoever puts ends with the process.
        self.world.held.clear();
        (done, ends)
    }

    fn check(&mut self, under_way: Option<&(Verb, u64)>, context: &str) {
        // Losing the index ends uploads that nobody completed, whenever the rest comes to be.
        if under_way.is_some_and(|(verb, _)| *verb == Verb::Rebuild) {
            self.world.uploads.clear();
        }
        let store = Store::open(self.setting.config()).unwrap();
        let under_way = under_way.map(|(verb, count)| (verb, *count));
        let lost = under_way.is_some_and(|(verb, _)| *verb == Verb::Rebuild);
        if lost {
            for bid in self.setting.bids() {
                for upload in store.uploads(bid).unwrap() {
                    store.abort_upload(bid, &upload.name, upload.id).unwrap();
                }
            }
        }
        self.world = settle_world(&store, &self.setting, &self.world, under_way, context);
        let store = sweep_strays(store, &self.setting);
        check_blobs(&store, &self.setting, &self.setting.bids(), context);
        self.world = settle_world(&store, &self.setting, &self.world, None, context);
        store.close().unwrap();
    }

    /// Destroys everything, and looks that its space comes back.
    fn end(self) {
        let store = Store::open(self.setting.config()).unwrap();
        settle_world(&store, &self.setting, &self.world, None, "at the end");
        check_space_returns(&store, &self.setting, &self.setting.bids(), "at the end");
    }
}

/// The names of all steps in the sources.
fn registered() -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let source = std::fs::read_to_string(&path).unwrap();
                let steps = source.split('\n').filter(|line| !line.trim().starts_with("//"));
                let named = steps.filter_map(|line| line.split_once("step!(\"")?.1.split_once('"'));
                found.extend(named.map(|(name, _)| name.to_owned()));
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.retain(|name| !name.starts_with("model: "));
    found
}

/// Steps of a start after a crash, each with the one at which that crash must have been.
const AT_THE_NEXT_START: [(&str, &str); 5] = [
    ("intent: step taken at the next start", "intent: recorded"),
    ("flush: file made a blob at the next start", "flush: intent recorded"),
    ("flush: committed at the next start", "flush: intent recorded"),
    ("sweep: orphan removed", "put: published"),
    ("sweep: lost records noted as dead", "segment: record written"),
];

/// Verbs that lead to steps which verbs at random reach seldom, each by how its name begins.
fn way_to(step: &str, random: &mut fastrand::Rng) -> Vec<u64> {
    type Is = fn(&Verb) -> bool;
    let (begin, append): (Is, Is) =
        (|verb| matches!(verb, Verb::Begin(..)), |verb| matches!(verb, Verb::Append(_)));
    let start: Is = |verb| matches!(verb, Verb::Start(..));
    let part: Is = |verb| matches!(verb, Verb::Part(..));
    let first: Is = |verb| matches!(verb, Verb::Part(_, 1));
    let complete: Is = |verb| matches!(verb, Verb::Complete(_));
    let (hold, release): (Is, Is) =
        (|verb| matches!(verb, Verb::Hold(..)), |verb| matches!(verb, Verb::Release(_)));
    let leave: Is = |verb| matches!(verb, Verb::Leave(_));
    let (settle, back): (Is, Is) = (|verb| *verb == Verb::Settle, |verb| *verb == Verb::Back);
    let put: Is = |verb| matches!(verb, Verb::Put(..));
    let compact: Is = |verb| *verb == Verb::Compact;
    let patch: Is = |verb| matches!(verb, Verb::Patch(_));
    let way: &[Is] = match step {
        "vacate: part copied"
        | "vacate: part recorded elsewhere"
        | "vacate: upload about to move" => &[start, start, part, part, part, leave, settle, back],
        _ if step.starts_with("vacate: ") => &[begin, begin, append, leave, settle, back],
        _ if step.starts_with("blob: copied") => {
            &[hold, hold, leave, settle, release, release, back]
        }
        _ if step.starts_with("upload: ") => &[start, start, first, first, complete, complete],
        _ if step.starts_with("flush: ") => &[begin, append, |verb| matches!(verb, Verb::Flush(_))],
        // Names are few: most of what is put is soon waste.
        _ if step.starts_with("compaction: ") => &[put, put, put, put, put, put, compact],
        _ if step.starts_with("rebuild: ") => &[put, |verb| *verb == Verb::Rebuild],
        _ if step.starts_with("destroy: ") => &[put, |verb| matches!(verb, Verb::Destroy(_))],
        _ if step.starts_with("change: ") => &[put, put, put, patch, patch],
        _ if step.starts_with("settle: ") => &[put, put, leave, settle, back, settle],
        _ => &[],
    };
    let mut draw = |is: &Is| std::iter::repeat_with(|| random.u64(..)).find(|n| is(&Verb::of(*n)));
    std::iter::repeat_n(way, 8).flatten().filter_map(&mut draw).collect()
}

#[test]
fn the_process_may_end_at_every_step() {
    let all = registered();
    assert!(all.len() > 60, "few steps are known: {all:?}");
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let first: u64 = number("STEPS_SEED").unwrap_or(3);
    for seed in first..first + number("STEPS_ROUNDS").unwrap_or(1) {
        println!("STEPS_SEED={seed}");
        end_at_every_step(&all, seed);
    }
}

fn end_at_every_step(all: &BTreeSet<String>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut left = all.clone();
    // Mirrored segments, files on several mountpaths, segments, one mountpath; and all again for what was missed.
    for kind in [4, 2, 0, 1, 4, 2, 0, 1] {
        let mut way = Way::new(kind);
        for name in &left.clone() {
            if !left.contains(name) {
                continue;
            }
            let before = AT_THE_NEXT_START.iter().find(|(late, _)| late == name);
            let (end, again) = match before {
                Some((late, early)) => (*early, Some(*late)),
                None => (name.as_str(), None),
            };
            let mut verbs = way_to(end, &mut random);
            verbs.extend(std::iter::repeat_with(|| random.u64(..)).take(PATIENCE));
            for end in way.go(&verbs, end, again).1 {
                left.remove(&end);
            }
        }
        way.end();
        if left.is_empty() {
            return;
        }
    }
    assert!(left.is_empty(), "STEPS_SEED={seed}: steps that were never reached: {left:#?}");
}

proptest! {
    // The same cases each time: a fault that is found must be found again by whoever looks for it. Other cases:
    // PROPTEST_CASES.
    #![proptest_config(ProptestConfig {
        cases: 8,
        max_shrink_iters: 300,
        rng_seed: RngSeed::Fixed(8),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_that_ends_anywhere_is_as_the_model_says(
        kind in 0_u8..8,
        verbs in proptest::collection::vec(any::<u64>(), 1..80),
        ends in proptest::collection::vec((1_u32..400, proptest::option::of(1_u32..40)), 0..4),
    ) {
        let mut way = Way::new(kind);
        let mut done = 0;
        for (end, again) in ends {
            let again = again.map(|again| again.to_string());
            done += way.go(&verbs[done..], &end.to_string(), again.as_deref()).0;
        }
        way.go(&verbs[done..], "0", None);
        way.end();
    }
}
