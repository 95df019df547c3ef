//! Since when the cluster has been up.
//!
//! The first primary of a run knows: it is as old as the cluster. Everybody else asks the primary, and keeps
//! the answer, so that whoever becomes primary after it knows too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aistore_core::headers::CLUSTER_UPTIME;
use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::context::NodeContext;

/// How often the primary is asked while it has not answered.
const ASK: Duration = Duration::from_secs(1);
/// How often it is asked after it has.
const ASK_AGAIN: Duration = Duration::from_mins(1);
/// Longest wait for its answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// When the cluster came up, as far as this node was told.
#[derive(Debug, Default)]
pub(crate) struct ClusterClock(Mutex<Option<Instant>>);

impl ClusterClock {
    /// When the cluster came up; `own` is when this node did, which counts while nothing else is known.
    pub(crate) fn started(&self, own: Instant) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(own)
    }

    /// Notes that the cluster has been up for so long.
    fn learn(&self, uptime: Duration) {
        // This machine may be younger than the cluster and have no such moment: its own start counts then.
        if let Some(started) = Instant::now().checked_sub(uptime) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
    }
}

/// Asks the primary, whoever it is, until the node stops.
pub(crate) async fn follow(ctx: Arc<NodeContext>) {
    let mut state = ctx.state.clone();
    loop {
        let primary = state.borrow_and_update().smap.proxy_si.clone();
        let ours = primary.daemon_id == ctx.snode.daemon_id;
        let told = if ours { None } else { ask(&ctx, primary.url()).await };
        if let Some(uptime) = told {
            ctx.cluster_clock.learn(uptime);
        }
        let pause = if ours || told.is_some() { ASK_AGAIN } else { ASK };
        let moved = state.wait_for(|now| now.smap.proxy_si.daemon_id != primary.daemon_id);
        // A new primary, or the time to ask again; where no state comes any more the node ends.
        if matches!(tokio::time::timeout(pause, moved).await, Ok(Err(_))) {
            return;
        }
    }
}

async fn ask(ctx: &NodeContext, primary: &str) -> Option<Duration> {
    if primary.is_empty() {
        return None;
    }
    let url = format!("{primary}/v1/health");
    let sent = ctx.intra.send(Method::GET, &url, HeaderMap::new(), Bytes::new(), ASK_TIMEOUT);
    let answer = sent.await.ok()?;
    let uptime = answer.headers().get(CLUSTER_UPTIME)?.to_str().ok()?;
    uptime.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_primary_says_counts() {
        let (clock, own) = (ClusterClock::default(), Instant::now());
        assert_eq!(clock.started(own), own);
        clock.learn(Duration::from_millis(5));
        let before = clock.started(own);
        assert!(before < Instant::now());
        clock.learn(Duration::ZERO);
        assert!(clock.started(own) > before, "a cluster that came up again is young");
    }
}
