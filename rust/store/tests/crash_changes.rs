//! As `crash.rs`, for operations of several steps: uploads in parts, appends, renames and changes of metadata.
//! A real process does them and is killed with SIGKILL at random points; after each kill what was
//! acknowledged is there, nothing is half done, and the sweep leaves no blob behind.
//!
//! Each thread of the writer works on names of its own and says on a pipe what it is about to do and what was
//! done. The seed is printed; `STORE_CRASH_SEED=n` repeats its choices (not the scheduling of threads).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aistore_core::checksum::ChecksumType;
use aistore_store::{PartOptions, Store, StoreConfig};
use support::{BID, Fixture, delete, emptied, get, list, options, put, resilver, uname};

const CHILD_ENV: &str = "STORE_CRASH_CHANGES_CHILD";
const SEED_ENV: &str = "STORE_CRASH_SEED";
const PLAIN: &str = "changes_of_several_steps_survive_sigkill";
const MIRRORED: &str = "mirrored_changes_while_mountpaths_leave_survive_sigkill";
const ROUNDS: u64 = 40;
const THREADS: u64 = 4;
const NAMES: u64 = 6;

/// State of one thread's names: name to (content, value of the custom key).
type Objects = BTreeMap<String, (u64, String)>;

/// One operation, as the writer announces it.
#[derive(Debug, Clone)]
enum Operation {
    Put(String, u64),
    Upload(String, u64),
    Append(String, u64),
    Patch(String, String),
    Rename(String, String),
    Delete(String),
}

impl Operation {
    fn random(random: &mut fastrand::Rng, thread: u64, number: u64) -> Self {
        let mut name = || format!("t{thread}/{}", random.u64(..NAMES));
        let (one, other) = (name(), name());
        match random.u8(..10) {
            0..2 => Self::Put(one, number),
            2..4 => Self::Upload(one, number),
            4..6 => Self::Append(one, number),
            6 => Self::Delete(one),
            7..9 if one != other => Self::Rename(one, other),
            _ => Self::Patch(one, number.to_string()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Put(name, number) => format!("put {name} {number}"),
            Self::Upload(name, number) => format!("upload {name} {number}"),
            Self::Append(name, number) => format!("append {name} {number}"),
            Self::Patch(name, value) => format!("patch {name} {value}"),
            Self::Rename(from, to) => format!("rename {from} {to}"),
            Self::Delete(name) => format!("delete {name} -"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [kind, name, rest] = fields[..] else { return None };
        let (name, rest) = (name.to_owned(), rest.to_owned());
        Some(match kind {
            "put" => Self::Put(name, rest.parse().ok()?),
            "upload" => Self::Upload(name, rest.parse().ok()?),
            "append" => Self::Append(name, rest.parse().ok()?),
            "patch" => Self::Patch(name, rest),
            "rename" => Self::Rename(name, rest),
            "delete" => Self::Delete(name),
            _ => return None,
        })
    }

    /// What it does to the names of its thread. Appends replace: they begin on a deleted object.
    fn apply(&self, objects: &mut Objects) {
        match self {
            Self::Put(name, number) | Self::Upload(name, number) => {
                objects.insert(name.clone(), (*number, String::new()));
            }
            // Custom metadata stays with what is appended to.
            Self::Append(name, number) => {
                let custom = objects.get(name).map(|(_, custom)| custom.clone());
                objects.insert(name.clone(), (*number, custom.unwrap_or_default()));
            }
            Self::Patch(name, value) => {
                if let Some((_, custom)) = objects.get_mut(name) {
                    custom.clone_from(value);
                }
            }
            Self::Rename(from, to) => {
                if let Some(object) = objects.remove(from) {
                    objects.insert(to.clone(), object);
                }
            }
            Self::Delete(name) => drop(objects.remove(name)),
        }
    }

    /// The name that the object has then.
    fn result(&self) -> Option<&str> {
        match self {
            Self::Put(name, _)
            | Self::Upload(name, _)
            | Self::Append(name, _)
            | Self::Patch(name, _)
            | Self::Rename(_, name) => Some(name),
            Self::Delete(_) => None,
        }
    }

    fn run(&self, store: &Store) {
        match self {
            Self::Put(name, number) => drop(put(store, name, &content(*number)).unwrap()),
            Self::Upload(name, number) => upload(store, name, &content(*number)),
            Self::Append(name, number) => append(store, name, &content(*number)),
            Self::Patch(name, value) => {
                let change = |custom: &mut BTreeMap<String, String>| {
                    custom.insert("k".to_owned(), value.clone());
                };
                store.patch_custom(BID, &uname(BID, name), name, change).unwrap();
            }
            Self::Rename(from, to) => {
                let (from_uname, to_uname) = (uname(BID, from), uname(BID, to));
                store.rename(BID, (&from_uname, from), (&to_uname, to)).unwrap();
            }
            Self::Delete(name) => drop(delete(store, name)),
        }
    }
}

fn upload(store: &Store, name: &str, bytes: &[u8]) {
    let object = uname(BID, name);
    let id = store.start_upload((BID, &object, name), BTreeMap::new(), ChecksumType::Xxhash2, 1);
    let (id, mut numbers) = (id.unwrap(), Vec::new());
    let pieces: Vec<_> = (1..).zip(bytes.chunks(bytes.len().div_ceil(3))).collect();
    for (number, piece) in pieces.iter().rev() {
        let mut writer =
            store.begin_part((BID, name), id, *number, PartOptions::default()).unwrap();
        writer.write(piece).unwrap();
        writer.finish().unwrap();
        numbers.push(*number);
    }
    store.complete_upload((BID, &object, name), id, &numbers, &options()).unwrap();
}

/// Makes `bytes` the object by appends: what it had before is cut off by going back to the empty session.
fn append(store: &Store, name: &str, bytes: &[u8]) {
    let object = uname(BID, name);
    let begun = store.begin_append((BID, &object, name), ChecksumType::Xxhash2).unwrap().finish();
    let mut state = emptied(store, begun.unwrap());
    for piece in bytes.chunks(bytes.len().div_ceil(3)) {
        let mut writer = store.continue_append((BID, &object), state).unwrap();
        writer.write(piece).unwrap();
        state = writer.finish().unwrap();
    }
    store.flush_append((BID, &object, name), state, &options()).unwrap();
}

fn content(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number ^ 0x5eed);
    let size = if random.u8(..4) == 0 { random.usize(..400_000) } else { random.usize(..3_000) };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + size, 0);
    random.fill(&mut bytes[8..]);
    bytes
}

fn say(line: &str) {
    // Not print!, which the test harness captures. A closed pipe means that the parent is gone.
    if std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).is_err() {
        std::process::exit(0);
    }
}

/// Empties one mountpath after the other and takes it back.
fn drain_for_ever(store: &Store, paths: &[PathBuf]) {
    for path in paths.iter().cycle() {
        store.detach(path, true).unwrap();
        while !store.mountpaths().draining.is_empty() {
            resilver(store, 2);
        }
        store.attach(path).unwrap();
        resilver(store, 2);
    }
}

fn write_until_killed(seed: u64, paths: &str, mirrored: bool) {
    let paths: Vec<PathBuf> = paths.split(':').map(Into::into).collect();
    let store = Store::open(StoreConfig::new(paths.clone())).unwrap();
    say("ready");
    std::thread::scope(|scope| {
        if mirrored {
            scope.spawn(|| drain_for_ever(&store, &paths));
        }
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                for count in 0.. {
                    let number = (seed << 8 | thread) << 24 | count;
                    let operation = Operation::random(&mut random, thread, number);
                    say(&format!("B {thread} {}", operation.text()));
                    operation.run(store);
                    if let (true, Some(name)) = (mirrored, operation.result()) {
                        store.set_copies(BID, &uname(BID, name), name, 2).unwrap();
                    }
                    say(&format!("A {thread} {}", operation.text()));
                }
            });
        }
    });
}

/// Runs a writer, kills it, and returns what each thread acknowledged and what it was about.
fn round(test: &str, seed: u64, random: &mut fastrand::Rng, fixture: &Fixture) -> Vec<String> {
    let paths: Vec<_> = fixture.paths.iter().map(|path| path.to_str().unwrap()).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(CHILD_ENV, format!("{seed} {}", paths.join(":")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (ready, is_ready) = std::sync::mpsc::channel();
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
    is_ready.recv_timeout(Duration::from_secs(30)).expect("the writer starts");
    std::thread::sleep(Duration::from_micros(random.u64(..150_000)));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "the writer ended by itself: {status}");
    reader.join().unwrap()
}

/// What the names of a thread hold.
fn observe(store: &Store, thread: u64) -> Objects {
    let mut found = Objects::new();
    for number in 0..NAMES {
        let name = format!("t{thread}/{number}");
        let Some(bytes) = get(store, &name) else { continue };
        let number = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        assert!(content(number) == bytes, "{name} is not what operation {number} wrote");
        let meta = store.head(BID, &uname(BID, &name), &name).unwrap().unwrap();
        found.insert(name, (number, meta.custom.get("k").cloned().unwrap_or_default()));
    }
    found
}

/// Checks one thread's names against its lines: all that was acknowledged, and of what was under way all or
/// nothing.
fn verify(
    store: &Store,
    thread: u64,
    before: &Objects,
    lines: &[String],
    context: &str,
) -> Objects {
    let (mut done, mut begun) = (before.clone(), None);
    for line in lines {
        let Some((kind, rest)) = line.split_once(' ') else { continue };
        let Some((by, text)) = rest.split_once(' ') else { continue };
        if by != thread.to_string() {
            continue;
        }
        match (kind, Operation::parse(text)) {
            ("B", operation) => begun = operation,
            ("A", Some(operation)) => {
                operation.apply(&mut done);
                begun = None;
            }
            _ => {}
        }
    }
    let found = observe(store, thread);
    let mut under_way = done.clone();
    if let Some(operation) = &begun {
        operation.apply(&mut under_way);
    }
    assert!(
        found == done || found == under_way,
        "{context}, thread {thread}: found {found:?}, expected {done:?}, or after {begun:?}"
    );
    found
}

/// Blobs that the objects and uploads account for.
fn expected_blobs(store: &Store) -> usize {
    let mut blobs = 0;
    for name in list(store, "", false, 100) {
        let meta = store.head(BID, &uname(BID, &name), &name).unwrap().unwrap();
        let parts: usize = meta.parts.iter().map(|part| part.places.len()).sum();
        blobs += 1 + meta.copies.len() + parts;
    }
    let parts: usize = store.uploads(BID).unwrap().iter().map(|upload| upload.parts).sum();
    blobs + parts
}

#[test]
fn changes_of_several_steps_survive_sigkill() {
    survive(PLAIN, ROUNDS);
}

#[test]
fn mirrored_changes_while_mountpaths_leave_survive_sigkill() {
    survive(MIRRORED, ROUNDS / 2);
}

fn survive(test: &str, rounds: u64) {
    let mirrored = test == MIRRORED;
    if let Ok(order) = std::env::var(CHILD_ENV) {
        let (seed, paths) = order.split_once(' ').unwrap();
        return write_until_killed(seed.parse().unwrap(), paths, mirrored);
    }
    let seed = std::env::var(SEED_ENV).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(fastrand::u16(..)) << 8);
    println!("{SEED_ENV}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let fixture = Fixture::new(3);
    let mut objects: Vec<Objects> = vec![Objects::new(); usize::try_from(THREADS).unwrap()];
    let mut acknowledged = 0;
    for count in 0..rounds {
        let lines = round(test, seed + count, &mut random, &fixture);
        acknowledged += lines.iter().filter(|line| line.starts_with("A ")).count();
        let context = format!("seed {seed}, round {count}");
        let store = fixture.open();
        for (thread, known) in (0..).zip(&mut objects) {
            *known = verify(&store, thread, known, &lines, &context);
        }
        assert!(fixture.files("quarantine").is_empty(), "{context}");
        if mirrored {
            resilver(&store, 2);
            for (thread, known) in (0..).zip(&objects) {
                assert_eq!(observe(&store, thread), *known, "{context}, settled");
            }
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while fixture.blobs().len() != expected_blobs(&store) {
            let counts = (fixture.blobs().len(), expected_blobs(&store));
            assert!(Instant::now() < deadline, "{context}: blobs found and expected: {counts:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        if random.u8(..4) == 0 {
            store.expire_uploads(u64::MAX).unwrap();
            assert!(fixture.files("appends").is_empty() && store.uploads(BID).unwrap().is_empty());
        }
        if random.u8(..6) == 0 {
            store.close().unwrap();
            drop(store);
            for path in &fixture.paths {
                std::fs::remove_dir_all(path.join("ais/index")).unwrap();
            }
            let store = fixture.open();
            for (thread, known) in (0..).zip(&objects) {
                let found = observe(&store, thread);
                assert_eq!(found, *known, "{context}, thread {thread}: the index rebuilt");
            }
        }
    }
    println!("{acknowledged} operations acknowledged");
    let least = if mirrored { 50 } else { 500 };
    assert!(acknowledged > least, "the writers hardly wrote: {acknowledged}");
}
