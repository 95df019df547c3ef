//! A target's side of membership: joining, following the cluster's state, dropping dead buckets' data.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_cluster::ClusterState;
use aistore_core::error::ApiError;
use aistore_store::Store;
use http::Method;

use crate::context::{NodeContext, Upstream, fetch_state, install};

/// Longest wait for one answer to a join request.
const JOIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// First pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);
/// Uploads that were under way when their bucket died may still end; their data goes with this look.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// Pauses that double from the shortest to the longest, with jitter so that nodes do not march in step.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(PAUSE)
    }

    async fn pause(&mut self, longest: Duration) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = self.0.saturating_mul(2).min(longest);
    }
}

/// Registers this node with the cluster and installs the state that has it.
///
/// A gateway that cannot be reached, or is starting, is asked again for as long as the configuration says.
///
/// # Errors
///
/// Text for the operator: refusals at once, unreachable gateways after the time is up.
pub(crate) async fn join(ctx: &NodeContext, upstream: &Upstream) -> Result<(), String> {
    let limit = ctx.times().join();
    let began = Instant::now();
    let mut backoff = Backoff::new();
    let mut told = false;
    loop {
        let err = match try_join(ctx, upstream).await {
            Ok(()) => return Ok(()),
            Err(err) => err,
        };
        // 500 and 503 are ours for "not reachable" and the gateway's for "starting".
        if err.status < 500 || err.tcode == FOREIGN {
            return Err(format!(
                "cannot join the cluster at {}: {}",
                upstream.join_url, err.message
            ));
        }
        if began.elapsed() >= limit {
            return Err(format!(
                "cannot join the cluster at {} within {} s: {}; check --join and that the gateway runs",
                upstream.join_url,
                limit.as_secs(),
                err.message
            ));
        }
        if !told {
            told = true;
            tracing::warn!(gateway = upstream.join_url, error = %err.message, "cannot join yet, trying on");
        }
        backoff.pause(ctx.times().retry()).await;
    }
}

/// Class of errors that trying again does not cure.
const FOREIGN: &str = "ErrForeignState";

async fn try_join(ctx: &NodeContext, upstream: &Upstream) -> Result<(), ApiError> {
    let mut failure = ApiError::unavailable("no gateway is known");
    // The one given on the command line first: it is what the operator wants now.
    let mut gateways = vec![upstream.join_url.clone()];
    gateways.extend(
        upstream.gateways(&ctx.state()).into_iter().skip_while(|url| *url == upstream.join_url),
    );
    for gateway in gateways {
        let url = format!("{gateway}/v1/internal/join");
        let asked = ctx.intra.json(Method::POST, &url, &ctx.snode, JOIN_ANSWER_TIMEOUT).await;
        match asked {
            Ok(state) => {
                let state: ClusterState = state;
                return install(upstream, state)
                    .await
                    .map(|_| ())
                    .map_err(|err| ApiError::new(500, FOREIGN, err.message));
            }
            Err(err) if err.status < 500 => return Err(err),
            Err(err) => failure = err,
        }
    }
    Err(failure)
}

/// Follows the cluster's state until the node stops. Reconnects for ever, with pauses.
pub(crate) async fn follow(ctx: Arc<NodeContext>) {
    let Some(upstream) = &ctx.upstream else { return };
    let mut backoff = Backoff::new();
    let mut lost = false;
    loop {
        let mut reached = false;
        for gateway in upstream.gateways(&ctx.state()) {
            match fetch_state(&ctx, upstream, &gateway, ctx.times().beat()).await {
                Ok(newer) => {
                    reached = true;
                    if newer {
                        let version = ctx.state().version;
                        tracing::debug!(version, "cluster state followed");
                    }
                    break;
                }
                Err(err) if !lost => {
                    tracing::warn!(gateway, error = %err, "lost the gateway, trying on");
                }
                Err(_) => {}
            }
        }
        if reached {
            if lost {
                tracing::info!("the gateway is back");
            }
            (lost, backoff) = (false, Backoff::new());
        } else {
            lost = true;
            backoff.pause(ctx.times().retry()).await;
        }
    }
}

/// Drops the data of buckets that are gone, at every change of the state, until the node stops.
///
/// Start it only after a state has come from a gateway in this run: an old copy on disk must not
/// decide what is deleted.
pub(crate) async fn reap(ctx: Arc<NodeContext>, store: Arc<Store>) {
    let mut state = ctx.state.clone();
    loop {
        reap_once(&ctx, &store).await;
        let second_look = tokio::time::timeout(SECOND_LOOK, state.changed());
        match second_look.await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                reap_once(&ctx, &store).await;
                if state.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn reap_once(ctx: &Arc<NodeContext>, store: &Arc<Store>) {
    let (ctx, store) = (ctx.clone(), store.clone());
    let work = tokio::task::spawn_blocking(move || {
        let held = match store.buckets() {
            Ok(held) => held,
            Err(err) => {
                tracing::error!(error = %err, "cannot tell which buckets have data here");
                return;
            }
        };
        // Read after the store was asked: a bucket that has data is in any state of that moment or
        // later, unless it is gone.
        for bid in dead(&held, &ctx.state()) {
            match store.destroy_bucket(bid) {
                Ok(objects) => {
                    tracing::info!(bid, objects, "dropped the data of a bucket that is gone");
                }
                Err(err) => {
                    tracing::error!(bid, error = %err, "cannot drop the data of a bucket that is gone");
                }
            }
        }
    });
    if let Err(err) = work.await {
        tracing::error!(error = %err, "dropping dead buckets failed");
    }
}

/// Bucket ids that the cluster does not have.
fn dead(held: &[u64], state: &ClusterState) -> Vec<u64> {
    let live: BTreeSet<u64> = state.bmd.iter().map(|(_, props)| props.bid).collect();
    held.iter().copied().filter(|bid| !live.contains(bid)).collect()
}

/// Refuses a store whose data cannot be this node's: without a copy of the cluster's state, its buckets
/// would all look dead and be dropped.
///
/// # Errors
///
/// Text for the operator.
pub(crate) fn check_ownership(
    state: &ClusterState,
    store: &Store,
    mountpaths: &[std::path::PathBuf],
) -> Result<(), String> {
    if state.is_bootstrapped() {
        return Ok(());
    }
    let held = store.buckets().map_err(|err| err.to_string())?;
    if held.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = mountpaths.iter().map(|path| path.display().to_string()).collect();
    Err(format!(
        "mountpaths {} hold objects of {} buckets, but the data directory is new: restore the data directory they belong to (--data-dir), or empty the mountpaths",
        paths.join(", "),
        held.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_buckets_that_the_state_lacks_are_dead() {
        let state = ClusterState::default();
        assert_eq!(dead(&[3, 4], &state), [3, 4]);
        assert!(dead(&[], &state).is_empty());
    }
}
