//! A real process writes, overwrites and deletes with several threads and is killed with SIGKILL at
//! random points, again and again over the same directories. After each kill, what was acknowledged is
//! there, whole.
//!
//! The test binary starts itself as the writer. Each operation is announced on a pipe before it begins
//! and acknowledged after it returned, so for every object the reader of the pipe knows which states a
//! correct store may be found in: the last acknowledged one, or that of an operation under way.
//!
//! The seed is printed; `STORE_CRASH_SEED=n` repeats its choices (not the scheduling of threads).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aistore_store::inspect::each_blob;
use aistore_store::{Store, StoreConfig};
use support::{BID, Fixture, delete, get, list, put, uname};

const CHILD_ENV: &str = "STORE_CRASH_CHILD";
const SEED_ENV: &str = "STORE_CRASH_SEED";
const TEST_NAME: &str = "what_was_acknowledged_survives_sigkill";
const ROUNDS: u64 = 60;
const THREADS: u64 = 4;
/// Objects that one thread alone works on.
const OWN_NAMES: u64 = 40;
/// Objects that all threads overwrite, and never delete.
const HOT_NAMES: u64 = 3;

/// One state of an object: absent, or the content of the operation with this number.
type State = Option<u64>;

#[derive(Debug, Default)]
struct Model {
    /// States that each owned object may be found in.
    allowed: BTreeMap<String, Vec<State>>,
    /// For each hot object: the greatest acknowledged version, and the operations begun.
    hot: BTreeMap<String, (u64, Vec<u64>)>,
    acknowledged: u64,
}

impl Model {
    /// Takes in one line of the writer: `B|A name number put|delete version`.
    fn line(&mut self, line: &str) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [kind @ ("B" | "A"), name, number, operation, version] = fields[..] else { return };
        let number: u64 = number.parse().unwrap();
        self.acknowledged += u64::from(kind == "A");
        if name.starts_with("hot/") {
            let (acknowledged, begun) = self.hot.entry(name.to_owned()).or_default();
            match kind {
                "A" => *acknowledged = version.parse::<u64>().unwrap().max(*acknowledged),
                _ => begun.push(number),
            }
            return;
        }
        let state = (operation == "put").then_some(number);
        let allowed = self.allowed.entry(name.to_owned()).or_insert_with(|| vec![None]);
        if kind == "A" {
            allowed.clear();
        }
        allowed.push(state);
    }

    /// Checks every object, and narrows what is allowed to what was found.
    fn verify(&mut self, store: &Store, context: &str) {
        let mut present = Vec::new();
        for (name, allowed) in &mut self.allowed {
            let found: State = get(store, name).map(|bytes| number_of(name, &bytes, context));
            assert!(
                allowed.contains(&found),
                "{context}: {name} is {found:?}, not one of {allowed:?}"
            );
            *allowed = vec![found];
            present.extend(found.map(|_| name.clone()));
        }
        for (name, (acknowledged, begun)) in &mut self.hot {
            let meta = store.head(BID, &uname(BID, name), name).unwrap();
            let version = meta.map_or(0, |meta| meta.version);
            assert!(
                version >= *acknowledged,
                "{context}: {name} fell back to {version} from {acknowledged}"
            );
            *acknowledged = version;
            if let Some(bytes) = get(store, name) {
                let number = number_of(name, &bytes, context);
                assert!(begun.contains(&number), "{context}: {name} holds {number}, never written");
                present.push(name.clone());
            }
        }
        present.sort_unstable();
        assert_eq!(list(store, "", false, 77), present, "{context}: the listing");
    }

    fn objects(&self) -> usize {
        let owned = self.allowed.values().filter(|allowed| allowed[0].is_some());
        owned.count() + self.hot.values().filter(|(version, _)| *version > 0).count()
    }
}

/// Content of operation `number`: its number, then bytes that follow from it, of a size likewise.
fn content(name: &str, number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number ^ 0x5eed);
    let size = match random.u8(..100) {
        0..70 => random.usize(..2_000),
        70..85 => random.usize(65_000..66_000),
        85..97 => random.usize(66_000..400_000),
        _ => random.usize(1_000_000..3_000_000),
    };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(bytes.len() + size, 0);
    let start = 8 + name.len();
    random.fill(&mut bytes[start..]);
    bytes
}

fn number_of(name: &str, bytes: &[u8], context: &str) -> u64 {
    let number = bytes.first_chunk().map(|first| u64::from_le_bytes(*first));
    let number = number.unwrap_or_else(|| panic!("{context}: {name} is too short"));
    assert!(
        content(name, number) == bytes,
        "{context}: {name} is not what operation {number} wrote"
    );
    number
}

fn say(kind: &str, name: &str, number: u64, operation: &str, version: u64) {
    let line = format!("{kind} {name} {number} {operation} {version}\n");
    // Not print!, which the test harness captures. A closed pipe means that the parent is gone.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(0);
    }
}

/// The writer: works until it is killed.
fn write_until_killed(seed: u64, paths: &str) {
    let paths = paths.split(':').map(Into::into).collect();
    // Small, so that kills hit compactions and changes of segment too.
    let config = StoreConfig { segment_bytes: 100_000, ..StoreConfig::new(paths) };
    let store = Store::open(config).unwrap();
    say("B", "ready", 0, "", 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                store.compact(&AtomicBool::new(false));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                for count in 0.. {
                    let number = (seed << 8 | thread) << 24 | count;
                    let (name, hot) = match random.u64(..10) {
                        0 => (format!("hot/{}", random.u64(..HOT_NAMES)), true),
                        _ => (format!("own{thread}/{:03}", random.u64(..OWN_NAMES)), false),
                    };
                    if !hot && random.u8(..5) == 0 {
                        say("B", &name, number, "delete", 0);
                        delete(store, &name);
                        say("A", &name, number, "delete", 0);
                    } else {
                        say("B", &name, number, "put", 0);
                        let version = put(store, &name, &content(&name, number)).unwrap().version;
                        say("A", &name, number, "put", version);
                    }
                }
            });
        }
    });
}

fn start_writer(seed: u64, fixture: &Fixture) -> Child {
    let paths: Vec<_> = fixture.paths.iter().map(|path| path.to_str().unwrap()).collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST_NAME, "--nocapture"])
        .env(CHILD_ENV, format!("{seed} {}", paths.join(":")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a writer, kills it, and feeds what it said into the model.
fn round(seed: u64, random: &mut fastrand::Rng, fixture: &Fixture, model: &mut Model) {
    let mut child = start_writer(seed, fixture);
    let output = BufReader::new(child.stdout.take().unwrap());
    let (ready, is_ready) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("B ready") {
                let _ = ready.send(());
            }
            lines.push(line);
        }
        lines
    });
    // One kill in six falls into the start, with its recovery; the others into the writing.
    if random.u8(..6) > 0 {
        is_ready.recv_timeout(Duration::from_secs(30)).expect("the writer starts");
    }
    std::thread::sleep(Duration::from_micros(random.u64(..150_000)));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "the writer ended by itself: {status}");
    // The last line may be torn; one field short, it is passed over, which is right for a beginning
    // ("B" is complete before the operation starts) and harmless for an acknowledgement.
    for line in reader.join().unwrap() {
        model.line(&line);
    }
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    if let Ok(order) = std::env::var(CHILD_ENV) {
        let (seed, paths) = order.split_once(' ').unwrap();
        return write_until_killed(seed.parse().unwrap(), paths);
    }
    let seed = std::env::var(SEED_ENV).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(fastrand::u16(..)) << 8);
    println!("{SEED_ENV}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let fixture = Fixture::new(2);
    let mut model = Model::default();
    for count in 0..ROUNDS {
        round(seed + count, &mut random, &fixture, &mut model);
        // Without a look in between, the next writer starts on what the kill left, and is killed too.
        if random.u8(..3) == 0 {
            continue;
        }
        let context = format!("seed {seed}, round {count}");
        let store = fixture.open();
        model.verify(&store, &context);
        assert!(fixture.files("tmp").is_empty() && fixture.files("quarantine").is_empty());
        if random.u8(..6) > 0 {
            continue;
        }
        wait_for_sweep(&store, &fixture, model.objects(), &context);
        store.close().unwrap();
        drop(store);
        for path in &fixture.paths {
            std::fs::remove_dir_all(path.join("ais/index")).unwrap();
        }
        model.verify(&fixture.open(), &format!("{context}, index rebuilt"));
    }
    model.verify(&fixture.open(), "at the end");
    println!("{} operations acknowledged, {} objects", model.acknowledged, model.objects());
    assert!(model.acknowledged > 1000, "the writers hardly wrote: {}", model.acknowledged);
}

/// Objects whose blob is not there, or noted as dead, with what is there of it.
fn unaccounted(store: &Store, fixture: &Fixture) -> Vec<String> {
    let mut all = Vec::new();
    for path in &fixture.paths {
        each_blob(path, |blob| all.push(blob)).unwrap();
    }
    let names = list(store, "", false, 1000).into_iter();
    let blobs = names.filter_map(|name| {
        let meta = store.head(BID, &uname(BID, &name), &name).unwrap()?;
        let there: Vec<_> = all.iter().filter(|blob| blob.id == meta.blob.0).collect();
        let alive = there.iter().filter(|blob| !blob.dead).count();
        let read = store.open_object(BID, &uname(BID, &name), &name).map(|read| read.is_some());
        (alive != 1).then(|| format!("{name} {meta:?}: {read:?}, {there:?}"))
    });
    blobs.collect()
}

fn wait_for_sweep(store: &Store, fixture: &Fixture, objects: usize, context: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let blobs = fixture.blobs().len();
        if blobs == objects {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{context}: {blobs} blobs for {objects} objects; noted as dead or gone, or not counted: {:#?}",
            unaccounted(store, fixture)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
