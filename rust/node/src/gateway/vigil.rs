//! Tells the operator which targets have fallen silent, and which are back.
//!
//! Nothing else follows from silence yet: a target that is down keeps its place in the map, because its
//! objects are nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_cluster::Heartbeats;

use crate::context::NodeContext;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Watches until the node stops.
pub(super) async fn watch(ctx: Arc<NodeContext>, heartbeats: Arc<Heartbeats>) {
    let (began, mut silent) = (Instant::now(), BTreeSet::new());
    loop {
        tokio::time::sleep(LOOK).await;
        let (now, limit) = (Instant::now(), ctx.times().silence());
        let state = ctx.state();
        let quiet = state.smap.tmap.values().filter(|node| {
            // Never heard of since this gateway started counts from then.
            let silence = heartbeats.silent_for(&node.daemon_id, now);
            silence.unwrap_or_else(|| now.duration_since(began)) >= limit
        });
        let quiet: BTreeSet<String> = quiet.map(|node| node.daemon_id.clone()).collect();
        for id in quiet.difference(&silent) {
            let seconds = limit.as_secs();
            tracing::warn!(
                target_id = id,
                seconds,
                "target has fallen silent: its objects cannot be reached"
            );
        }
        for id in silent.difference(&quiet) {
            tracing::info!(target_id = id, "target is back, or has left the map");
        }
        silent = quiet;
    }
}
