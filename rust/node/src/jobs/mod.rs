//! Jobs on a target: follows the replicated records, works on those that name this target, reports how
//! its share ended.
//!
//! A record is the truth: a share runs while [`JobRecord::wants`] says so. A record that ends for another
//! reason (abort, another target's failure) stops the share at once. A target that restarts finds the
//! record still wanting it and runs its share again from the start, so every kind is idempotent: work
//! that is done is found done.
//!
//! To add a kind: a file in `kinds` with `pub(crate) async fn run(target, job)`, a line in
//! [`kinds::run`], and a way to start it on the gateway.

mod answer;
mod job;
mod kinds;
mod receive;
mod report;
pub(crate) mod stripes;
mod summary;
mod transfer;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aistore_cluster::ClusterState;
use aistore_core::error::ApiError;
use aistore_core::job::JobRecord;

pub(crate) use job::{Job, now_ns};
pub(crate) use kinds::{clean_store, runs, settle_at_start};
pub(crate) use report::Report;
pub(crate) use summary::{Partial, SummaryAsk};

use crate::target::Target;
use stripes::Stripes;

/// Shares of jobs that run on this target, or have ended without the cluster knowing yet.
#[derive(Default)]
pub(crate) struct Registry {
    shares: Mutex<BTreeMap<String, Arc<Job>>>,
    /// Names that are moved away from here.
    moving: Stripes,
    /// Names that other targets send.
    taking: Stripes,
    /// Shards that jobs add to: one job at a time.
    archiving: Stripes,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of that job, while it is here.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.lock().get(id).cloned()
    }

    /// Makes the shares what the state says: tells those to stop that must, drops those that are settled,
    /// and answers those to start.
    fn follow(&self, state: &ClusterState, own: &str) -> Vec<Arc<Job>> {
        let mut shares = self.lock();
        shares.retain(|id, job| {
            let record = state.jobs.get(id);
            if record.is_some_and(|record| record.wants(own)) {
                return true;
            }
            let reason = record.map(|record| record.abort.as_str()).unwrap_or_default();
            job.abort(if reason.is_empty() { "the job is not known any more" } else { reason });
            // The last word of an aborted share is still worth reporting.
            let unreported = record.is_some_and(|record| record.targets.get(own) == Some(&None));
            unreported && !job.is_settled()
        });
        let wanted = state.jobs.running().filter(|record| record.wants(own));
        let new: Vec<Arc<Job>> = wanted
            .filter(|record| !shares.contains_key(&record.id))
            .map(|record| Arc::new(Job::new(Arc::clone(record))))
            .collect();
        for job in &new {
            shares.insert(job.id().to_owned(), Arc::clone(job));
        }
        for job in shares.values().filter(|job| !job.has_ended()) {
            if let Some(bucket) = gone_bucket(state, &job.record) {
                job.abort(&format!("bucket \"{bucket}\" was destroyed"));
            }
        }
        new
    }
}

/// A bucket that was there when the job started and is not any more, or is another one of its name.
fn gone_bucket(state: &ClusterState, record: &JobRecord) -> Option<String> {
    let alive = |bid: &u64| state.bmd.iter().any(|(_, props)| props.bid == *bid);
    let gone = record.bids.iter().position(|bid| !alive(bid))?;
    let names: Vec<String> = record.buckets().map(ToString::to_string).collect();
    Some(names.get(gone).or(names.first()).cloned().unwrap_or_default())
}

/// Runs this target's shares until the node stops.
///
/// Start it only after a state has come from a gateway in this run: an old copy on disk knows jobs that
/// may be over.
pub(crate) async fn follow(target: Arc<Target>) {
    let mut state = target.ctx.state.clone();
    let mut sealed = BTreeSet::new();
    loop {
        let current = Arc::clone(&state.borrow_and_update());
        let renamed = renamed(&current);
        // Nothing more is acknowledged in a renamed bucket from before its share starts until after its
        // share was told to stop.
        if !renamed.is_subset(&sealed) {
            sealed.extend(&renamed);
            seal(&target, sealed.clone()).await;
        }
        for job in target.jobs.follow(&current, &target.ctx.snode.daemon_id) {
            let target = Arc::clone(&target);
            target.ctx.tasks.clone().spawn_until_stop(run(target, job));
        }
        if sealed != renamed {
            sealed.clone_from(&renamed);
            seal(&target, renamed).await;
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Buckets, by id, that are being renamed.
fn renamed(state: &ClusterState) -> BTreeSet<u64> {
    let renames = state.jobs.running().filter(|job| job.kind == "move-bck");
    renames.filter_map(|job| job.bids.first().copied()).collect()
}

async fn seal(target: &Arc<Target>, buckets: BTreeSet<u64>) {
    let store = Arc::clone(target.store());
    if let Err(err) = tokio::task::spawn_blocking(move || store.seal(buckets)).await {
        tracing::error!(error = %err, "cannot seal the buckets that are being renamed");
    }
}

/// Runs one share to its end and reports it.
async fn run(target: Arc<Target>, job: Arc<Job>) {
    tracing::info!(job = job.record.display(), "job starts");
    // Biased: a job that is aborted before it starts must not start.
    let done = tokio::select! {
        biased;
        () = job.aborted() => Err(ApiError::new(500, "ErrAborted", job.abort_reason())),
        done = kinds::run(Arc::clone(&target), Arc::clone(&job)) => done,
    };
    let outcome = job.end(done.err().map(|err| err.message));
    match outcome.abort.as_str() {
        "" => tracing::info!(job = job.record.display(), stats = ?outcome.stats, "job done"),
        reason => tracing::warn!(job = job.record.display(), reason, "job given up"),
    }
    report::report(&target.ctx, job.id(), outcome).await;
    job.settle();
}

#[cfg(test)]
mod tests;
