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
use aistore_store::Amount;

use crate::jobs::Job;
use crate::scrub;
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let work = tokio::task::spawn_blocking(move || {
        let store = target.store();
        let failed = |err| store_failure(&err, "store");
        let held = store.buckets().map_err(failed)?;
        // Read after the store was asked: a bucket that has data is in this state, unless it is gone.
        let state = target.ctx.state();
        let live: BTreeSet<u64> = state.bmd.iter().map(|(_, props)| props.bid).collect();
        for bid in held.into_iter().filter(|bid| !live.contains(bid)) {
            job.check()?;
            job.add_local(store.destroy_bucket(bid).map_err(failed)?, 0);
        }
        job.check()?;
        let freed = clean_store(&target, &AtomicBool::new(false))?;
        job.add_local(freed.count, freed.bytes);
        Ok(())
    });
    work.await.map_err(|err| lost_task(&err))?
}

/// What the store can do by itself, without the job: waste in segments, and what nobody needs any more. Returns the
/// files removed, and the bytes freed.
pub(crate) fn clean_store(target: &Target, cancel: &AtomicBool) -> Result<Amount, ApiError> {
    target.store().tidy().map_err(|err| store_failure(&err, "store"))?;
    let bytes = target.store().compact(cancel).freed_bytes;
    let aside = scrub::tidy(target, cancel).unwrap_or_default();
    Ok(Amount { count: aside.count, bytes: aside.bytes.saturating_add(bytes) })
}
