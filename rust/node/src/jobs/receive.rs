//! Taking objects that a job on another target sends, and giving those that a reader cannot wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aistore_core::bucket::{Bucket, validate_object_name};
use aistore_core::error::ApiError;
use aistore_core::job::JobRecord;
use aistore_core::placement::owner;
use aistore_core::text::encode_query;
use http::{Method, StatusCode};

use super::kinds::move_bck;
use crate::http::drain::discard;
use crate::http::{Reply, Req, reply};
use crate::target::Target;
use crate::target::deliver::{Delivery, MTIME_NS, Operation, Present};
use crate::target::objects::ObjectRef;
use crate::target::put::given;

/// Longest wait for an object that a reader wants and that has not been moved yet.
const PULL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a share that the state has and that has not started, and how often it is looked for.
const SHARE_TIMEOUT: Duration = Duration::from_secs(10);
const SHARE_PAUSE: Duration = Duration::from_millis(10);

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
        let delivery = delivery(req, object, &record)?;
        // An earlier try whose sender is gone ends first: it must not store the object once more later.
        let _alone = self.jobs.taking.lock(name).await;
        let stored = self.store_delivery(&state, delivery, &mut req.body).await?;
        if let (Some(meta), Some(job)) = (&stored, self.jobs.get(&record.id)) {
            job.add_in(1, meta.size);
        }
        Ok(stored.is_some())
    }

    /// Answers `POST /v1/jobs/pull/NAME`: moves an object of a bucket that is being renamed now.
    pub(crate) async fn pull(self: &Arc<Self>, req: &Req, name: &str) -> Result<Reply, ApiError> {
        if req.method != Method::POST {
            return Ok(reply::method_not_allowed("POST"));
        }
        self.state_for(req).await;
        Ok(reply::json(&self.pull_here(req.query.text("job"), name).await?))
    }

    /// Moves one object out of this target's share of a rename; whether there was one.
    async fn pull_here(self: &Arc<Self>, id: &str, name: &str) -> Result<bool, ApiError> {
        let began = Instant::now();
        let wanted = || {
            let state = self.ctx.state();
            state
                .jobs
                .get(id)
                .is_some_and(|job| job.kind == "move-bck" && job.wants(&self.ctx.snode.daemon_id))
        };
        while wanted() {
            if let Some(job) = self.jobs.get(id) {
                let moved = move_bck::move_one(self, &job, name).await;
                // A share that ended well meanwhile has moved this one too.
                return if job.has_ended() { Ok(false) } else { moved };
            }
            // The share starts right after the state is known.
            if began.elapsed() > SHARE_TIMEOUT {
                return Err(ApiError::unavailable(format!(
                    "job \"{id}\" does not run yet on {}",
                    self.ctx.display()
                )));
            }
            tokio::time::sleep(SHARE_PAUSE).await;
        }
        Ok(false)
    }

    /// If the object's bucket is the new name of one that is being renamed: brings the object, should it
    /// still be under the old name. When this returns well, the old name has no such object and will never
    /// have one. Answers whether the bucket is such a one, so that it is worth to look again.
    ///
    /// # Errors
    ///
    /// 503 when the target that had the object cannot be asked.
    pub(crate) async fn pull_renamed(
        self: &Arc<Self>,
        object: &ObjectRef,
    ) -> Result<bool, ApiError> {
        let (state, name) = (self.ctx.state(), &object.name);
        let mut running = state.jobs.running().filter(|job| job.kind == "move-bck");
        let record = running.find(|job| job.bids.get(1) == Some(&object.bid));
        let Some((record, source)) = record.and_then(|job| Some((job, job.src_bck.as_ref()?)))
        else {
            return Ok(false);
        };
        let Some(holder) = owner(&state.smap, &source.object_uname(name)) else { return Ok(false) };
        if !record.wants(&holder.daemon_id) {
            return Ok(true);
        }
        let pulled: Result<bool, ApiError> = if holder.daemon_id == self.ctx.snode.daemon_id {
            self.pull_here(&record.id, name).await
        } else {
            let (url, name) = (holder.url(), encode_query(name));
            let url = format!("{url}/v1/jobs/pull/{name}?job={}&sv={}", record.id, state.version);
            self.ctx.intra.json(Method::POST, &url, &(), PULL_TIMEOUT).await
        };
        pulled.map(|_| true).map_err(|err| {
            ApiError::unavailable(format!(
                "{}: the bucket is being renamed from \"{source}\", and {} does not give the object: {}; try again",
                object.cname(),
                holder.display(),
                err.message
            ))
        })
    }

    /// [`pull_renamed`](Self::pull_renamed) for a request whose object is not looked up yet.
    pub(crate) async fn pull_for(
        self: &Arc<Self>,
        req: &Req,
        bucket: &str,
        name: &str,
    ) -> Result<bool, ApiError> {
        let state = self.ctx.state();
        let found = req.bucket(bucket).and_then(|at| ObjectRef::find(&state, at, name.to_owned()));
        match found {
            Ok(object) => self.pull_renamed(&object).await,
            // For the request itself to tell.
            Err(_) => Ok(false),
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

/// Reads what another target sends.
fn delivery(req: &Req, object: ObjectRef, record: &JobRecord) -> Result<Delivery, ApiError> {
    let malformed =
        |what: &str| ApiError::bad_request(format!("{}: a transfer needs {what}", object.cname()));
    let given = given(&req.headers, true)?;
    let mtime =
        req.header(MTIME_NS).map(|text| text.parse().map_err(|_| malformed("a valid time")));
    Ok(Delivery {
        operation: Operation::Job(record.id.clone()),
        length: given.length.ok_or_else(|| malformed("a length"))?,
        checksum: given.checksum,
        custom: given.custom,
        version: given.version,
        mtime_ns: mtime.transpose()?,
        present: Present::parse(req.query.text("present"))
            .ok_or_else(|| malformed("\"present\""))?,
        object,
    })
}
