//! What the replicated state costs a gateway in memory. A process of its own, so that nothing else
//! counts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::Arc;

use common::{create, gateway, start};

/// Of the 60 MiB that a node at rest may take, the metadata gets a sixth.
const LIMIT_KIB: u64 = 10 << 10;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_history_stays_small() {
    let (dir, node) = (tempfile::tempdir().unwrap(), gateway("g1"));
    let before = resident_kib();
    let consensus = start(dir.path(), &node, &Arc::default()).await;
    consensus.bootstrap(node).await.unwrap();
    let fresh = resident_kib();
    for i in 0..1_500 {
        consensus.submit(create(&format!("b{}", i % 300))).await.ok();
    }
    let used = resident_kib();
    eprintln!("resident: {before} KiB, {fresh} KiB fresh, {used} KiB after 1,500 commands");
    assert!(used - before < LIMIT_KIB, "{} KiB", used - before);
    consensus.shutdown().await;
}
