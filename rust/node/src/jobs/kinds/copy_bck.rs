//! Copies a bucket's objects to another bucket: each target walks its own and brings each to the owner of
//! its new name. What is there already in the same form is left, so a share may run again.

use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::job::CopyMsg;
use aistore_core::placement::owner;
use aistore_core::text::encode_query;
use aistore_store::Listed;
use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::jobs::Job;
use crate::jobs::transfer::transfer;
use crate::jobs::walk::{Walk, workers};
use crate::target::Target;
use crate::target::deliver::Present;
use crate::target::failure::store_failure;
use crate::tasks::lost_task;

/// Longest wait for the owner of a source object to say whether it has it.
const HEAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) async fn run(target: Arc<Target>, job: Arc<Job>) -> Result<(), ApiError> {
    let msg = CopyMsg::parse(job.args().clone())?;
    let workers = workers(msg.workers);
    job.set_parallel(1, workers as u64);
    let source = walk(&target, &job, job.bucket()?, &msg, true)?;
    if msg.dry_run {
        let count = |entry: Listed| {
            job.add_local(1, entry.meta.size);
            std::future::ready(Ok(()))
        };
        return source.for_each(&target, &job, workers, count).await.map(|_| ());
    }
    let destination = walk(&target, &job, job.destination()?, &msg, false)?;
    let copy = |entry: Listed| {
        let (target, job, msg) = (&target, &job, &msg);
        let (from, to) =
            (source.object(&entry.name), destination.object(&msg.destination(&entry.name)));
        async move {
            let valid =
                aistore_core::bucket::validate_object_name(&to.name).map_err(ApiError::from);
            let done = match valid {
                Ok(()) => transfer(target, job, &from, &to, Present::Replace).await.map(|_| ()),
                Err(err) => Err(err),
            };
            tolerate(job, msg, done)
        }
    };
    source.for_each(&target, &job, workers, copy).await?;
    if msg.synchronize {
        synchronize(&target, &job, &msg, &source, &destination).await?;
    }
    Ok(())
}

/// What of a bucket is meant.
fn walk(
    target: &Arc<Target>,
    job: &Job,
    bucket: &aistore_core::bucket::Bucket,
    msg: &CopyMsg,
    is_source: bool,
) -> Result<Walk, ApiError> {
    let state = target.ctx.state();
    let at = usize::from(!is_source);
    let bid = state.bmd.get(bucket).map(|props| props.bid);
    // Another bucket of the same name is not the one that was meant.
    let bid = bid.filter(|bid| job.record.bids.get(at) == Some(bid));
    let bid = bid.ok_or_else(|| ApiError::bucket_not_found(bucket))?;
    Ok(Walk {
        bucket: bucket.clone(),
        bid,
        prefix: msg.prefix.clone(),
        non_recursive: msg.non_recursive,
    })
}

/// Counts the error of one object if the client said so; a full disk ends the job all the same.
fn tolerate(job: &Job, msg: &CopyMsg, done: Result<(), ApiError>) -> Result<(), ApiError> {
    match done {
        Err(err) if msg.continue_on_error && err.status != 507 && !job.is_aborted() => {
            job.soft_error(&err);
            Ok(())
        }
        done => done,
    }
}

/// Deletes at the destination what the source does not have.
async fn synchronize(
    target: &Arc<Target>,
    job: &Arc<Job>,
    msg: &CopyMsg,
    source: &Walk,
    destination: &Walk,
) -> Result<(), ApiError> {
    let check = |entry: Listed| async move {
        let done = async {
            if has(target, source, &entry.name).await? {
                return Ok(());
            }
            let (target, doomed) = (Arc::clone(target), destination.object(&entry.name));
            let deleted = tokio::task::spawn_blocking(move || {
                let done = target.objects.store.delete(doomed.bid, &doomed.uname, &doomed.name);
                target.objects.readers.invalidate(&doomed.uname);
                done.map(|_| ()).map_err(|err| store_failure(&err, &doomed.cname()))
            });
            deleted.await.map_err(|err| lost_task(&err))?
        };
        tolerate(job, msg, done.await)
    };
    destination.for_each(target, job, workers(msg.workers), check).await.map(|_| ())
}

/// Whether the bucket has an object of that name, wherever it lies.
async fn has(target: &Arc<Target>, walk: &Walk, name: &str) -> Result<bool, ApiError> {
    let object = walk.object(name);
    let state = target.ctx.state();
    let holder = owner(&state.smap, &object.uname).ok_or_else(|| {
        ApiError::unavailable(format!("no target accepts data for {}", object.cname()))
    })?;
    if holder.daemon_id == target.ctx.snode.daemon_id {
        let target = Arc::clone(target);
        let found = tokio::task::spawn_blocking(move || {
            let found = target.objects.store.head(object.bid, &object.uname, &object.name);
            found.map_err(|err| store_failure(&err, &object.cname()))
        });
        return Ok(found.await.map_err(|err| lost_task(&err))??.is_some());
    }
    let url = format!(
        "{}/v1/objects/{}/{}?provider={}&namespace={}",
        holder.url(),
        encode_query(&walk.bucket.name),
        encode_query(name),
        walk.bucket.provider,
        encode_query(&walk.bucket.namespace.to_string())
    );
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    let answer = target.ctx.intra.send(Method::HEAD, &url, headers, body, HEAD_TIMEOUT).await?;
    match answer.status().as_u16() {
        200..=299 => Ok(true),
        404 => Ok(false),
        status => Err(ApiError::new(
            status,
            "",
            format!("{} did not say whether it has {}", holder.display(), object.cname()),
        )),
    }
}
