//! Compares embedded ordered engines on the access pattern of the object index.
//!
//! `index-engines [ENTRIES] [DIR]` runs every engine and prints one table. Each phase is a process of its
//! own: the one that inserts ends by SIGKILL without closing, the one that reads then checks that every
//! acknowledged entry is there. Group commits must survive that kill; none is asked to survive loss of
//! power, unless the engine has no other way (redb with its own file backend).

mod engines;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use engines::{ENGINES, Engine, open};

type Outcome<T> = Result<T, Box<dyn Error>>;

const GROUP: usize = 64;
const READS: usize = 200_000;
const SCANS: usize = 50;
const SCAN_LENGTH: usize = 10_000;
const SINGLE_COMMITS: usize = 5_000;

/// Names as data sets have them: shared prefixes, arrival out of order.
fn key(entry: usize, entries: usize) -> Vec<u8> {
    // A permutation of the entries, as 7919 is prime and does not divide their number.
    let entry = entry * 7919 % entries;
    let mut key = (1_u64 << 63 | 42).to_be_bytes().to_vec();
    key.extend(format!("train/class-{:03}/image-{entry:09}.jpeg", entry / SCAN_LENGTH).bytes());
    key
}

/// As long as the store's index values are.
fn value(entry: usize) -> Vec<u8> {
    let mut value = vec![0x5a; 48];
    value[..8].copy_from_slice(&(entry as u64).to_be_bytes());
    value
}

fn groups(engine: &dyn Engine, from: usize, to: usize, size: usize, entries: usize) -> Outcome<()> {
    for start in (from..to).step_by(size) {
        let batch: Vec<_> = (start..(start + size).min(to))
            .map(|entry| (key(entry, entries), value(entry)))
            .collect();
        engine.commit(&batch)?;
    }
    Ok(())
}

fn status(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<f64>().unwrap_or(0.0) / 1024.0
}

/// Inserts, then dies as if killed from outside.
fn insert_phase(name: &str, dir: &Path, entries: usize) -> Outcome<()> {
    let engine = open(name, dir)?;
    let bulk = entries - SINGLE_COMMITS;
    let start = Instant::now();
    groups(&*engine, 0, bulk, GROUP, entries)?;
    let grouped = bulk as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    groups(&*engine, bulk, entries, 1, entries)?;
    let single = SINGLE_COMMITS as f64 / start.elapsed().as_secs_f64();
    let (anonymous, peak) = (status("RssAnon"), status("VmHWM"));
    println!("{grouped} {single} {anonymous} {peak}");
    std::io::Write::flush(&mut std::io::stdout())?;
    let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
    Err("still alive after SIGKILL".into())
}

fn read_phase(name: &str, dir: &Path, entries: usize) -> Outcome<()> {
    let start = Instant::now();
    let engine = open(name, dir)?;
    let reopen = start.elapsed().as_secs_f64() * 1000.0;
    let opened = status("RssAnon");
    let mut lost = 0;
    for entry in 0..entries {
        lost +=
            usize::from(engine.get(&key(entry, entries))?.as_deref() != Some(&value(entry)[..]));
    }
    let start = Instant::now();
    for read in 0..READS {
        let entry = read.wrapping_mul(104_729) % entries;
        assert!(engine.get(&key(entry, entries))?.is_some(), "entry {entry}");
    }
    let point = READS as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut scanned = 0;
    for scan in 0..SCANS {
        let class = scan * 7 % (entries / SCAN_LENGTH).max(1);
        let mut prefix = (1_u64 << 63 | 42).to_be_bytes().to_vec();
        prefix.extend(format!("train/class-{class:03}/").bytes());
        scanned += engine.scan(&prefix, SCAN_LENGTH)?;
    }
    let scan = scanned as f64 / start.elapsed().as_secs_f64();
    println!("{reopen} {lost} {point} {scan} {opened} {}", status("RssAnon"));
    Ok(())
}

fn phase(phase: &str, name: &str, entries: usize, dir: &Path) -> Outcome<Vec<f64>> {
    let output = Command::new(std::env::current_exe()?)
        .arg(entries.to_string())
        .arg(dir)
        .args([phase, name])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if numbers.len() < 4 {
        return Err(format!("{name}, {phase}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(numbers)
}

fn disk_mib(dir: &Path) -> Outcome<f64> {
    let output = Command::new("du").arg("-sk").arg(dir).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().unwrap_or("0").parse::<f64>()? / 1024.0)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let entries = arguments.get(1).map_or(Ok(500_000), |text| text.parse())?;
    let dir = arguments.get(2).map_or("index-engines-data", String::as_str).to_owned();
    let dir = Path::new(&dir);
    if let [_, _, _, phase, name] = &arguments[..] {
        return match phase.as_str() {
            "insert" => insert_phase(name, dir, entries),
            _ => read_phase(name, dir, entries),
        };
    }
    println!("{entries} entries, groups of {GROUP}, {SINGLE_COMMITS} of them committed singly");
    println!(
        "| engine | grouped inserts/s | single commits/s | lost after SIGKILL | reopen ms | point reads/s \
         | scanned entries/s | disk MiB | anonymous memory MiB: writing, peak RSS, reopened, reading |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for name in ENGINES {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir)?;
        let inserted = phase("insert", name, entries, &dir)?;
        let read = phase("read", name, entries, &dir)?;
        println!(
            "| {name} | {:.0} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0}, {:.0}, {:.0}, {:.0} |",
            inserted[0],
            inserted[1],
            read[1],
            read[0],
            read[2],
            read[3],
            disk_mib(&dir)?,
            inserted[2],
            inserted[3],
            read[4],
            read[5]
        );
        std::fs::remove_dir_all(&dir)?;
    }
    for (name, limit) in engines::longest_keys(&dir.join("keys"))? {
        println!("{name}: longest key {limit}");
    }
    Ok(())
}
