//! One gateway: start, restart, compaction, refusals.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_cluster::{ClusterError, Command, Consensus, SubmitError};
use aistore_core::bucket::Bucket;
use common::{Switchboard, create, gateway, start, target};

fn board() -> Arc<Switchboard> {
    Arc::default()
}

async fn open(dir: &Path, id: &str) -> Result<Consensus, ClusterError> {
    Consensus::open(dir, id, "http://127.0.0.1:1", board()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_gateway_leads_at_once_and_remembers_all_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = gateway("g1");
    let began = Instant::now();
    let consensus = open(dir.path(), "g1").await.unwrap();
    assert!(!consensus.is_leader(), "not before the bootstrap");
    let state = consensus.bootstrap(node.clone()).await.unwrap();
    eprintln!("first start: {:?}", began.elapsed());
    assert!(consensus.is_leader());
    assert_eq!(state.smap.proxy_si, node);
    assert_eq!((state.smap.version, state.bmd.version), (1, 1));
    assert!(state.uuid().len() >= 9);

    consensus.submit(create("b1")).await.unwrap();
    let node_t = target("t1");
    let before = consensus.submit(Command::RegisterNode { node: node_t }).await.unwrap();
    assert_eq!(consensus.bootstrap(node.clone()).await.unwrap(), before, "a second one is no-op");
    consensus.shutdown().await;
    assert!(matches!(consensus.submit(create("x")).await, Err(SubmitError::Fatal(_))));
    drop(consensus);

    let began = Instant::now();
    let consensus = open(dir.path(), "g1").await.unwrap();
    let took = began.elapsed();
    eprintln!("restart: {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(consensus.is_leader());
    assert_eq!(*consensus.watch().borrow(), before, "all there before the first command");
    let mut moved = node.clone();
    moved.public_net.daemon_port = "9".to_owned();
    let state = consensus.bootstrap(moved.clone()).await.unwrap();
    assert_eq!(state.uuid(), before.uuid());
    assert_eq!((&state.smap.proxy_si, &state.smap.pmap["g1"]), (&moved, &moved));
    assert_eq!(state.smap.version, before.smap.version + 1);
    consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_compacted_into_snapshots_without_loss() {
    let (dir, board, node) = (tempfile::tempdir().unwrap(), board(), gateway("g1"));
    let mut expected = Vec::new();
    for run in 0..3 {
        let consensus = start(dir.path(), &node, &board).await;
        consensus.bootstrap(node.clone()).await.unwrap();
        for i in 0..70 {
            let name = format!("b-{run}-{i:02}");
            consensus.submit(create(&name)).await.unwrap();
            expected.push(name);
        }
        let state = Arc::clone(&consensus.watch().borrow());
        let names: Vec<_> = state.bmd.iter().map(|(bucket, _)| bucket.name.clone()).collect();
        assert_eq!(names, expected);
        board.unplug(node.url());
        consensus.shutdown().await;
        assert!(dir.path().join("g1/snapshot.json").exists());
    }
}

#[tokio::test]
async fn a_refused_command_changes_nothing_and_tells_why() {
    let dir = tempfile::tempdir().unwrap();
    let consensus = open(dir.path(), "g1").await.unwrap();
    let err = consensus.submit(create("b")).await.unwrap_err();
    assert!(matches!(err, SubmitError::NotLeader { url: None }), "{err}");
    let err = consensus.bootstrap(gateway("g2")).await.unwrap_err();
    assert!(err.to_string().contains("g1") && err.to_string().contains("g2"), "{err}");
    consensus.bootstrap(gateway("g1")).await.unwrap();
    let before = consensus.submit(create("b")).await.unwrap();
    let Err(SubmitError::Rejected(err)) = consensus.submit(create("b")).await else {
        panic!("a bucket was created twice");
    };
    assert_eq!((err.status, err.tcode.as_str()), (409, "ErrBucketAlreadyExists"));
    let missing = Command::DestroyBucket { bucket: Bucket::ais("none") };
    let Err(SubmitError::Rejected(err)) = consensus.submit(missing).await else {
        panic!("a missing bucket was destroyed");
    };
    assert_eq!(err.message, "bucket \"ais://none\" does not exist");
    assert!(Arc::ptr_eq(&consensus.watch().borrow(), &before));
    consensus.shutdown().await;
}

#[tokio::test]
async fn directories_of_others_and_in_use_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), "g1").await.unwrap();
    let err = open(dir.path(), "g1").await.unwrap_err();
    assert!(matches!(err, ClusterError::Locked { .. }), "{err}");
    first.shutdown().await;
    let err = open(dir.path(), "g2").await.unwrap_err();
    assert!(matches!(err, ClusterError::WrongNode { .. }), "{err}");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let err = open(&file.join("sub"), "g1").await.unwrap_err();
    assert!(err.to_string().contains("file/sub"), "{err}");
}

#[tokio::test]
async fn a_snapshot_of_another_format_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), "g1").await.unwrap().shutdown().await;
    std::fs::write(dir.path().join("snapshot.json"), r#"{"format":2}"#).unwrap();
    let err = open(dir.path(), "g1").await.unwrap_err();
    assert!(matches!(err, ClusterError::Format { found: 2, known: 1, .. }), "{err}");
    assert!(err.to_string().contains("snapshot.json"), "{err}");
}

#[tokio::test]
async fn messages_for_others_and_nonsense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let consensus = open(dir.path(), "g1").await.unwrap();
    let stray = br#"{"format":1,"to":7,"rpc":{}}"#;
    let future = br#"{"format":9,"to":7,"rpc":{}}"#;
    for (kind, body, part) in [
        ("append", &stray[..], "another gateway"),
        ("vote", &future[..], "format 9"),
        ("snapshot", b"{", "bad consensus message"),
        ("gossip", b"{}", "gossip"),
    ] {
        let err = consensus.handle_rpc(kind, body).await.unwrap_err();
        assert!(err.to_string().contains(part), "{err}");
    }
    consensus.shutdown().await;
}

/// Needs a file system of a few MiB, such as a tmpfs, so it does not run by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs AISTORE_SMALL_DIR, an empty directory on a file system of a few MiB"]
async fn a_full_disk_stops_the_log_with_a_clear_error_and_loses_nothing() {
    let dir = std::env::var("AISTORE_SMALL_DIR").unwrap();
    let dir = Path::new(&dir);
    let own = dir.join("gateway");
    let consensus = open(&own, "g1").await.unwrap();
    consensus.bootstrap(gateway("g1")).await.unwrap();
    let filler = dir.join("filler");
    std::fs::write(&filler, vec![7; 64 << 20]).unwrap_err();
    let mut acknowledged = 0;
    let err = loop {
        match consensus.submit(create(&format!("b{acknowledged}"))).await {
            Ok(_) => acknowledged += 1,
            Err(err) => break err,
        }
    };
    let text = err.to_string();
    eprintln!("{acknowledged} acknowledged, then: {text}");
    assert!(matches!(err, SubmitError::Fatal(_)) && text.contains("gateway/log"), "{text}");
    consensus.shutdown().await;
    std::fs::remove_file(&filler).unwrap();
    let consensus = open(&own, "g1").await.unwrap();
    let found = consensus.watch().borrow().bmd.len();
    assert!(found == acknowledged || found == acknowledged + 1, "{found} of {acknowledged}");
    consensus.shutdown().await;
}
