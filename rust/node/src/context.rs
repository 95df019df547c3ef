//! What the handlers of one node share: identity, current cluster state, metrics, peers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aistore_cluster::{ClusterState, Replica};
use aistore_core::config::ClusterConfig;
use aistore_core::error::ApiError;
use aistore_core::smap::Snode;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::{Mutex, watch};

use crate::clock::ClusterClock;
use crate::fshc::Health;
use crate::intra::Intra;
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::mountpaths::Labels;
use crate::overrides::Overrides;
use crate::tasks::Tasks;
use crate::times::Times;
use crate::tls::ServerTls;

/// Longest time a request waits for the node to catch up with the cluster's state.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a target trusts its copy of the state after the question that confirmed it began.
///
/// Shorter than a gateway waits for a silent target before it acknowledges a change without it, so that
/// a target that was stopped meanwhile asks before it changes anything.
pub const LEASE: Duration = Duration::from_millis(400);
const _: () = assert!(LEASE.as_millis() < crate::gateway::FOLLOWER_GRACE.as_millis());
/// Pause after no gateway could be asked. Nothing is acknowledged by a gateway that is down; waiting
/// for it with every request would stop the targets as well.
const LEASE_RETRY: Duration = Duration::from_secs(1);

/// One node's shared parts.
#[derive(Debug)]
pub struct NodeContext {
    /// This node.
    pub snode: Snode,
    /// Current cluster state.
    pub state: watch::Receiver<Arc<ClusterState>>,
    /// Start of the process.
    pub started: Instant,
    /// Numbers.
    pub metrics: Metrics,
    /// Client for peers.
    pub intra: Intra,
    /// The node's own certificate, when it serves `https://`.
    pub tls: Option<Arc<ServerTls>>,
    /// Where a target gets its state from; gateways have it first-hand.
    pub upstream: Option<Upstream>,
    /// Where this process keeps identity and metadata.
    pub data_dir: PathBuf,
    /// Directories whose files may be promoted to objects.
    pub promote_roots: Vec<PathBuf>,
    /// Settings of this node alone.
    pub overrides: Overrides,
    /// Since when the cluster has been up.
    pub(crate) cluster_clock: ClusterClock,
    /// What health checks found of a target's mountpaths.
    pub(crate) disk_health: Arc<Health>,
    /// Names that administrators gave to a target's mountpaths.
    pub(crate) labels: Labels,
    /// Memory that this process may spend.
    pub(crate) memory: Budget,
    /// Background work.
    pub tasks: Tasks,
    /// Whether start-up is over.
    pub ready: AtomicBool,
}

/// The followed source of a target's state.
pub struct Upstream {
    /// The persisted copy.
    pub replica: Arc<Replica>,
    /// Base URL of the gateway that this node joined through.
    pub join_url: String,
    /// When the last completed fetch began; `None` before the first. The lock makes fetches single.
    last_fetch: Mutex<Option<Instant>>,
    lease: std::sync::Mutex<Lease>,
}

/// When the state was last known to be the newest.
#[derive(Debug, Default)]
struct Lease {
    /// When the last question that was answered began.
    confirmed: Option<Instant>,
    /// When a renewal last failed.
    failed: Option<Instant>,
}

impl Lease {
    /// Whether the state can be trusted at `now`, or asking again has no prospect.
    fn holds(&self, now: Instant) -> bool {
        let within = |at: Option<Instant>, span: Duration| {
            at.is_some_and(|at| now.saturating_duration_since(at) < span)
        };
        within(self.confirmed, LEASE) || within(self.failed, LEASE_RETRY)
    }

    fn confirm(&mut self, began: Instant) {
        self.confirmed = self.confirmed.max(Some(began));
        self.failed = None;
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("join_url", &self.join_url).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Follows the cluster through the gateway at `join_url`.
    pub fn new(replica: Arc<Replica>, join_url: String) -> Self {
        let lease = std::sync::Mutex::default();
        Self { replica, join_url, last_fetch: Mutex::new(None), lease }
    }

    fn lease(&self) -> std::sync::MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Gateways to ask: those of the last known map, primary first, then the one joined through.
    pub fn gateways(&self, state: &ClusterState) -> Vec<String> {
        let primary = std::iter::once(&state.smap.proxy_si);
        let mut urls: Vec<String> = Vec::new();
        let known = primary.chain(state.smap.pmap.values()).map(|node| node.url().to_owned());
        for url in known.chain(std::iter::once(self.join_url.clone())) {
            if !url.is_empty() && !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }
}

impl NodeContext {
    /// The state as this node knows it.
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// The configuration that this node goes by: the cluster's, with its own settings over it. Cheap enough
    /// for every request; what comes back is as new as [`state`](Self::state).
    pub fn config(&self) -> Arc<ClusterConfig> {
        self.overrides.current(&self.state.borrow())
    }

    /// The time limits that this node goes by now.
    pub(crate) fn times(&self) -> Times {
        Times(self.config())
    }

    /// Completes when the node's configuration may have changed after the last call.
    pub(crate) fn config_changes(&self) -> ConfigChanges {
        ConfigChanges { state: self.state.clone(), own: self.overrides.changes() }
    }

    /// Whether start-up is over and requests are served.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Display form of this node, `p[id]` or `t[id]`.
    pub fn display(&self) -> String {
        self.snode.display()
    }

    /// Brings the node's state up to `at_least`, or to the gateway's newest for `None`.
    ///
    /// Single flight: any number of requests cost one fetch. Takes at most [`CATCH_UP_TIMEOUT`];
    /// answers the newest state known then, so that the caller can tell what is still missing.
    /// Dropping the future is safe.
    pub async fn catch_up(&self, at_least: Option<u64>) -> Arc<ClusterState> {
        let asked = Instant::now();
        let Some(upstream) = &self.upstream else { return self.catch_up_by_watch(at_least).await };
        let fetch = async {
            let reached = |version: u64| at_least.is_some_and(|wanted| version >= wanted);
            while !reached(self.state().version) {
                let mut last_fetch = upstream.last_fetch.lock().await;
                // A fetch that began after this request did saw all that this request may need.
                let fresh = last_fetch.is_some_and(|began| began >= asked);
                if reached(self.state().version) || (at_least.is_none() && fresh) {
                    break;
                }
                let began = Instant::now();
                // One gateway knows all there is to know, so its answer is final: a made-up version in
                // a request must not keep the others waiting. One of several may itself be behind.
                let several = upstream.gateways(&self.state()).len() > 1;
                let wait =
                    if several && at_least.is_some() { CATCH_UP_TIMEOUT } else { Duration::ZERO };
                match fetch_any(self, upstream, wait).await {
                    Ok(newer) => {
                        *last_fetch = Some(began);
                        if !newer {
                            break;
                        }
                    }
                    Err(err) => {
                        tracing::warn!(error = %err, "cannot catch up with the cluster's state");
                        break;
                    }
                }
            }
        };
        let _ = tokio::time::timeout(CATCH_UP_TIMEOUT, fetch).await;
        self.state()
    }

    /// The state to change data under: at most [`LEASE`] behind what gateways have acknowledged, as long
    /// as one can be reached.
    ///
    /// Asks a gateway only when the lease ran out; single flight. Dropping the future is safe.
    pub async fn leased_state(&self) -> Arc<ClusterState> {
        let Some(upstream) = &self.upstream else { return self.state() };
        if upstream.lease().holds(Instant::now()) {
            return self.state();
        }
        let state = self.catch_up(None).await;
        let mut lease = upstream.lease();
        if !lease.holds(Instant::now()) {
            lease.failed = Some(Instant::now());
        }
        state
    }

    async fn catch_up_by_watch(&self, at_least: Option<u64>) -> Arc<ClusterState> {
        if let Some(wanted) = at_least {
            let mut state = self.state.clone();
            let newer = state.wait_for(|state| state.version >= wanted);
            let _ = tokio::time::timeout(CATCH_UP_TIMEOUT, newer).await;
        }
        self.state()
    }
}

/// Fetches from the first gateway that answers.
async fn fetch_any(
    ctx: &NodeContext,
    upstream: &Upstream,
    wait: Duration,
) -> Result<bool, ApiError> {
    let mut failure = ApiError::unavailable("no gateway is known");
    for url in upstream.gateways(&ctx.state()) {
        match fetch_state(ctx, upstream, &url, wait).await {
            Ok(newer) => return Ok(newer),
            Err(err) => failure = err,
        }
    }
    Err(failure)
}

/// Asks one gateway for a state newer than this node's, for up to `wait`, and installs it.
///
/// Answers whether a newer state arrived.
///
/// # Errors
///
/// 500 when the gateway cannot be reached; 400 and up as it answers; 500 when the state belongs to
/// another cluster or cannot be stored.
pub async fn fetch_state(
    ctx: &NodeContext,
    upstream: &Upstream,
    gateway: &str,
    wait: Duration,
) -> Result<bool, ApiError> {
    let since = ctx.state().version;
    let url = format!(
        "{gateway}/v1/internal/state?since={since}&node={}&wait_ms={}",
        ctx.snode.daemon_id,
        wait.as_millis()
    );
    let timeout = wait + CATCH_UP_TIMEOUT;
    let began = Instant::now();
    let (status, body) =
        ctx.intra.bytes(Method::GET, &url, HeaderMap::new(), Bytes::new(), timeout).await?;
    if status == StatusCode::NO_CONTENT {
        upstream.lease().confirm(began);
        return Ok(false);
    }
    let state: ClusterState = serde_json::from_slice(&body).map_err(|err| {
        ApiError::internal(format!("malformed cluster state from {gateway}: {err}"))
    })?;
    let newer = install(upstream, state).await?;
    upstream.lease().confirm(began);
    Ok(newer)
}

/// Stores a state durably and makes it visible.
///
/// # Errors
///
/// 500 when the state belongs to another cluster or cannot be stored.
pub async fn install(upstream: &Upstream, state: ClusterState) -> Result<bool, ApiError> {
    let replica = upstream.replica.clone();
    let stored = tokio::task::spawn_blocking(move || replica.install(state)).await;
    match stored {
        Ok(Ok(newer)) => Ok(newer),
        Ok(Err(err)) => Err(ApiError::internal(err.to_string())),
        Err(err) => Err(ApiError::internal(format!("installing the cluster state: {err}"))),
    }
}

/// Tells of changes of a node's configuration.
pub(crate) struct ConfigChanges {
    state: watch::Receiver<Arc<ClusterState>>,
    own: watch::Receiver<u64>,
}

impl ConfigChanges {
    /// Waits for the next change of the cluster's state or of the node's own settings; `false` when there
    /// will be none. Dropping the future is safe.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.state.changed() => changed.is_ok(),
            changed = self.own.changed() => changed.is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_and_a_failed_renewal_is_not_tried_at_once() {
        let start = Instant::now();
        let mut lease = Lease::default();
        assert!(!lease.holds(start));
        lease.confirm(start);
        assert!(lease.holds(start + LEASE / 2) && !lease.holds(start + LEASE));
        lease.failed = Some(start + LEASE);
        assert!(lease.holds(start + LEASE) && !lease.holds(start + LEASE + LEASE_RETRY));
        lease.confirm(start + LEASE);
        // An answer that was long under way says less than a later one.
        lease.confirm(start);
        assert!(lease.holds(start + LEASE + LEASE / 2));
    }
}
