//! Which targets follow the state, and how far they have come.
//!
//! A target follows by asking for "newer than V" again and again, so each question tells which version
//! it has on disk. That is what lets a change be acknowledged when live targets know of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aistore_cluster::ClusterState;
use tokio::sync::Notify;

/// Longest wait for targets to follow a change; one that is slower catches up on its first request.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(2);
/// A target counts as live this long after its last question ended.
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// Most nodes remembered; bounds what strangers can make us store.
const MAX_FOLLOWERS: usize = 4096;

/// Followers by node id.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    nodes: Mutex<HashMap<String, Follower>>,
    changed: Notify,
}

#[derive(Debug)]
struct Follower {
    version: u64,
    /// Questions that wait for an answer now.
    open: usize,
    last_seen: Instant,
}

impl Follower {
    fn is_live(&self, now: Instant) -> bool {
        self.open > 0 || now.duration_since(self.last_seen) < GRACE
    }
}

/// One question under way; dropping it (also when the connection breaks) ends it.
pub(crate) struct Question {
    followers: Arc<Followers>,
    id: String,
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut nodes = self.followers.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get_mut(&self.id) {
            node.open = node.open.saturating_sub(1);
            node.last_seen = Instant::now();
        }
    }
}

impl Followers {
    /// Notes that node `id` has version `version` and asks for a newer one.
    pub(crate) fn asks(self: &Arc<Self>, id: &str, version: u64) -> Question {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() < MAX_FOLLOWERS || nodes.contains_key(id) {
            let fresh = || Follower { version, open: 0, last_seen: Instant::now() };
            let node = nodes.entry(id.to_owned()).or_insert_with(fresh);
            node.version = version;
            node.open += 1;
            node.last_seen = Instant::now();
        }
        drop(nodes);
        self.changed.notify_waiters();
        Question { followers: self.clone(), id: id.to_owned() }
    }

    /// Whether the node follows now.
    pub(crate) fn is_live(&self, id: &str) -> bool {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.get(id).is_some_and(|node| node.is_live(Instant::now()))
    }

    /// How long ago a node that followed stopped doing so; zero while it does or when it never did.
    pub(crate) fn silent_for(&self, id: &str) -> Duration {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = nodes.get(id).filter(|node| node.open == 0);
        gone.map_or(Duration::ZERO, |node| node.last_seen.elapsed())
    }

    /// Waits until every live target of the map has `state` or newer, at most 2 s.
    pub(crate) async fn wait_for(&self, state: &ClusterState) {
        let followed = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Registered before the check, or a change in between would be missed.
                changed.as_mut().enable();
                if !self.someone_lags(state) {
                    return;
                }
                // Liveness also ends by time alone.
                let _ = tokio::time::timeout(GRACE, changed).await;
            }
        };
        if tokio::time::timeout(FOLLOW_TIMEOUT, followed).await.is_err() {
            tracing::warn!(version = state.version, "some targets have not followed a change yet");
        }
    }

    fn someone_lags(&self, state: &ClusterState) -> bool {
        let now = Instant::now();
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        state.smap.tmap.keys().any(|id| {
            nodes.get(id).is_some_and(|node| node.is_live(now) && node.version < state.version)
        })
    }
}

#[cfg(test)]
mod tests {
    use aistore_core::smap::Snode;

    use super::*;

    fn state(version: u64) -> ClusterState {
        let mut state = ClusterState { version, ..ClusterState::default() };
        state.smap.tmap.insert("t1".into(), Snode::for_test("t1"));
        state
    }

    #[tokio::test]
    async fn a_change_waits_for_live_targets_and_only_for_them() {
        let followers = Arc::new(Followers::default());
        followers.wait_for(&state(9)).await; // Nobody follows: nothing to wait for.
        let question = followers.asks("t1", 8);
        let waiting = tokio::spawn({
            let followers = followers.clone();
            async move { followers.wait_for(&state(9)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(question);
        let _newer = followers.asks("t1", 9);
        waiting.await.unwrap();
        assert!(followers.is_live("t1") && !followers.is_live("t2"));
    }

    #[tokio::test]
    async fn a_stuck_target_delays_a_change_by_a_bounded_time() {
        let followers = Arc::new(Followers::default());
        let _question = followers.asks("t1", 8);
        let before = tokio::time::Instant::now();
        followers.wait_for(&state(9)).await;
        assert!(before.elapsed() >= FOLLOW_TIMEOUT);
    }
}
