//! One owner's share of a batch, read to its end wherever its entries have gone meanwhile.
//!
//! A connection that breaks, or a node that refuses because the map has changed, is followed by a look at
//! the map: entries that others own by then are asked of those, the rest of the same node again. The order
//! within the share stays. How long all this may take without an entry arriving is
//! [`ClientConfig::patience`](crate::ClientConfig::patience).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aistore_core::error::ApiError;
use aistore_core::placement;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::peer::{Answer, OpenError, Peer, RUNS_AHEAD, ReadAhead, is_lost};
use super::{Lane, Message, Run, SoftLimit};
use crate::client::Client;
use crate::error::ClientError;

/// Waits between two looks at a node that is gone.
const SHORTEST_PAUSE_MS: u64 = 25;
const LONGEST_PAUSE_MS: u64 = 300;
/// Times that what is left of a share is split among other nodes, one inside the other.
const MAX_SPLITS: u32 = 4;
/// How long a node that was waited for in vain is not waited for again.
const AWAY_FOR: Duration = Duration::from_secs(30);
/// Most nodes remembered as away.
const MAX_AWAY: usize = 1024;

/// Nodes that batches waited for in vain lately, by whatever names them.
#[derive(Debug, Default)]
pub struct Away(Mutex<HashMap<String, Instant>>);

impl Away {
    /// Whether it is not worth while to wait for the node.
    pub fn is(&self, node: &str) -> bool {
        let away = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        away.get(node).is_some_and(|since| since.elapsed() < AWAY_FOR)
    }

    /// It was waited for in vain.
    pub fn add(&self, node: &str) {
        let mut away = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if away.len() >= MAX_AWAY {
            away.clear();
        }
        away.insert(node.to_owned(), Instant::now());
    }

    /// It has answered.
    pub fn remove(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

/// A jittered wait before a node is asked again, longer with every try.
fn pause(tries: u32) -> Duration {
    let longest = (SHORTEST_PAUSE_MS << tries.min(8)).min(LONGEST_PAUSE_MS);
    Duration::from_millis(fastrand::u64(SHORTEST_PAUSE_MS..=longest))
}

/// The task that reads one share.
pub(super) struct Share {
    client: Client,
    peer: Peer,
    lane: ReadAhead,
    limit: Arc<SoftLimit>,
    /// Hand out entries that cannot be had as failed, instead of failing the batch.
    mark: bool,
    splits: u32,
}

impl Share {
    pub(super) fn new(
        client: Client,
        peer: Peer,
        lane: ReadAhead,
        limit: Arc<SoftLimit>,
        mark: bool,
    ) -> Self {
        Self { client, peer, lane, limit, mark, splits: 0 }
    }

    /// Reads the whole share; ends when the consumer is gone. `answer` is the first one, if there is one.
    pub(super) async fn read(mut self, mut answer: Option<Answer>) {
        let patience = self.client.config().patience;
        let attempts = self.client.config().attempts.max(1);
        let away = self.client.shared.away.is(self.peer.url());
        let (mut done, mut tries) = (0, 0);
        let mut alive = Instant::now();
        loop {
            let before = done;
            let Err(failure) = self.go_on(answer.take(), &mut done).await else { return };
            if done > before {
                (tries, alive) = (0, Instant::now());
            }
            tracing::debug!(url = self.peer.url(), done, "batch stream broke; asking for the rest");
            let error = match failure {
                OpenError::Unknown => ClientError::Protocol {
                    url: self.peer.url().to_owned(),
                    message: "the node stopped to serve batches".to_owned(),
                },
                OpenError::Lost(error) | OpenError::Stale(error) => {
                    if self.has_moved(done).await {
                        return self.split(done).await;
                    }
                    tries += 1;
                    let waits = !away || done > 0;
                    let more = tries < attempts || alive.elapsed() < patience;
                    if attempts > 1 && waits && more {
                        tokio::time::sleep(pause(tries)).await;
                        continue;
                    }
                    self.client.shared.away.add(self.peer.url());
                    error
                }
                OpenError::Failed(error) => {
                    if is_lost(&error) && self.has_moved(done).await {
                        return self.split(done).await;
                    }
                    error
                }
            };
            if self.mark && is_lost(&error) {
                self.peer.mark_rest(done, &error, &self.lane.sender).await;
            } else {
                let _ = self.lane.sender.send(Err(error)).await;
            }
            return;
        }
    }

    async fn go_on(&self, answer: Option<Answer>, done: &mut usize) -> Result<(), OpenError> {
        let answer = match answer {
            Some(answer) => answer,
            None => self.peer.open(&self.client, *done).await?,
        };
        self.limit.learn(&answer);
        self.client.shared.away.remove(self.peer.url());
        self.peer.read_answer(answer, &self.lane, done).await.map_err(|error| match error {
            ClientError::Truncated { .. } | ClientError::Connect { .. } => OpenError::Lost(error),
            _ => OpenError::Failed(error),
        })
    }

    /// Whether the newest map gives any entry from position `done` on to another node.
    async fn has_moved(&mut self, done: usize) -> bool {
        self.client.refresh_map().await;
        let Ok(map) = self.client.smap(false).await else { return false };
        self.peer.set_map_version(map.version);
        let moved = self.peer.left(done).iter().any(|entry| {
            let owner = placement::owner(&map, &entry.bucket.object_uname(&entry.object));
            owner.is_some_and(|owner| owner.url() != self.peer.url())
        });
        moved && self.splits < MAX_SPLITS
    }

    /// Reads entries from position `done` on from those who own them now.
    async fn split(&self, done: usize) {
        let Ok(map) = self.client.smap(false).await else { return };
        let (mut peers, mut order) = (Vec::<Peer>::new(), Vec::new());
        for entry in self.peer.left(done) {
            let owner = placement::owner(&map, &entry.bucket.object_uname(&entry.object));
            let url = owner.map_or(self.peer.url(), |owner| owner.url());
            let at = peers.iter().position(|peer| peer.url() == url).unwrap_or_else(|| {
                peers.push(Peer::new(url, map.version));
                peers.len() - 1
            });
            if let Some(peer) = peers.get_mut(at) {
                peer.add(entry.clone());
            }
            order.push(at);
        }
        let budget = (self.lane.budget_bytes() / peers.len().max(1)).max(1);
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(peers.len());
        for peer in peers {
            let (sender, receiver) = mpsc::channel(RUNS_AHEAD);
            lanes.push(Lane::new(peer.url(), receiver));
            let share = Self {
                client: self.client.clone(),
                peer,
                lane: ReadAhead::new(budget, sender),
                limit: Arc::clone(&self.limit),
                mark: self.mark,
                splits: self.splits + 1,
            };
            tasks.spawn(share.boxed());
        }
        for at in order {
            let Some(lane) = lanes.get_mut(at) else { return };
            let message = lane.take().await;
            let failed = message.is_err();
            if !self.forward(message).await || failed {
                return;
            }
        }
    }

    async fn forward(&self, message: Result<Result<bytes::Bytes, ApiError>, ClientError>) -> bool {
        match message {
            Ok(item) => {
                let bytes = item.as_ref().map_or(0, bytes::Bytes::len);
                self.lane.hand_over([item].into(), bytes).await
            }
            Err(error) => self.lane.sender.send(Err(error)).await.is_ok(),
        }
    }

    /// For shares inside shares, whose type would contain itself.
    fn boxed(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.read(None))
    }
}

impl Peer {
    /// Hands out the entries from position `from` on as failed.
    pub(super) async fn mark_rest(
        &self,
        from: usize,
        error: &ClientError,
        sender: &mpsc::Sender<Message>,
    ) {
        let text = format!("batch read from {} failed: {error}", self.url());
        let failed = |entry: &aistore_core::moss::Wanted| {
            let cname = entry.bucket.object_cname(&entry.object);
            Err(ApiError::unavailable(format!("{cname}: {text}")))
        };
        let items = self.left(from).iter().map(failed).collect();
        // Nobody takes them when the consumer is gone.
        let _ = sender.send(Ok(Run { items, _permit: None })).await;
    }
}
