//! Removes what nobody needs: data of buckets that are gone, and what the store sweeps by itself.
//!
//! The store removes superseded blobs as they are replaced, and after a crash by a sweep; abandoned
//! uploads it removes a day after their last part. What is left to do on demand is data of destroyed
//! buckets, discarded parts whose last reader is gone, waste in segments, and damaged blobs that were set aside
//! longer than `scrub.quarantine_time` ago.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aistore_core::error::ApiError;

use crate::jobs::Job;
use crate::scrub;
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let work = tokio::task::spawn_blocking(move || {
        let failed = |err| store_failure(&err, "store");
        let held = target.objects.store.buckets().map_err(failed)?;
        // Read after the store was asked: a bucket that has data is in this state, unless it is gone.
        let state = target.ctx.state();
        let live: BTreeSet<u64> = state.bmd.iter().map(|(_, props)| props.bid).collect();
        for bid in held.into_iter().filter(|bid| !live.contains(bid)) {
            job.check()?;
            let objects = target.objects.store.destroy_bucket(bid).map_err(failed)?;
            job.add_local(objects, 0);
        }
        job.check()?;
        target.objects.store.tidy().map_err(failed)?;
        let never = AtomicBool::new(false);
        job.add_local(0, target.objects.store.compact(&never).freed_bytes);
        job.check()?;
        if let Some(removed) = scrub::tidy(&target, &never) {
            job.add_local(removed.count, removed.bytes);
        }
        Ok(())
    });
    work.await.map_err(|err| lost_task(&err))?
}
