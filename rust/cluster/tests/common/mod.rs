//! Gateways in one process, joined by a switchboard instead of a network.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aistore_cluster::{Command, Consensus, RaftTransport, Tuning};
use aistore_core::bucket::Bucket;
use aistore_core::smap::{NetInfo, NodeKind, Snode};

/// Longest wait for anything that must happen.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Delivers messages between gateways by URL.
#[derive(Default)]
pub struct Switchboard {
    gateways: Mutex<HashMap<String, Arc<Consensus>>>,
    unplugged: Mutex<HashSet<String>>,
}

impl Switchboard {
    pub fn plug(&self, url: &str, gateway: &Arc<Consensus>) {
        self.gateways.lock().unwrap().insert(url.to_owned(), Arc::clone(gateway));
    }

    pub fn unplug(&self, url: &str) {
        self.gateways.lock().unwrap().remove(url);
    }
}

impl RaftTransport for Switchboard {
    fn send<'a>(
        &'a self,
        url: &'a str,
        kind: &'a str,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        let gateway = self.gateways.lock().unwrap().get(url).cloned();
        Box::pin(async move {
            let gateway = gateway.ok_or_else(|| format!("nobody listens at {url}"))?;
            gateway.handle_rpc(kind, &body).await.map_err(|err| err.to_string())
        })
    }
}

/// Fast elections and frequent snapshots.
pub fn tuning() -> Tuning {
    Tuning {
        heartbeat: Duration::from_millis(100),
        election: Duration::from_millis(400),
        snapshot_every: 25,
        keep_entries: 5,
        ..Tuning::default()
    }
}

pub fn port_of(id: &str) -> u16 {
    id.bytes().map(u16::from).sum()
}

pub fn gateway(id: &str) -> Snode {
    Snode::new(id, NodeKind::Gateway, NetInfo::http("127.0.0.1", port_of(id)))
}

pub fn target(id: &str) -> Snode {
    Snode::new(id, NodeKind::Target, NetInfo::http("127.0.0.1", port_of(id)))
}

pub async fn start(dir: &Path, node: &Snode, board: &Arc<Switchboard>) -> Arc<Consensus> {
    let transport: Arc<dyn RaftTransport> = board.clone();
    let (id, own_dir) = (&node.daemon_id, dir.join(&node.daemon_id));
    let consensus = Consensus::open_tuned(&own_dir, id, node.url(), transport, tuning());
    let consensus = Arc::new(consensus.await.unwrap());
    board.plug(node.url(), &consensus);
    consensus
}

pub fn create(name: &str) -> Command {
    Command::CreateBucket { bucket: Bucket::ais(name), patch: None, created_ns: 1 }
}

/// Waits until `check` holds; fails with `what` after [`LIMIT`].
pub async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < LIMIT, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
