//! Jobs as clients see them: start, stop, status, snapshots.

mod archive;
mod buckets;
mod query;
mod start;
mod wardens;

use std::time::Duration;

use aistore_cluster::Command;
use aistore_core::error::ApiError;
use aistore_core::job::{ABORTED_BY_USER, JobArgs, JobQuery, JobRecord, find_kind, matches_bucket};
use http::StatusCode;
use serde_json::Value;

use super::Gateway;
use crate::http::{Reply, Req, reply};
use crate::jobs::{Report, now_ns};

pub(super) use wardens::watch;

/// A start that meets a job it must not meet is tried again for this long.
const CONFLICT_WAIT: Duration = Duration::from_secs(5);
/// Time between two such tries.
const CONFLICT_PAUSE: Duration = Duration::from_millis(250);

impl Gateway {
    /// Starts a job, waiting a little for one that it must not meet. When this returns, status and
    /// snapshots of the job are there.
    pub(super) async fn start_job(
        &self,
        job: JobRecord,
        ignore_conflicts: bool,
    ) -> Result<Reply, ApiError> {
        let id = job.id.clone();
        let ignored = self.ctx.state().config.features & IGNORE_CONFLICTS != 0;
        let ignore_conflicts = ignore_conflicts || ignored;
        let started = std::time::Instant::now();
        loop {
            let job = Box::new(job.clone());
            match self.submit(Command::StartJob { job, ignore_conflicts }).await {
                Ok(_) => break,
                Err(err)
                    if err.tcode == "ErrLimitedCoexistence"
                        && started.elapsed() < CONFLICT_WAIT =>
                {
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                }
                Err(err) => return Err(err),
            }
        }
        tracing::info!(job = job.display(), ctlmsg = job.ctlmsg, "job started");
        Ok(reply::text(id))
    }

    /// `stop`: by id, by kind, or by kind on a bucket. What is not there or over is stopped already.
    pub(super) async fn stop_jobs(&self, value: Value) -> Result<Reply, ApiError> {
        let args = JobArgs::parse(value)?;
        // Checks id and kind.
        let query = JobQuery::parse(
            &serde_json::to_vec(&serde_json::json!({
                "id": args.id, "kind": args.kind
            }))
            .unwrap_or_default(),
        )?;
        if query.id.is_empty() && query.kind.is_empty() {
            return Err(ApiError::bad_request(
                "stop needs a job id (\"ID\"), a kind (\"Kind\") or both",
            ));
        }
        let buckets = args.all_buckets();
        let state = self.ctx.state();
        let meant = state.jobs.running().filter(|job| {
            let by_id = query.id.is_empty() || query.ids().any(|id| id == job.id);
            let by_kind = query.kind.is_empty() || query.kind == job.kind;
            let on = |bucket| matches_bucket(job, bucket);
            by_id && by_kind && (buckets.is_empty() || buckets.iter().any(on))
        });
        for job in meant {
            let (id, reason) = (job.id.clone(), ABORTED_BY_USER.to_owned());
            self.submit(Command::AbortJob { id, reason, now_ns: now_ns() }).await?;
            tracing::info!(job = job.display(), "job stopped by a client");
        }
        Ok(reply::empty(StatusCode::OK))
    }

    /// Takes a target's report.
    pub(super) async fn finish_job(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let Report { id, target, outcome } = req.read_json().await?;
        let command = Command::FinishJobOnTarget { id, target, outcome: Box::new(outcome) };
        self.consensus.submit(command).await.map_err(super::submit_error)?;
        Ok(reply::json(&true))
    }
}

/// Feature bit `Ignore-LimitedCoexistence-Conflicts`.
const IGNORE_CONFLICTS: u64 = 1 << 8;

/// A record of a new job of that kind.
pub(super) fn new_record(kind: &str) -> JobRecord {
    let kind = find_kind(kind).map_or(kind, |kind| kind.name).to_owned();
    let random = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    let id = aistore_core::job::job_id(random);
    JobRecord { id, kind, started_ns: now_ns(), ..JobRecord::default() }
}
