//! Renames a bucket: each target brings its objects under the new name and takes the old ones away.
//!
//! Where the new name belongs to the same target, no payload moves. An object is under one of its two
//! names at every moment: it is stored under the new one before the old one goes, so a crash in between
//! leaves both, and the share that runs again finds the new one there and only deletes. An object that
//! was put under the new name meanwhile wins over the one that is to be moved.
//!
//! The store seals the source before a share starts: a write that was let in before is committed, and so
//! seen by the walk, or refused. A read of the destination that misses pulls its object first, and every
//! change through the new name but a plain write does so before it looks: once a name is pulled, nothing
//! is left that could bring the object again. A listing or summary of either name waits for the job's end.
//!
//! Uploads and append sessions that are open on the source cannot end any more: their last step answers 409
//! with the remedy while objects move, and 404 once the source is gone. What they hold is removed with it.
//!
//! A rename that was given up leaves both buckets; the same rename again goes on with it. Then either name may
//! have got the later write, and the modification times decide, which the owners of the two names set, each by
//! its own clock. So of two writes of one name, one through each bucket, that come closer together than these
//! clocks differ, the earlier may win. No such choice is made in a rename that was not given up.

use std::sync::Arc;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::placement::owner;
use aistore_store::{BlobId, Choice, Condition, Listed, StoreError};

use crate::jobs::Job;
use crate::jobs::transfer::transfer;
use crate::jobs::walk::{Walk, workers};
use crate::target::Target;
use crate::target::deliver::Present;
use crate::target::failure::store_failure;
use crate::target::objects::ObjectRef;
use crate::tasks::lost_task;

/// Passes over the source. The second one finds nothing; more than a few mean that objects cannot be moved
/// away.
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
    // Once this returns, no try to move the object is left that could bring it again.
    let _alone = target.jobs.moving.lock(name).await;
    let from = walk(target, job, job.bucket()?, 0)?.object(name);
    let to = walk(target, job, job.destination()?, 1)?.object(name);
    loop {
        job.check()?;
        let here = owner(&target.ctx.state().smap, &to.uname)
            .is_some_and(|holder| holder.daemon_id == target.ctx.snode.daemon_id);
        if here {
            return move_here(target, job, from, to).await;
        }
        let present = if goes_on(job) { Present::KeepNewer } else { Present::Keep };
        let Some(moved) = transfer(target, job, &from, &to, present).await? else {
            return Ok(false);
        };
        if take_away(target, job, &from, moved.blob).await? {
            return Ok(true);
        }
    }
}

/// Whether the job goes on with a rename that was given up. Both names were written to since, so the newer
/// object wins. Otherwise whatever the new name has is newer, and no clock has to tell.
fn goes_on(job: &Job) -> bool {
    job.record.created_bid == 0
}

/// Moves an object whose new name belongs to this target too.
async fn move_here(
    target: &Arc<Target>,
    job: &Arc<Job>,
    from: ObjectRef,
    to: ObjectRef,
) -> Result<bool, ApiError> {
    let (target, job) = (Arc::clone(target), Arc::clone(job));
    let moved = tokio::task::spawn_blocking(move || {
        let objects = &target.objects;
        let moved = objects.store.move_to_bucket(
            (from.bid, &from.uname, &from.name),
            (to.bid, &to.uname, &to.name),
            |old, present| match present {
                // Once the job is over the source takes writes again.
                _ if job.is_aborted() => Choice::Leave,
                None => Choice::Move,
                Some(present) if goes_on(&job) && present.mtime_ns < old.mtime_ns => Choice::Move,
                Some(_) => Choice::Drop,
            },
        );
        objects.readers.invalidate(&from.uname);
        objects.readers.invalidate(&to.uname);
        job.check()?;
        let moved = moved.map_err(|err| store_failure(&err, &from.cname()))?;
        if let Some(meta) = &moved {
            job.add_local(1, meta.size);
        }
        Ok(moved.is_some())
    });
    moved.await.map_err(|err| lost_task(&err))?
}

/// Removes the version that was moved; `false` when another is there.
async fn take_away(
    target: &Arc<Target>,
    job: &Arc<Job>,
    from: &ObjectRef,
    moved: BlobId,
) -> Result<bool, ApiError> {
    let (target, job, from) = (Arc::clone(target), Arc::clone(job), from.clone());
    let removed = tokio::task::spawn_blocking(move || {
        // Once the job is over the source takes writes again.
        let same = Condition::new(move |present| present.blob == moved && !job.is_aborted());
        let removed = target.objects.store.take_away(from.bid, &from.uname, &from.name, &same);
        target.objects.readers.invalidate(&from.uname);
        match removed {
            Ok(_) => Ok(true),
            Err(StoreError::Precondition { .. }) => Ok(false),
            Err(err) => Err(store_failure(&err, &from.cname())),
        }
    });
    removed.await.map_err(|err| lost_task(&err))?
}
