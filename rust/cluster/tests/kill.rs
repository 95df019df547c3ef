//! A gateway killed at any moment keeps what it acknowledged.
//!
//! The test starts itself as a child that submits commands and reports each one before and after;
//! the parent kills it at random moments, opens the directory and compares.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aistore_cluster::{Command, Consensus, Replica};
use aistore_core::bucket::Bucket;
use common::{Switchboard, create, gateway, tuning};

const DIR_VARIABLE: &str = "AISTORE_CLUSTER_KILL_DIR";
const RUN_VARIABLE: &str = "AISTORE_CLUSTER_KILL_RUN";
const KILLS: u32 = 30;
const WORKERS: u32 = 4;
const LONGEST_LIFE_MS: u64 = 400;

/// What is known of a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Present,
    Absent,
    /// A command was under way when the process died.
    Either,
}

async fn open(dir: &Path) -> Consensus {
    let (node, board) = (gateway("g1"), Arc::<Switchboard>::default());
    Consensus::open_tuned(dir, "g1", node.url(), board, tuning()).await.unwrap()
}

/// One line in one write: writes to a pipe up to 4 KiB are whole or absent, also under a kill.
fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@ {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn work(consensus: Arc<Consensus>, prefix: String) {
    for i in 0_u32.. {
        let name = format!("{prefix}-{i}");
        report(&format!("begin {name}"));
        let state = consensus.submit(create(&name)).await.unwrap();
        report(&format!("present {name} {}", state.version));
        if i % 3 == 0 {
            report(&format!("begin {name}"));
            let bucket = Bucket::ais(name.as_str());
            let state = consensus.submit(Command::DestroyBucket { bucket }).await.unwrap();
            report(&format!("absent {name} {}", state.version));
        }
    }
}

/// The child's life; does nothing in a plain test run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(dir), Ok(run)) = (std::env::var(DIR_VARIABLE), std::env::var(RUN_VARIABLE)) else {
        return;
    };
    let consensus = Arc::new(open(Path::new(&dir)).await);
    consensus.bootstrap(gateway("g1")).await.unwrap();
    let workers =
        (0..WORKERS).map(|w| tokio::spawn(work(consensus.clone(), format!("r{run}-w{w}"))));
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

fn spawn_child(dir: &Path, run: u32) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .env(RUN_VARIABLE, run.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Takes in the reports; returns the highest version acknowledged.
fn learn(reports: &[String], known: &mut BTreeMap<String, Known>) -> u64 {
    let mut version = 0;
    for line in reports {
        let mut words = line.split(' ').skip(1);
        let (verb, name) = (words.next().unwrap(), words.next().unwrap());
        let what = match verb {
            "present" => Known::Present,
            "absent" => Known::Absent,
            "begin" => Known::Either,
            _ => panic!("{line}"),
        };
        version = words.next().map_or(version, |text| version.max(text.parse().unwrap()));
        known.insert(name.to_owned(), what);
    }
    version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commands_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (mut known, mut version, mut acknowledged) = (BTreeMap::new(), 0, 0);
    for run in 0..KILLS {
        let mut child = spawn_child(dir.path(), run);
        let pipe = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            // The test harness of the child prints lines of its own.
            let mut lines: Vec<String> =
                pipe.split(b'\n').map(|line| String::from_utf8(line.unwrap()).unwrap()).collect();
            lines.retain(|line| line.starts_with("@ "));
            lines
        });
        std::thread::sleep(Duration::from_millis(fastrand::u64(1..LONGEST_LIFE_MS)));
        child.kill().unwrap();
        child.wait().unwrap();
        let reports = reader.join().unwrap();
        acknowledged += reports.iter().filter(|line| !line.contains("begin")).count();
        version = learn(&reports, &mut known).max(version);

        let consensus = open(dir.path()).await;
        let state = Arc::clone(&consensus.watch().borrow());
        assert!(state.version >= version, "run {run}: {} < {version}", state.version);
        for (name, what) in &mut known {
            let present = state.bmd.contains(&Bucket::ais(name.as_str()));
            let actual = if present { Known::Present } else { Known::Absent };
            assert!(*what == actual || *what == Known::Either, "run {run}: {name} was {what:?}");
            *what = actual;
        }
        let strangers = state.bmd.iter().filter(|(bucket, _)| !known.contains_key(&bucket.name));
        assert_eq!(strangers.count(), 0, "run {run}");
        consensus.shutdown().await;
    }
    eprintln!("{acknowledged} commands acknowledged over {KILLS} kills, version {version}");
    assert!(acknowledged > 500, "only {acknowledged} commands: the test proves too little");
}

/// A replica is whole after a kill too: its file is replaced, never rewritten.
#[test]
fn a_torn_temporary_file_beside_a_replica_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    drop(Replica::open(dir.path()).unwrap());
    std::fs::write(dir.path().join("state.tmp"), b"{\"format\":1,\"ver").unwrap();
    assert_eq!(Replica::open(dir.path()).unwrap().watch().borrow().version, 0);
}
