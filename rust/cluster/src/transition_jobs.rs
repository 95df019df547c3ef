//! Commands about jobs: start, outcomes, abort.

use std::collections::BTreeSet;

use aistore_core::bucket::Bucket;
use aistore_core::error::ApiError;
use aistore_core::job::{ABORTED_BY_PEER, JobOutcome, JobRecord, is_valid_id};
use aistore_core::props::{
    ACCESS_APPEND, ACCESS_DELETE_OBJECT, ACCESS_MOVE_OBJECT, ACCESS_PROMOTE, ACCESS_PUT,
    ACCESS_UPDATE_OBJECT, BucketProps,
};

use crate::state::ClusterState;
use crate::transition::bucket_id;

/// Most jobs that run at once; bounds the state.
const MAX_RUNNING: usize = 1024;
/// What a bucket that is being renamed does not allow: a change behind the walk would be lost.
const CHANGES: u64 = ACCESS_PUT
    | ACCESS_APPEND
    | ACCESS_DELETE_OBJECT
    | ACCESS_MOVE_OBJECT
    | ACCESS_PROMOTE
    | ACCESS_UPDATE_OBJECT;

/// Adds a job; a copy or rename also creates its destination.
pub(crate) fn start(
    next: &mut ClusterState,
    job: &JobRecord,
    ignore_conflicts: bool,
    index: u64,
) -> Result<bool, ApiError> {
    let mut job = job.clone();
    if !is_valid_id(&job.id) {
        return Err(ApiError::bad_request(format!("invalid job id \"{}\"", job.id)));
    }
    if next.jobs.get(&job.id).is_some() {
        return Err(ApiError::new(409, "ErrBusy", format!("job id \"{}\" is taken", job.id)));
    }
    if next.jobs.running().count() >= MAX_RUNNING {
        return Err(ApiError::new(
            429,
            "ErrTooManyRequests",
            format!("cannot start {}: {MAX_RUNNING} jobs run; stop some or wait", job.display()),
        ));
    }
    set_targets(next, &mut job)?;
    refuse_twin(next, &job)?;
    if !ignore_conflicts {
        refuse_conflicts(next, &job)?;
    }
    prepare_buckets(next, &mut job, index)?;
    next.jobs.prune(job.started_ns);
    next.jobs.push(job);
    Ok(true)
}

fn set_targets(next: &ClusterState, job: &mut JobRecord) -> Result<(), ApiError> {
    if job.targets.is_empty() {
        let active = next.smap.tmap.values().filter(|target| target.accepts_data());
        job.targets = active.map(|target| (target.daemon_id.clone(), None)).collect();
    }
    if let Some(id) = job.targets.keys().find(|id| !next.smap.tmap.contains_key(*id)) {
        return Err(ApiError::bad_request(format!(
            "cannot start {}: target \"{id}\" is not in the cluster map",
            job.display()
        )));
    }
    if job.targets.is_empty() {
        return Err(ApiError::unavailable(format!(
            "cannot start {}: the cluster has no target that accepts data",
            job.display()
        )));
    }
    Ok(())
}

/// The same work is not done twice at once.
fn refuse_twin(next: &ClusterState, job: &JobRecord) -> Result<(), ApiError> {
    let between = job.info().is_some_and(aistore_core::job::JobKind::is_between_buckets);
    let twin = next.jobs.running().find(|other| {
        let pair = other.src_bck == job.src_bck && other.dst_bck == job.dst_bck;
        let bucket = other.bck == job.bck && job.kind == "make-n-copies";
        other.kind == job.kind && ((between && pair) || bucket)
    });
    twin.map_or(Ok(()), |twin| {
        Err(ApiError::new(
            400,
            "ErrXactUsePrev",
            format!("{} already does this: wait for it or stop it first", twin.display()),
        ))
    })
}

/// Jobs that must not meet: those that move objects, and those that want them to stay.
fn refuse_conflicts(next: &ClusterState, job: &JobRecord) -> Result<(), ApiError> {
    let Some(kind) = job.info() else { return Ok(()) };
    let meets = |other: &JobRecord| {
        let Some(theirs) = other.info() else { return false };
        if kind.exclusive && theirs.moves_objects() {
            return true;
        }
        let shared = || job.buckets().any(|bucket| other.buckets().any(|theirs| theirs == bucket));
        kind.name == "move-bck" && theirs.exclusive && shared()
    };
    next.jobs.running().find(|other| meets(other)).map_or(Ok(()), |other| {
        Err(ApiError::new(
            409,
            "ErrLimitedCoexistence",
            format!(
                "cannot start {} while {} runs: try again when it is done",
                job.display(),
                other.display()
            ),
        ))
    })
}

/// Checks that the buckets exist, notes which they are, and creates a destination that does not.
fn prepare_buckets(
    next: &mut ClusterState,
    job: &mut JobRecord,
    index: u64,
) -> Result<(), ApiError> {
    let moves = job.kind == "move-bck";
    let dry = job.args.get("dry_run") == Some(&serde_json::Value::Bool(true));
    if let (Some(from), Some(to)) = (job.src_bck.clone(), job.dst_bck.clone()) {
        let source = bucket(next, &from)?.clone();
        if moves && from == to {
            return Err(ApiError::bad_request(format!(
                "cannot rename bucket \"{from}\" onto itself: give it another name"
            )));
        }
        let goes_on = next.bmd.get(&to).and_then(|to| next.half_renamed.get(&to.bid));
        if moves && next.bmd.contains(&to) && goes_on != Some(&source.bid) {
            return Err(ApiError::new(
                400,
                "ErrBucketAlreadyExists",
                format!("bucket \"{to}\" already exists: rename to a new name"),
            ));
        }
        if !next.bmd.contains(&to) && !dry {
            to.validate()?;
            job.created_bid = bucket_id(&to, index);
            let props =
                BucketProps { bid: job.created_bid, created: job.started_ns, ..source.clone() };
            next.bmd.put(to, props);
            next.bmd.version += 1;
        }
        if moves {
            job.access = Some(source.access);
            next.bmd.put(from, BucketProps { access: source.access & !CHANGES, ..source });
            next.bmd.version += 1;
        }
    }
    let existing = job.buckets().filter(|one| !dry || job.dst_bck.as_ref() != Some(*one));
    let bids = existing.map(|one| bucket(next, one).map(|props| props.bid));
    job.bids = bids.collect::<Result<_, _>>()?;
    Ok(())
}

fn bucket<'s>(state: &'s ClusterState, bucket: &Bucket) -> Result<&'s BucketProps, ApiError> {
    state.bmd.get(bucket).ok_or_else(|| ApiError::bucket_not_found(bucket))
}

/// Takes a target's outcome; whether anything changed.
pub(crate) fn finish(
    next: &mut ClusterState,
    id: &str,
    target: &str,
    outcome: &JobOutcome,
) -> bool {
    let Some(job) = next.jobs.get(id) else { return false };
    if !matches!(job.targets.get(target), Some(None)) {
        return false;
    }
    let was_over = job.is_over();
    next.jobs.change(id, |job| {
        let mut outcome = outcome.clone();
        if !job.abort.is_empty() && !outcome.abort.is_empty() {
            // What failed after the abort failed because of it.
            outcome.abort.clone_from(&job.abort);
        }
        job.targets.insert(target.to_owned(), Some(outcome.clone()));
        if job.is_over() {
            return;
        }
        if !outcome.abort.is_empty() {
            ABORTED_BY_PEER.clone_into(&mut job.abort);
            job.ended_ns = outcome.ended_ns.max(1);
        } else if job.targets.values().all(Option::is_some) {
            let ends = job.targets.values().flatten().map(|outcome| outcome.ended_ns);
            job.ended_ns = ends.max().unwrap_or_default().max(1);
        }
    });
    if !was_over {
        end(next, id);
    }
    next.jobs.prune(outcome.ended_ns);
    true
}

/// Ends a job early; whether anything changed.
pub(crate) fn abort(next: &mut ClusterState, id: &str, reason: &str, now_ns: u64) -> bool {
    if next.jobs.get(id).is_none_or(|job| job.is_over()) {
        return false;
    }
    next.jobs.change(id, |job| {
        let reason = if reason.is_empty() { ABORTED_BY_PEER } else { reason };
        reason.clone_into(&mut job.abort);
        job.ended_ns = now_ns.max(1);
    });
    end(next, id);
    next.jobs.prune(now_ns);
    true
}

/// Forgets unfinished renames of buckets that are not there any more.
fn forget_gone(next: &mut ClusterState) {
    let bids: BTreeSet<u64> = next.bmd.iter().map(|(_, props)| props.bid).collect();
    next.half_renamed.retain(|to, from| bids.contains(to) && bids.contains(from));
}

/// What the end of a job does to its buckets.
fn end(next: &mut ClusterState, id: &str) {
    let Some(job) = next.jobs.get(id).cloned().filter(|job| job.is_over()) else { return };
    let (Some(from), Some(to)) = (&job.src_bck, &job.dst_bck) else { return };
    let aborted = !job.abort.is_empty();
    let is_own = |state: &ClusterState, bucket: &Bucket, bid: u64| {
        bid != 0 && state.bmd.get(bucket).is_some_and(|props| props.bid == bid)
    };
    let source_bid = job.bids.first().copied().unwrap_or_default();
    match (job.kind.as_str(), aborted) {
        ("move-bck", false) if is_own(next, from, source_bid) => {
            next.bmd.remove(from);
            next.bmd.version += 1;
            next.half_renamed.retain(|_, source| *source != source_bid);
        }
        // Both buckets stay, each with what it has: nothing is lost, and both can be changed again.
        ("move-bck", true) if is_own(next, from, source_bid) => {
            if let (Some(props), Some(access)) = (next.bmd.get(from).cloned(), job.access) {
                next.bmd.put(from.clone(), BucketProps { access, ..props });
                next.bmd.version += 1;
            }
            if let Some(to_bid) = job.bids.get(1).filter(|bid| is_own(next, to, **bid)) {
                next.half_renamed.insert(*to_bid, source_bid);
                let hint = format!(
                    "\"{from}\" and \"{to}\" have a part of the objects each: rename \"{from}\" to \"{to}\" again to go on"
                );
                next.jobs.change(id, |job| job.hint = hint);
            }
            forget_gone(next);
        }
        ("copy-bck" | "etl-bck", true) if is_own(next, to, job.created_bid) => {
            next.bmd.remove(to);
            next.bmd.version += 1;
        }
        _ => {}
    }
}
