//! Cleaning up by itself when disks fill up (`space.cleanupwm`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aistore_store::StoreError;
use tokio::time::MissedTickBehavior;

use crate::jobs::clean_store;
use crate::target::Target;

/// Time between two looks at the disks, each a call for each of them.
const LOOK: Duration = Duration::from_secs(2);
/// Time between the begins of two clean-ups, however full the disks are.
const APART: Duration = Duration::from_mins(10);

/// Cleans up whenever a disk is fuller than configured, until the node stops.
pub(crate) async fn watch(target: Arc<Target>) {
    let cancel = Cancel::default();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        ticks.tick().await;
        if !is_due(last, Instant::now()) {
            continue;
        }
        let (target, flag) = (Arc::clone(&target), Arc::clone(&cancel.0));
        match tokio::task::spawn_blocking(move || look(&target, &flag)).await {
            Ok(true) => last = Some(Instant::now()),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "a clean-up was lost"),
        }
    }
}

fn is_due(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= APART)
}

/// Cleans up if a disk is too full; whether it was.
fn look(target: &Target, cancel: &AtomicBool) -> bool {
    let limit = target.ctx.config().space.cleanupwm;
    // A disk that does not answer is looked at by those who read and write.
    let Err(full @ StoreError::TooFull { .. }) =
        target.store().check_fill(limit, "space.cleanupwm")
    else {
        return false;
    };
    tracing::info!(%full, "a disk fills up: cleaning up");
    target.ctx.metrics.space_cleanups.inc();
    match clean_store(target, cancel) {
        Ok(freed) => tracing::info!(files = freed.count, bytes = freed.bytes, "cleaned up"),
        Err(error) => tracing::warn!(%error, "the clean-up did not get to its end"),
    }
    true
}

/// Set when the task is dropped: the blocking half ends soon after.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_ups_are_some_time_apart() {
        let now = Instant::now();
        assert!(is_due(None, now));
        assert!(!is_due(Some(now), now) && !is_due(Some(now), now + APART / 2));
        assert!(is_due(Some(now), now + APART));
    }
}
