//! What a store needs now and then, whether or not anybody asks anything of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::objects::Objects;

/// How often segments are looked at. A look costs microseconds where there is nothing to do.
const PERIOD: Duration = Duration::from_secs(5);

/// Compacts segments that are mostly waste, until dropped.
pub(super) async fn compact(objects: Arc<Objects>) {
    let cancel = Cancel::default();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (store, flag) = (Arc::clone(&objects.store), Arc::clone(&cancel.0));
        let done = tokio::task::spawn_blocking(move || store.compact(&flag)).await;
        match done {
            Ok(done) if done.segments > 0 => {
                // Those who read a segment that is gone hold its space.
                objects.readers.forget_stale();
                let (segments, moved) = (done.segments, done.moved_bytes);
                tracing::debug!(segments, moved, freed = done.freed_bytes, "segments compacted");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a compaction was lost"),
        }
    }
}

/// Longest time between two write-backs, but for the time that one takes: what a write policy of `delayed` may
/// lose with the power.
const WRITE_BACK_PERIOD: Duration = Duration::from_secs(3);

/// Brings to the disk what was written to buckets whose policy is `delayed`, until dropped.
pub(super) async fn write_back(objects: Arc<Objects>) {
    let mut ticks = tokio::time::interval(WRITE_BACK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let store = Arc::clone(&objects.store);
        match tokio::task::spawn_blocking(move || store.write_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what was written did not reach the disk"),
            Err(error) => tracing::error!(%error, "a write-back was lost"),
        }
    }
}

/// Set when the task is dropped: the blocking half ends soon after.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
