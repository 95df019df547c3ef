//! Taking objects that a job on another target sends, and giving those that a reader cannot wait for.

use std::sync::Arc;

use aistore_core::bucket::{Bucket, validate_object_name};
use aistore_core::error::ApiError;
use aistore_core::job::JobRecord;
use aistore_core::placement::owner;
use aistore_core::text::encode_query;
use http::{Method, StatusCode};

use super::kinds::move_bck;
use super::transfer::{Present, is_same, options};
use crate::http::drain::discard;
use crate::http::{Reply, Req, reply};
use crate::target::Target;
use crate::target::failure::store_failure;
use crate::target::objects::ObjectRef;
use crate::target::upload::receive;
use crate::tasks::lost_task;

/// Longest wait for an object that a reader wants and that has not been moved yet.
const PULL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

impl Target {
    /// Answers `PUT /v1/jobs/object/NAME`: stores an object for a job that runs.
    pub(crate) async fn receive_copy(
        self: &Arc<Self>,
        mut req: Req,
        name: &str,
    ) -> Result<Reply, ApiError> {
        if req.method != Method::PUT {
            return Ok(reply::method_not_allowed("PUT"));
        }
        let done = self.take(&mut req, name).await;
        if !matches!(done, Ok(true)) {
            discard(&self.ctx.tasks, &req.headers, req.body);
        }
        done.map(|_| reply::empty(StatusCode::OK))
    }

    /// Whether the body was read.
    async fn take(self: &Arc<Self>, req: &mut Req, name: &str) -> Result<bool, ApiError> {
        validate_object_name(name)?;
        let state = self.state_for(req).await;
        let (bucket, _) = Bucket::parse_uname(req.query.text("bucket"))?;
        let record = self.running_job(req, &bucket)?;
        let props = state.bmd.get(&bucket).ok_or_else(|| ApiError::bucket_not_found(&bucket))?;
        let (bid, uname) = (props.bid, bucket.object_uname(name));
        if !record.bids.contains(&bid) {
            return Err(ApiError::bucket_not_found(&bucket));
        }
        let object = ObjectRef { bucket, name: name.to_owned(), bid, uname };
        let own = self.ctx.snode.daemon_id.as_str();
        if owner(&state.smap, &object.uname).is_none_or(|holder| holder.daemon_id != own) {
            return Err(ApiError::new(
                421,
                "ErrStaleMap",
                format!("{} does not belong to {}", object.cname(), self.ctx.display()),
            ));
        }
        let present = if req.query.flag("keep") { Present::Keep } else { Present::Replace };
        let options = options(&state, &object, &req.headers, present)?;
        let (target, wanted) = (Arc::clone(self), object.clone());
        let old = tokio::task::spawn_blocking(move || {
            let found = target.objects.store.head(wanted.bid, &wanted.uname, &wanted.name);
            found.map_err(|err| store_failure(&err, &wanted.cname()))
        });
        let old = old.await.map_err(|err| lost_task(&err))??;
        if old.is_some_and(|old| present == Present::Keep || is_same(&old, &options)) {
            return Ok(false);
        }
        let length = options.size_hint;
        let objects = Arc::clone(&self.objects);
        let stored = receive(objects, object.clone(), options, &mut req.body, length).await;
        match stored {
            Ok(meta) => {
                if let Some(job) = self.jobs.get(&record.id) {
                    job.add_in(1, meta.size);
                }
                self.confirm(&object).await?;
            }
            Err(err) if present == Present::Keep && err.status == 412 => {}
            Err(err) => return Err(err),
        }
        Ok(true)
    }

    /// Answers `POST /v1/jobs/pull/NAME`: moves an object of a bucket that is being renamed now.
    pub(crate) async fn pull(self: &Arc<Self>, req: &Req, name: &str) -> Result<Reply, ApiError> {
        if req.method != Method::POST {
            return Ok(reply::method_not_allowed("POST"));
        }
        self.state_for(req).await;
        let id = req.query.text("job");
        let Some(job) = self.jobs.get(id).filter(|job| job.record.kind == "move-bck") else {
            return Err(ApiError::not_found(format!("job \"{id}\" does not run here")));
        };
        let moved = move_bck::move_one(self, &job, name).await?;
        Ok(reply::json(&moved))
    }

    /// After a miss: brings an object of a bucket that is being renamed now, if its old name has it.
    /// Whether it is worth to look again.
    pub(crate) async fn pull_renamed(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> bool {
        let (Ok(bucket), state) = (req.bucket(bucket), self.ctx.state()) else { return false };
        let mut running = state.jobs.running().filter(|job| job.kind == "move-bck");
        let record = running.find(|job| job.dst_bck.as_ref() == Some(&bucket));
        let Some((record, source)) = record.and_then(|job| Some((job, job.src_bck.as_ref()?)))
        else {
            return false;
        };
        let Some(holder) = owner(&state.smap, &source.object_uname(name)) else { return false };
        let pulled = if holder.daemon_id == self.ctx.snode.daemon_id {
            let Some(job) = self.jobs.get(&record.id) else { return true };
            move_bck::move_one(self, &job, name).await
        } else {
            let (url, name) = (holder.url(), encode_query(name));
            let url = format!("{url}/v1/jobs/pull/{name}?job={}&sv={}", record.id, state.version);
            self.ctx.intra.json(Method::POST, &url, &(), PULL_TIMEOUT).await
        };
        match pulled {
            // Not there any more may mean: moved a moment ago.
            Ok(_) => true,
            Err(err) => {
                tracing::debug!(object = name, error = %err, "cannot pull an object of a renamed bucket");
                err.status == 404
            }
        }
    }

    /// The job that the request is for; others must not write here.
    fn running_job(&self, req: &Req, bucket: &Bucket) -> Result<Arc<JobRecord>, ApiError> {
        let (id, state) = (req.query.text("job"), self.ctx.state());
        let found = state.jobs.get(id).filter(|job| !job.is_over());
        let found = found.filter(|job| job.dst_bck.as_ref() == Some(bucket));
        found.cloned().ok_or_else(|| {
            ApiError::not_found(format!("job \"{id}\" that writes to \"{bucket}\" does not run"))
        })
    }
}
