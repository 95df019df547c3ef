//! Every verb of a store from several threads, in a real process that is killed with SIGKILL at random moments, again and
//! again: objects in segments and in files, on one and on three mountpaths, mirrored and not, under each write
//! policy, while segments are compacted and mountpaths leave and come back. After each kill all that was
//! acknowledged is there; of what was under way, all or nothing; and once the next run has swept, no blob that
//! nothing names. At the end of each epoch everything is destroyed, and the space comes back.
//!
//! The test binary starts itself as the writer. The seed is printed; `KILL_SEED=n` repeats its choices (not the
//! scheduling of threads). `KILL_ROUNDS=n` runs more: 500 take a few minutes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod verbs;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aistore_store::Store;
use serde::{Deserialize, Serialize};
use verbs::check::{check_blobs, check_space_returns, settle_world};
use verbs::hand::{Hand, wait_until};
use verbs::{Setting, Verb, World};

const CHILD_ENV: &str = "STORE_KILL_CHILD";
/// Names a file to which everything that the writers do is added.
const STORY_ENV: &str = "KILL_STORY";
const TEST_NAME: &str = "every_verb_survives_sigkill";
const ROUNDS: u64 = 18;
/// Rounds over the same directories.
const EPOCH: u64 = 3;
const THREADS: u64 = 3;
const FIRST_BID: u64 = 1 << 63 | 5;

/// What a writer is told.
#[derive(Serialize, Deserialize)]
struct Order {
    setting: Setting,
    seed: u64,
    /// Those of the threads; none to open the store and do nothing.
    worlds: Vec<World>,
}

/// The verbs of a thread in one round, each with the number of its content.
fn verbs_of(seed: u64, thread: u64) -> impl Iterator<Item = (u64, Verb)> {
    let mut random = fastrand::Rng::with_seed(seed * 16 + thread);
    (0..).map(move |count| {
        let number = seed << 28 | thread << 24 | count;
        (number, Verb::of(random.u64(..)))
    })
}

fn say(line: &str) {
    // Not print!, which the test harness captures. A closed pipe means that the parent is gone.
    if std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).is_err() {
        std::process::exit(0);
    }
}

fn write_until_killed(order: &Order) {
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("the writer panicked: {panic}"));
        std::process::exit(3);
    }));
    let store = Store::open(order.setting.config()).unwrap();
    say("ready");
    while order.worlds.is_empty() {
        std::thread::park();
    }
    std::thread::scope(|scope| {
        for (thread, world) in (0..).zip(&order.worlds) {
            let store = &store;
            scope.spawn(move || {
                let mut world = world.clone();
                let mut hand = Hand::new(order.setting.of_thread(thread));
                for (count, verb) in verbs_of(order.seed, thread) {
                    if verb.is_global() || !world.allows(&verb) {
                        continue;
                    }
                    say(&format!("B {thread} {count} -"));
                    let said = hand.run(store, &verb, count, &world);
                    world.apply(&verb, count, &said);
                    say(&format!("A {thread} {count} {said}-"));
                }
            });
        }
        if order.setting.paths.len() > 1 {
            scope.spawn(|| {
                let mut hand = Hand::new(order.setting.clone());
                for away in 0.. {
                    for verb in [Verb::Leave(away % 5), Verb::Settle, Verb::Settle, Verb::Back] {
                        say(&format!("G {verb:?}"));
                        hand.run(&store, &verb, 0, &World::default());
                        say(&format!("D {verb:?} {:?}", store.mountpaths()));
                    }
                }
            });
        }
    });
}

fn start(order: &Order) -> (Child, Receiver<()>, JoinHandle<Vec<String>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST_NAME, "--nocapture"])
        .env(CHILD_ENV, serde_json::to_string(order).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (ready, is_ready) = channel();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("ready") {
                let _ = ready.send(());
            }
            lines.push(line);
        }
        lines
    });
    (child, is_ready, reader)
}

/// Runs a writer for a random time and kills it; returns what it said. `opening`: while it opens the store.
fn round(order: &Order, random: &mut fastrand::Rng, opening: bool, context: &str) -> Vec<String> {
    let (mut child, is_ready, reader) = start(order);
    if !opening {
        is_ready.recv_timeout(Duration::from_mins(1)).expect("the writer starts");
    }
    std::thread::sleep(Duration::from_micros(random.u64(..if opening { 40_000 } else { 150_000 })));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let lines = reader.join().unwrap();
    if let Some(path) = std::env::var_os(STORY_ENV) {
        tell(std::path::Path::new(&path), order, &lines);
    }
    let last = &lines[lines.len().saturating_sub(3)..];
    assert!(status.code().is_none(), "{context}: the writer ended by itself: {status}, {last:#?}");
    lines
}

/// Adds what a writer did to a file, for people.
fn tell(path: &std::path::Path, order: &Order, lines: &[String]) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "seed {}, {:?}", order.seed, order.setting).unwrap();
    let mut verbs: Vec<_> = (0..THREADS).map(|thread| verbs_of(order.seed, thread)).collect();
    for line in lines {
        let fields: Vec<&str> = line.split(' ').collect();
        let verb = match fields[..] {
            ["B", thread, count, _] => {
                let verbs = &mut verbs[thread.parse::<usize>().unwrap()];
                let count: u64 = count.parse().unwrap();
                verbs.find(|(number, _)| *number == count).map(|(_, verb)| verb)
            }
            _ => None,
        };
        writeln!(file, "{line} {verb:?}").unwrap();
    }
}

/// What a thread acknowledged, and what it was about when it was killed.
fn replay(
    world: &mut World,
    lines: &[String],
    seed: u64,
    thread: u64,
) -> (u64, Option<(Verb, u64)>) {
    let (mut acknowledged, mut under_way) = (0, None);
    let mut verbs = verbs_of(seed, thread);
    for line in lines {
        let fields: Vec<&str> = line.split(' ').collect();
        let [kind @ ("B" | "A"), by, count, said] = fields[..] else { continue };
        // The last line may be torn: it is whole if it ends as they all do.
        let Some(said) = said.strip_suffix('-') else { continue };
        if by != thread.to_string() {
            continue;
        }
        let count: u64 = count.parse().unwrap();
        if kind == "B" {
            let begun = verbs.find(|(number, _)| *number == count);
            under_way = begun.map(|(count, verb)| (verb, count));
        } else if let Some((verb, count)) = under_way.take() {
            world.apply(&verb, count, said);
            acknowledged += 1;
        }
    }
    (acknowledged, under_way)
}

/// One combination of what a store may be opened with.
fn setting(epoch: u64, dir: &std::path::Path) -> Setting {
    let mountpaths = if epoch.is_multiple_of(2) { 3 } else { 1 };
    Setting {
        paths: (0..mountpaths).map(|number| dir.join(format!("mp{number}"))).collect(),
        files_only: epoch / 2 % 3 == 2,
        // Small, so that kills hit compactions and changes of segment.
        segment_bytes: 60_000,
        copies: if (epoch / 2).is_multiple_of(2) { 2 } else { 1 },
        policy: u8::try_from(epoch % 3).unwrap(),
        first_bid: FIRST_BID,
    }
}

/// Loses the index of a store that was swept, and checks what is built from the blobs.
fn rebuild(setting: &Setting, worlds: &mut [World], context: &str) {
    for path in &setting.paths {
        std::fs::remove_dir_all(path.join("ais/index")).unwrap();
    }
    let store = Store::open(setting.config()).unwrap();
    let context = format!("{context}, index rebuilt");
    for (thread, world) in (0..).zip(worlds) {
        world.apply(&Verb::Rebuild, 0, "");
        *world = settle_world(&store, &setting.of_thread(thread), world, None, &context);
    }
    wait_until("the sweep", || store.is_swept());
}

#[test]
fn every_verb_survives_sigkill() {
    if let Ok(order) = std::env::var(CHILD_ENV) {
        return write_until_killed(&serde_json::from_str(&order).unwrap());
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("KILL_SEED").unwrap_or_else(|| u64::from(fastrand::u16(..)) << 10);
    let rounds = number("KILL_ROUNDS").unwrap_or(ROUNDS);
    println!("KILL_SEED={seed} KILL_ROUNDS={rounds}");
    let (began, mut total) = (Instant::now(), 0);
    for epoch in 0..rounds.div_ceil(EPOCH) {
        let dir = tempfile::tempdir().unwrap();
        let seed = seed + epoch * EPOCH;
        total += run_epoch(&setting(seed / EPOCH, dir.path()), seed);
    }
    println!("{rounds} rounds, {total} verbs acknowledged, {} s", began.elapsed().as_secs());
}

/// Returns how many verbs were acknowledged.
fn run_epoch(setting: &Setting, seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut worlds: Vec<World> = (0..THREADS).map(|_| World::default()).collect();
    let bids: Vec<u64> = (0..THREADS).flat_map(|thread| setting.of_thread(thread).bids()).collect();
    let mut total = 0;
    let repeat = format!("KILL_SEED={seed} KILL_ROUNDS={EPOCH}");
    for seed in seed..seed + EPOCH {
        let context = format!("{repeat}, round {seed}, {setting:?}");
        let mut order = Order { setting: setting.clone(), seed, worlds };
        let lines = round(&order, &mut random, false, &context);
        worlds = std::mem::take(&mut order.worlds);
        if random.u8(..3) == 0 {
            round(&order, &mut random, true, &context);
        }
        let store = Store::open(setting.config()).unwrap();
        for (thread, world) in (0..).zip(&mut worlds) {
            let (acknowledged, under_way) = replay(world, &lines, seed, thread);
            total += acknowledged;
            let under_way = under_way.as_ref().map(|(verb, count)| (verb, *count));
            let own = setting.of_thread(thread);
            *world = settle_world(
                &store,
                &own,
                world,
                under_way,
                &format!("{context}, thread {thread}"),
            );
        }
        check_blobs(&store, setting, &bids, &context);
        for (thread, world) in (0..).zip(&mut worlds) {
            *world = settle_world(&store, &setting.of_thread(thread), world, None, &context);
        }
        store.close().unwrap();
        drop(store);
        if random.u8(..4) == 0 {
            rebuild(setting, &mut worlds, &context);
        }
    }
    let store = Store::open(setting.config()).unwrap();
    check_space_returns(&store, setting, &bids, &format!("{repeat}, {setting:?}"));
    total
}
