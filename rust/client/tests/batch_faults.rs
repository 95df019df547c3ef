//! Batches while nodes break connections, refuse, go for good and are replaced: order and completeness
//! against a model, over many seeds.
//!
//! `BATCH_FAULT_SEED` repeats one seed, `BATCH_FAULT_ROUNDS` runs more of them.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    clippy::cast_possible_truncation,
    reason = "helpers of tests: a panic is the right answer, and handlers share one type"
)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aistore_client::Client;
use aistore_core::frames::Header;
use aistore_core::moss::{MossIn, MossReq, Wanted};
use aistore_core::placement;
use aistore_core::smap::Smap;
use bytes::Bytes;

use support::{Answer, Pieces, Seen, Server, answer, bucket, client, error, map, nothing, with};

const TARGETS: usize = 4;
const ROUNDS: u64 = 15;
/// Failures in a row after which a node that lives answers well, so that every batch can end.
const MOST_FAILURES: u32 = 2;

fn content(name: &str) -> Vec<u8> {
    let length = name.bytes().map(usize::from).sum::<usize>() * 37 % 9_000;
    name.bytes().cycle().take(length).collect()
}

/// What one node does.
struct Node {
    random: fastrand::Rng,
    failures: u32,
    /// Answers until it dies.
    lives: u32,
    /// Asked after its death, until it leaves the map; `None` if it stays there.
    leaves_after: Option<u32>,
    gone: bool,
}

impl Node {
    fn new(seed: u64, mortal: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let lives = if mortal { random.u32(0..3) } else { u32::MAX };
        let leaves_after = random.bool().then(|| random.u32(1..4));
        Self { random, failures: 0, lives, leaves_after, gone: false }
    }

    fn is_dead(&self) -> bool {
        self.lives == 0
    }

    fn answer(&mut self, seen: &Seen, left: &AtomicU64) -> Answer {
        if self.is_dead() {
            match &mut self.leaves_after {
                Some(0) if !self.gone => {
                    self.gone = true;
                    left.fetch_add(1, Ordering::SeqCst);
                }
                Some(more) => *more = more.saturating_sub(1),
                None => {}
            }
            return None;
        }
        let luck = if self.failures < MOST_FAILURES { self.random.u32(0..10) } else { 9 };
        self.failures = if luck < 5 { self.failures + 1 } else { 0 };
        self.lives = if self.lives == u32::MAX { u32::MAX } else { self.lives - 1 };
        match luck {
            0 => None,
            1 => Some(error(421, "ErrStaleMap", "stale map")),
            2 => Some(error(503, "", "starting")),
            3 | 4 => Some(self.frames(seen, true)),
            // The last answer before its death never arrives whole.
            _ => Some(self.frames(seen, self.lives == 0)),
        }
    }

    fn frames(&mut self, seen: &Seen, cut: bool) -> http::Response<Pieces> {
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let entries: Vec<Wanted> = serde_json::from_value(body["entries"].clone()).unwrap();
        let mut out = Vec::new();
        for (index, entry) in (0_u32..).zip(&entries) {
            if entry.object.starts_with("missing") {
                let length = "gone".len() as u64;
                out.extend(Header { index, status: 404, length }.encode());
                out.extend(b"gone");
                continue;
            }
            let data = content(&entry.object);
            out.extend(Header::data(index, data.len() as u64).encode());
            out.extend(data);
        }
        out.extend(Header::end().encode());
        if cut {
            out.truncate(self.random.usize(0..out.len()));
        }
        let pieces = out.chunks(self.random.usize(100..20_000)).map(Bytes::copy_from_slice);
        let left = pieces.collect();
        let response =
            http::Response::new(Pieces { announced: None, left, cut, delay: 3, mark: None });
        with(response, "ais-max-soft-errs", "1000000")
    }
}

struct Cluster {
    nodes: Vec<Arc<Mutex<Node>>>,
    servers: Vec<Server>,
    client: Client,
    first_map: Smap,
}

impl Cluster {
    async fn start(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let left = Arc::new(AtomicU64::new(0));
        let mut nodes = Vec::new();
        let mut servers = Vec::new();
        for at in 0..TARGETS {
            // The first one always lives.
            let mortal = at > 0 && random.u32(0..4) == 0;
            let node = Arc::new(Mutex::new(Node::new(random.u64(..), mortal)));
            let (shared, left) = (node.clone(), left.clone());
            servers.push(
                Server::start(move |seen, _| {
                    assert_eq!(seen.path, "/v1/frames");
                    shared.lock().unwrap().answer(seen, &left)
                })
                .await,
            );
            nodes.push(node);
        }
        let urls: Vec<String> = servers.iter().map(|server| server.url.clone()).collect();
        let all: Vec<&str> = urls.iter().map(String::as_str).collect();
        let first_map = map(1, "http://127.0.0.1:1", &all);
        let (members, known) = (nodes.clone(), urls.clone());
        let gateway = Server::start(move |seen, count| {
            if seen.path != "/v1/daemon" {
                return nothing(seen, count);
            }
            let urls: Vec<&str> = known.iter().map(String::as_str).collect();
            let mut map = map(1 + left.load(Ordering::SeqCst), "http://127.0.0.1:1", &urls);
            for (at, node) in members.iter().enumerate() {
                if node.lock().unwrap().gone {
                    map.tmap.remove(&format!("target{at}"));
                }
            }
            Some(answer(200, serde_json::to_vec(&map).unwrap()))
        })
        .await;
        Self { nodes, servers, client: client(&gateway), first_map }
    }

    /// Whether an entry may come back as failed: its owner died and stays in the map.
    fn may_be_lost(&self, name: &str) -> bool {
        let owner = placement::owner(&self.first_map, &bucket().object_uname(name)).unwrap();
        let at = self.servers.iter().position(|server| server.url == owner.url()).unwrap();
        self.nodes[at].lock().unwrap().is_dead()
    }
}

async fn round(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed ^ 0xbadc_0ffe);
    let cluster = Cluster::start(seed).await;
    for _ in 0..2 {
        let names: Vec<String> =
            (0..random.u32(1..120))
                .map(|at| {
                    if random.u32(0..20) == 0 { format!("missing-{at}") } else { format!("o{at}") }
                })
                .collect();
        let entries = names.iter().map(|o| MossIn { object: o.clone(), ..MossIn::default() });
        let request = MossReq {
            entries: entries.collect(),
            continue_on_error: Some(true),
            ..MossReq::default()
        };
        let mut stream = match cluster.client.batch(request, Some(bucket())).await {
            Ok(stream) => stream,
            Err(err) => panic!("seed {seed}: not begun: {err}"),
        };
        let mut got = 0;
        while let Some(item) =
            stream.next().await.unwrap_or_else(|err| panic!("seed {seed}: {err}"))
        {
            let name = &names[item.index];
            assert_eq!(item.index, got, "seed {seed}");
            got += 1;
            match item.data {
                Ok(data) => assert!(data == content(name)[..], "seed {seed}: {name}"),
                Err(err) if err.status == 404 => {
                    assert!(name.starts_with("missing"), "{seed}: {err}");
                }
                Err(err) => {
                    assert!(err.message.contains(&format!("ais://b/{name}")), "seed {seed}: {err}");
                    assert!(cluster.may_be_lost(name), "seed {seed}: {name} lives: {err}");
                }
            }
        }
        assert_eq!(got, names.len(), "seed {seed}");
    }
}

#[tokio::test]
async fn every_entry_arrives_in_its_place_or_is_named_as_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("BATCH_FAULT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BATCH_FAULT_ROUNDS").unwrap_or(ROUNDS),
    };
    for seed in seeds {
        tokio::time::timeout(Duration::from_mins(1), round(seed))
            .await
            .unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}

#[tokio::test]
async fn a_node_that_comes_back_is_waited_for() {
    let calls = Arc::new(AtomicU64::new(0));
    let (seen_calls, node) = (calls.clone(), Mutex::new(Node::new(1, false)));
    let target = Server::start(move |seen, _| match seen_calls.fetch_add(1, Ordering::SeqCst) {
        0 => Some(node.lock().unwrap().frames(seen, true)),
        1..=7 => None,
        _ => Some(node.lock().unwrap().frames(seen, false)),
    })
    .await;
    let gateway = support::gateway(&[&target], nothing).await;
    let mut config = aistore_client::ClientConfig::new(gateway.url.clone());
    (config.attempts, config.patience) = (2, Duration::from_secs(30));
    let client = Client::new(config).unwrap();
    let entries = (0..50).map(|i| MossIn { object: format!("o{i}"), ..MossIn::default() });
    let request = MossReq { entries: entries.collect(), ..MossReq::default() };
    let mut stream = client.batch(request, Some(bucket())).await.unwrap();
    for at in 0..50 {
        let item = stream.next().await.unwrap().unwrap();
        assert_eq!((item.index, item.data.unwrap()), (at, content(&format!("o{at}")).into()));
    }
    assert!(calls.load(Ordering::SeqCst) >= 9);
}

#[tokio::test]
async fn a_node_that_was_waited_for_in_vain_is_not_waited_for_again() {
    let target = Server::start(|_, _| None).await;
    let gateway = support::gateway(&[&target], nothing).await;
    let mut config = aistore_client::ClientConfig::new(gateway.url.clone());
    (config.attempts, config.patience) = (2, Duration::from_millis(500));
    let client = Client::new(config).unwrap();
    let ask = || async {
        let entries = vec![MossIn { object: "o".into(), ..MossIn::default() }];
        let request = MossReq { entries, ..MossReq::default() };
        let mut stream = client.batch(request, Some(bucket())).await.unwrap();
        stream.next().await.unwrap_err();
        target.seen().len()
    };
    let first = ask().await;
    assert!(first > 6, "{first}");
    // A request on a connection that the node closed is sent again by the pool.
    assert!(ask().await <= first + 4);
}
