//! Questions about jobs: `what=status`, `status_all`, `running_all`, `qryxstats`.
//!
//! Status comes from the replicated records alone. Snapshots come from the targets; a target that does
//! not answer is represented by what its record says, so a finished job is shown while a target is down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aistore_core::error::ApiError;
use aistore_core::job::{JobQuery, JobRecord, JobStatus, Snap, matches_bucket, selects};
use aistore_core::smap::Snode;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use crate::gateway::{Gateway, props};
use crate::http::{Reply, Req};

impl Gateway {
    /// `status`: one job's end, errors and abort.
    pub(in crate::gateway) async fn job_status(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let query = read(req).await?;
        if query.id.is_empty() && query.kind.is_empty() {
            return Err(ApiError::bad_request("a status query needs a job id or a kind"));
        }
        self.check_bucket(&query)?;
        let state = self.ctx.state();
        let known = state.jobs.iter().filter(|job| job.info().is_some_and(|kind| kind.status));
        let mut known: Vec<&Arc<JobRecord>> = known.filter(|job| on_bucket(&query, job)).collect();
        if !query.id.is_empty() {
            known.retain(|job| query.ids().any(|id| id == job.id));
            let job = known.first().ok_or_else(|| not_found(&query))?;
            if !query.kind.is_empty() && query.kind != job.kind {
                return Err(ApiError::bad_request(format!(
                    "job \"{}\" is of kind \"{}\", not \"{}\"",
                    job.id, job.kind, query.kind
                )));
            }
            return Ok(req.json(&job.status()));
        }
        known.retain(|job| job.kind == query.kind);
        let running = known.iter().rev().find(|job| !job.is_over());
        let ended = known.iter().max_by_key(|job| job.ended_ns).filter(|_| !query.active_only());
        let job = running.or(ended).ok_or_else(|| not_found(&query))?;
        Ok(req.json(&job.status()))
    }

    /// `status_all`: every job that matches; `null` when there is none.
    pub(in crate::gateway) async fn job_status_all(
        &self,
        req: &mut Req,
    ) -> Result<Reply, ApiError> {
        let query = read(req).await?;
        self.check_bucket(&query)?;
        let state = self.ctx.state();
        let found = state.jobs.iter().filter(|job| {
            let reports = job.info().is_some_and(|kind| kind.status);
            reports && selects(&query, job, !job.is_over())
        });
        let found: Vec<JobStatus> = found.map(|job| job.status()).collect();
        Ok(req.json(&(!found.is_empty()).then_some(found)))
    }

    /// `running_all`: names of the jobs that run.
    pub(in crate::gateway) async fn jobs_running(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let query = read(req).await?;
        let state = self.ctx.state();
        let on = |job: &JobRecord| query.node.is_empty() || job.targets.contains_key(&query.node);
        let found = state.jobs.running().filter(|job| selects(&query, job, true) && on(job));
        let names: BTreeSet<String> = found.map(|job| job.display()).collect();
        Ok(req.json(&names))
    }

    /// `qryxstats`: snapshots by target.
    pub(in crate::gateway) async fn job_snaps(&self, req: &mut Req) -> Result<Reply, ApiError> {
        let mut query = read(req).await?;
        self.check_bucket(&query)?;
        let state = self.ctx.state();
        // Of several ids, the first that is known.
        let first = query.ids().find(|id| state.jobs.get(id).is_some()).map(str::to_owned);
        if !query.id.is_empty() {
            query.id = first.ok_or_else(|| not_found(&query))?;
        }
        let meant = |node: &&Snode| query.node.is_empty() || node.daemon_id == query.node;
        if !query.node.is_empty() && !state.smap.tmap.contains_key(&query.node) {
            return Err(ApiError::bad_request(format!(
                "target \"{}\" is not in the cluster map",
                query.node
            )));
        }
        let asks = state.smap.tmap.values().filter(meant);
        let asks =
            asks.map(|node| async { (node.daemon_id.clone(), self.snaps_of(node, &query).await) });
        let mut found: BTreeMap<String, Vec<Snap>> = join_all(asks).await.into_iter().collect();
        if query.active_only() && query.id.is_empty() && query.kind.is_empty() {
            for snaps in found.values_mut() {
                one_per_kind(snaps);
            }
        }
        if !query.id.is_empty() {
            // A target without the job counts as one that answered "not found". Without an id nothing
            // found is no error: clients want each target's empty list.
            found.retain(|_, snaps| !snaps.is_empty());
            if found.is_empty() {
                return Err(not_found(&query));
            }
        }
        Ok(req.json(&found))
    }

    /// Snapshots of one target, or what the records say about it.
    async fn snaps_of(&self, node: &Snode, query: &JobQuery) -> Vec<Snap> {
        let state = self.ctx.state();
        let url = format!("{}/v1/jobs?sv={}", node.url(), state.version);
        let body = json!({
            "id": query.id, "kind": query.kind, "bck": query.bck, "show_active": query.show_active
        });
        match self
            .ctx
            .intra
            .json::<Vec<Snap>>(Method::POST, &url, &body, self.ctx.times().relay())
            .await
        {
            Ok(snaps) => snaps,
            Err(err) => {
                tracing::warn!(node = node.display(), error = %err, "no answer about jobs");
                let id = node.daemon_id.as_str();
                let snaps = state.jobs.iter().filter_map(|job| {
                    let snap = job.snap(id)?;
                    selects(query, job, snap.is_running()).then_some(snap)
                });
                snaps.collect()
            }
        }
    }

    fn check_bucket(&self, query: &JobQuery) -> Result<(), ApiError> {
        let Some(bucket) = &query.bck else { return Ok(()) };
        let state = self.ctx.state();
        // A bucket that a job has renamed or destroyed is still one to ask about.
        if state.jobs.iter().any(|job| job.buckets().any(|own| own == bucket)) {
            return Ok(());
        }
        props(&state, bucket).map(|_| ())
    }
}

async fn read(req: &mut Req) -> Result<JobQuery, ApiError> {
    let body = req.read_body(crate::http::request::MAX_ACTION_BYTES).await?;
    JobQuery::parse(&body)
}

fn on_bucket(query: &JobQuery, job: &JobRecord) -> bool {
    query.bck.as_ref().is_none_or(|bucket| matches_bucket(job, bucket))
}

/// Of each kind only the newest.
fn one_per_kind(snaps: &mut Vec<Snap>) {
    let mut seen = BTreeSet::new();
    snaps.reverse();
    snaps.retain(|snap| seen.insert(snap.kind.clone()));
    snaps.reverse();
}

fn not_found(query: &JobQuery) -> ApiError {
    let id = if query.id.is_empty() { "any" } else { &query.id };
    let kind = if query.kind.is_empty() { "any" } else { &query.kind };
    ApiError::not_found(format!("job \"{id}\" of kind \"{kind}\" not found"))
}
