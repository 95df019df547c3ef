//! Renames a bucket: each target brings its objects under the new name and takes the old ones away.
//!
//! Where the new name belongs to the same target, no payload moves. An object is under one of its two
//! names at every moment: it is stored under the new one before the old one goes, so a crash in between
//! leaves both, and the share that runs again finds the new one there and only deletes. An object that
//! was put under the new name meanwhile wins over the one that is to be moved.
//!
//! The source refuses changes while this runs. A read of the destination that misses pulls its object
//! first, so reads find what has not been moved yet; a listing of the destination shows what has.

use std::sync::Arc;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::placement::owner;
use aistore_store::{Listed, StoreError};

use crate::jobs::Job;
use crate::jobs::transfer::{Present, transfer};
use crate::jobs::walk::{Walk, workers};
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

/// Passes over the source. A second one finds what was still being put when the job started; more than
/// a few mean that objects cannot be moved away.
const MAX_PASSES: u32 = 8;

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let source = walk(&target, &job, job.bucket()?, 0)?;
    let workers = workers(0);
    job.set_parallel(1, workers as u64);
    for _ in 0..MAX_PASSES {
        let move_one = |entry: Listed| {
            let (target, job) = (&target, &job);
            async move { move_one(target, job, &entry.name).await.map(|_| ()) }
        };
        if source.for_each(&target, &job, workers, move_one).await? == 0 {
            return Ok(());
        }
    }
    Err(ApiError::internal(format!(
        "bucket \"{}\" still gets objects after {MAX_PASSES} passes",
        source.bucket
    )))
}

fn walk(target: &Target, job: &Job, bucket: &Bucket, at: usize) -> Result<Walk, ApiError> {
    let state = target.ctx.state();
    let bid = state.bmd.get(bucket).map(|props| props.bid);
    let bid = bid.filter(|bid| job.record.bids.get(at) == Some(bid));
    let bid = bid.ok_or_else(|| ApiError::bucket_not_found(bucket))?;
    let (prefix, non_recursive) = (String::new(), false);
    Ok(Walk { bucket: bucket.clone(), bid, prefix, non_recursive })
}

/// Moves one object; `false` when the source has none of that name.
pub(in crate::jobs) async fn move_one(
    target: &Arc<Target>,
    job: &Arc<Job>,
    name: &str,
) -> Result<bool, ApiError> {
    let from = walk(target, job, job.bucket()?, 0)?.object(name);
    let to = walk(target, job, job.destination()?, 1)?.object(name);
    let here = owner(&target.ctx.state().smap, &to.uname)
        .is_some_and(|holder| holder.daemon_id == target.ctx.snode.daemon_id);
    if here {
        let (target, job) = (Arc::clone(target), Arc::clone(job));
        let moved = tokio::task::spawn_blocking(move || {
            let objects = &target.objects;
            let moved = objects
                .store
                .move_to_bucket((from.bid, &from.uname, &from.name), (to.bid, &to.uname, &to.name));
            let moved = match moved {
                Ok(Some(meta)) => {
                    job.add_local(1, meta.size);
                    Ok(true)
                }
                Ok(None) => Ok(false),
                Err(StoreError::Precondition { .. }) => {
                    objects.store.delete(from.bid, &from.uname, &from.name)
                }
                Err(err) => Err(err),
            };
            objects.readers.invalidate(&from.uname);
            objects.readers.invalidate(&to.uname);
            moved.map_err(|err| store_failure(&err, &from.cname()))
        });
        return moved.await.map_err(|err| lost_task(&err))?;
    }
    if !transfer(target, job, &from, &to, Present::Keep).await? {
        return Ok(false);
    }
    let target = Arc::clone(target);
    let deleted = tokio::task::spawn_blocking(move || {
        let done = target.objects.store.delete(from.bid, &from.uname, &from.name);
        target.objects.readers.invalidate(&from.uname);
        done.map_err(|err| store_failure(&err, &from.cname()))
    });
    deleted.await.map_err(|err| lost_task(&err))?.map(|_| true)
}
